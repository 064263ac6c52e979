//! What is counted for each request.

use std::sync::Arc;

use prometheus::Registry;

use super::capped::Capped;
use super::exposition::{self, Series};
use super::histogram::Histogram;
use super::sharded::{Counter, Sharded};
use super::{CACHE_RESULTS, UNROUTED, catalogue};
use crate::base::reason::Reason;
use crate::telemetry::Record;

/// In the order of [`class_index`].
pub(super) const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of one route, found once: observing takes no lock, looks nothing up and writes what no other thread does.
#[derive(Clone)]
pub struct RouteMetrics(Arc<OfRoute>);

struct OfRoute {
    cells: Sharded<Cells>,
    /// Of all routes.
    reasons: Arc<Sharded<Reasons>>,
}

#[derive(Default)]
struct Cells {
    requests: [Counter; CLASSES.len()],
    request_bytes: Counter,
    response_bytes: Counter,
    duration: Histogram,
    first_byte: Histogram,
    /// By place in [`CACHE_RESULTS`].
    cache: [Counter; CACHE_RESULTS.len()],
}

/// By [`Reason`]'s place in [`Reason::ALL`].
struct Reasons([Counter; Reason::ALL.len()]);

impl Default for Reasons {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl RouteMetrics {
    /// Counts a finished request.
    pub fn observe(&self, record: &Record<'_>) {
        let (cells, writer) = self.0.cells.mine();
        if let Some(requests) = cells.requests.get(class_index(record.status)) {
            requests.add(1, writer);
        }
        cells.duration.observe(record.total, writer);
        if let Some(time) = record.first_byte {
            cells.first_byte.observe(time, writer);
        }
        if record.request_bytes > 0 {
            cells.request_bytes.add(record.request_bytes, writer);
        }
        if record.response_bytes > 0 {
            cells.response_bytes.add(record.response_bytes, writer);
        }
        if let Some(result) = record.cache
            && let Some(at) = CACHE_RESULTS.iter().position(|known| *known == result)
            && let Some(counter) = cells.cache.get(at)
        {
            counter.add(1, writer);
        }
        if let Some(reason) = record.reason {
            self.count(reason);
        }
    }

    pub(super) fn count(&self, reason: Reason) {
        let (Reasons(reasons), writer) = self.0.reasons.mine();
        if let Some(counter) = reasons.get(reason as usize) {
            counter.add(1, writer);
        }
    }
}

pub(super) fn class_index(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100),
        _ => 0,
    }
}

/// All routes that have series now.
pub(super) struct Routes {
    threads: usize,
    reasons: Arc<Sharded<Reasons>>,
    unrouted: RouteMetrics,
    named: Capped<RouteMetrics>,
}

impl Routes {
    /// For so many threads, and at most `limit` routes.
    pub(super) fn register(registry: &Registry, threads: usize, limit: usize) -> Arc<Self> {
        let reasons = Arc::new(Sharded::new(threads));
        let unrouted = new(&reasons, threads);
        let routes = Arc::new(Self { threads, reasons, unrouted, named: Capped::new("routes", limit) });
        let of_routes = [
            &catalogue::REQUESTS,
            &catalogue::REQUEST_DURATION,
            &catalogue::FIRST_BYTE,
            &catalogue::REQUEST_BYTES,
            &catalogue::RESPONSE_BYTES,
            &catalogue::CACHE_REQUESTS,
        ];
        let these = Arc::clone(&routes);
        exposition::register(registry, &of_routes, move || {
            let mut series = of_routes.map(Series::new);
            for (name, route) in [(UNROUTED.into(), these.unrouted.clone())].into_iter().chain(these.named.all()) {
                route.0.fold(&name, &mut series);
            }
            series.map(Series::finish).into()
        });
        let reasons = Arc::clone(&routes.reasons);
        exposition::register(registry, &[&catalogue::REASONS], move || {
            let mut series = Series::new(&catalogue::REASONS);
            for (at, reason) in Reason::ALL.iter().enumerate() {
                let count = reasons.sum(|Reasons(reasons)| reasons.get(at).map_or(0, Counter::get));
                series.counter(&[reason.as_str()], count);
            }
            vec![series.finish()]
        });
        routes
    }

    pub(super) fn get(&self, name: &str) -> RouteMetrics {
        if name == UNROUTED {
            return self.unrouted.clone();
        }
        self.named.get(name, || new(&self.reasons, self.threads))
    }

    pub(super) fn unrouted(&self) -> &RouteMetrics {
        &self.unrouted
    }

    pub(super) fn retain(&self, names: &[&str]) {
        self.named.retain(names);
    }
}

fn new(reasons: &Arc<Sharded<Reasons>>, threads: usize) -> RouteMetrics {
    RouteMetrics(Arc::new(OfRoute { cells: Sharded::new(threads), reasons: Arc::clone(reasons) }))
}

impl OfRoute {
    fn fold(&self, route: &str, series: &mut [Series; 6]) {
        let [requests, duration, first_byte, request_bytes, response_bytes, cache] = series;
        for (at, class) in CLASSES.iter().enumerate() {
            let count = self.cells.sum(|cells| cells.requests.get(at).map_or(0, Counter::get));
            requests.counter(&[route, class], count);
        }
        duration.histogram(&[route], |at| self.cells.sum(|cells| cells.duration.number(at)));
        first_byte.histogram(&[route], |at| self.cells.sum(|cells| cells.first_byte.number(at)));
        request_bytes.counter(&[route], self.cells.sum(|cells| cells.request_bytes.get()));
        response_bytes.counter(&[route], self.cells.sum(|cells| cells.response_bytes.get()));
        let results: [u64; CACHE_RESULTS.len()] =
            std::array::from_fn(|at| self.cells.sum(|cells| cells.cache.get(at).map_or(0, Counter::get)));
        // Most routes have no cache, and need no series that say so.
        if results.iter().any(|count| *count > 0) {
            CACHE_RESULTS.iter().zip(results).for_each(|(result, count)| cache.counter(&[route, result], count));
        }
    }
}
