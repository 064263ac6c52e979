//! How much of a route's traffic may be refused as unusual.

use std::sync::atomic::{AtomicU64, Ordering};

/// Never grants more than a share of all requests of a route: refusals cost `share · requests + 10` together at most, over the life of the process, whatever
/// threads ask in whatever order; when the share changes, each request counts with that of its time.
///
/// A refusal costs the harm that it may do: of a caller who sends five times what it usually does, a fifth
/// ([`harm`](crate::anomaly::profile::Profile::harm)). Whoever floods would otherwise use up what is granted, and pass. It costs a tenth at
/// least: a model that is wrong is never trusted with more than ten times the share, whoever is refused.
///
/// What is not used is saved up, for a thousand refusals at most: however long it was quiet, a model that is wrong does no more harm than
/// that at once.
#[derive(Debug)]
pub struct Safety {
    /// What one request earns, of [`REFUSAL`]; rounded down.
    share: AtomicU64,
    /// What was earned and not spent.
    credit: AtomicU64,
}

/// What a refusal costs that does harm. Fine enough for every share that an `f32` tells apart by more than 6e-8; 2^40 requests fit.
const REFUSAL: u64 = 1 << 24;

/// Refusals that may be saved up.
const SAVED: u64 = 1_000;

/// Refusals that may come before any request has earned them.
const BURST: u64 = 10;

/// The least that a refusal costs, of one that does harm.
const LEAST: f32 = 0.1;

impl Safety {
    #[must_use]
    pub fn new(share: f32) -> Self {
        Self { share: AtomicU64::new(part(share)), credit: AtomicU64::new(BURST * REFUSAL) }
    }

    /// A new share; what was saved up stays.
    pub fn set_share(&self, share: f32) {
        self.share.store(part(share), Ordering::Relaxed);
    }

    /// A request came.
    pub fn earn(&self) {
        // Threads may each add once more than is wanted.
        if self.credit.load(Ordering::Relaxed) < SAVED * REFUSAL {
            self.credit.fetch_add(self.share.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Whether one more may be refused that does this harm, from 0 to 1; counts it.
    #[must_use]
    pub fn spend(&self, harm: f32) -> bool {
        let spend = |credit: u64| credit.checked_sub(part(harm.max(LEAST)));
        self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

impl Safety {
    /// How many more could be refused now.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.credit.load(Ordering::Relaxed) / REFUSAL
    }
}

/// Of [`REFUSAL`]. Not a number counts as none.
fn part(share: f32) -> u64 {
    (f64::from(share.clamp(0.0, 1.0)) * REFUSAL as f64) as u64
}
