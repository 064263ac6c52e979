//! Chance that is the same on every machine.

use crate::base::random::SplitMix64;

/// Draws from `SplitMix64`.
#[derive(Clone, Debug)]
pub(super) struct Random(SplitMix64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// Below `bound`, which is below 2³²: one too often by no more than one in 2³² / `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX) & 0xffff_ffff;
        usize::try_from(((self.next() >> 32) * bound) >> 32).unwrap_or_default()
    }

    /// In [0, 1), in steps of 2⁻⁵³.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// As good as normal, with mean 0 and variance 1, in (-6, 6): the sum of twelve even ones, which takes no logarithm and no root.
    #[expect(clippy::cast_precision_loss, reason = "20 bits are exact")]
    pub(super) fn normal(&mut self) -> f32 {
        let sum: u64 = (0..3).flat_map(|_| words(self.next())).sum();
        (sum as f32 - 6.0 * 65535.0) / 65536.0
    }

    /// Brings `count` of the items, or as many as there are, to the front: each equally likely, in an order equally likely.
    pub(super) fn draw<T>(&mut self, items: &mut [T], count: usize) {
        let len = items.len();
        for at in 0..count.min(len) {
            items.swap(at, at + self.below(len - at));
        }
    }
}

fn words(bits: u64) -> [u64; 4] {
    [0, 16, 32, 48].map(|shift| (bits >> shift) & 0xffff)
}
