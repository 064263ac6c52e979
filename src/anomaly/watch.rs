//! One route under watch: models, what is learned, and what follows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::explanation::Explanation;
use super::features::{Arrival, Outcome, Row};
use super::ladder::{Action, Ladder, Rarity, Safety, Standing, Verdict, rung};
use super::model::{Judgement, Model};
use super::profile::{Met, Place, Profile, Profiles};
use super::reservoir::{self, Reservoir};
use super::running::Common;
use super::shift::Shifts;
use super::training::Drift;

/// What all routes share, as long as the process.
#[derive(Debug)]
pub struct Shared {
    pub profiles: Profiles,
    /// For routes without a model of their own.
    pub fallback: ArcSwapOption<Model>,
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
    pub safety: Safety,
    pub reservoir: Mutex<Reservoir>,
    pub drift: Mutex<Drift>,
    pub shifts: Mutex<Shifts>,
    /// What comes of the requests of all callers.
    common: Mutex<Common>,
    /// Its [`Common::excess`], as bits of an `f32`.
    excess: AtomicU32,
}

/// A request between its arrival and its end.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub place: Place,
    pub row: Row,
    pub met: Met,
    /// Since 1970 UTC.
    pub wall: Duration,
    /// `None` as long as there is no model: not enough data.
    pub judged: Option<Judgement>,
    pub shadow: Option<Judgement>,
    pub verdict: Verdict,
    /// What the ladder wanted, when the safety held it back.
    pub held_back: Option<Action>,
    /// Only for what reached a rung, or whose caller is held.
    pub explanation: Option<Box<Explanation>>,
}

/// How rare a request is by each witness. Of what each says of usual requests, requests of usual callers and usual windows, at most
/// a share `p` is as rare as `p`; so of all three together, weighted so, at most a share `p` is as well (Bonferroni), however they hang together.
#[derive(Clone, Copy, Debug)]
pub struct Witnesses {
    /// What is known before anything is forwarded.
    pub arrival: f32,
    /// What came of the caller's last requests.
    pub running: f32,
    /// What the caller did in the last whole window.
    pub window: f32,
}

impl Witnesses {
    const NONE: Self = Self::arrival(1.0);

    /// Of a request about which nothing else is known.
    #[must_use]
    pub const fn arrival(arrival: f32) -> Self {
        Self { arrival, running: 1.0, window: 1.0 }
    }

    /// What a ladder is asked with.
    #[must_use]
    pub fn rarity(self) -> Rarity {
        let own = (2.0 * self.arrival).min(1.0);
        Rarity { all: own.min(4.0 * self.running).min(4.0 * self.window), own }
    }
}

impl Watch {
    #[must_use]
    pub fn new(route: Arc<str>, sample: reservoir::Settings, max_blocked: f32, seed: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        (&route, seed).hash(&mut hasher);
        Self {
            number: hasher.finish(),
            route,
            model: ArcSwapOption::empty(),
            shadow: ArcSwapOption::empty(),
            safety: Safety::new(max_blocked),
            reservoir: Mutex::new(Reservoir::new(sample, seed)),
            drift: Mutex::default(),
            shifts: Mutex::new(Shifts::new(seed)),
            common: Mutex::default(),
            excess: AtomicU32::new(1_f32.to_bits()),
        }
    }

    /// Scores a request and says what is to be done with it. Allocates only for what is unusual.
    ///
    /// A model of other routes tags at most: what is unusual among theirs may be all that this one is for.
    pub fn arrive(
        &self,
        shared: &Shared,
        ladder: &Ladder,
        arrival: &Arrival<'_>,
        issued_at: Option<Duration>,
    ) -> Arrived {
        self.safety.earn();
        let place = Place { route: self.number, caller: arrival.caller };
        let mut row = Row::default();
        let target = row.read(arrival);
        let excess = self.common_excess();
        let look = |profile: &mut Profile| {
            let met = profile.meet(arrival, &target, &mut row);
            (met, profile.standing, profile.running.rarity(arrival.at, excess), profile.counts.rarity)
        };
        let (met, standing, running, window) = shared.profiles.with(place, look);
        let own = self.model.load();
        let fallback = own.is_none().then(|| shared.fallback.load());
        let model = own.as_ref().or_else(|| fallback.as_ref()?.as_ref());
        let judged = model.map(|model| model.arrival.judge(row.arrival()));
        let shadow = self.shadow.load().as_ref().map(|model| model.arrival.judge(row.arrival()));
        let witnesses = judged.map_or(Witnesses::NONE, |judged| Witnesses {
            arrival: judged.rarity,
            running: self.common_share(running),
            window,
        });
        let rarity = witnesses.rarity();
        if let (Some(judged), Some(mut drift)) = (judged, unless_taken(&self.drift)) {
            drift.note(judged.rarity);
        }
        let reached = rung(ladder, rarity);
        let passes = Verdict { action: Action::Observe, rarity: rarity.all, wait: None, since: None };
        let mut arrived = Arrived {
            place,
            row,
            met,
            wall: arrival.wall,
            judged,
            shadow,
            verdict: passes,
            held_back: None,
            explanation: None,
        };
        if own.is_none() {
            arrived.verdict.action = reached.min(Action::Tag);
        } else if reached > Action::Observe || standing != Standing::default() {
            let moment = (arrival.at, arrival.wall);
            shared.profiles.again(place, |profile| {
                arrived.verdict = profile.standing.judge(ladder, rarity, moment, issued_at);
                if arrived.verdict.refuses() && !self.safety.spend(profile.harm()) {
                    arrived.held_back = Some(arrived.verdict.action);
                    arrived.verdict = Verdict { action: Action::Tag, ..passes };
                }
                profile.counts.refused += u32::from(arrived.verdict.refuses());
            });
        }
        let mildest = ladder.rungs.first().map_or(0.0, |(_, share)| *share);
        let is_alert = rarity.all <= mildest;
        if let Some(model) = model.filter(|_| is_alert) {
            arrived.explanation = Some(Box::new(explain(model, &arrived.row, witnesses, mildest)));
        }
        if arrived.held_back.unwrap_or(arrived.verdict.action) > reached.max(Action::Tag) {
            arrived.explanation.get_or_insert_default().put_first_of_hold();
        }
        arrived
    }

    /// Learns from what came of a request. Who is refused teaches nothing; what passes does, also when only the safety lets it, or else a model that is wrong
    /// would stay so. What an upstream failed in is not held against anybody.
    pub fn leave(&self, shared: &Shared, arrived: &mut Arrived, outcome: &Outcome) {
        if arrived.verdict.refuses() || outcome.is_failure {
            return;
        }
        let row = &mut arrived.row;
        shared.profiles.again(arrived.place, |profile| {
            profile.answer(outcome, row);
            profile.learn(&arrived.met, row);
        });
        let own = self.model.load();
        let fallback = own.is_none().then(|| shared.fallback.load());
        if let Some(model) = own.as_ref().or_else(|| fallback.as_ref()?.as_ref()) {
            let judged = model.outcome.judge(row.outcome());
            let excess = self.common_excess();
            let running = shared.profiles.again(arrived.place, |profile| {
                profile.running.note(judged.rarity, outcome.at, excess);
                profile.running
            });
            if let Some(mut common) = unless_taken(&self.common) {
                common.note(arrived.place.caller, &running, outcome.at);
                self.excess.store(common.excess().to_bits(), Ordering::Relaxed);
            }
        }
        // Whoever comes while another thread learns is left out: a sample is all that is wanted.
        if let Some(mut reservoir) = unless_taken(&self.reservoir) {
            reservoir.offer(arrived.place.caller, arrived.wall, row);
        }
    }

    /// [`Common::excess`].
    #[must_use]
    pub fn common_excess(&self) -> f32 {
        f32::from_bits(self.excess.load(Ordering::Relaxed))
    }

    /// [`Common::share`].
    #[must_use]
    pub fn common_share(&self, running: f32) -> f32 {
        // A fourth of the largest share that a rung may have.
        if running > 0.125 { running } else { lock(&self.common).share(running) }
    }

    /// Ends the window of a caller of this route: judges and learns it.
    pub fn close_window(&self, profile: &mut Profile) {
        let counts = profile.close_window();
        profile.counts.rarity = if counts.requests == 0 {
            // Whoever pauses after a burst comes back to it.
            (2.0 * counts.rarity).min(1.0)
        } else {
            lock(&self.shifts).window(&counts, &mut profile.usual_window).unwrap_or(1.0)
        };
    }
}

/// What tells against the request, the strongest first: the last window, what came of the requests before it, its own features.
#[must_use]
pub fn explain(model: &Model, row: &Row, witnesses: Witnesses, mildest: f32) -> Explanation {
    let mut explanation = Explanation::default();
    if 2.0 * witnesses.arrival <= mildest {
        explanation = Explanation::of(model, row);
    }
    if 4.0 * witnesses.running <= mildest {
        explanation.put_first("running", "what came of this caller's last requests");
    }
    if 4.0 * witnesses.window <= mildest {
        explanation.put_first("window", "what this caller did in the last 10 s, above its usual");
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

#[cfg(test)]
mod tests;
