//! How much callers may.

use std::borrow::Cow;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::access::Mode;
use super::scalar::{parsed, scalars};
use super::{Count, List, Name, OneOrMany, Text, choices, model, no_choice};
use crate::base::duration;
use crate::config::checked::limits::CalendarPeriod;
use crate::config::report::Code;
use crate::config::yaml::{At, Kind, NodeId, Read, Reader};

/// Longer periods are for quotas, which survive restarts.
const LONGEST: Duration = Duration::from_secs(86_400);

model! {
    /// What partners have agreed on. Each partner has it for itself, over all routes.
    Plan "a plan" {
        /// How often: `100/s`, `1000/min`, `100/10s`.
        optional rate_limit: RateText,
        /// How many at once, for `rate_limit`; as many as its rate says when not written.
        optional burst: Count,
        /// How many in a calendar period (UTC): `1000000/month`.
        optional quota: QuotaText,
        /// How many at the same time.
        optional concurrency: PlanConcurrency,
        /// Rates of more than one kind.
        optional rate_limits: List<PlanRate>,
        /// Quotas of more than one kind.
        optional quotas: List<PlanQuota>,
    }

    /// A rate of a plan.
    PlanRate "a rate of a plan" {
        /// How often: `100/s`, `1000/min`, `100/10s`.
        required rate: RateText,
        /// How many at once; as many as the rate says when not written.
        optional burst: Count,
        /// Unique; appears in logs, metrics and answers. `<plan>.rate_limit` when not written, further ones with `.2` and so on.
        optional name: Name,
        /// `observe` counts and logs what would be refused, and lets it pass.
        optional mode: Mode = "enforce",
    }

    /// A quota of a plan.
    PlanQuota "a quota of a plan" {
        /// How many in a calendar period (UTC): `1000/hour`, `/day`, `/week` (from Monday), `/month`.
        required limit: QuotaText,
        /// Unique; appears in logs, metrics and answers. `<plan>.quota` when not written, further ones with `.2` and so on.
        optional name: Name,
        /// `observe` counts and logs what would be refused, and lets it pass.
        optional mode: Mode = "enforce",
    }

    /// How often callers may. Never more than burst and rate times time together pass.
    RateLimit "`rate_limit`" {
        /// What has a limit of its own: `route`, `partner`, `plan`, `subject`, `address` (IPv6 by its /64) or `{header: X-Name}`;
        /// several in a list are one key. Callers that are no partner are told apart by subject, then by address.
        required per: OneOrMany<LimitKey>,
        /// How often: `100/s`, `1000/min`, `100/10s`.
        required rate: RateText,
        /// How many at once; as many as the rate says when not written.
        optional burst: Count,
        /// Unique; appears in logs, metrics and answers. `<route>.rate_limit` when not written, further ones with `.2` and so on.
        optional name: Name,
        /// `observe` counts and logs what would be refused, and lets it pass.
        optional mode: Mode = "enforce",
    }

    /// How many a calendar period (UTC) has. Survives restarts when there is a store.
    Quota "`quota`" {
        /// What has a quota of its own, as with `rate_limit`.
        required per: OneOrMany<LimitKey>,
        /// How many in a calendar period: `1000/hour`, `/day`, `/week` (from Monday), `/month`.
        required limit: QuotaText,
        /// Unique; appears in logs, metrics and answers. `<route>.quota` when not written, further ones with `.2` and so on.
        optional name: Name,
        /// `observe` counts and logs what would be refused, and lets it pass.
        optional mode: Mode = "enforce",
    }

    /// How many may be on their way at the same time.
    Concurrency "`concurrency`" {
        /// What has a limit of its own, as with `rate_limit`.
        required per: OneOrMany<LimitKey>,
        /// How many at the same time.
        required limit: Count,
        /// Unique; appears in logs, metrics and answers. `<route>.concurrency` when not written, further ones with `.2` and so on.
        optional name: Name,
        /// `observe` counts and logs what would be refused, and lets it pass.
        optional mode: Mode = "enforce",
    }

    /// How many requests a partner may have on their way at the same time.
    ConcurrencyOfPlan "`concurrency` of a plan" {
        /// How many at the same time.
        required limit: Count,
        /// Unique; appears in logs, metrics and answers. `<plan>.concurrency` when not written.
        optional name: Name,
        /// `observe` counts and logs what would be refused, and lets it pass.
        optional mode: Mode = "enforce",
    }
}

choices! {
    LimitFields "a choice of answer fields" {
        Off "off",
        Standard "standard",
        Both "both",
    }
}

/// A rate as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateValue {
    pub(crate) permits: NonZeroU32,
    pub(crate) period: Duration,
}

/// A quota as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuotaValue {
    pub(crate) limit: NonZeroU64,
    pub(crate) period: CalendarPeriod,
}

scalars! {
    /// So many in so long.
    RateText(RateValue) {
        |node, reader| parsed(node, reader, Code::Rate, "text for a rate such as `100/s`", parse_rate),
        { "type": "string", "pattern": "^[0-9]+/(s|m|min|h|d|[0-9]+(\\.[0-9]+)?(ms|s|m|min|h|d))$", "examples": ["100/s", "1000/min", "100/10s"] }
    }

    /// So many in a calendar period.
    QuotaText(QuotaValue) {
        |node, reader| parsed(node, reader, Code::Quota, "text for a quota such as `1000/day`", parse_quota),
        { "type": "string", "pattern": "^[0-9]+/(hour|day|week|month)$", "examples": ["1000/day", "1000000/month"] }
    }
}

/// Reads a rate; the error says what was expected.
pub(crate) fn parse_rate(text: &str) -> Result<RateValue, String> {
    let expected = || {
        format!(
            "`{text}` is not a rate; write how many in how long, such as `100/s`, `1000/min`, `5000/h` or `100/10s`"
        )
    };
    let (permits, period) = text.split_once('/').ok_or_else(expected)?;
    if matches!(period, "hour" | "day" | "week" | "month") {
        return Err(format!("`{text}` is a quota, not a rate: `/{period}` means a period of the calendar"));
    }
    let permits: NonZeroU32 = number(permits).ok_or_else(expected)?;
    let short = period.strip_suffix("in").filter(|rest| rest.ends_with('m')).unwrap_or(period);
    let period = match short {
        "s" | "m" | "h" | "d" => duration::parse(&format!("1{short}")),
        other if other.starts_with(|c: char| c.is_ascii_digit()) => duration::parse(other),
        _ => Err(String::new()),
    };
    let period = period.map_err(|_| expected())?;
    if period < Duration::from_millis(1) || period > LONGEST {
        return Err(format!("`{text}` is not a rate: its period is from 1ms to 1d"));
    }
    if u128::from(permits.get()) > period.as_nanos() {
        return Err(format!("`{text}` is more than one every nanosecond"));
    }
    Ok(RateValue { permits, period })
}

/// Reads a quota; the error says what was expected.
pub(crate) fn parse_quota(text: &str) -> Result<QuotaValue, String> {
    let expected =
        || format!("`{text}` is not a quota; write how many in `hour`, `day`, `week` or `month`, such as `1000/day`");
    let (limit, period) = text.split_once('/').ok_or_else(expected)?;
    let limit = number(limit).ok_or_else(expected)?;
    let period = match period {
        "hour" => CalendarPeriod::Hour,
        "day" => CalendarPeriod::Day,
        "week" => CalendarPeriod::Week,
        "month" => CalendarPeriod::Month,
        _ => return Err(expected()),
    };
    Ok(QuotaValue { limit, period })
}

/// Digits and nothing else: `+5` is not how people write a number of requests.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// What has a limit of its own.
#[derive(Clone, Debug)]
pub(crate) enum LimitKey {
    Word(LimitWord),
    Header(At<Text>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitWord {
    Route,
    Partner,
    Plan,
    Subject,
    Address,
}

const WORDS: [(&str, LimitWord); 5] = [
    ("route", LimitWord::Route),
    ("partner", LimitWord::Partner),
    ("plan", LimitWord::Plan),
    ("subject", LimitWord::Subject),
    ("address", LimitWord::Address),
];

model! {
    /// The value of a request field; all requests without it count together.
    HeaderKey "a key of a limit" {
        /// The name of the field.
        required header: Text,
    }
}

impl Read for LimitKey {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.kind(node)? == Kind::Mapping {
            return HeaderKey::read(node, reader)?.header.map(Self::Header);
        }
        let written = reader.text(node, "text such as `partner`, or `{header: X-Name}`")?;
        let known = WORDS.iter().find(|(word, _)| *word == written);
        if known.is_none() {
            let mut words = WORDS.map(|(word, _)| word).to_vec();
            words.push("{header: X-Name}");
            no_choice(&written, node, "something that can have a limit of its own", &words, reader);
        }
        known.map(|(_, word)| Self::Word(*word))
    }
}

impl JsonSchema for LimitKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LimitKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words = WORDS.map(|(word, _)| word);
        json_schema!({ "anyOf": [{ "type": "string", "enum": words }, generator.subschema_for::<HeaderKey>()] })
    }
}

/// A number, or all that there is to say about it.
#[derive(Clone, Debug)]
pub(crate) struct PlanConcurrency(pub(crate) ConcurrencyOfPlan);

impl Read for PlanConcurrency {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.kind(node)? == Kind::Mapping {
            return ConcurrencyOfPlan::read(node, reader).map(Self);
        }
        let limit = At::read(node, reader)?;
        Some(Self(ConcurrencyOfPlan { limit: Some(limit), ..ConcurrencyOfPlan::default() }))
    }
}

impl JsonSchema for PlanConcurrency {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PlanConcurrency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1 }, generator.subschema_for::<ConcurrencyOfPlan>()] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_rates() {
        for (text, permits, millis) in [
            ("100/s", 100, 1_000),
            ("1000/min", 1_000, 60_000),
            ("1000/m", 1_000, 60_000),
            ("5/h", 5, 3_600_000),
            ("5/d", 5, 86_400_000),
            ("100/10s", 100, 10_000),
            ("1/1.5s", 1, 1_500),
            ("7/250ms", 7, 250),
            ("6/5min", 6, 300_000),
        ] {
            let rate = parse_rate(text).unwrap();
            assert_eq!((rate.permits.get(), rate.period.as_millis()), (permits, millis), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_rate() {
        for text in [
            "",
            "/",
            "100",
            "100/",
            "/s",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1 /s",
            "1/ s",
            "1/0s",
            "1/2d",
            "1/us",
            "1/in",
            "1/minute",
            "1/sec",
            "1/month",
            "1/day",
            "4294967296/s",
            "2000000/1ms",
            "1/1/s",
            "1/min in",
        ] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert!(parse_rate("5/day").unwrap_err().contains("quota"));
    }

    #[test]
    fn reads_quotas() {
        let quota = parse_quota("1000000/month").unwrap();
        assert_eq!((quota.limit.get(), quota.period), (1_000_000, CalendarPeriod::Month));
        for text in
            ["", "1000", "1000/", "0/day", "1/s", "1/days", "1/Month", "1/2day", "-1/day", "18446744073709551616/day"]
        {
            assert!(parse_quota(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(permits in 1_u32..=1_000_000, millis in 1_u64..=86_400_000) {
            let period = Duration::from_millis(millis);
            let read = parse_rate(&format!("{permits}/{}", duration::format(period))).unwrap();
            prop_assert_eq!((read.permits.get(), read.period), (permits, period));
        }

        #[test]
        fn a_rate_can_be_counted_in_nanoseconds(text in "[0-9]{1,11}/[0-9]{0,4}(\\.[0-9]{1,6})?(us|ms|s|m|min|h|d)?") {
            if let Ok(rate) = parse_rate(&text) {
                prop_assert!(rate.period.as_nanos() / u128::from(rate.permits.get()) >= 1);
                prop_assert!(rate.period <= LONGEST);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,30}") {
            let _ = (parse_rate(&text), parse_quota(&text));
        }
    }
}
