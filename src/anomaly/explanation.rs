//! Why a request is unusual, in words.

use super::features::Row;
use super::model::Model;

/// The features that contributed most.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub reasons: Vec<Because>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Because {
    /// Of [`FEATURES`](super::features::FEATURES).
    pub feature: &'static str,
    /// Its part in the score, of 1.
    pub share: f32,
    /// `header bytes 9× this caller's usual`.
    pub text: String,
}

impl Explanation {
    /// The three features that contributed most to the judgement of the arrival.
    #[must_use]
    pub fn of(_model: &Model, _row: &Row) -> Self {
        Self { reasons: Vec::new() }
    }
}
