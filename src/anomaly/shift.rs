//! Shifts in what a caller does, by windows of time: rate, errors, bytes, paths (half-space trees: Tan, Ting, Liu: Fast Anomaly
//! Detection for Streaming Data, IJCAI 2011). Learns and judges at the end of each window, away from requests.
//!
//! A window is compared with what is usual for its caller, so that small and large callers, and hours of the day, are alike.
//! More than usual is looked at only: less of anything harms nobody.

use self::scores::Scores;
use self::trees::Trees;

mod scores;
#[cfg(test)]
mod tests;
mod trees;

/// What a caller did in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    pub requests: u32,
    /// Those of them that were refused as unusual: they do not become usual.
    pub refused: u32,
    /// Answers of 400 to 499: what the service fails in is nobody's error here.
    pub errors: u32,
    pub response_bytes: u64,
    /// Distinct paths, estimated.
    pub paths: u32,
    /// How rare the last whole window was for callers of this route, in (0, 1]; 1 when nothing is known.
    pub rarity: f32,
}

impl Default for Counts {
    fn default() -> Self {
        Self { requests: 0, refused: 0, errors: 0, response_bytes: 0, paths: 0, rarity: 1.0 }
    }
}

/// What is usual for one caller in a window with requests: means that forget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usual {
    /// Up to [`MEMORY`].
    windows: u32,
    requests: f32,
    errors: f32,
    bytes: f32,
    paths: f32,
}

/// Windows that what is usual is the mean of; older ones count less and less.
const MEMORY: u32 = 50;

/// Windows of a caller before it is judged: fewer say too little about what is usual.
const INTRODUCTION: u32 = 5;

/// What is added to both sides of a comparison, so that a handful of requests is no shift.
const PRIOR: f32 = 5.0;

/// Likewise, of each request.
const PRIOR_BYTES: f32 = 256.0;

/// What is looked at.
const FEATURES: usize = 4;

/// A window as a point: 0 is what is usual or less, 1/2 is 1.65 times as much (of errors: a quarter of all requests more), and 1
/// is never reached.
type Point = [f32; FEATURES];

impl Usual {
    /// `None` as long as too little is known of the caller.
    fn compare(&self, counts: &Counts) -> Option<Point> {
        if self.windows < INTRODUCTION {
            return None;
        }
        let requests = counts.requests as f32;
        let per_request = |sum: f32| sum / self.requests;
        // As if so many usual requests had come as well.
        let smooth = |sum: f32, usual: f32| (sum + PRIOR * usual) / (requests + PRIOR);
        let ratio = |value: f32, usual: f32, prior: f32| ((value + prior) / (usual + prior)).ln();
        let (errors, bytes) = (per_request(self.errors), per_request(self.bytes));
        let features = [
            ratio(requests, self.requests, PRIOR),
            2.0 * (smooth(counts.errors as f32, errors) - errors),
            ratio(smooth(counts.response_bytes as f32, bytes), bytes, PRIOR_BYTES),
            ratio(counts.paths as f32, self.paths, PRIOR),
        ];
        Some(features.map(|feature| feature.max(0.0) / (feature.max(0.0) + 0.5)))
    }

    fn learn(&mut self, counts: &Counts) {
        self.windows = (self.windows + 1).min(MEMORY);
        let weight = 1.0 / self.windows as f32;
        let learn = |mean: &mut f32, value: f32| *mean += weight * (value - *mean);
        let passed = counts.requests.saturating_sub(counts.refused);
        learn(&mut self.requests, passed as f32);
        learn(&mut self.errors, counts.errors as f32);
        learn(&mut self.bytes, counts.response_bytes as f32);
        learn(&mut self.paths, counts.paths.min(passed) as f32);
    }
}

/// Half-space trees over the windows of all callers of a route, and how rare their scores are.
#[derive(Clone, Debug)]
pub struct Shifts {
    seed: u64,
    /// Grown with the first window: 75 KiB that many routes never need.
    trees: Option<Trees>,
    scores: Scores,
}

/// What repeats a window as rare as this does not thereby become usual.
const UNLEARNED: f32 = 0.01;

impl Shifts {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, trees: None, scores: Scores::default() }
    }

    /// Judges a window of a caller against those before, and learns it: the share of windows of this route that are as
    /// unusual or more, or `None` as long as too few were seen, of the route or of the caller. Windows without a request are left
    /// out.
    pub fn window(&mut self, counts: &Counts, usual: &mut Usual) -> Option<f32> {
        if counts.requests == 0 {
            return None;
        }
        let point = usual.compare(counts);
        if counts.refused < counts.requests {
            usual.learn(counts);
        }
        let point = point?;
        let trees = self.trees.get_or_insert_with(|| Trees::new(self.seed));
        let score = trees.score(&point);
        let rarity = score.and_then(|score| self.scores.rarity(score));
        if let Some(score) = score {
            self.scores.learn(score);
        }
        if rarity.is_none_or(|rarity| rarity > UNLEARNED) {
            trees.learn(&point);
        }
        rarity
    }
}
