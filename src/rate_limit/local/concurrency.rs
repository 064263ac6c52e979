//! Requests in flight.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::cells::{Cells, Place};
use crate::rate_limit::key::Keyed;

#[derive(Debug)]
pub(in crate::rate_limit) struct Concurrency {
    cells: Cells<Counter>,
}

#[derive(Debug, Default)]
struct Counter {
    in_flight: AtomicU32,
    /// Some requests of this key may still be counted in the counter that it shared before it had this one.
    shared_before: AtomicBool,
}

/// One request in flight, until [`Concurrency::give_back`].
#[derive(Debug)]
pub(in crate::rate_limit) struct Permit(Place);

/// How a counter is after it was asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::rate_limit) struct Level {
    pub(in crate::rate_limit) left: u32,
}

impl Concurrency {
    pub(in crate::rate_limit) fn new(by_key: bool) -> Self {
        Self { cells: Cells::new(by_key, Counter::default) }
    }

    /// One more in flight, unless there are `limit`. `at` as in [`Cells::count`].
    pub(in crate::rate_limit) fn enter(&self, key: Option<Keyed>, limit: u32, at: u64) -> (Option<Permit>, Level) {
        let (place, entered) = self.cells.count(
            key,
            at,
            |counter| counter.in_flight.load(Ordering::Relaxed) == 0,
            |shared| {
                let shared_before = shared.is_some_and(|shared| shared.in_flight.load(Ordering::Acquire) > 0);
                Counter { in_flight: AtomicU32::new(0), shared_before: AtomicBool::new(shared_before) }
            },
            |counter, shared| counter.enter(shared, limit),
        );
        match entered {
            Ok(in_flight) => (Some(Permit(place)), Level { left: limit.saturating_sub(in_flight) }),
            Err(in_flight) => (None, Level { left: limit.saturating_sub(in_flight) }),
        }
    }

    pub(in crate::rate_limit) fn give_back(&self, permit: Permit) {
        // A counter is not dropped while it counts anything, and does not go below zero.
        self.cells.at(permit.0, |counter| {
            let _ = counter.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, |number| number.checked_sub(1));
        });
    }
}

impl Counter {
    /// How many are in flight now, with this one or without.
    fn enter(&self, shared: Option<&Self>, limit: u32) -> Result<u32, u32> {
        let elsewhere = match shared {
            Some(shared) if self.shared_before.load(Ordering::Relaxed) => {
                let elsewhere = shared.in_flight.load(Ordering::Acquire);
                self.shared_before.store(elsewhere > 0, Ordering::Relaxed);
                elsewhere
            }
            _ => 0,
        };
        let free = limit.saturating_sub(elsewhere);
        self.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |number| (number < free).then(|| number + 1))
            .map(|before| before + 1 + elsewhere)
            .map_err(|number| number.saturating_add(elsewhere))
    }
}

#[cfg(test)]
impl Concurrency {
    /// With room for hardly a key.
    pub(in crate::rate_limit) fn cramped(self) -> Self {
        Self { cells: self.cells.cramped() }
    }
}
