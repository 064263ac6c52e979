//! Growing: section 4.1 of the paper.

use super::oblique::{Oblique, Scale, Term};
use super::random::Random;
use super::tree::{Plantation, Sprout, slot};
use super::{Forest, MAX_COLUMNS, MAX_SAMPLES, MAX_TREES, Options, Rows, path_length};

pub(super) fn forest(rows: Rows<'_>, options: Options) -> Option<Forest> {
    let columns = u16::try_from(rows.columns).ok().filter(|_| (1..=MAX_COLUMNS).contains(&rows.columns))?;
    if rows.len() < 2 {
        return None;
    }
    let samples = usize::from(options.samples.clamp(2, MAX_SAMPLES)).min(rows.len());
    let width = options.extension.saturating_add(1).min(columns);
    let scales = (width > 1).then(|| scales_of(rows));

    let samples = u16::try_from(samples).ok()?;
    let mut plantation = Plantation::new(samples);
    let mut terms = Vec::new();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut seeds = Random::new(options.seed);
    for _ in 0..options.trees.clamp(1, MAX_TREES) {
        let mut random = Random::new(seeds.next());
        random.draw(&mut order, usize::from(samples));
        let sample = Sample::of(rows, order.get(..usize::from(samples))?, scales.as_deref());
        let (width, together) = (usize::from(width), options.together);
        let mut tree = Tree { sample, width, together, random, sprouts: Vec::new(), terms: &mut terms };
        tree.grow();
        plantation.plant(&tree.sprouts).ok()?;
    }
    let oblique = scales.map(|scales| Oblique { scales: scales.into(), width, terms: terms.into() });
    plantation.finish(columns, oblique).ok()
}

fn scales_of(rows: Rows<'_>) -> Vec<Scale> {
    let column = |column: usize| rows.iter().filter_map(move |row| row.get(column)).copied();
    (0..rows.columns).map(|at| Scale::of(column(at))).collect()
}

/// What one tree is grown from, column after column.
struct Sample {
    rows: u16,
    values: Vec<f32>,
}

impl Sample {
    fn of(rows: Rows<'_>, chosen: &[usize], scales: Option<&[Scale]>) -> Self {
        let mut values = vec![f32::NAN; chosen.len() * rows.columns];
        for (at, row) in chosen.iter().enumerate() {
            let row = rows.values.iter().skip(row * rows.columns).take(rows.columns);
            for (column, (place, value)) in values.iter_mut().skip(at).step_by(chosen.len()).zip(row).enumerate() {
                *place = match scales.and_then(|scales| scales.get(column)) {
                    Some(scale) => scale.apply(*value),
                    None if value.is_finite() => *value,
                    None => f32::NAN,
                };
            }
        }
        Self { rows: u16::try_from(chosen.len()).unwrap_or(u16::MAX), values }
    }

    fn column(&self, column: u16) -> &[f32] {
        let len = usize::from(self.rows);
        let start = usize::from(column) * len;
        self.values.get(start..start + len).unwrap_or_default()
    }

    /// Where these rows stand along the normal of a plane; summed up in the order in which [`project`](super::oblique::project) does.
    fn project(&self, plane: &[Term], rows: &[u16], along: &mut [f32]) {
        for row in rows {
            if let Some(place) = along.get_mut(usize::from(*row)) {
                *place = plane.iter().map(|term| term.weight * value(self.column(term.column), *row)).sum();
            }
        }
    }

    fn columns(&self) -> u16 {
        u16::try_from(self.values.len() / usize::from(self.rows.max(1))).unwrap_or(u16::MAX)
    }
}

struct Tree<'a> {
    sample: Sample,
    /// Columns that a cut is made of.
    width: usize,
    /// [`Options::together`].
    together: &'static [u16],
    random: Random,
    sprouts: Vec<Sprout>,
    terms: &'a mut Vec<Term>,
}

/// A node that is still to be cut.
struct Bud {
    /// Its rows, as a part of all.
    start: usize,
    end: usize,
    depth: u32,
}

impl Tree<'_> {
    fn grow(&mut self) {
        let deepest = path_length::height_limit(self.sample.rows);
        let mut rows: Vec<u16> = (0..self.sample.rows).collect();
        let mut along = vec![0.0; rows.len()];
        let mut columns: Vec<u16> =
            (0..self.sample.columns()).filter(|column| range(self.sample.column(*column), &rows).is_some()).collect();
        let mut buds = vec![Bud { start: 0, end: rows.len(), depth: 0 }];
        let mut next = 0;
        while let Some(&Bud { start, end, depth }) = buds.get(next) {
            next += 1;
            let Some(part) = rows.get_mut(start..end) else { return };
            let cut = (depth < deepest && part.len() > 1).then(|| self.cut(part, &mut columns, &mut along)).flatten();
            let Some((sprout, first)) = cut else {
                self.sprouts.push(Sprout::Leaf { rows: u16::try_from(part.len()).unwrap_or(u16::MAX) });
                continue;
            };
            self.sprouts.push(sprout);
            let (middle, depth) = (start + first, depth + 1);
            buds.extend([Bud { start, end: middle, depth }, Bud { start: middle, end, depth }]);
        }
    }

    /// Cuts these rows in two, if anything tells them apart: puts those of the first child first, and says how many they are.
    fn cut(&mut self, rows: &mut [u16], columns: &mut [u16], along: &mut [f32]) -> Option<(Sprout, usize)> {
        let drawn = self.draw(rows, columns);
        let column = *drawn.first()?;
        let values = if self.width == 1 {
            self.sample.column(column)
        } else {
            let start = self.terms.len();
            for column in drawn {
                self.terms.push(Term { column: *column, weight: self.random.normal() });
            }
            self.terms.resize(start + self.width, Term::default());
            let plane = self.terms.get(start..)?;
            self.sample.project(plane, rows, along);
            along
        };
        let Some((low, high)) = range(values, rows) else {
            // Too close to be told apart by the sum.
            self.terms.truncate(self.terms.len().saturating_sub(self.width));
            return None;
        };
        let threshold = between(low, high, self.random.unit());
        let (before, behind) = rows.iter().map(|row| value(values, *row)).fold((0, 0), |(before, behind), value| {
            (before + usize::from(value < threshold), behind + usize::from(value >= threshold))
        });
        let missing_second = behind > before;
        let first = part(rows, |row| {
            let value = value(values, row);
            value < threshold || (value.is_nan() && !missing_second)
        });
        let column = if self.width == 1 { column } else { 0 };
        Some((Sprout::Cut { slot: slot(column, missing_second), threshold }, first))
    }

    /// As many columns as a cut is made of, among those that tell these rows apart, each equally likely as far as it stands alone; fewer if there are
    /// fewer.
    fn draw<'c>(&mut self, rows: &[u16], columns: &'c mut [u16]) -> &'c [u16] {
        let mut drawn = 0;
        for at in 0..columns.len() {
            self.draw_one(columns.get_mut(at..).unwrap_or_default());
            if columns.get(at).is_some_and(|column| range(self.sample.column(*column), rows).is_some()) {
                columns.swap(drawn, at);
                drawn += 1;
            }
            if drawn == self.width {
                break;
            }
        }
        columns.get(..drawn).unwrap_or_default()
    }
}

/// Columns that are turned down at most, until one is taken as it comes.
const TRIES: usize = 64;

impl Tree<'_> {
    /// Brings one of these columns to the front. One of eight that belong together is turned down seven times of eight.
    fn draw_one(&mut self, columns: &mut [u16]) {
        for _ in 0..TRIES {
            self.random.draw(columns, 1);
            let drawn = columns.first().and_then(|column| self.together.get(usize::from(*column)));
            if drawn.is_none_or(|together| self.random.below(usize::from(*together)) == 0) {
                return;
            }
        }
    }
}

fn value(values: &[f32], row: u16) -> f32 {
    values.get(usize::from(row)).copied().unwrap_or(f32::NAN)
}

/// The least and the greatest of these rows, if they differ.
fn range(values: &[f32], rows: &[u16]) -> Option<(f32, f32)> {
    let (low, high) = rows
        .iter()
        .map(|row| value(values, *row))
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    (low < high).then_some((low, high))
}

/// Above `low`, and not above `high`: so that there are rows below it, and others.
fn between(low: f32, high: f32, part: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounds, to no more than `high`")]
    let between = (f64::from(low) + part * (f64::from(high) - f64::from(low))) as f32;
    // The sum takes the sign off a zero, which the maximum of zeros may or may not have.
    if between > low { between } else { high + 0.0 }
}

/// Puts the rows of the first child first, and says how many they are.
fn part(rows: &mut [u16], is_first: impl Fn(u16) -> bool) -> usize {
    let mut first = 0;
    for at in 0..rows.len() {
        if rows.get(at).is_some_and(|row| is_first(*row)) {
            rows.swap(first, at);
            first += 1;
        }
    }
    first
}
