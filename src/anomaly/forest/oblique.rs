//! Cuts by hyperplanes (Hariri, Kind, Brunner: Extended Isolation Forest, 2018).

use super::MAX_COLUMNS;

/// The hyperplanes of a forest, cut after cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Oblique {
    /// Of each column.
    pub(super) scales: Box<[Scale]>,
    /// Columns that a plane is made of.
    pub(super) width: u16,
    /// `width` for each cut.
    pub(super) terms: Box<[Term]>,
}

/// A column's weight in a plane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Term {
    pub(super) column: u16,
    /// Within ±[`Term::MOST`].
    pub(super) weight: f32,
}

/// What makes columns comparable: their distance from the mean, in standard deviations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scale {
    pub(super) mean: f32,
    /// 1 / standard deviation; 0 for a column that never changes.
    pub(super) factor: f32,
}

/// Beyond what makes a difference, and such that no sum overflows.
const FURTHEST: f64 = 1e6;

impl Scale {
    /// Of the values that are not missing.
    pub(super) fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let values = values.filter(|value| value.is_finite()).map(f64::from);
        let (count, sum) = values.clone().fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
        let mean: f64 = if count > 0.0 { sum / count } else { 0.0 };
        let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "rounds")]
        let (mean, factor) = (mean as f32, (count / squares).sqrt() as f32);
        Self { mean, factor: if factor.is_finite() { factor } else { 0.0 } }
    }

    /// 0 for what is missing.
    #[expect(clippy::cast_possible_truncation, reason = "rounds")]
    pub(super) fn apply(self, value: f32) -> f32 {
        if !value.is_finite() {
            return 0.0;
        }
        let distance = (f64::from(value) - f64::from(self.mean)) * f64::from(self.factor);
        distance.clamp(-FURTHEST, FURTHEST) as f32
    }
}

impl Oblique {
    /// The columns of a row, made comparable.
    pub(super) fn scaled(&self, row: &[f32]) -> [f32; MAX_COLUMNS] {
        let mut scaled = [0.0; MAX_COLUMNS];
        for (place, (value, scale)) in scaled.iter_mut().zip(row.iter().zip(&self.scales)) {
            *place = scale.apply(*value);
        }
        scaled
    }

    /// The plane of a cut of the n-th tree, by where its first child is. (A tree has one node more than twice its cuts.)
    pub(super) fn plane(&self, tree: usize, first_child: u32) -> &[Term] {
        let width = usize::from(self.width);
        let start = (first_child as usize).saturating_sub(tree + 1) / 2 * width;
        self.terms.get(start..start + width).unwrap_or_default()
    }
}

impl Term {
    /// What [`Random::normal`](super::random::Random::normal) never reaches.
    pub(super) const MOST: f32 = 6.0;

    fn along(&self, scaled: &[f32]) -> f32 {
        self.weight * scaled.get(usize::from(self.column)).copied().unwrap_or_default()
    }
}

/// Where a row stands along the normal of a plane.
pub(super) fn project(plane: &[Term], scaled: &[f32]) -> f32 {
    plane.iter().map(|term| term.along(scaled)).sum()
}

/// What part each column has in that, in all 1.
pub(super) fn shares(plane: &[Term], scaled: &[f32]) -> impl Iterator<Item = (u16, f32)> {
    let size = |term: &Term| term.along(scaled).abs() + term.weight.abs() * f32::EPSILON;
    let all = plane.iter().map(size).sum::<f32>().max(f32::MIN_POSITIVE);
    plane.iter().map(move |term| (term.column, size(term) / all))
}
