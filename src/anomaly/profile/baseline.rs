//! What is usual: mean and variance that forget.

/// Observations before anything is held to be usual.
pub const KNOWN: u16 = 16;
/// Observations that a baseline reaches back, roughly: each weighs 1 - 1/64 of the one after it.
const MEMORY: u16 = 64;
/// No deviation beyond this is told.
const MOST: f32 = 16.0;
/// A value further off, in standard deviations, is learned as if it were this far off, so that one outlier does not make the
/// next one usual (winsorizing: Dixon, Simplified Estimation from Censored Normal Samples, 1960).
const LEARNED: f32 = 6.0;
/// The least standard deviation. Values are logarithms, so what is within a tenth of the usual is never far off.
const LEAST: f32 = 0.1;

/// Exponentially weighted mean and variance (Finch: Incremental calculation of weighted mean and variance, 2009, section 9);
/// plain ones of the first [`MEMORY`] observations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Baseline {
    mean: f32,
    variance: f32,
    count: u16,
}

impl Baseline {
    /// What is usual, as soon as that is known.
    pub fn usual(&self) -> Option<f32> {
        (self.count >= KNOWN).then_some(self.mean)
    }

    /// Standard deviations from the usual, within ±16; NaN as long as nothing is usual.
    pub fn z(&self, value: f32) -> f32 {
        self.usual().map_or(f32::NAN, |mean| ((value - mean) / self.deviation()).clamp(-MOST, MOST))
    }

    /// What is missing teaches nothing.
    pub fn learn(&mut self, value: f32) {
        if value.is_nan() {
            return;
        }
        let mut off = value - self.mean;
        if self.count >= KNOWN {
            let most = LEARNED * self.deviation();
            off = off.clamp(-most, most);
        }
        self.count = (self.count + 1).min(MEMORY);
        let weight = 1.0 / f32::from(self.count);
        let step = weight * off;
        self.mean += step;
        self.variance = (1.0 - weight) * (self.variance + off * step);
    }

    fn deviation(&self) -> f32 {
        self.variance.sqrt().max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_are_plain_ones_first() {
        let mut baseline = Baseline::default();
        for value in 1..=KNOWN {
            assert!(baseline.z(1.0).is_nan() && baseline.usual().is_none());
            baseline.learn(f32::from(value));
        }
        // 1 to 16: mean 8.5, variance (16² - 1) / 12 = 21.25.
        assert_eq!(baseline.usual(), Some(8.5));
        assert!((baseline.variance - 21.25).abs() < 1e-4, "{}", baseline.variance);
        assert!((baseline.z(8.5 + 2.0 * 21.25_f32.sqrt()) - 2.0).abs() < 1e-4);
    }

    #[test]
    fn what_was_is_forgotten() {
        let mut baseline = Baseline::default();
        (0..1_000).for_each(|_| baseline.learn(1.0));
        (0..400).for_each(|_| baseline.learn(5.0));
        assert!(baseline.z(5.0).abs() < 0.2 && baseline.z(1.0) < -10.0, "{baseline:?}");
    }

    #[test]
    fn one_outlier_moves_the_usual_no_further_than_six_deviations_would() {
        let mut baseline = Baseline::default();
        (0..1_000).for_each(|at| baseline.learn(5.0 + (at % 2) as f32 / 2.0));
        let mut at_six = baseline;
        baseline.learn(1e30);
        at_six.learn(at_six.mean + 6.0 * at_six.deviation());
        assert!((baseline.mean - at_six.mean).abs() + (baseline.variance - at_six.variance).abs() < 1e-5);
        assert!(baseline.z(9.0) > 8.0, "{baseline:?}");
    }

    #[test]
    fn a_tenth_of_the_usual_is_no_deviation() {
        let mut baseline = Baseline::default();
        (0..100).for_each(|_| baseline.learn(1_000_f32.ln()));
        assert!((baseline.z(1_100_f32.ln()) - 0.953).abs() < 0.01);
        assert_eq!(baseline.z(1e30), 16.0);
        assert_eq!(baseline.z(-1e30), -16.0);
    }
}
