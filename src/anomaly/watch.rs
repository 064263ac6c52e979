//! One route under watch: models, what is learned, and what follows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::explanation::Explanation;
use super::features::{Arrival, Outcome, Row};
use super::ladder::{Action, Ladder, Safety, Standing, Verdict};
use super::model::{Judgement, Model};
use super::profile::{Place, Profile, Profiles};
use super::reservoir::{self, Reservoir};
use super::shift::Shifts;
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
    /// Stands for the route in a [`Place`]; another one when a route that was gone comes back, so that its callers are strangers.
    pub number: u64,
    pub model: ArcSwapOption<Model>,
    /// Judges the same requests, and decides nothing.
    pub shadow: ArcSwapOption<Model>,
    pub reservoir: Mutex<Reservoir>,
    pub drift: Mutex<Drift>,
    pub shifts: Mutex<Shifts>,
}

/// A request between its arrival and its end.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub place: Place,
    pub row: Row,
    /// Since 1970 UTC.
    pub wall: Duration,
    /// `None` as long as there is no model: not enough data.
    pub judged: Option<Judgement>,
    pub shadow: Option<Judgement>,
    pub verdict: Verdict,
    /// What the ladder wanted, when the safety held it back.
    pub held_back: Option<Action>,
    /// Only for what reached a rung.
    pub explanation: Option<Box<Explanation>>,
}

/// How rare a request is by each witness, and what is known of its caller. Of usual requests, the share whose
/// [`Witnesses::rarity`] is at most `p` is at most `p` (Bonferroni), however the three hang together.
#[derive(Clone, Copy, Debug)]
struct Witnesses {
    /// What is known before anything is forwarded.
    arrival: f32,
    /// What came of the caller's last requests.
    running: f32,
    /// What the caller did in the last whole window.
    window: f32,
}

impl Witnesses {
    fn rarity(self) -> f32 {
        (2.0 * self.arrival).min(4.0 * self.running).min(4.0 * self.window).min(1.0)
    }
}

impl Watch {
    #[must_use]
    pub fn new(route: Arc<str>, sample: reservoir::Settings, seed: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        (&route, seed).hash(&mut hasher);
        Self {
            number: hasher.finish(),
            route,
            model: ArcSwapOption::empty(),
            shadow: ArcSwapOption::empty(),
            reservoir: Mutex::new(Reservoir::new(sample, seed)),
            drift: Mutex::default(),
            shifts: Mutex::new(Shifts::new(seed)),
        }
    }

    /// Scores a request and says what is to be done with it. Allocates only for what is unusual.
    pub fn arrive(
        &self,
        shared: &Shared,
        ladder: &Ladder,
        arrival: &Arrival<'_>,
        issued_at: Option<Duration>,
    ) -> Arrived {
        shared.safety.earn();
        let place = Place { route: self.number, caller: arrival.caller };
        let mut row = Row::default();
        let target = row.read(arrival);
        let look = |profile: &mut Profile| {
            profile.meet(arrival, &target, &mut row);
            (profile.standing, profile.running.rarity(), profile.counts.rarity)
        };
        let (standing, running, window) = shared.profiles.with(place, look);
        let judge = |model: &Model| model.arrival.judge(row.arrival());
        let own = self.model.load();
        let fallback = own.is_none().then(|| shared.fallback.load());
        let model = own.as_ref().or_else(|| fallback.as_ref()?.as_ref());
        let judged = model.map(|model| judge(model));
        let shadow = self.shadow.load().as_ref().map(|model| judge(model));
        let witnesses = judged.map(|judged| Witnesses { arrival: judged.rarity, running, window });
        let rarity = witnesses.map_or(1.0, Witnesses::rarity);
        if let Some(judged) = judged
            && let Some(mut drift) = unless_taken(&self.drift)
        {
            drift.note(judged.rarity);
        }
        let mut arrived = Arrived {
            place,
            row,
            wall: arrival.wall,
            judged,
            shadow,
            verdict: Verdict { action: Action::Observe, rarity, wait: None, since: None },
            held_back: None,
            explanation: None,
        };
        let is_alert = ladder.rungs.iter().any(|(_, share)| rarity <= *share);
        if is_alert || standing != Standing::default() {
            let moment = (arrival.at, arrival.wall);
            arrived.verdict =
                shared.profiles.with(place, |profile| profile.standing.judge(ladder, rarity, moment, issued_at));
            arrived.hold_back(&shared.safety);
        }
        if is_alert && let (Some(model), Some(witnesses)) = (model, witnesses) {
            arrived.explanation = Some(Box::new(explain(model, &arrived.row, witnesses)));
        }
        arrived
    }

    /// Learns from what came of it.
    pub fn leave(&self, shared: &Shared, arrived: &mut Arrived, outcome: &Outcome) {
        let row = &mut arrived.row;
        shared.profiles.with(arrived.place, |profile| profile.leave(outcome, row));
        let own = self.model.load();
        let fallback = own.is_none().then(|| shared.fallback.load());
        if let Some(model) = own.as_ref().or_else(|| fallback.as_ref()?.as_ref()) {
            let judged = model.outcome.judge(row.outcome());
            shared.profiles.with(arrived.place, |profile| profile.running.note(judged.rarity));
        }
        // Whoever comes while another thread learns is left out: a sample is all that is wanted.
        if let Some(mut reservoir) = unless_taken(&self.reservoir) {
            reservoir.offer(arrived.place.caller, arrived.wall, row);
        }
    }

    /// Ends the window of a caller of this route: judges and learns it.
    pub fn close_window(&self, profile: &mut Profile) {
        let counts = profile.close_window();
        let mut shifts = lock(&self.shifts);
        profile.counts.rarity = shifts.window(&counts, &mut profile.usual_window).unwrap_or(1.0);
    }
}

impl Arrived {
    /// Lets pass what would be refused beyond the share of all requests that may be.
    fn hold_back(&mut self, safety: &Safety) {
        if self.verdict.refuses() && !safety.spend() {
            self.held_back = Some(self.verdict.action);
            self.verdict = Verdict { action: Action::Tag, wait: None, since: None, ..self.verdict };
        }
    }
}

/// What tells against the request, the strongest first: its own features, what came of those before it, the last window.
fn explain(model: &Model, row: &Row, witnesses: Witnesses) -> Explanation {
    let mut explanation = Explanation::of(model, row);
    let rarity = witnesses.rarity();
    let decisive = |of: f32| of * 4.0 <= rarity;
    if decisive(witnesses.window) {
        explanation.put_first("window", "what this caller did in the last 10 s, above its usual");
    }
    if decisive(witnesses.running) {
        explanation.put_first("running", "what came of this caller's last requests");
    }
    explanation
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unless_taken<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
