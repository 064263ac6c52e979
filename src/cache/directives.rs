//! `Cache-Control` of requests and answers (RFC 9111 §5.2), `Pragma` (§5.4) and `CDN-Cache-Control` (RFC 9213).
//!
//! Names count in any case, white space around them and their arguments does not. Arguments that do not belong there, and directives that are not
//! known, are passed over. An argument that cannot be read counts as the strictest one, and so does the strictest of a directive that is
//! repeated (RFC 9111 §4.2.1 asks for the first or for none): what is written badly is never fresher for it.

mod dictionary;
#[cfg(any(test, fuzzing))]
pub mod invariants;
mod list;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use self::list::{Argument, Directive};
use super::Fields;
use super::freshness::LONGEST;

/// Takes precedence over `Cache-Control` for caches like this one.
pub(super) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Names that one directive may have; with more of them it is about the whole answer.
pub const MAX_NAMES: usize = 32;

/// The longest name of a directive that is known has 22 bytes.
const LONGEST_NAME: usize = 24;

/// What a request asks of caches (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    pub max_age: Option<Duration>,
    /// How stale an answer may be; the longest time for any staleness.
    pub max_stale: Option<Duration>,
    pub min_fresh: Option<Duration>,
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
    /// RFC 5861 §4.
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    /// `Pragma: no-cache` counts when there is no `Cache-Control`.
    #[must_use]
    pub fn of(fields: &dyn Fields) -> Self {
        let mut directives = Self::default();
        let mut controlled = false;
        fields.each(&header::CACHE_CONTROL, &mut |line| {
            controlled = true;
            list::each(line, |directive| directives.take(&directive));
        });
        if !controlled {
            fields.each(&header::PRAGMA, &mut |line| {
                list::each(line, |pragma| directives.no_cache |= pragma.name.eq_ignore_ascii_case(b"no-cache"));
            });
        }
        directives
    }

    fn take(&mut self, directive: &Directive<'_>) {
        let argument = directive.argument;
        match directive.name_in(&mut [0; LONGEST_NAME]) {
            b"max-age" => smallest(&mut self.max_age, seconds(argument)),
            b"max-stale" => smallest(&mut self.max_stale, argument.map_or(LONGEST, |_| seconds(argument))),
            b"min-fresh" => {
                let fresh = argument.and_then(Argument::seconds).unwrap_or(LONGEST);
                self.min_fresh = self.min_fresh.max(Some(fresh));
            }
            b"no-cache" => self.no_cache = true,
            b"no-store" => self.no_store = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"stale-if-error" => smallest(&mut self.stale_if_error, seconds(argument)),
            _ => {}
        }
    }
}

/// A directive that may be about some fields only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// Not there.
    #[default]
    Nothing,
    /// The whole answer.
    Everything,
    /// These fields of it.
    Fields(Box<[HeaderName]>),
}

impl About {
    /// Whether it is about this field and not about the whole answer.
    #[must_use]
    pub fn names(&self, field: &HeaderName) -> bool {
        matches!(self, Self::Fields(names) if names.contains(field))
    }

    /// A list of names; anything else is about everything.
    fn of(argument: Option<Argument<'_>>) -> Self {
        argument.and_then(Argument::names).map_or(Self::Everything, |names| Self::Fields(names.into()))
    }

    fn add(&mut self, more: Self) {
        *self = match (std::mem::take(self), more) {
            (Self::Nothing, about) | (about, Self::Nothing) => about,
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (Self::Fields(known), Self::Fields(more)) => {
                let mut names = known.into_vec();
                more.into_iter().for_each(|name| {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                });
                if names.len() > MAX_NAMES { Self::Everything } else { Self::Fields(names.into()) }
            }
        };
    }
}

/// What an answer allows caches (RFC 9111 §5.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    pub max_age: Option<Duration>,
    pub s_maxage: Option<Duration>,
    pub no_cache: About,
    pub private: About,
    pub no_store: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    /// RFC 5861 §3.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 §4.
    pub stale_if_error: Option<Duration>,
    /// They came from `CDN-Cache-Control`: `Cache-Control` and `Expires` do not count (RFC 9213 §2.2).
    pub targeted: bool,
}

impl ResponseDirectives {
    #[must_use]
    pub fn of(fields: &HeaderMap) -> Self {
        Self::targeted(fields).unwrap_or_else(|| {
            let mut directives = Self::default();
            for line in fields.get_all(header::CACHE_CONTROL) {
                list::each(line.as_bytes(), |directive| directives.take(&directive));
            }
            directives
        })
    }

    /// Of `CDN-Cache-Control`: `None` when it is not there, is empty, or is no dictionary (RFC 9213 §2.1). Of a directive that is repeated
    /// the last one counts (RFC 8941 §4.2.2).
    fn targeted(fields: &HeaderMap) -> Option<Self> {
        let lines: Vec<&[u8]> = fields.get_all(CDN_CACHE_CONTROL).iter().map(HeaderValue::as_bytes).collect();
        let value = match *lines {
            [line] => Cow::Borrowed(line),
            _ => Cow::Owned(lines.join(&b", "[..])),
        };
        let mut last: [Option<Directive<'_>>; NAMES.len()] = [None; _];
        let mut empty = true;
        dictionary::each(&value, |name, value| {
            empty = false;
            let place = NAMES.iter().position(|known| *known == name).and_then(|at| last.get_mut(at));
            if let Some(place) = place {
                *place = value.as_argument().map(|argument| Directive { name, argument });
            }
        })?;
        let mut directives = Self { targeted: true, ..Self::default() };
        last.iter().flatten().for_each(|directive| directives.take(directive));
        (!empty).then_some(directives)
    }

    fn take(&mut self, directive: &Directive<'_>) {
        let argument = directive.argument;
        match directive.name_in(&mut [0; LONGEST_NAME]) {
            b"max-age" => smallest(&mut self.max_age, seconds(argument)),
            b"s-maxage" => smallest(&mut self.s_maxage, seconds(argument)),
            b"no-cache" => self.no_cache.add(About::of(argument)),
            b"private" => self.private.add(About::of(argument)),
            b"no-store" => self.no_store = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"stale-while-revalidate" => smallest(&mut self.stale_while_revalidate, seconds(argument)),
            b"stale-if-error" => smallest(&mut self.stale_if_error, seconds(argument)),
            _ => {}
        }
    }

    /// Whether they let everybody but this cache see a field, or ask for a validation before it is given again.
    #[must_use]
    pub fn name(&self, field: &HeaderName) -> bool {
        self.no_cache.names(field) || self.private.names(field)
    }
}

/// What [`ResponseDirectives`] knows.
const NAMES: [&[u8]; 11] = [
    b"max-age",
    b"s-maxage",
    b"no-cache",
    b"private",
    b"no-store",
    b"public",
    b"must-revalidate",
    b"proxy-revalidate",
    b"must-understand",
    b"stale-while-revalidate",
    b"stale-if-error",
];

/// Nothing where it is missing or cannot be read.
fn seconds(argument: Option<Argument<'_>>) -> Duration {
    argument.and_then(Argument::seconds).unwrap_or_default()
}

fn smallest(slot: &mut Option<Duration>, new: Duration) {
    *slot = Some(slot.map_or(new, |known| known.min(new)));
}

/// `delta-seconds`; too many to count are the longest time (RFC 9111 §1.2.2). `None` for what is no number of digits only.
pub(super) fn delta_seconds(digits: impl Iterator<Item = u8>) -> Option<Duration> {
    let mut seconds = None;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        seconds = Some(seconds.unwrap_or(0_u64).saturating_mul(10).saturating_add(digit));
    }
    seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST))
}
