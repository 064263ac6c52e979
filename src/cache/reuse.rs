//! Whether a stored answer may be given to a request (RFC 9111 §4).

use std::time::Duration;

use super::Moment;
use super::directives::RequestDirectives;
use super::stored::Stored;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Fresh,
    /// The request allows it (`max-stale`).
    StaleAllowed,
    /// It may be given at once, and is to be fetched anew meanwhile (RFC 5861 §3).
    WhileRevalidating,
    /// The upstream has to be asked first; `no_cache` when the request wants that, not the age of the answer.
    Validate {
        no_cache: bool,
    },
}

/// What to do with a stored answer that the request selects.
#[must_use]
pub fn judge(_stored: &Stored, _request: &RequestDirectives, _now: Moment) -> Reuse {
    Reuse::Validate { no_cache: false }
}

/// Whether it may be given although the upstream failed (RFC 5861 §4, RFC 9111 §4.2.4).
#[must_use]
pub fn on_error(_stored: &Stored, _request: &RequestDirectives, _now: Moment) -> bool {
    false
}

/// How long an answer may stay in the store behind its lifetime: as long as something could still be done with it.
#[must_use]
pub fn useful_for(_stored: &Stored) -> Duration {
    Duration::ZERO
}
