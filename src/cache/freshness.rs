//! How long an answer is fresh, and how old it is (RFC 9111 §4.2).

use std::time::{Duration, Instant};

use http::HeaderMap;

use super::Moment;
use super::directives::ResponseDirectives;
use crate::config::checked::cache::Ttl;

/// The longest time that is counted: RFC 9111 §1.2.2 asks for 2^31 seconds at least.
pub const LONGEST: Duration = Duration::from_secs(1 << 31);

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
    #[must_use]
    pub fn of(
        _status: http::StatusCode,
        _fields: &HeaderMap,
        _directives: &ResponseDirectives,
        _ttl: &Ttl,
        _asked: Moment,
        received: Moment,
    ) -> Self {
        Self { lifetime: Duration::ZERO, initial_age: Duration::ZERO, received: received.at }
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
