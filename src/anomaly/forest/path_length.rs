//! How long a path is where nothing is unusual, and what a length says: section 2 of the paper.

/// c(n) of the paper for 0 to `most`: how deep an unsuccessful search in a binary search tree of n goes on average, 2 H(n - 1) - 2 (n - 1) / n.
/// With the harmonic numbers themselves: the paper's ln(i) + 0.5772 falls short of H(i) by about 1 / 2i.
pub(super) fn averages(most: u16) -> Vec<f64> {
    let mut harmonic = 0.0;
    let mut averages = vec![0.0; usize::from(most).min(1) + 1];
    for n in 2..=most {
        let n = f64::from(n);
        harmonic += 1.0 / (n - 1.0);
        averages.push(2.0 * harmonic - 2.0 * (n - 1.0) / n);
    }
    averages
}

/// ⌈log₂ n⌉: about the average height of a tree of n, below which nothing that is unusual is found.
pub(super) fn height_limit(samples: u16) -> u32 {
    u32::from(samples).next_power_of_two().trailing_zeros()
}

/// 2⁻ˣ for x from 0 to 1000, within a unit in the last place: with nothing but sums and products, which are the same on every machine.
pub(super) fn half_to_the(x: f64) -> f32 {
    let whole = x.floor();
    // |z| ≤ ln 2 / 2, so the ninth term of the series of e^z is below 10⁻⁹.
    let z = (0.5 - (x - whole)) * std::f64::consts::LN_2;
    let series = (1..=8).rev().fold(1.0, |sum, n| 1.0 + sum * z / f64::from(n));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let power = f64::from_bits((1023 - whole as u64) << 52);
    #[expect(clippy::cast_possible_truncation, reason = "rounds")]
    let rounded = (std::f64::consts::FRAC_1_SQRT_2 * power * series) as f32;
    rounded
}
