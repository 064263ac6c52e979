//! What is counted of anomaly checks: scores and what followed, by route, and the models that they come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Registry};

use super::capped::Capped;
use super::exposition::{self, Series};
use super::sharded::{Counter, Sharded};
use super::{catalogue, register, single_counter, sound};
use crate::config::checked::anomaly::Action;

/// What the ladder wanted and the safety did not let happen.
const HELD_BACK: &str = "held_back";
/// By place: whether the model says so, and twice that the shadow does.
const AGREEMENTS: [&str; 4] = ["neither", "only_model", "only_shadow", "both"];

/// What came of an attempt to make a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Training {
    /// It judges, and is in the folder, if there is one.
    Made,
    /// It judges, and a restart loses it.
    Unsaved,
    /// What was left of the rows was not enough.
    TooFew,
}

impl Training {
    const ALL: [Self; 3] = [Self::Made, Self::Unsaved, Self::TooFew];

    /// As metrics and the admin API have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Unsaved => "unsaved",
            Self::TooFew => "too_few",
        }
    }
}

/// What is known of a route's models; brought up to date by housekeeping.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnomalyNumbers {
    /// Of the model that judges: when it was made, since 1970 UTC, and of how many requests.
    pub model: Option<(Duration, u32)>,
    /// Requests learned from since start, of those that a model needs, in [0, 1].
    pub warm_up: f64,
    pub drift: Option<f64>,
}

/// The counters of one route; counting takes no lock and writes what no other thread does.
#[derive(Clone)]
pub struct AnomalyMetrics(Arc<OfRoute>);

struct OfRoute {
    cells: Sharded<Cells>,
    /// Seconds since 1970 UTC; 0 without a model.
    made_at: AtomicU64,
    rows: AtomicU64,
    /// Bits of a number; not a number when it is not known.
    drift: AtomicU64,
    warm_up: AtomicU64,
}

#[derive(Default)]
struct Cells {
    /// By [`Action`], then what was held back.
    actions: [Counter; Action::ALL.len() + 1],
    unusual: Counter,
    refused: Counter,
    agreements: [Counter; AGREEMENTS.len()],
}

/// What a route has counted since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnomalyCounts {
    /// In the order of [`Action::ALL`].
    pub actions: [u64; Action::ALL.len()],
    pub held_back: u64,
    pub unusual: u64,
    pub refused: u64,
    pub neither: u64,
    pub only_model: u64,
    pub only_shadow: u64,
    pub both: u64,
}

impl AnomalyMetrics {
    fn new(threads: usize) -> Self {
        let unknown = AtomicU64::new(f64::NAN.to_bits());
        let cells = Sharded::new(threads);
        Self(Arc::new(OfRoute {
            cells,
            made_at: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            drift: unknown,
            warm_up: AtomicU64::new(0.0_f64.to_bits()),
        }))
    }

    /// A request was scored, and this was done.
    #[inline]
    pub fn scored(&self, action: Action) {
        let (cells, writer) = self.0.cells.mine();
        if let Some(counter) = cells.actions.get(action as usize) {
            counter.add(1, writer);
        }
    }

    /// A request was scored, and what should have been done was not, so that not too many are refused.
    pub fn held_back(&self) {
        let (cells, writer) = self.0.cells.mine();
        if let Some(counter) = cells.actions.last() {
            counter.add(1, writer);
        }
    }

    /// A request was scored, and is unusual enough for some rung, whatever is done there.
    pub fn unusual(&self) {
        let (cells, writer) = self.0.cells.mine();
        cells.unusual.add(1, writer);
    }

    /// A request was refused: throttled, challenged or blocked.
    pub fn refused(&self) {
        let (cells, writer) = self.0.cells.mine();
        cells.refused.add(1, writer);
    }

    /// Which of the two models takes a request for unusual.
    #[inline]
    pub fn compared(&self, by_model: bool, by_shadow: bool) {
        let (cells, writer) = self.0.cells.mine();
        if let Some(counter) = cells.agreements.get(usize::from(by_model) + 2 * usize::from(by_shadow)) {
            counter.add(1, writer);
        }
    }

    pub fn set(&self, numbers: &AnomalyNumbers) {
        let (made_at, rows) = numbers.model.unwrap_or_default();
        self.0.made_at.store(made_at.as_secs(), Ordering::Relaxed);
        self.0.rows.store(rows.into(), Ordering::Relaxed);
        self.0.warm_up.store(numbers.warm_up.to_bits(), Ordering::Relaxed);
        self.0.drift.store(numbers.drift.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
    }

    /// By all threads.
    #[must_use]
    pub fn counts(&self) -> AnomalyCounts {
        let OfRoute { cells, .. } = &*self.0;
        let action = |at: usize| cells.sum(|cells| cells.actions.get(at).map_or(0, Counter::get));
        let agreement = |at: usize| cells.sum(|cells| cells.agreements.get(at).map_or(0, Counter::get));
        AnomalyCounts {
            actions: std::array::from_fn(action),
            held_back: action(Action::ALL.len()),
            unusual: cells.sum(|cells| cells.unusual.get()),
            refused: cells.sum(|cells| cells.refused.get()),
            neither: agreement(0),
            only_model: agreement(1),
            only_shadow: agreement(2),
            both: agreement(3),
        }
    }

    fn fold(&self, route: &str, series: &mut [Series; 8]) {
        let [requests, unusual, refused, made_at, rows, warm_up, drift, agreements] = series;
        let counts = self.counts();
        for (action, count) in Action::ALL.iter().zip(counts.actions) {
            requests.counter(&[route, action.as_str()], count);
        }
        requests.counter(&[route, HELD_BACK], counts.held_back);
        unusual.counter(&[route], counts.unusual);
        refused.counter(&[route], counts.refused);
        let whole = |cell: &AtomicU64| super::to_gauge(cell.load(Ordering::Relaxed));
        if self.0.made_at.load(Ordering::Relaxed) > 0 {
            made_at.gauge(&[route], whole(&self.0.made_at));
            rows.gauge(&[route], whole(&self.0.rows));
        }
        warm_up.fraction(&[route], f64::from_bits(self.0.warm_up.load(Ordering::Relaxed)));
        let index = f64::from_bits(self.0.drift.load(Ordering::Relaxed));
        if !index.is_nan() {
            drift.fraction(&[route], index);
        }
        let by_place = [counts.neither, counts.only_model, counts.only_shadow, counts.both];
        // Most routes have no shadow, and need no series that say so.
        if by_place.iter().any(|count| *count > 0) {
            AGREEMENTS.iter().zip(by_place).for_each(|(name, count)| agreements.counter(&[route, name], count));
        }
    }
}

/// All routes with anomaly checks that have series now, and what is counted of models.
pub(super) struct Anomalies {
    threads: usize,
    named: Capped<AnomalyMetrics>,
    trainings: IntCounterVec,
    seconds: Histogram,
    damaged: IntCounter,
}

impl Anomalies {
    /// For so many threads, and at most `limit` routes.
    pub(super) fn register(registry: &Registry, threads: usize, limit: usize) -> Arc<Self> {
        let family = &catalogue::ANOMALY_TRAINING_SECONDS;
        let seconds = HistogramOpts::new(family.name, family.help).buckets(family.kind.buckets().to_vec());
        let trainings = super::counter(registry, &catalogue::ANOMALY_TRAININGS);
        for result in Training::ALL {
            trainings.with_label_values(&[result.as_str()]);
        }
        let these = Arc::new(Self {
            threads,
            named: Capped::new("routes with anomaly checks", limit),
            trainings,
            seconds: register(registry, sound(Histogram::with_opts(seconds))),
            damaged: single_counter(registry, &catalogue::ANOMALY_DAMAGED),
        });
        let families = [
            &catalogue::ANOMALY_REQUESTS,
            &catalogue::ANOMALY_UNUSUAL,
            &catalogue::ANOMALY_REFUSED,
            &catalogue::ANOMALY_MODEL_MADE,
            &catalogue::ANOMALY_MODEL_ROWS,
            &catalogue::ANOMALY_WARM_UP,
            &catalogue::ANOMALY_DRIFT,
            &catalogue::ANOMALY_SHADOW,
        ];
        let all = Arc::clone(&these);
        exposition::register(registry, &families, move || {
            let mut series = families.map(Series::new);
            for (name, route) in all.named.all() {
                route.fold(&name, &mut series);
            }
            series.map(Series::finish).into()
        });
        these
    }

    pub(super) fn get(&self, route: &str) -> AnomalyMetrics {
        self.named.get(route, || AnomalyMetrics::new(self.threads))
    }

    pub(super) fn retain(&self, names: &[&str]) {
        self.named.retain(names);
    }

    pub(super) fn trained(&self, result: Training, took: Duration) {
        self.trainings.with_label_values(&[result.as_str()]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn damaged(&self, files: usize) {
        self.damaged.inc_by(u64::try_from(files).unwrap_or(u64::MAX));
    }
}
