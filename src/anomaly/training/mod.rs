//! When a new model is due, and how one is made from what was seen.

mod drift;
#[cfg(test)]
mod tests;
mod trim;

use std::sync::Arc;
use std::time::Duration;

use super::model::{Model, Seen};
use crate::config::checked::anomaly::MAX_ROWS;

pub use self::drift::Drift;

/// What decides when a new model is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Requests before there is a first model.
    pub warm_up: usize,
    pub every: Duration,
}

/// With drift a model is made this many times as often at most.
const DRIFTING: u32 = 4;

impl Schedule {
    /// Whether a model is due `now`, since 1970 UTC like the time of the last that was made, or tried. As long as there is not a full sample, one
    /// is due whenever twice as many requests have been seen as for the last: a first one of few requests does not judge for long. Of a route that
    /// is not used none is: it keeps what it has.
    #[must_use]
    pub fn is_due(&self, requests: Requests, last: Option<Duration>, now: Duration, is_drifting: bool) -> bool {
        let pause = if is_drifting { self.every / DRIFTING } else { self.every };
        // A model of the future was made before the clock was set back.
        let is_old = |last| now.checked_sub(last).is_none_or(|age| age >= pause);
        let of_last = requests.seen - requests.new.min(requests.seen);
        let is_growing = (1..MAX_ROWS as u64).contains(&of_last) && requests.new >= of_last;
        requests.seen >= self.warm_up as u64 && last.is_none_or(|last| requests.new > 0 && (is_growing || is_old(last)))
    }
}

/// What there is to learn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requests {
    /// Since start.
    pub seen: u64,
    /// Since the last attempt to make a model.
    pub new: u64,
}

/// A model of few rows cannot tell half a percent: with it, what both parts find as rare as four of its rows are is suspicious.
const TELLABLE: f32 = 8.0;

/// Makes a model. Callers who do what the one before finds rare far more often than others teach it nothing by that, so that nobody
/// makes an attack usual by repeating it; what most of the route does is learned at once.
///
/// `None` when there are too few rows.
#[must_use]
pub fn train(route: Option<Arc<str>>, mut rows: Vec<Seen>, before: Option<&Model>, now: Duration) -> Option<Model> {
    if let Some(before) = before {
        let resolution = before.arrival.tails.resolution().max(before.outcome.tails.resolution());
        trim::trim(&mut rows, trim::SUSPICIOUS.max(TELLABLE * resolution), |seen| {
            // Twice the smaller one: of both, no more than a share p have this or less (Bonferroni).
            let arrival = before.arrival.judge(seen.row.arrival()).rarity;
            (2.0 * arrival.min(before.outcome.judge(seen.row.outcome()).rarity)).min(1.0)
        });
    }
    Model::make(route, &rows, now)
}
