//! The answer fields that tell callers about their limits: draft-ietf-httpapi-ratelimit-headers-11, and what was usual before.
//!
//! `RateLimit-Policy` is written when rules are compiled. `RateLimit` tells of each rule what is left (`r`) and for how many seconds
//! this should do (`t`): a quota's to the end of the period, a rate's as long as the same takes to grow back, so that `r`/`t` never
//! invites to more than the rate. For the rule that refused, `t` is what `Retry-After` says.

use std::time::Duration;

use super::counter::Level;
use super::granted::{Answer, Phase};
use super::rules::{Measure, Rule};
use crate::config::checked::limits::{CalendarPeriod, LimitFields, Quota, Rate};

/// The largest number of a structured field (RFC 9651 §3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;
/// A longer name is cut; configured names are shorter by far.
const MAX_NAME: usize = 192;
/// Room for several rules in one line; what does not fit goes to a further line, which means the same.
const LINE: usize = 512;

/// What is written when rules are compiled.
#[derive(Debug)]
pub(super) struct Texts {
    /// `RateLimit-Policy` of the rules for strangers, and of the others; empty without any.
    strangers: Box<[u8]>,
    others: Box<[u8]>,
    /// The name of each rule as it stands in both fields; empty for one that is only observed.
    names: Box<[Box<[u8]>]>,
}

impl Texts {
    pub(super) fn new(rules: &[Rule], by_strangers: usize) -> Self {
        let (strangers, others) = rules.split_at_checked(by_strangers).unwrap_or((rules, &[]));
        let names = rules.iter().map(|rule| {
            let told = !rule.measure.observe();
            if told { name(rule.measure.name()).into_bytes().into() } else { Box::default() }
        });
        Self { strangers: policies(strangers), others: policies(others), names: names.collect() }
    }
}

/// A String (RFC 9651 §3.3.3).
fn name(name: &str) -> String {
    let mut text = String::from('"');
    for char in name.chars().take(MAX_NAME) {
        match char {
            '"' | '\\' => text.extend(['\\', char]),
            ' '..='~' => text.push(char),
            _ => text.push('?'),
        }
    }
    text.push('"');
    text
}

fn policies(rules: &[Rule]) -> Box<[u8]> {
    let told = rules.iter().filter(|rule| !rule.measure.observe());
    let policies: Vec<String> = told.map(|rule| name(rule.measure.name()) + &parameters(&rule.measure)).collect();
    policies.join(", ").into_bytes().into()
}

fn parameters(measure: &Measure) -> String {
    match measure {
        Measure::Rate(rate) => {
            let (permits, window) = in_whole_seconds(rate);
            let burst = rate.burst.get();
            let burst = if u64::from(burst) == permits { String::new() } else { format!(";sluice-burst={burst}") };
            format!(";q={permits};w={window}{burst}")
        }
        Measure::Quota(quota) => format!(";q={};w={}", quota.limit.get().min(MAX_INTEGER), longest(quota)),
        Measure::Concurrency(concurrency) => format!(";q={};qu=\"concurrent-requests\"", concurrency.limit),
    }
}

/// Permits and period of a rate, the period in whole seconds: rounded up, and the permits are as many as come in that time.
fn in_whole_seconds(rate: &Rate) -> (u64, u64) {
    let window = seconds(rate.period).clamp(1, MAX_INTEGER);
    let second = Duration::from_secs(1).as_nanos();
    let permits = u128::from(rate.permits.get()) * u128::from(window) * second / rate.period.as_nanos().max(1);
    (u64::try_from(permits).unwrap_or(MAX_INTEGER).min(MAX_INTEGER), window)
}

/// How long a period of this quota is at most, in seconds.
fn longest(quota: &Quota) -> u64 {
    let days = match quota.period {
        CalendarPeriod::Hour => return 3_600,
        CalendarPeriod::Day => 1,
        CalendarPeriod::Week => 7,
        CalendarPeriod::Month => 31,
    };
    days * 86_400
}

/// Rounded up to whole seconds, at least one.
pub(super) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(seconds(wait).max(1))
}

/// Rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

pub(super) fn tell(phases: &[Phase], answers: &[Answer], which: LimitFields, mut put: impl FnMut(&'static str, &[u8])) {
    if which == LimitFields::Off {
        return;
    }
    for phase in phases {
        let texts = &phase.set.compiled.texts;
        let policy = if phase.strangers { &texts.strangers } else { &texts.others };
        if !policy.is_empty() {
            put("ratelimit-policy", policy);
        }
    }
    let mut line = Line::default();
    let mut tightest = None::<Standing>;
    for answer in answers {
        let names = phases.get(answer.phase).map(|phase| &phase.set.compiled.texts.names);
        let Some(name) = names.and_then(|names| names.get(answer.rule)).filter(|name| !name.is_empty()) else {
            continue;
        };
        let standing = Standing::of(answer);
        if !line.has_room_for(name) {
            put("ratelimit", line.text());
            line.length = 0;
        }
        line.item(name, &standing);
        if standing.reset.is_some() && tightest.as_ref().is_none_or(|known| standing.rank() < known.rank()) {
            tightest = Some(standing);
        }
    }
    if !line.text().is_empty() {
        put("ratelimit", line.text());
    }
    if let (LimitFields::Both, Some(Standing { limit, left, reset: Some(reset), .. })) = (which, tightest) {
        for (name, number) in
            [("x-ratelimit-limit", limit), ("x-ratelimit-remaining", left), ("x-ratelimit-reset", reset)]
        {
            line.length = 0;
            line.number(number);
            put(name, line.text());
        }
    }
}

/// What a caller is told about a rule.
struct Standing {
    refused: bool,
    limit: u64,
    left: u64,
    /// For how many seconds this should do.
    window: Option<u64>,
    /// In how many seconds all of it is there again; nobody knows of requests in flight.
    reset: Option<u64>,
}

impl Standing {
    fn of(answer: &Answer) -> Self {
        let refused = answer.refused.is_some();
        let wait = answer.refused.map(|wait| whole_seconds(wait).as_secs());
        match answer.level {
            Level::Rate(level) => {
                let whole = level.interval.saturating_mul(u64::from(level.burst));
                let left = whole.saturating_sub(level.missing) / level.interval.max(1);
                let grows = |units: u64| seconds(Duration::from_nanos(level.interval.saturating_mul(units)));
                // With nothing left, the time to the next unit.
                let next = || seconds(Duration::from_nanos((level.missing + level.interval).saturating_sub(whole)));
                let window = wait.unwrap_or_else(|| if left == 0 { next() } else { grows(left) });
                let reset = seconds(Duration::from_nanos(level.missing));
                Self { refused, limit: u64::from(level.burst), left, window: Some(window), reset: Some(reset) }
            }
            Level::Quota(level) => {
                let ends = seconds(level.ends_in).max(1);
                let (limit, left) = (level.limit.min(MAX_INTEGER), level.left.min(MAX_INTEGER));
                Self { refused, limit, left, window: Some(wait.unwrap_or(ends)), reset: Some(ends) }
            }
            Level::Concurrency(level) => {
                Self { refused, limit: 0, left: u64::from(level.left), window: None, reset: None }
            }
        }
    }

    /// The lower, the nearer a caller is to this limit.
    fn rank(&self) -> (bool, u64) {
        (!self.refused, self.left)
    }
}

/// A field value in the making.
struct Line {
    text: [u8; LINE],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { text: [0; LINE], length: 0 }
    }
}

impl Line {
    fn text(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    fn has_room_for(&self, name: &[u8]) -> bool {
        // Separators, parameters and two numbers.
        self.length == 0 || LINE - self.length >= name.len() + 2 + 3 + 20 + 3 + 20
    }

    fn item(&mut self, name: &[u8], standing: &Standing) {
        if self.length > 0 {
            self.push(b", ");
        }
        self.push(name);
        self.push(b";r=");
        self.number(standing.left);
        if let Some(window) = standing.window {
            self.push(b";t=");
            self.number(window);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        // Whoever fills a line has asked for room.
        if let Some(room) = self.text.get_mut(self.length..self.length + bytes.len()) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
        }
    }

    fn number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut from = digits.len();
        for pair in digits.rchunks_exact_mut(2) {
            // Below 100, so each half is one digit.
            let two = (number % 100) as u8;
            number /= 100;
            pair.copy_from_slice(&[b'0' + two / 10, b'0' + two % 10]);
            from -= 2;
            if number == 0 {
                from += usize::from(two < 10);
                break;
            }
        }
        self.push(digits.get(from..).unwrap_or_default());
    }
}
