//! Draws from the distributions that traffic is made of.

use fastrand::Rng;

/// Box and Muller's.
pub fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// Of this median; `spread` is the standard deviation of the logarithm.
pub fn log_normal(random: &mut Rng, median: f64, spread: f64) -> f64 {
    median * (spread * normal(random)).exp()
}

pub fn exponential(random: &mut Rng, mean: f64) -> f64 {
    -mean * (1.0 - random.f64()).ln()
}

/// At least 1.
pub fn geometric(random: &mut Rng, mean: f64) -> usize {
    let mut count = 1;
    while random.f64() > 1.0 / mean.max(1.0) && count < 200 {
        count += 1;
    }
    count
}

/// Knuth's; for means up to some hundred.
pub fn poisson(random: &mut Rng, mean: f64) -> usize {
    let least = (-mean).exp();
    let (mut count, mut product) = (0, random.f64());
    while product > least {
        count += 1;
        product *= random.f64();
    }
    count
}

/// Of so many, the first ones often: about Zipf with exponent 1.
pub fn popular(random: &mut Rng, count: usize) -> usize {
    ((count as f64 + 1.0).powf(random.f64()) as usize).clamp(1, count) - 1
}

pub fn is(random: &mut Rng, chance: f64) -> bool {
    random.f64() < chance
}

/// One of them, by the parts that they have of a whole.
pub fn share(random: &mut Rng, parts: &[f64]) -> usize {
    let mut left = random.f64() * parts.iter().sum::<f64>();
    for (at, part) in parts.iter().enumerate() {
        left -= part;
        if left < 0.0 {
            return at;
        }
    }
    parts.len().saturating_sub(1)
}
