//! Lines that did not reach the log: every one counted, reported at most once a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Losses {
    dropped: IntCounter,
    unreported: AtomicU64,
    /// Milliseconds from `since` to the last report, plus one; 0 before the first.
    reported_at: AtomicU64,
    since: Instant,
}

impl Losses {
    pub(super) fn new(dropped: IntCounter, now: Instant) -> Self {
        Self { dropped, unreported: AtomicU64::new(0), reported_at: AtomicU64::new(0), since: now }
    }

    pub(super) fn count(&self, lines: u64) {
        self.dropped.inc_by(lines);
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many lines to report now, if any and if the last report is long enough ago.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        if self.unreported.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let millis = u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX - 1);
        let last = self.reported_at.load(Ordering::Relaxed);
        if last != 0 && u128::from(millis.saturating_sub(last - 1)) < REPORT_INTERVAL.as_millis() {
            return None;
        }
        // Whoever wins the exchange reports; the others go on.
        self.reported_at.compare_exchange(last, millis + 1, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(self.unreported.swap(0, Ordering::Relaxed)).filter(|lines| *lines > 0)
    }

    /// What is left to report at the end.
    pub(super) fn rest(&self) -> u64 {
        self.unreported.swap(0, Ordering::Relaxed)
    }
}
