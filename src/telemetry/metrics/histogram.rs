//! Durations counted in the [buckets](LATENCY_BUCKETS) of the catalogue.

use std::time::Duration;

use super::catalogue::LATENCY_BUCKETS;
use super::sharded::{Counter, Writer};
use crate::telemetry::record::micros;

const BOUNDS: usize = LATENCY_BUCKETS.len();

/// Upper bounds in microseconds, twice the infinite one behind them.
const UPPER: [u64; BOUNDS + 2] = {
    let mut upper = [u64::MAX; BOUNDS + 2];
    let mut at = 0;
    while at < BOUNDS {
        upper[at] = (LATENCY_BUCKETS[at] * 1e6 + 0.5) as u64;
        at += 1;
    }
    upper
};

/// By the number of bits of a value, the first bucket for such values. No two bounds have the same number of bits, so that a
/// value belongs there or into the next.
const FIRST: [u8; 65] = {
    let mut first = [0; 65];
    let mut bits = 1;
    while bits <= 64 {
        let mut bucket = 0;
        while UPPER[bucket] < 1 << (bits - 1) {
            bucket += 1;
        }
        assert!(UPPER[bucket + 1] >= u64::MAX >> (64 - bits));
        first[bits] = bucket as u8;
        bits += 1;
    }
    first
};

#[derive(Default)]
pub(super) struct Histogram {
    /// How many fell into each bucket, not into those below; the last one has no bound.
    buckets: [Counter; BOUNDS + 1],
    micros: Counter,
}

impl Histogram {
    #[inline]
    pub(super) fn observe(&self, time: Duration, writer: Writer) {
        let whole = micros(time);
        // A bound belongs to its bucket, what is beyond it by a nanosecond does not.
        let bucket = bucket(whole.saturating_add(u64::from(!time.subsec_nanos().is_multiple_of(1_000))));
        if let Some(counter) = self.buckets.get(bucket) {
            counter.add(1, writer);
        }
        self.micros.add(whole, writer);
    }

    /// What is added up over all threads: of each bucket, then the microseconds.
    pub(super) fn number(&self, at: usize) -> u64 {
        self.buckets.get(at).unwrap_or(&self.micros).get()
    }
}

#[inline]
fn bucket(micros: u64) -> usize {
    let bits = u64::BITS - micros.leading_zeros();
    let first = usize::from(FIRST.get(bits as usize).copied().unwrap_or_default());
    first + usize::from(UPPER.get(first).is_some_and(|upper| micros > *upper))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket_of(time: Duration) -> usize {
        let histogram = Histogram::default();
        histogram.observe(time, Writer::Alone);
        assert_eq!(histogram.number(BOUNDS + 1), micros(time));
        (0..=BOUNDS).find(|at| histogram.number(*at) == 1).unwrap()
    }

    fn by_scan(time: Duration) -> usize {
        LATENCY_BUCKETS.iter().position(|bound| time <= Duration::from_secs_f64(*bound)).unwrap_or(BOUNDS)
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        for (at, bound) in LATENCY_BUCKETS.iter().enumerate() {
            let bound = Duration::from_secs_f64(*bound);
            assert_eq!(bucket_of(bound), at);
            assert_eq!(bucket_of(bound - Duration::from_nanos(1)), at);
            assert_eq!(bucket_of(bound + Duration::from_nanos(1)), at + 1);
        }
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), BOUNDS);
    }

    proptest! {
        #[test]
        fn every_time_falls_where_a_scan_of_the_bounds_finds_it(bits in 0_u32..64, nanos: u64) {
            let time = Duration::from_nanos(nanos >> bits);
            prop_assert_eq!(bucket_of(time), by_scan(time));
        }
    }
}
