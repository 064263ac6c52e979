//! What is usual on a route, learned: two forests, and how rare their scores are.

use std::sync::Arc;
use std::time::Duration;

use super::features::Row;
use super::forest::{Fault, Forest, Rows};

pub mod folder;

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

/// How rare scores are among usual requests: the upper tail of their distribution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tails {}

impl Tails {
    /// Of the scores of requests that the forest was not grown from, or as many as there are; sorts them.
    #[must_use]
    pub fn of(_scores: &mut [f32]) -> Self {
        Self {}
    }

    /// The share of usual requests that score as high or higher; never 0: at least 1 / (n + 1).
    #[must_use]
    pub fn rarity(&self, _score: f32) -> f32 {
        1.0
    }

    /// The score that this share of usual requests reaches.
    #[must_use]
    pub fn threshold(&self, _share: f32) -> f32 {
        1.0
    }
}

impl Model {
    /// A model of these rows; `None` when there are too few of them.
    #[must_use]
    pub fn make(_route: Option<Arc<str>>, _rows: &[Seen], _now: Duration) -> Option<Self> {
        None
    }

    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    /// # Errors
    ///
    /// It is no model, one of another version of the features, or damaged.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, Fault> {
        Err(Fault("not a model"))
    }
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

/// As a forest wants them.
#[must_use]
pub fn as_rows(values: &[f32], columns: usize) -> Rows<'_> {
    Rows { columns, values }
}
