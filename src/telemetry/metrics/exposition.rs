//! Series that are added up at each scrape, as the `prometheus` crate wants them.

use std::collections::HashMap;

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

use super::catalogue::{Family, Kind};
use super::sound;

/// Registers families whose series `fold` makes anew at each scrape.
pub(super) fn register(
    registry: &Registry,
    families: &[&Family],
    fold: impl Fn() -> Vec<MetricFamily> + Send + Sync + 'static,
) {
    let description = |family: &&Family| {
        let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
        sound(Desc::new(family.name.to_owned(), family.help.to_owned(), labels, HashMap::new()))
    };
    let descriptions = families.iter().map(description).collect();
    sound(registry.register(Box::new(Folded { descriptions, fold })));
}

struct Folded<F> {
    descriptions: Vec<Desc>,
    fold: F,
}

impl<F: Fn() -> Vec<MetricFamily> + Send + Sync> Collector for Folded<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.fold)()
    }
}

/// A family and the series that it has just now.
pub(super) struct Series {
    of: &'static Family,
    metrics: Vec<Metric>,
}

impl Series {
    pub(super) const fn new(of: &'static Family) -> Self {
        Self { of, metrics: Vec::new() }
    }

    /// `labels` are values in the order of the family.
    pub(super) fn counter(&mut self, labels: &[&str], value: u64) {
        let mut counter = proto::Counter::default();
        counter.set_value(value as f64);
        self.labelled(labels).set_counter(counter);
    }

    pub(super) fn gauge(&mut self, labels: &[&str], value: i64) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value as f64);
        self.labelled(labels).set_gauge(gauge);
    }

    /// A gauge that is not whole.
    pub(super) fn fraction(&mut self, labels: &[&str], value: f64) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        self.labelled(labels).set_gauge(gauge);
    }

    /// `number` gives how many fell into each bucket, the one without a bound last, and behind that the sum in microseconds; of all
    /// threads.
    pub(super) fn histogram(&mut self, labels: &[&str], number: impl Fn(usize) -> u64) {
        let bounds = self.of.kind.buckets();
        let mut count = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (at, bound) in bounds.iter().enumerate() {
            count += number(at);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count + number(bounds.len()));
        histogram.set_sample_sum(number(bounds.len() + 1) as f64 / 1e6);
        self.labelled(labels).set_histogram(histogram);
    }

    fn labelled(&mut self, values: &[&str]) -> &mut Metric {
        let pair = |(name, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut pairs: Vec<LabelPair> = self.of.labels.iter().zip(values).map(pair).collect();
        pairs.sort_by(|one, other| one.name().cmp(other.name()));
        let mut metric = Metric::default();
        metric.set_label(pairs);
        self.metrics.push_mut(metric)
    }

    pub(super) fn finish(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.of.name.to_owned());
        family.set_help(self.of.help.to_owned());
        family.set_field_type(match self.of.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram(_) => MetricType::HISTOGRAM,
        });
        family.set_metric(self.metrics);
        family
    }
}
