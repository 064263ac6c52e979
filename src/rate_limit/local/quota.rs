//! Quotas: so many in each calendar period.
//!
//! A counter is one number, the period above the count, so that a new period and its first request are one step. It does not
//! follow a clock that is set back over the beginning of a period until that comes again; set back further, the count stays.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::calendar;
use super::cells::{Cells, Place};
use crate::config::checked::limits::CalendarPeriod;
use crate::rate_limit::key::Keyed;

const COUNT_BITS: u32 = 40;
/// Higher limits are this one.
pub(in crate::rate_limit) const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;

#[derive(Debug)]
pub(in crate::rate_limit) struct Quota {
    period: CalendarPeriod,
    cells: Cells<Counter>,
    /// Whether something was counted since [`Quota::changed`].
    changed: AtomicBool,
    /// What was counted before a restart, for keys that nobody has come with since.
    restored: Mutex<BTreeMap<Box<str>, u64>>,
}

#[derive(Debug, Default)]
struct Counter {
    /// A [`pack`]ed period and count.
    now: AtomicU64,
    /// The same when it was last told to be kept.
    kept: AtomicU64,
    /// The key; empty where there is only one counter.
    key: Box<str>,
}

/// What was charged.
#[derive(Clone, Copy, Debug)]
pub(in crate::rate_limit) struct Charge {
    place: Place,
    period: u64,
    cost: u64,
}

/// How a counter is after it was asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::rate_limit) struct Level {
    pub(in crate::rate_limit) limit: u64,
    pub(in crate::rate_limit) left: u64,
    /// Until the next period.
    pub(in crate::rate_limit) ends_in: Duration,
}

/// A count to be kept.
#[derive(Debug)]
pub(in crate::rate_limit) struct Count {
    pub(in crate::rate_limit) key: Box<str>,
    /// In seconds since 1970.
    pub(in crate::rate_limit) period_start: u64,
    /// The first second after it.
    pub(in crate::rate_limit) period_end: u64,
    pub(in crate::rate_limit) count: u64,
}

const fn pack(period: u64, count: u64) -> u64 {
    period << COUNT_BITS | count
}

const fn unpack(packed: u64) -> (u64, u64) {
    (packed >> COUNT_BITS, packed & MAX_COUNT)
}

/// Period and count of a counter at a time within period `now`.
const fn turned((period, count): (u64, u64), now: u64) -> (u64, u64) {
    if period == now || period == now + 1 {
        (period, count)
    } else if period < now {
        (now, 0)
    } else {
        (now, count)
    }
}

impl Quota {
    pub(in crate::rate_limit) fn new(period: CalendarPeriod, by_key: bool) -> Self {
        Self {
            period,
            cells: Cells::new(by_key, Counter::default),
            changed: AtomicBool::new(false),
            restored: Mutex::default(),
        }
    }

    /// Charges `cost` of `limit`, or none. `text` is the key as it is kept; `at` as in [`Cells::count`].
    pub(in crate::rate_limit) fn charge(
        &self,
        key: Option<Keyed>,
        text: impl FnOnce() -> Box<str>,
        (cost, limit): (u32, u64),
        at: u64,
        now: Duration,
    ) -> (Result<Charge, Duration>, Level) {
        let (cost, limit) = (u64::from(cost), limit.min(MAX_COUNT));
        let this = calendar::number(self.period, now);
        let (place, (passes, period, count)) = self.cells.count(
            key,
            at,
            |counter| {
                let (period, count) = unpack(counter.now.load(Ordering::Relaxed));
                period < this || count == 0
            },
            |shared| self.counter(text(), shared),
            |counter, _| counter.charge(this, cost, limit),
        );
        // One order for all, with the count before the mark: or else `changed` could take the mark and miss the count.
        if passes && !self.changed.load(Ordering::SeqCst) {
            self.changed.store(true, Ordering::SeqCst);
        }
        let ends = Duration::from_secs(calendar::start(self.period, period + 1));
        let ends_in = ends.saturating_sub(now);
        let charged = if passes { Ok(Charge { place, period, cost }) } else { Err(ends_in) };
        (charged, Level { limit, left: limit.saturating_sub(count), ends_in })
    }

    /// A counter for a key that is new here: what it has from before a restart, and what it may have had a part in since.
    fn counter(&self, key: Box<str>, shared: Option<&Counter>) -> Counter {
        let shared = shared.map_or(0, |counter| counter.now.load(Ordering::Relaxed));
        let restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner).remove(&key).unwrap_or(0);
        let ((period, count), (restored_period, restored_count)) = (unpack(shared), unpack(restored));
        let now = if period == restored_period {
            pack(period, (count + restored_count).min(MAX_COUNT))
        } else {
            // The later period.
            shared.max(restored)
        };
        Counter { now: AtomicU64::new(now), kept: AtomicU64::new(restored), key }
    }

    /// Takes a charge back, if its period is not over.
    pub(in crate::rate_limit) fn give_back(&self, charge: &Charge) {
        self.cells.at(charge.place, |counter| {
            // The closure gives a value for every number of the same period.
            let _ = counter.now.fetch_update(Ordering::AcqRel, Ordering::Acquire, |packed| {
                let (period, count) = unpack(packed);
                (period == charge.period).then(|| pack(period, count.saturating_sub(charge.cost)))
            });
        });
        self.changed.store(true, Ordering::SeqCst);
    }

    /// Counts that have changed since the last call. Keys without a counter of their own are not among them.
    pub(in crate::rate_limit) fn changed(&self, mut found: impl FnMut(Count)) {
        if !self.changed.swap(false, Ordering::SeqCst) {
            return;
        }
        self.cells.each(|counter| {
            let packed = counter.now.load(Ordering::SeqCst);
            if counter.kept.swap(packed, Ordering::Relaxed) != packed {
                let (period, count) = unpack(packed);
                let [period_start, period_end] =
                    [period, period + 1].map(|number| calendar::start(self.period, number));
                found(Count { key: counter.key.clone(), period_start, period_end, count });
            }
        });
    }

    /// Counts on from here, for a key that was not counted yet.
    pub(in crate::rate_limit) fn restore(&self, count: Count) {
        let period = calendar::number(self.period, Duration::from_secs(count.period_start));
        let packed = pack(period, count.count.min(MAX_COUNT));
        if let Cells::One(counter) = &self.cells {
            counter.kept.store(packed, Ordering::Relaxed);
            counter.now.fetch_max(packed, Ordering::AcqRel);
        } else {
            self.restored.lock().unwrap_or_else(PoisonError::into_inner).insert(count.key, packed);
        }
    }

    /// Whether all that is known here is of periods that are over; forgets what was restored of such.
    pub(in crate::rate_limit) fn is_over(&self, now: Duration) -> bool {
        let this = calendar::number(self.period, now);
        let mut restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        restored.retain(|_, packed| unpack(*packed).0 >= this);
        let mut over = restored.is_empty();
        drop(restored);
        self.cells.each(|counter| {
            let (period, count) = unpack(counter.now.load(Ordering::Relaxed));
            over &= period < this || count == 0;
        });
        over
    }
}

impl Counter {
    /// Whether it passed; and what period and count are then.
    fn charge(&self, this: u64, cost: u64, limit: u64) -> (bool, u64, u64) {
        let mut known = self.now.load(Ordering::Acquire);
        loop {
            let (period, count) = turned(unpack(known), this);
            // Neither is above 2^40.
            let passes = cost == 0 || count + cost <= limit;
            let count = if passes { count + cost } else { count };
            // A refusal turns the period, too: after a clock was wrong by a year, a quota that is used up then must not stay so for one.
            let next = pack(period, count.min(MAX_COUNT));
            if next == known {
                return (passes, period, count);
            }
            match self.now.compare_exchange_weak(known, next, Ordering::SeqCst, Ordering::Acquire) {
                Ok(_) => return (passes, period, count),
                Err(changed) => known = changed,
            }
        }
    }
}
