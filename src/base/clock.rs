//! The one place that asks the machine for the time.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time, for measuring and for deadlines.
#[must_use]
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    Instant::now()
}

/// A moment as the time since the process first asked for one so: it never jumps. Zero for moments before that.
#[must_use]
pub fn since_start(moment: Instant) -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(now);
    moment.saturating_duration_since(*START)
}

/// Time since 1970-01-01 UTC, for people and for logs.
#[must_use]
pub fn since_epoch() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
