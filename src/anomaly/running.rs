//! How unusual a caller's requests are of late, taken together, and held against how unusual they always are.
//!
//! The surprise of a request is `-ln(rarity)`. Rarities of usual requests are uniform in (0, 1], so their surprises are exponential
//! with mean 1; those of a caller who is always a bit different are taken for exponential with a mean of its own. The mean here forgets (EWMA); weighted with `w`, its
//! variance is `Σ w²` and its third central moment `2 Σ w³`. The gamma distribution with these three moments (Pearson type III) says
//! how rare such a mean is, by the cube root that makes gamma normal (Wilson, Hilferty: The Distribution of Chi-Square, 1931). That is
//! exact as far as a caller's requests do not depend on each other; where they do, rare means are less rare than that, and [`Common`] says how much.

use std::time::Duration;

mod common;
#[cfg(test)]
mod tests;

pub use self::common::Common;

/// Weight of the newest request, once there were ten.
const WEIGHT: f32 = 0.1;

/// No request counts as rarer than this. A single one, or a row of them however long, is thus outweighed by usual ones: once no
/// more rare ones come, [`Running::rarity`] is above 1 % after 25 requests of mean surprise, and above 5 % after 29.
const RAREST: f32 = 1e-4;

/// Nothing rarer is told: the tail of the distribution is no better known.
const LEAST: f32 = 1e-12;

/// Requests before anything is said: as many as it takes to know what is usual.
const KNOWN: u16 = 32;

/// Requests of which what is usual is the plain mean.
const SETTLED: u16 = 128;

/// Time, and requests, that what is usual reaches back after that, roughly; whichever is longer. However many requests come within minutes, what
/// they are does not become usual by that.
const MEMORY: (Duration, u16) = (Duration::from_secs(3_600), 1_024);

/// A surprise beyond so many times the usual one is learned as if it were that.
const LEARNED: f32 = 4.0;

/// In which half of what is unusual is forgotten, when nothing comes.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// The running rarity of a caller's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Running {
    /// When the last came.
    last: Duration,
    /// The mean surprise of all requests, which is usual for this caller.
    usual: f32,
    count: u16,
    /// Of surprises.
    mean: f32,
    /// Sum of the squares of the weights in the mean; 0 before the first request.
    squares: f32,
    /// Sum of their cubes.
    cubes: f32,
    /// Requests in the tail since it last left it.
    row: u8,
}

impl Running {
    /// Adds a request of this rarity, at this time by the clock that never jumps, while all callers have this [excess](Common) in common. What is not a
    /// number is left out.
    pub fn note(&mut self, rarity: f32, at: Duration, common: f32) {
        if rarity.is_nan() {
            return;
        }
        let surprise = -rarity.clamp(RAREST, 1.0).ln();
        self.mean = self.mean_at(at);
        let since = at.saturating_sub(self.last).as_secs_f32() / MEMORY.0.as_secs_f32();
        self.last = self.last.max(at);
        // As long as all weigh the same, squares are 1/n: this is 1/(n + 1).
        let equal = if self.squares > 0.0 { self.squares / (1.0 + self.squares) } else { 1.0 };
        let weight = equal.max(WEIGHT);
        let rest = 1.0 - weight;
        self.mean = rest * self.mean + weight * surprise;
        self.squares = rest.powi(2) * self.squares + weight.powi(2);
        self.cubes = rest.powi(3) * self.cubes + weight.powi(3);
        let most = if self.count < KNOWN { f32::INFINITY } else { LEARNED * self.usual() };
        self.count = (self.count + 1).min(MEMORY.1);
        let equal = 1.0 / f32::from(self.count);
        let weight = if self.count <= SETTLED { equal } else { equal.min(since) };
        self.usual += weight * (surprise.min(most) - self.usual);
        self.row = match self.rarity(at, common) {
            rarity if rarity < common::TAIL => self.row.saturating_add(1),
            rarity if rarity < common::MIDDLE => self.row,
            _ => 0,
        };
    }

    /// How many times as unusual as always the last requests are, of a caller of whom enough is known.
    #[must_use]
    pub fn excess(&self, at: Duration) -> Option<f32> {
        (self.count >= KNOWN).then(|| self.mean_at(at) / self.usual())
    }

    /// The share of callers with usual requests only whose mean is as high or higher, in (0, 1]; 1 as long as too few requests have come
    /// to know. As far as all callers have a [common](Common) excess, it is not held against this one.
    #[must_use]
    pub fn rarity(&self, at: Duration, common: f32) -> f32 {
        let Some(excess) = self.excess(at) else { return 1.0 };
        let deviation = (excess / common - 1.0) / self.squares.sqrt();
        let shape = self.squares.powi(3) / self.cubes.powi(2);
        let ninth = 1.0 / (9.0 * shape);
        let normal = ((1.0 + deviation / shape.sqrt()).cbrt() - 1.0 + ninth) / ninth.sqrt();
        upper_tail(normal).clamp(LEAST, 1.0)
    }

    /// Less than what is usual for all is no surprise to come.
    fn usual(&self) -> f32 {
        self.usual.max(1.0)
    }

    /// The mean, as far as it is not forgotten.
    fn mean_at(&self, at: Duration) -> f32 {
        let pause = at.saturating_sub(self.last).as_secs_f32() / HALF_LIFE.as_secs_f32();
        // Between requests that follow each other nothing is forgotten.
        if pause < 0.01 { self.mean } else { self.usual() + (self.mean - self.usual()) * (-pause).exp2() }
    }
}

/// Of the normal distribution, well within 1e-4 of its value (Press et al.: Numerical Recipes, 2nd edition, section 6.2).
fn upper_tail(z: f32) -> f32 {
    const COEFFICIENTS: [f32; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ];
    let x = z.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let series = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| sum * t + coefficient);
    let tail = 0.5 * t * (series - x * x).exp();
    if z >= 0.0 { tail } else { 1.0 - tail }
}
