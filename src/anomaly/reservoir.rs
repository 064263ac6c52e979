//! A sample of what was seen, to learn from: newer requests count more, and no caller has more than its share.

use std::time::Duration;

use super::features::Row;
use super::model::Seen;

/// A weighted sample in bounded memory.
#[derive(Debug)]
pub struct Reservoir {
    settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Rows.
    pub capacity: usize,
    /// After which a request counts half as much as one that comes now.
    pub half_life: Duration,
    /// The most that one caller may have of it, in (0, 1].
    pub share: f32,
}

impl Reservoir {
    #[must_use]
    pub fn new(settings: Settings, _seed: u64) -> Self {
        Self { settings }
    }

    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Offers a row, which is copied only when it is taken.
    pub fn offer(&mut self, _caller: u64, _at: Duration, _row: &Row) {}

    /// How many were offered since start.
    #[must_use]
    pub fn offered(&self) -> u64 {
        0
    }

    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    /// What is in it.
    #[must_use]
    pub fn rows(&self) -> Vec<Seen> {
        Vec::new()
    }
}
