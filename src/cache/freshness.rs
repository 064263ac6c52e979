//! How long an answer is fresh, and how old it is (RFC 9111 §4.2).

pub(super) mod date;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Moment;
use super::directives::{ResponseDirectives, delta_seconds};
use crate::config::checked::cache::{Ttl, TtlMode};

/// The longest time that is counted: RFC 9111 §1.2.2 asks for 2^31 seconds at least.
pub const LONGEST: Duration = Duration::from_secs(1 << 31);

/// Of the time since an answer was modified, the part that it is taken to stay as it is (RFC 9111 §4.2.2).
const HEURISTIC_PART: u32 = 10;
const HEURISTIC_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Freshness of an answer, from when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    pub lifetime: Duration,
    /// `corrected_initial_age` (RFC 9111 §4.2.3).
    pub initial_age: Duration,
    /// When the answer had come.
    pub received: Instant,
}

impl Freshness {
    /// Of an answer that was asked for at one moment and came at another.
    ///
    /// What the answer says is counted from when its origin made it. A `ttl` of the route is counted from when it was received, as
    /// it says for how long it is given, whatever other caches or a clock that is wrong add to its age.
    #[must_use]
    pub fn of(
        status: StatusCode,
        fields: &HeaderMap,
        directives: &ResponseDirectives,
        ttl: &Ttl,
        asked: Moment,
        received: Moment,
    ) -> Self {
        let date = single(fields, &header::DATE).and_then(|date| date::parse(date, received.wall));
        let initial_age = initial_age(fields, date, asked, received);
        let date = date.unwrap_or(received.wall);
        let of_route = ttl_of(ttl, status);
        let lifetime = of_route
            .filter(|_| ttl.mode == TtlMode::Override)
            .map(|ttl| ttl.saturating_add(initial_age))
            .or_else(|| explicit(fields, directives, date, received.wall))
            .or_else(|| of_route.map(|ttl| ttl.saturating_add(initial_age)))
            .or_else(|| heuristic(status, fields, directives, date, received.wall))
            .unwrap_or_default();
        Self { lifetime: lifetime.min(LONGEST), initial_age, received: received.at }
    }

    /// `current_age` (RFC 9111 §4.2.3).
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.initial_age.saturating_add(now.saturating_duration_since(self.received)).min(LONGEST)
    }

    /// What is left of the lifetime; zero when it is over.
    #[must_use]
    pub fn left(&self, now: Instant) -> Duration {
        self.lifetime.saturating_sub(self.age(now))
    }

    /// How long it has been stale; `None` while it is fresh.
    #[must_use]
    pub fn stale_for(&self, now: Instant) -> Option<Duration> {
        self.age(now).checked_sub(self.lifetime)
    }
}

/// Whether an answer says itself how long it is fresh, be it that it says it wrong.
#[must_use]
pub(super) fn is_explicit(fields: &HeaderMap, directives: &ResponseDirectives) -> bool {
    directives.s_maxage.or(directives.max_age).is_some()
        || (!directives.targeted && fields.contains_key(header::EXPIRES))
}

/// Whether a status may be kept although nobody says so (RFC 9110 §15.1).
#[must_use]
pub(super) fn is_heuristic(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The `ttl` that the route has for a status.
#[must_use]
pub(super) fn ttl_of(ttl: &Ttl, status: StatusCode) -> Option<Duration> {
    let by_status = ttl.by_status.iter().find(|(of, _)| *of == status).map(|(_, ttl)| *ttl);
    by_status.or_else(|| ttl.default.filter(|_| is_usual(status)))
}

/// Statuses that `ttl.default` is for: those that are cacheable by default, but for what says that one client's request was wrong, which
/// is no reason to give it to others.
fn is_usual(status: StatusCode) -> bool {
    is_heuristic(status) && !matches!(status.as_u16(), 405 | 414 | 501)
}

/// RFC 9111 §4.2.1, for a shared cache. Of several `Expires` the earliest counts, and one that is no date is in the past (§5.3).
fn explicit(fields: &HeaderMap, directives: &ResponseDirectives, date: Duration, now: Duration) -> Option<Duration> {
    directives.s_maxage.or(directives.max_age).or_else(|| {
        let of = |expires: &HeaderValue| date::parse(expires.as_bytes(), now).unwrap_or_default();
        let expires = fields.get_all(header::EXPIRES).iter().filter(|_| !directives.targeted).map(of).min()?;
        Some(expires.saturating_sub(date))
    })
}

/// RFC 9111 §4.2.2.
fn heuristic(
    status: StatusCode,
    fields: &HeaderMap,
    directives: &ResponseDirectives,
    date: Duration,
    now: Duration,
) -> Option<Duration> {
    if !is_heuristic(status) && !directives.public {
        return None;
    }
    let modified = date::parse(single(fields, &header::LAST_MODIFIED)?, now)?;
    Some((date.saturating_sub(modified) / HEURISTIC_PART).min(HEURISTIC_MAX))
}

/// `corrected_initial_age` (RFC 9111 §4.2.3).
fn initial_age(fields: &HeaderMap, date: Option<Duration>, asked: Moment, received: Moment) -> Duration {
    // `Date` has no fractions of a second.
    let wall = Duration::from_secs(received.wall.as_secs());
    let apparent = date.map_or(Duration::ZERO, |date| wall.saturating_sub(date));
    let delay = received.at.saturating_duration_since(asked.at);
    apparent.max(age_value(fields).saturating_add(delay)).min(LONGEST)
}

/// The first member of `Age`; nothing when it is no number (RFC 9111 §5.1).
fn age_value(fields: &HeaderMap) -> Duration {
    let first = single(fields, &header::AGE).and_then(|value| value.split(|byte| *byte == b',').next());
    first.and_then(|age| delta_seconds(age.trim_ascii().iter().copied())).unwrap_or_default()
}

/// The first value of a field that should have one.
fn single<'a>(fields: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a [u8]> {
    fields.get(name).map(HeaderValue::as_bytes)
}
