//! Whether what comes is still what the model has learned.

use crate::anomaly::model::Tails;
use crate::anomaly::model::tails::bin;

const BINS: usize = 10;
/// Requests after which one counts 1/e.
const WINDOW: f32 = 1_000.0;
/// Requests before there is an index.
const ENOUGH: u32 = 500;
/// Added to each share: half a request, so that an empty bin is not infinitely far from a full one.
const SMOOTHING: f32 = 0.5 / WINDOW;

/// Whether scores have moved away from what the model has learned: the alarm of drift.
///
/// The population stability index of the rarities of the last requests (Siddiqi: Credit Risk Scorecards, 2006): below 0.1 nothing has
/// changed, above 0.25 much has. Requests like those that the model is of give about 0.005.
#[derive(Clone, Debug)]
pub struct Drift {
    expected: [f32; BINS],
    seen: [f32; BINS],
    noted: u32,
}

impl Default for Drift {
    /// Against even rarities.
    fn default() -> Self {
        Self { expected: [1.0 / BINS as f32; BINS], seen: [0.0; BINS], noted: 0 }
    }
}

impl Drift {
    /// Against the rarities that a model gives to its own rows: even ones, but where many requests have the same score.
    #[must_use]
    pub fn of(tails: &Tails) -> Self {
        if tails.scores() == 0 { Self::default() } else { Self { expected: tails.spread(), ..Self::default() } }
    }

    /// Notes how rare a request was, as the model said it: not combined with anything.
    pub fn note(&mut self, rarity: f32) {
        self.seen.iter_mut().for_each(|bin| *bin *= 1.0 - 1.0 / WINDOW);
        if let Some(bin) = self.seen.get_mut(bin(rarity, BINS)) {
            *bin += 1.0;
        }
        self.noted = self.noted.saturating_add(1);
    }

    /// Population stability index of the rarities of the last requests, some 1000; `None` when they are fewer than 500.
    #[must_use]
    pub fn index(&self) -> Option<f32> {
        if self.noted < ENOUGH {
            return None;
        }
        let total: f32 = self.seen.iter().sum();
        let smooth = |share: f32| (share + SMOOTHING) / (1.0 + SMOOTHING * BINS as f32);
        let pairs = self.seen.iter().map(|seen| smooth(seen / total)).zip(self.expected.iter().copied().map(smooth));
        Some(pairs.map(|(seen, expected)| (seen - expected) * (seen / expected).ln()).sum())
    }

    /// Above what is taken for drift: 0.25.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.index().is_some_and(|index| index > 0.25)
    }
}
