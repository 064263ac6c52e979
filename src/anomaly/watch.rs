//! One route under watch: models, what is learned, and what follows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::explanation::Explanation;
use super::features::{Arrival, Outcome, Row};
use super::ladder::{Action, Ladder, Safety, Verdict};
use super::model::{Judgement, Model};
use super::profile::{Place, Profiles};
use super::reservoir::{self, Reservoir};
use super::training::Drift;

/// What all routes share, as long as the process.
#[derive(Debug)]
pub struct Shared {
    pub profiles: Profiles,
    /// For routes without a model of their own.
    pub fallback: ArcSwapOption<Model>,
    pub safety: Safety,
}

/// A route under watch. Kept over reloads by its name.
#[derive(Debug)]
pub struct Watch {
    pub route: Arc<str>,
    pub model: ArcSwapOption<Model>,
    /// Judges the same requests, and decides nothing.
    pub shadow: ArcSwapOption<Model>,
    pub reservoir: Mutex<Reservoir>,
    pub drift: Mutex<Drift>,
}

/// A request between its arrival and its end.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub place: Place,
    pub row: Row,
    /// `None` as long as there is no model: not enough data.
    pub judged: Option<Judgement>,
    pub shadow: Option<Judgement>,
    pub verdict: Verdict,
    /// What the ladder wanted, when the safety held it back.
    pub held_back: Option<Action>,
    /// Only for what reached a rung.
    pub explanation: Option<Box<Explanation>>,
}

impl Watch {
    #[must_use]
    pub fn new(route: Arc<str>, sample: reservoir::Settings, seed: u64) -> Self {
        Self {
            route,
            model: ArcSwapOption::empty(),
            shadow: ArcSwapOption::empty(),
            reservoir: Mutex::new(Reservoir::new(sample, seed)),
            drift: Mutex::default(),
        }
    }

    /// Scores a request and says what is to be done with it. Allocates only for what is unusual.
    pub fn arrive(
        &self,
        _shared: &Shared,
        _ladder: &Ladder,
        _arrival: &Arrival<'_>,
        _issued_at: Option<Duration>,
    ) -> Arrived {
        Arrived {
            place: Place { route: 0, caller: 0 },
            row: Row::default(),
            judged: None,
            shadow: None,
            verdict: Verdict { action: Action::Observe, rarity: 1.0, wait: None, since: None },
            held_back: None,
            explanation: None,
        }
    }

    /// Learns from what came of it.
    pub fn leave(&self, _shared: &Shared, _arrived: &mut Arrived, _outcome: &Outcome) {}
}
