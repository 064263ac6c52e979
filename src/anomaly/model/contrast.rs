//! Rows of nobody, for a forest to be grown from beside real ones.
//!
//! A forest cuts only where its rows differ: what was the same in all of them (no client was ever new, no query had a quote) it would never look at, and a
//! value far beyond all others it would take for the largest of them. So a few rows are made up that differ in everything, within and beyond
//! what was seen, and every column has cuts outside of what is usual.

use super::Rows;

/// One made up for so many real ones.
const OF: usize = 32;
/// How far beyond what was seen, in widths of that; what was always the same is taken for 1 wide: a standard deviation, a factor of e,
/// another answer to yes or no.
const BEYOND: f32 = 2.0;

/// The rows, and those made up behind them.
pub(super) fn added(rows: Rows<'_>, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let ranges: Vec<_> = (0..rows.columns).map(|column| range(rows, column)).collect();
    let mut values = rows.values.to_vec();
    for _ in 0..rows.len() / OF {
        let model = random.usize(..rows.len());
        for (column, range) in ranges.iter().enumerate() {
            let real = rows.values.get(model * rows.columns + column).copied().unwrap_or(f32::NAN);
            let made_up = range.filter(|_| random.bool()).map(|(least, most)| {
                let width = most - least;
                let beyond = BEYOND * random.f32() * if width > 0.0 { width } else { 1.0 };
                if random.bool() { most + beyond } else { least - beyond }
            });
            values.push(made_up.unwrap_or(real));
        }
    }
    values
}

/// The least and the largest value of a column; `None` when all are missing.
fn range(rows: Rows<'_>, column: usize) -> Option<(f32, f32)> {
    let values = rows.iter().filter_map(|row| row.get(column)).copied().filter(|value| value.is_finite());
    values.fold(None, |range, value| {
        let (least, most) = range.unwrap_or((value, value));
        Some((value.min(least), value.max(most)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::model::{Part, as_rows};

    #[test]
    fn one_of_so_many_is_made_up_and_beyond_what_was_seen() {
        let values: Vec<f32> = (0..640u16).flat_map(|at| [f32::from(at % 5), 7.0, f32::NAN]).collect();
        let with = added(as_rows(&values, 3), 1);
        let (real, made_up) = with.split_at(values.len());
        assert!(real.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
        let made_up: Vec<_> = made_up.chunks_exact(3).collect();
        assert_eq!(made_up.len(), 640 / OF);
        let differs = made_up.iter().filter(|row| row[1] != 7.0);
        assert!(differs.clone().all(|row| (5.0..=9.0).contains(&row[1])));
        assert!((4..=16).contains(&differs.count()));
        assert!(made_up.iter().all(|row| (-8.0..=12.0).contains(&row[0]) && row[2].is_nan()));
    }

    #[test]
    fn what_never_differed_and_does_now_is_unusual() {
        let mut random = fastrand::Rng::with_seed(1);
        let values: Vec<f32> =
            (0..2_000).flat_map(|_| [random.f32(), random.f32(), random.f32(), 0.0, 1.0, 5.0]).collect();
        let part = Part::grow(&values, 6, 1).unwrap();
        let usual = [0.5, 0.5, 0.5, 0.0, 1.0, 5.0];
        assert!(part.judge(&usual).rarity > 0.2, "{:?}", part.judge(&usual));
        for (column, value) in [(3, 1.0), (4, 0.0), (5, 7.0), (0, 3.0)] {
            let mut odd = usual;
            odd[column] = value;
            assert!(part.judge(&odd).rarity < 0.02, "{column}: {:?}", part.judge(&odd));
        }
    }
}
