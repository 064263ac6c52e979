//! How fast requests come, by time.

use std::time::Duration;

use super::baseline::Baseline;
use crate::anomaly::features::{Row, column, log, milliseconds};

/// After which a request weighs less by 1/e; so the weights add up to requests per minute.
const DECAY: Duration = Duration::from_secs(60);
/// Seconds between two rates that are learned: a burst must not become usual by its own number.
const SAMPLE: u64 = 10;
/// How much of the highest rate is left after each of those: half after seven minutes with requests.
const KEPT: f32 = 63.0 / 64.0;

/// When requests came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Nanoseconds.
    last: u64,
    /// Seconds.
    sampled: u32,
    /// Of all requests until the last; 0 before the first.
    pub weight: f32,
    /// Likewise, of requests that were learned.
    learned: f32,
    /// The highest that was, of late.
    most: f32,
    pub gap: Baseline,
    pub rate: Baseline,
}

impl Pace {
    /// Fills the columns by the requests before this one.
    pub fn arrive(&mut self, at: Duration, row: &mut Row) {
        let (mut gap, mut gap_z, mut rate, mut rate_z) = (f32::NAN, f32::NAN, f32::NAN, f32::NAN);
        if self.weight > 0.0 {
            let since = at.saturating_sub(Duration::from_nanos(self.last));
            gap = log(milliseconds(since));
            gap_z = self.gap.z(gap);
            let rest = (-since.as_secs_f32() / DECAY.as_secs_f32()).exp();
            self.weight *= rest;
            self.learned *= rest;
            rate = log(self.weight);
            rate_z = self.rate.z(rate);
        }
        row.0[const { column("inter_arrival") }] = gap;
        row.0[const { column("inter_arrival_z") }] = gap_z;
        row.0[const { column("request_rate") }] = rate;
        row.0[const { column("request_rate_z") }] = rate_z;
        self.weight += 1.0;
        // Requests of several threads may come out of order.
        self.last = self.last.max(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The highest rate of late of requests that were learned, in requests per minute, as soon as what is usual is known.
    pub fn highest(&self) -> Option<f32> {
        self.rate.usual().map(|_| self.most)
    }

    /// Takes what was filled in for usual from now on.
    pub fn learn(&mut self, at: Duration, row: &Row) {
        self.gap.learn(row.0[const { column("inter_arrival") }]);
        self.learned += 1.0;
        self.most = self.most.max(self.learned);
        if at.as_secs().saturating_sub(u64::from(self.sampled)) >= SAMPLE {
            self.rate.learn(row.0[const { column("request_rate") }]);
            self.most *= KEPT;
            self.sampled = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        }
    }
}
