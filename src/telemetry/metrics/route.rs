//! What is counted for each request.

use std::sync::Arc;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::{catalogue, counter, histogram};
use crate::base::reason::Reason;
use crate::telemetry::Record;

/// In the order of [`class_index`].
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of one route, resolved once: observing takes no lock and formats nothing.
#[derive(Clone)]
pub struct RouteMetrics(Arc<Series>);

struct Series {
    requests: [IntCounter; 6],
    duration: Histogram,
    first_byte: Histogram,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
    /// Of all routes, by [`Reason`]'s place in [`Reason::ALL`].
    reasons: Arc<[IntCounter]>,
}

impl RouteMetrics {
    /// Counts a finished request.
    pub fn observe(&self, record: &Record<'_>) {
        let Series { requests, duration, first_byte, request_bytes, response_bytes, .. } = &*self.0;
        if let Some(requests) = requests.get(class_index(record.status)) {
            requests.inc();
        }
        duration.observe(record.total.as_secs_f64());
        if let Some(time) = record.first_byte {
            first_byte.observe(time.as_secs_f64());
        }
        if record.request_bytes > 0 {
            request_bytes.inc_by(record.request_bytes);
        }
        if record.response_bytes > 0 {
            response_bytes.inc_by(record.response_bytes);
        }
        if let Some(reason) = record.reason {
            self.count(reason);
        }
    }

    pub(super) fn count(&self, reason: Reason) {
        if let Some(counter) = self.0.reasons.get(reason as usize) {
            counter.inc();
        }
    }
}

fn class_index(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100),
        _ => 0,
    }
}

/// The families that routes take their series from.
pub(super) struct RouteFamilies {
    requests: IntCounterVec,
    duration: HistogramVec,
    first_byte: HistogramVec,
    request_bytes: IntCounterVec,
    response_bytes: IntCounterVec,
    reasons: Arc<[IntCounter]>,
}

impl RouteFamilies {
    pub(super) fn register(registry: &Registry) -> Self {
        let reasons = counter(registry, &catalogue::REASONS);
        Self {
            requests: counter(registry, &catalogue::REQUESTS),
            duration: histogram(registry, &catalogue::REQUEST_DURATION),
            first_byte: histogram(registry, &catalogue::FIRST_BYTE),
            request_bytes: counter(registry, &catalogue::REQUEST_BYTES),
            response_bytes: counter(registry, &catalogue::RESPONSE_BYTES),
            reasons: Reason::ALL.iter().map(|reason| reasons.with_label_values(&[reason.as_str()])).collect(),
        }
    }

    pub(super) fn of(&self, route: &str) -> RouteMetrics {
        RouteMetrics(Arc::new(Series {
            requests: CLASSES.map(|class| self.requests.with_label_values(&[route, class])),
            duration: self.duration.with_label_values(&[route]),
            first_byte: self.first_byte.with_label_values(&[route]),
            request_bytes: self.request_bytes.with_label_values(&[route]),
            response_bytes: self.response_bytes.with_label_values(&[route]),
            reasons: Arc::clone(&self.reasons),
        }))
    }

    /// Errors mean that a series is not there, which is what is wanted.
    pub(super) fn forget(&self, route: &str) {
        for class in CLASSES {
            self.requests.remove_label_values(&[route, class]).ok();
        }
        self.duration.remove_label_values(&[route]).ok();
        self.first_byte.remove_label_values(&[route]).ok();
        self.request_bytes.remove_label_values(&[route]).ok();
        self.response_bytes.remove_label_values(&[route]).ok();
    }
}
