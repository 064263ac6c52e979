//! Deadlines without a timer each: a table per worker thread, walked ten times a second.
//!
//! Setting one is a store. A deadline fires up to two [`GRAIN`]s late, and early only by as much as the thread was held up before.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use super::clock;

/// How often the table is walked.
pub const GRAIN: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;
const NOW: u64 = 0;

fn millis_since_start(at: Instant) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(clock::now);
    // One more than elapsed, so that no set deadline is `NOW`.
    u64::try_from(at.saturating_duration_since(*start).as_millis()).unwrap_or(NEVER - 1) + 1
}

/// What a holder of a deadline is doing, for whoever wants it to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rest {
    Busy,
    /// Nothing has come yet, but something may be on its way.
    Fresh,
    /// Between two pieces of work: nothing is lost.
    Idle,
}

/// One deadline that can be moved any number of times.
#[derive(Debug)]
pub struct Deadline {
    at: AtomicU64,
    rest: AtomicU8,
    waker: AtomicWaker,
    now: Arc<AtomicU64>,
}

impl Deadline {
    /// Fires this long from now; replaces what was set. Asks no clock.
    pub fn set(&self, from_now: Duration) {
        self.set_before(from_now, None);
    }

    /// As [`Deadline::set`], but at this moment at the latest; whether that is what it will be.
    pub fn set_before(&self, from_now: Duration, latest: Option<Instant>) -> bool {
        let pause = u64::try_from(from_now.as_millis()).unwrap_or(NEVER / 2);
        // The table's time may be as old as one grain.
        let at = self.now.load(Ordering::Relaxed) + pause + GRAIN.as_millis() as u64;
        let latest = latest.map(millis_since_start).filter(|latest| *latest < at);
        self.at.store(latest.unwrap_or(at), Ordering::Relaxed);
        latest.is_some()
    }

    pub fn clear(&self) {
        self.at.store(NEVER, Ordering::Relaxed);
    }

    /// Fires at once.
    pub fn fire(&self) {
        self.at.store(NOW, Ordering::Release);
        self.waker.wake();
    }

    /// Resolves when the deadline has passed. One waiter at a time.
    pub async fn expired(&self) {
        poll_fn(|context| self.poll_expired(context)).await;
    }

    /// As [`Deadline::expired`], for code that polls several things itself.
    pub fn poll_expired(&self, context: &Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.passed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Says what would be lost if the holder ended now.
    pub fn set_rest(&self, rest: Rest) {
        self.rest.store(rest as u8, Ordering::Release);
    }

    fn passed(&self) -> bool {
        self.at.load(Ordering::Acquire) <= self.now.load(Ordering::Relaxed)
    }
}

/// The deadlines of one worker thread.
#[derive(Debug)]
pub struct Deadlines {
    table: Mutex<Vec<Weak<Deadline>>>,
    /// Milliseconds since start, as of the last walk.
    now: Arc<AtomicU64>,
}

impl Deadlines {
    #[must_use]
    pub fn new() -> Arc<Self> {
        let now = Arc::new(AtomicU64::new(millis_since_start(clock::now())));
        Arc::new(Self { table: Mutex::default(), now })
    }

    /// Milliseconds since start, as old as one [`GRAIN`]; asks no clock.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// A new deadline, not set; it leaves the table when dropped.
    #[must_use]
    pub fn register(&self) -> Arc<Deadline> {
        let deadline = Arc::new(Deadline {
            at: AtomicU64::new(NEVER),
            rest: AtomicU8::new(Rest::Busy as u8),
            waker: AtomicWaker::new(),
            now: Arc::clone(&self.now),
        });
        self.table.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&deadline));
        deadline
    }

    /// Takes the time, wakes whoever waits for a deadline that has passed, and forgets the dropped ones.
    pub fn walk(&self) {
        self.now.store(millis_since_start(clock::now()), Ordering::Relaxed);
        self.table.lock().unwrap_or_else(PoisonError::into_inner).retain(|entry| {
            let Some(deadline) = entry.upgrade() else { return false };
            if deadline.passed() {
                deadline.waker.wake();
            }
            true
        });
    }

    /// Fires the deadline of every holder at this rest.
    pub fn fire(&self, rest: Rest) {
        for deadline in self.table.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            if deadline.rest.load(Ordering::Acquire) == rest as u8 {
                deadline.fire();
            }
        }
    }

    /// Walks the table until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(GRAIN);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.walk();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn fires_when_passed_and_not_before() {
        let deadlines = Deadlines::new();
        let deadline = deadlines.register();
        assert!(deadline.expired().now_or_never().is_none());
        deadline.set(Duration::from_secs(3_600));
        deadlines.walk();
        assert!(deadline.expired().now_or_never().is_none());
        deadline.set_before(Duration::from_secs(3_600), Some(clock::now()));
        deadlines.walk();
        assert!(deadline.expired().now_or_never().is_some());
        deadline.clear();
        assert!(deadline.expired().now_or_never().is_none());
        deadline.fire();
        assert!(deadline.expired().now_or_never().is_some());
    }

    #[test]
    fn a_dropped_deadline_leaves_the_table() {
        let deadlines = Deadlines::new();
        drop(deadlines.register());
        deadlines.walk();
        assert!(deadlines.table.lock().unwrap().is_empty());
    }
}
