//! What is usual on a route, learned: two forests, and how rare their scores are.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use super::features::{ARRIVAL, COLUMNS, Row, TOGETHER, columns};
use super::forest::{Forest, Options, Rows};

pub use self::file::Fault;
pub use self::tails::Tails;

mod contrast;
mod file;
pub mod folder;
#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, reason = "it is there to fail where a guarantee is broken")]
pub mod invariants;
pub(super) mod tails;
#[cfg(test)]
mod tests;

/// Made by training, and never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// `20261123T140000Z-1a2b3c4d`: when it was made, and the beginning of its checksum.
    pub version: Arc<str>,
    /// `None` is the model for routes that have none of their own.
    pub route: Option<Arc<str>>,
    /// Since 1970 UTC.
    pub made_at: Duration,
    /// The oldest and the newest request that it was made from.
    pub window: (Duration, Duration),
    /// How many requests it was made from.
    pub rows: u32,
    /// Judges what is known before anything is forwarded.
    pub arrival: Part,
    /// Judges what came of it.
    pub outcome: Part,
}

/// What a model says of itself, without what it judges by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub version: Arc<str>,
    pub route: Option<Arc<str>>,
    pub made_at: Duration,
    pub window: (Duration, Duration),
    pub rows: u32,
}

/// A forest, and what it says about usual requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub forest: Forest,
    pub tails: Tails,
    /// The median of each column.
    pub medians: Box<[f32]>,
}

/// What a part of a model says about a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Of the forest, in (0, 1).
    pub score: f32,
    /// The share of usual requests that score as high or higher, in (0, 1].
    pub rarity: f32,
}

impl Part {
    /// Allocates nothing.
    #[must_use]
    pub fn judge(&self, columns: &[f32]) -> Judgement {
        let score = self.forest.score(columns);
        Judgement { score, rarity: self.tails.rarity(score) }
    }
}

/// Fewer rows are not enough: what each tree of a forest is grown from.
pub const MIN_ROWS: usize = 256;

/// A model of less does not look at the time of the day: it knows none but that of its own rows, and everything would be unusual a few hours later.
const DAY: Duration = Duration::from_hours(24);

impl Model {
    /// A model of these rows; `None` when there are fewer than [`MIN_ROWS`]. The same rows in the same order give the same model.
    #[must_use]
    pub fn make(route: Option<Arc<str>>, rows: &[Seen], now: Duration) -> Option<Self> {
        Self::make_by(Options::default(), route, rows, now)
    }

    /// As [`Model::make`], of forests that are grown otherwise. The seed is that of the rows all the same.
    #[must_use]
    pub fn make_by(options: Options, route: Option<Arc<str>>, rows: &[Seen], now: Duration) -> Option<Self> {
        if rows.len() < MIN_ROWS {
            return None;
        }
        let options = Options { seed: seed(rows), ..options };
        let mut times: Vec<Duration> = rows.iter().map(|seen| seen.at).collect();
        times.sort_unstable();
        let window = (*times.first()?, *times.last()?);
        // Some stragglers of the day before do not tell of all its hours.
        let most = times.len() / 20..times.len() - times.len() / 20;
        let most = times.get(most).and_then(|most| Some(most.last()?.saturating_sub(*most.first()?)));
        let mut arrivals = columns_of(rows, Row::arrival);
        if most.is_none_or(|most| most < DAY) {
            without(&mut arrivals, "time_of_day");
        }
        let model = Self {
            version: "".into(),
            route,
            made_at: now,
            window,
            rows: u32::try_from(rows.len()).ok()?,
            arrival: Part::grow(&arrivals, ARRIVAL, Options { together: TOGETHER.split_at(ARRIVAL).0, ..options })?,
            outcome: Part::grow(
                &columns_of(rows, Row::outcome),
                COLUMNS - ARRIVAL,
                Options { seed: !options.seed, together: TOGETHER.split_at(ARRIVAL).1, ..options },
            )?,
        };
        Some(model.numbered())
    }

    #[must_use]
    pub fn about(&self) -> About {
        let Self { version, route, made_at, window, rows, .. } = self;
        About { version: Arc::clone(version), route: route.clone(), made_at: *made_at, window: *window, rows: *rows }
    }
}

impl Part {
    /// A forest of all rows, and its scores of the same ones. A tree has seen 256 of them, so most trees judge a row that is new
    /// to them, and the others what was there when they were grown. With scikit-learn's forest and 1000 to 10000 rows of 20
    /// columns, 5.1 to 5.9 % of new rows had a rarity of 5 % or less, 0.5 to 0.65 % one of 0.5 %. Scores of halves by forests of the other
    /// halves came no closer on average and varied twice as much from forest to forest, as the table is then not of the
    /// forest that judges.
    ///
    /// Among the rows that it is grown from are some of [`contrast`]; the scores are of real ones alone.
    fn grow(values: &[f32], columns: usize, options: Options) -> Option<Self> {
        let rows = as_rows(values, columns);
        let grown_from = contrast::added(rows, options.seed);
        let forest = Forest::grow(as_rows(&grown_from, columns), options)?;
        let mut scores: Vec<f32> = rows.iter().map(|row| forest.score(row)).collect();
        Some(Self { forest, tails: Tails::of(&mut scores), medians: medians(rows) })
    }
}

/// Nobody who does not know all rows can tell it, and so the cuts, beforehand.
fn seed(rows: &[Seen]) -> u64 {
    let mut context = Context::new(&SHA256);
    for seen in rows {
        seen.row.0.iter().for_each(|value| context.update(&value.to_le_bytes()));
    }
    context.finish().as_ref().first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// Of what is there of each column; the lower one of two, NaN of none.
fn medians(rows: Rows<'_>) -> Box<[f32]> {
    let median = |column: usize| {
        let there = rows.iter().filter_map(|row| row.get(column)).copied().filter(|value| value.is_finite());
        let mut values: Vec<f32> = there.collect();
        let middle = values.len().checked_sub(1)? / 2;
        Some(*values.select_nth_unstable_by(middle, f32::total_cmp).1)
    };
    (0..rows.columns).map(|column| median(column).unwrap_or(f32::NAN)).collect()
}

/// A request that was kept to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub caller: u64,
    /// Since 1970 UTC.
    pub at: Duration,
    pub row: Row,
}

/// The columns of many rows that one part looks at, row after row.
#[must_use]
pub fn columns_of(rows: &[Seen], part: impl Fn(&Row) -> &[f32]) -> Vec<f32> {
    rows.iter().flat_map(|seen| part(&seen.row)).copied().collect()
}

/// Takes a feature out of the columns of arrivals. What is missing everywhere is never cut, so whatever it is in a request, it moves no score
/// and is no reason.
fn without(arrivals: &mut [f32], feature: &str) {
    for row in arrivals.chunks_exact_mut(ARRIVAL) {
        if let Some(values) = row.get_mut(columns(feature)) {
            values.fill(f32::NAN);
        }
    }
}

/// As a forest wants them.
#[must_use]
pub fn as_rows(values: &[f32], columns: usize) -> Rows<'_> {
    Rows { columns, values }
}
