//! How rare a score is among those before: a histogram that forgets.

/// Scores are in (-LOWEST, 0].
const LOWEST: f32 = 16.5;

const BINS: usize = 256;

/// Scores that are seen before any is called rare.
const ENOUGH: f32 = 256.0;

/// Scores after which those before count half: of 50 callers in windows of 10 s, a quarter of an hour.
const HALF_LIFE: u32 = 4_096;

#[derive(Clone, Debug)]
pub(super) struct Scores {
    /// Of the lowest scores first.
    bins: [f32; BINS],
    total: f32,
    /// Since the last halving.
    learned: u32,
}

impl Default for Scores {
    fn default() -> Self {
        Self { bins: [0.0; BINS], total: 0.0, learned: 0 }
    }
}

impl Scores {
    /// The share of scores that are as high or higher, within a bin; `None` as long as too few were seen.
    pub(super) fn rarity(&self, score: f32) -> Option<f32> {
        let above: f32 = self.bins.iter().skip(bin(score)).sum();
        (self.total >= ENOUGH).then(|| (above + 1.0) / (self.total + 1.0))
    }

    pub(super) fn learn(&mut self, score: f32) {
        if let Some(bin) = self.bins.get_mut(bin(score)) {
            *bin += 1.0;
            self.total += 1.0;
        }
        self.learned += 1;
        if self.learned == HALF_LIFE {
            self.learned = 0;
            self.bins.iter_mut().for_each(|bin| *bin /= 2.0);
            self.total /= 2.0;
        }
    }
}

fn bin(score: f32) -> usize {
    ((1.0 + score / LOWEST) * BINS as f32).clamp(0.0, BINS as f32 - 1.0) as usize
}
