//! One revocation: what it names, and for how long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::base::timestamp;

/// Bytes of a token id, a subject, a partner or an issuer.
pub const MAX_NAME: usize = 1024;
/// Bytes of a reason.
pub const MAX_REASON: usize = 1024;

/// 9999-12-31T23:59:59Z; what is later is milliseconds.
const LAST_SECOND: u64 = 253_402_300_799;
/// How far clocks may be apart.
const SKEW: u64 = 300;

/// What is no longer good. Times are seconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub target: Target,
    /// Name of an issuer in the configuration: only what it has issued.
    pub issuer: Option<Arc<str>>,
    /// Only tokens of before this second; those that do not say when they were issued are older than any.
    pub issued_before: Option<u64>,
    /// From here on it is forgotten.
    pub until: Option<u64>,
    /// For people.
    pub reason: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The token with this id.
    Token(Arc<str>),
    /// Tokens of this subject.
    Subject(Arc<str>),
    /// Whatever makes a caller this partner: tokens, and, unless it is about an issuer or a time of issue, API keys and
    /// client certificates as well.
    Partner(Arc<str>),
    /// Tokens of whomever.
    Everybody,
}

/// Tells a revocation by what it revokes: the same again, with another end or reason, has the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u128);

impl Id {
    /// Reads what [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| is_id).map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Revocation {
    #[must_use]
    pub fn id(&self) -> Id {
        let mut digest = Context::new(&SHA256);
        let mut text = |text: &str| {
            digest.update(&(text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        };
        text(self.target.key());
        text(self.target.name());
        text(self.issuer.as_deref().unwrap_or_default());
        // No time is 1970 itself, before which nothing was issued.
        digest.update(&self.issued_before.unwrap_or_default().to_be_bytes());
        let digest = digest.finish();
        Id(digest.as_ref().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }

    /// Whether nothing is left of it. Seconds since 1970 UTC.
    #[must_use]
    pub fn has_ended(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// As it is written in a file of revocations.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(key.to_owned(), value);
            }
        };
        let named = !matches!(self.target, Target::Everybody);
        put(self.target.key(), named.then(|| self.target.name().into()));
        put("issuer", self.issuer.as_deref().map(Value::from));
        put("issued_before", self.issued_before.map(Value::from));
        put("until", self.until.map(Value::from));
        put("reason", self.reason.as_deref().map(Value::from));
        Value::Object(members)
    }

    /// What it does, in a sentence for people.
    #[must_use]
    pub fn effect(&self) -> String {
        // Keys and certificates have neither an issuer nor a time of issue.
        let about_all = self.issuer.is_none() && self.issued_before.is_none();
        let whose = match &self.target {
            Target::Token(id) => format!("the token with the id {id:?}"),
            Target::Subject(subject) if about_all => {
                format!("all tokens of the subject {subject:?}, and an API key or client certificate of this name,")
            }
            Target::Subject(subject) => format!("all tokens of the subject {subject:?}"),
            Target::Partner(partner) if about_all => {
                format!("all tokens, API keys and client certificates of the partner {partner:?}")
            }
            Target::Partner(partner) => format!("all tokens of the partner {partner:?}"),
            Target::Everybody => "all tokens".to_owned(),
        };
        let by = self.issuer.as_ref().map(|issuer| format!(" by the issuer {issuer:?}")).unwrap_or_default();
        let date = |at| timestamp::format(Duration::from_secs(at));
        let before = self.issued_before.map(|at| format!(" issued before {}", date(at))).unwrap_or_default();
        let until = self.until.map(|at| format!(" until {}", date(at))).unwrap_or_default();
        let verb = if matches!(self.target, Target::Token(_)) { "is" } else { "are" };
        format!("{whose}{by}{before} {verb} refused{until}")
    }
}

impl Target {
    /// Its key in a file.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Token(_) => "token_id",
            Self::Subject(_) => "subject",
            Self::Partner(_) => "partner",
            Self::Everybody => "everybody",
        }
    }

    /// Empty for everybody.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Token(name) | Self::Subject(name) | Self::Partner(name) => name,
            Self::Everybody => "",
        }
    }
}

/// A revocation as somebody wrote it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Written {
    #[serde(default, deserialize_with = "present")]
    pub token_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub subject: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub partner: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub issuer: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub issued_before: Option<Time>,
    #[serde(default, deserialize_with = "present")]
    pub until: Option<Time>,
    #[serde(default, deserialize_with = "present")]
    pub reason: Option<String>,
}

impl Written {
    /// `now` is in seconds since 1970 UTC.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn check(self, now: u64) -> Result<Revocation, Vec<String>> {
        let mut mistakes = Vec::new();
        let Self { token_id, subject, partner, issuer, issued_before, until, reason } = self;
        let texts = [("token_id", &token_id), ("subject", &subject), ("partner", &partner), ("issuer", &issuer)];
        for (key, text) in texts {
            match text.as_deref().map(str::len) {
                Some(0) => mistakes.push(format!("`{key}` is empty")),
                Some(MAX_NAME..) => mistakes.push(format!("`{key}` is longer than {MAX_NAME} bytes")),
                _ => {}
            }
        }
        if reason.as_deref().is_some_and(|reason| reason.len() > MAX_REASON) {
            mistakes.push(format!("`reason` is longer than {MAX_REASON} bytes"));
        }
        let issued_before = issued_before.map(|Time(at)| at);
        match issued_before {
            Some(0) => mistakes.push("`issued_before` is 1970, and nothing was issued before that".to_owned()),
            // In milliseconds, for example: all that will ever be issued.
            Some(at) if at > now.saturating_add(SKEW) => {
                mistakes.push(format!("`issued_before` is in the future: {at} seconds since 1970; it is {now} now"));
            }
            _ => {}
        }
        let until = until.map(|Time(at)| at);
        if until.is_some_and(|at| at > LAST_SECOND) {
            mistakes
                .push("`until` is after the year 9999; times are in seconds since 1970, not in milliseconds".into());
        }
        let target = match (token_id, subject, partner) {
            (Some(id), None, None) => {
                if issued_before.is_some() {
                    mistakes.push("`token_id` names one token; leave `issued_before` out".to_owned());
                }
                Some(Target::Token(id.into()))
            }
            (None, Some(subject), None) => Some(Target::Subject(subject.into())),
            (None, None, Some(partner)) => Some(Target::Partner(partner.into())),
            (None, None, None) => {
                if issued_before.is_none() {
                    let message = "nothing is named; write `token_id`, `subject`, `partner` or `issued_before`";
                    mistakes.push(message.to_owned());
                }
                Some(Target::Everybody)
            }
            _ => {
                mistakes
                    .push("write one of `token_id`, `subject` and `partner`, each in a revocation of its own".into());
                None
            }
        };
        match target.filter(|_| mistakes.is_empty()) {
            Some(target) => Ok(Revocation {
                target,
                issuer: issuer.map(Arc::from),
                issued_before,
                until,
                reason: reason.map(Arc::from),
            }),
            None => Err(mistakes),
        }
    }
}

/// A mapping only: what serde derives reads a list, too, as if its members stood in the order of the fields.
impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Mapping;
        impl<'de> Visitor<'de> for Mapping {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a revocation, such as {\"token_id\": \"…\"}")
            }

            fn visit_map<M: MapAccess<'de>>(self, members: M) -> Result<Written, M::Error> {
                Written::deserialize(MapAccessDeserializer::new(members))
            }
        }
        from.deserialize_map(Mapping)
    }
}

/// What is written is there: `null` may be a value that somebody's program did not find.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Seconds since 1970 UTC, written as such or as a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub u64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seconds;
        impl Visitor<'_> for Seconds {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("whole seconds since 1970, or a date such as \"2027-01-31T18:00:00Z\"")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Time, E> {
                Ok(Time(seconds))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                let at = timestamp::parse(text).map_err(E::custom)?.as_secs();
                // Upwards: what was issued within the second is older than a later part of it.
                let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
                let digits = fraction.bytes().take_while(u8::is_ascii_digit);
                Ok(Time(at + u64::from(digits.into_iter().any(|digit| digit != b'0'))))
            }
        }
        from.deserialize_any(Seconds)
    }
}
