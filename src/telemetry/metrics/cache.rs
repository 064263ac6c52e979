//! What is counted of the cache, beside the results of requests, which [routes](super::RouteMetrics) have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::Registry;

use super::catalogue::{self, AGE_BUCKETS};
use super::exposition::{self, Series};
use super::sharded::{Counter, Sharded};
use crate::telemetry::record::micros;

/// What a cache did with a request: every value of `cache` in the access log and of `result` in the metrics. The most frequent
/// ones come first.
pub const CACHE_RESULTS: [&str; 10] =
    ["hit", "miss", "stale", "stale_error", "revalidated", "expired", "vary_miss", "refetch", "bypass", "method"];

/// Why an answer was fetched while no client waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// A stale one was given meanwhile (RFC 5861 §3).
    Revalidate,
    /// A popular one was about to expire.
    RefreshAhead,
}

impl Background {
    const ALL: [Self; 2] = [Self::Revalidate, Self::RefreshAhead];

    const fn label(self) -> &'static str {
        match self {
            Self::Revalidate => "revalidate",
            Self::RefreshAhead => "refresh_ahead",
        }
    }
}

/// What a cache can say of itself: counted there, without knowing of metrics; housekeeping brings the metrics up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheNumbers {
    pub entries: u64,
    pub bytes: u64,
    pub budget: u64,
    /// Since start.
    pub evicted: u64,
    /// Since start.
    pub purged: u64,
}

/// The counters of the cache; counting takes no lock and writes what no other thread does.
#[derive(Clone)]
pub struct CacheMetrics(Arc<OfCache>);

struct OfCache {
    cells: Sharded<Cells>,
    entries: AtomicU64,
    bytes: AtomicU64,
    budget: AtomicU64,
    evicted: AtomicU64,
    purged: AtomicU64,
}

#[derive(Default)]
struct Cells {
    collapsed: Counter,
    background: [Counter; Background::ALL.len()],
    ages: Ages,
}

#[derive(Default)]
struct Ages {
    /// How many fell into each bucket, not into those below; the last one has no bound.
    buckets: [Counter; AGE_BUCKETS.len() + 1],
    micros: Counter,
}

impl Ages {
    /// Of each bucket, then the microseconds.
    fn number(&self, at: usize) -> u64 {
        self.buckets.get(at).unwrap_or(&self.micros).get()
    }
}

impl CacheMetrics {
    /// For so many threads.
    pub(super) fn register(registry: &Registry, threads: usize) -> Self {
        let metrics = Self(Arc::new(OfCache {
            cells: Sharded::new(threads),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            budget: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            purged: AtomicU64::new(0),
        }));
        let families = [
            &catalogue::CACHE_ENTRIES,
            &catalogue::CACHE_BYTES,
            &catalogue::CACHE_BUDGET,
            &catalogue::CACHE_EVICTED,
            &catalogue::CACHE_PURGED,
            &catalogue::CACHE_COLLAPSED,
            &catalogue::CACHE_BACKGROUND,
            &catalogue::CACHE_AGE,
        ];
        let this = metrics.clone();
        exposition::register(registry, &families, move || {
            let mut series = families.map(Series::new);
            this.fold(&mut series);
            series.map(Series::finish).into()
        });
        metrics
    }

    fn fold(&self, series: &mut [Series; 8]) {
        let of = &*self.0;
        let [entries, bytes, budget, evicted, purged, collapsed, background, age] = series;
        for (gauge, value) in [(entries, &of.entries), (bytes, &of.bytes), (budget, &of.budget)] {
            gauge.gauge(&[], super::to_gauge(value.load(Ordering::Relaxed)));
        }
        for (counter, value) in [(evicted, &of.evicted), (purged, &of.purged)] {
            counter.counter(&[], value.load(Ordering::Relaxed));
        }
        collapsed.counter(&[], self.collapsed_so_far());
        for why in Background::ALL {
            let number = |cells: &Cells| cells.background.get(why as usize).map_or(0, Counter::get);
            background.counter(&[why.label()], of.cells.sum(number));
        }
        age.histogram(&[], |at| of.cells.sum(|cells| cells.ages.number(at)));
    }

    /// An answer of this age was given from memory.
    #[inline]
    pub fn given(&self, age: Duration) {
        let (cells, writer) = self.0.cells.mine();
        let bucket = AGE_BUCKETS.iter().position(|bound| age.as_secs_f64() <= *bound).unwrap_or(AGE_BUCKETS.len());
        if let Some(counter) = cells.ages.buckets.get(bucket) {
            counter.add(1, writer);
        }
        cells.ages.micros.add(micros(age), writer);
    }

    /// A request waits for an answer that another one has asked for.
    pub fn collapsed(&self) {
        let (cells, writer) = self.0.cells.mine();
        cells.collapsed.add(1, writer);
    }

    /// An upstream is asked without a client that waits.
    pub fn background(&self, why: Background) {
        let (cells, writer) = self.0.cells.mine();
        if let Some(counter) = cells.background.get(why as usize) {
            counter.add(1, writer);
        }
    }

    /// Since start, by all threads.
    #[must_use]
    pub fn collapsed_so_far(&self) -> u64 {
        self.0.cells.sum(|cells| cells.collapsed.get())
    }

    pub fn set(&self, numbers: &CacheNumbers) {
        let of = &*self.0;
        let pairs = [
            (&of.entries, numbers.entries),
            (&of.bytes, numbers.bytes),
            (&of.budget, numbers.budget),
            (&of.evicted, numbers.evicted),
            (&of.purged, numbers.purged),
        ];
        for (cell, number) in pairs {
            cell.store(number, Ordering::Relaxed);
        }
    }
}
