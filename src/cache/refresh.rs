//! Which answers are fetched anew before they expire, because they will be asked for again.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Moment;
use super::stored::Stored;

/// How often an answer has to be expected to be asked for in its next lifetime.
const POPULAR: u128 = 3;

/// Answers that somebody waited for, for each that may be fetched without: a fifth of the requests to upstreams at most is made
/// ahead.
const PRICE: u32 = 4;

/// What is saved at most, for answers that expire at about the same time.
const SAVED: u32 = 256 * PRICE;

/// How many answers may be fetched without anybody waiting for them.
///
/// At any time at most one for every `PRICE` that were earned, from however many threads. Nothing waits.
#[derive(Debug, Default)]
pub struct Budget {
    /// One for each answer that somebody waited for.
    credit: AtomicU32,
}

impl Budget {
    /// Whether this answer is worth fetching now, in the last `part` (percent) of its lifetime; a yes is charged, and marks the
    /// answer as being refreshed.
    ///
    /// Whoever gets the yes has to clear the mark when the fetch fails; an answer that is replaced takes it along.
    #[must_use]
    pub fn grants(&self, stored: &Stored, part: u8, now: Moment) -> bool {
        is_due(stored, part, now)
            && is_popular(stored, now)
            && self.credit.load(Ordering::Relaxed) >= PRICE
            && !stored.marks.refreshing.swap(true, Ordering::Relaxed)
            && (self.charge() || {
                stored.marks.refreshing.store(false, Ordering::Relaxed);
                false
            })
    }

    fn charge(&self) -> bool {
        self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| credit.checked_sub(PRICE)).is_ok()
    }

    /// An answer was fetched because somebody waited for it: that earns a part of a refresh.
    pub fn earn(&self) {
        let more = |credit| (credit < SAVED).then_some(credit + 1);
        // Full is no failure.
        let _ = self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// Whether the last part of its lifetime has begun, and not ended.
fn is_due(stored: &Stored, part: u8, now: Moment) -> bool {
    let freshness = &stored.head.freshness;
    let left = freshness.left(now.at);
    !left.is_zero() && left.as_nanos() * 100 <= freshness.lifetime.as_nanos() * u128::from(part)
}

/// Whether it will be asked for in another lifetime, if that goes on as since it was stored.
fn is_popular(stored: &Stored, now: Moment) -> bool {
    let freshness = &stored.head.freshness;
    let kept = now.at.saturating_duration_since(freshness.received).as_nanos();
    let hits = u128::from(stored.marks.hits.load(Ordering::Relaxed));
    hits * freshness.lifetime.as_nanos() >= POPULAR * kept.max(1)
}

#[cfg(test)]
mod tests;
