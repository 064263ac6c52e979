//! Rates: the generic cell rate algorithm, by governor, over counters of our own.
//!
//! A counter is the time at which its bucket is full again. A charge moves it away by one interval for each unit, and passes if
//! it is then no further away than a burst of intervals. All times are nanoseconds of the ledger.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::cells::{Cells, Place};
use crate::config::checked::limits;
use crate::rate_limit::key::Keyed;

/// No bucket takes longer to fill, 73 years, so that no sum overflows.
const MAX_FILL: u64 = 1 << 61;

#[derive(Debug)]
pub(in crate::rate_limit) struct Rate {
    quota: Quota,
    /// In which one unit comes back; rounded up, so that it is never sooner.
    interval: u64,
    cells: Cells<AtomicU64>,
}

/// What was charged, and when.
#[derive(Clone, Copy, Debug)]
pub(in crate::rate_limit) struct Charge {
    place: Place,
    at: u64,
    amount: u64,
}

/// How a bucket is after it was asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::rate_limit) struct Level {
    pub(in crate::rate_limit) interval: u64,
    pub(in crate::rate_limit) burst: u32,
    /// Until it is full.
    pub(in crate::rate_limit) missing: u64,
}

impl Rate {
    pub(in crate::rate_limit) fn new(rate: &limits::Rate, by_key: bool) -> Self {
        let interval = rate.period.as_nanos().div_ceil(u128::from(rate.permits.get()));
        let interval = u64::try_from(interval).unwrap_or(u64::MAX).clamp(1, MAX_FILL);
        let fits = u32::try_from(MAX_FILL / interval).ok().and_then(NonZeroU32::new);
        let burst = fits.map_or(rate.burst, |fits| fits.min(rate.burst));
        // There is an interval; governor has one a second where there is none.
        let quota = Quota::with_period(Duration::from_nanos(interval)).unwrap_or(Quota::per_second(burst));
        Self { quota: quota.allow_burst(burst), interval, cells: Cells::new(by_key, AtomicU64::default) }
    }

    /// Charges `cost` units, or none and tells how long to wait.
    pub(in crate::rate_limit) fn charge(
        &self,
        key: Option<Keyed>,
        cost: u32,
        at: u64,
    ) -> (Result<Charge, Duration>, Level) {
        let (place, (verdict, full_at)) = self.cells.count(
            key,
            at,
            |full_at| full_at.load(Ordering::Relaxed) <= at,
            |shared| AtomicU64::new(shared.map_or(0, |full_at| full_at.load(Ordering::Relaxed))),
            |full_at, _| self.check(full_at, cost, at),
        );
        let charged = verdict.map(|()| Charge { place, at, amount: self.interval.saturating_mul(u64::from(cost)) });
        let missing = full_at.saturating_sub(at);
        (charged, Level { interval: self.interval, burst: self.quota.burst_size().get(), missing })
    }

    /// The verdict, and when the bucket is full again.
    fn check(&self, full_at: &AtomicU64, cost: u32, at: u64) -> (Result<(), Duration>, u64) {
        let as_it_is = || full_at.load(Ordering::Relaxed);
        let Some(cost) = NonZeroU32::new(cost) else { return (Ok(()), as_it_is()) };
        // More than a burst never passes. To be found out here: governor multiplies first, and what overflows there could pass.
        let never = || (Err(self.quota.burst_size_replenished_in()), as_it_is());
        if cost > self.quota.burst_size() {
            return never();
        }
        let bucket = Bucket { full_at, at, seen: Cell::new(0) };
        let limiter = RateLimiter::<_, _, _, NoOpMiddleware<Nanos>>::new(self.quota, bucket, FromNow);
        let Ok(verdict) = limiter.check_n(cost) else { return never() };
        let verdict = verdict.map_err(|later| later.wait_time_from(NOW));
        (verdict, limiter.into_state_store().seen.get())
    }

    /// Takes a charge back, as far as time has not done so already: of what was charged `t` ago, `t` has grown back, whether or not
    /// others have used it since. Giving that back once more would let more pass than burst and rate allow; so would restoring what the
    /// counter was before whenever nobody seems to have changed it, since others may have changed it there and back.
    ///
    /// `now` is asked after the counter was read, so that no more is taken off than is left.
    pub(in crate::rate_limit) fn give_back(&self, charge: &Charge, now: impl Fn() -> u64) {
        self.cells.at(charge.place, |full_at| {
            let mut known = full_at.load(Ordering::Acquire);
            loop {
                let left = charge.amount.saturating_sub(now().saturating_sub(charge.at));
                match full_at.compare_exchange_weak(
                    known,
                    known.saturating_sub(left),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                ) {
                    Ok(_) => return,
                    Err(changed) => known = changed,
                }
            }
        });
    }
}

/// The time of a check, from which the limiter counts.
const NOW: Nanos = Nanos::new(0);

/// A limiter lives for one check, and its time begins with it.
#[derive(Debug)]
struct FromNow;

impl Clock for FromNow {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        NOW
    }
}

/// One counter as a limiter sees it.
#[derive(Debug)]
struct Bucket<'a> {
    full_at: &'a AtomicU64,
    at: u64,
    /// When the bucket is full again, after the check.
    seen: Cell<u64>,
}

impl StateStore for Bucket<'_> {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut known = self.full_at.load(Ordering::Acquire);
        loop {
            // A bucket that has been full for some time is a full one.
            let missing = known.saturating_sub(self.at);
            self.seen.set(known);
            let (outcome, missing) = measure(Some(Nanos::new(missing)))?;
            let next = self.at.saturating_add(missing.as_u64());
            match self.full_at.compare_exchange_weak(known, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.seen.set(next);
                    return Ok(outcome);
                }
                Err(changed) => known = changed,
            }
        }
    }
}

#[cfg(test)]
impl Rate {
    /// With room for hardly a key.
    pub(in crate::rate_limit) fn cramped(self) -> Self {
        Self { cells: self.cells.cramped(), ..self }
    }
}
