//! The one place that asks the machine for the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time, for measuring and for deadlines.
#[must_use]
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    Instant::now()
}

/// Time since 1970-01-01 UTC, for people and for logs.
#[must_use]
pub fn since_epoch() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
