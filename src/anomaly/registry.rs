//! What outlives every snapshot: routes under watch by their names, models, and when they are made anew.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use self::models::Models;
use super::model::folder::{self, Folder};
use super::model::{About, Model, Seen};
use super::profile::Profiles;
use super::reservoir;
use super::training::{Drift, Requests, Schedule, train};
use super::watch::{Shared, Watch};
use crate::base::clock;
use crate::config::checked::anomaly::{AnomalyPolicy, AnomalySettings, MAX_ROWS};

/// Callers that whoever serves nobody has.
const FEW: usize = 1_024;

/// One for a process. Everything in it may be called from any thread; training blocks its caller and nobody else.
#[derive(Debug)]
pub struct Registry {
    pub shared: Shared,
    settings: ArcSwap<AnomalySettings>,
    models: Models,
    watched: Mutex<BTreeMap<Arc<str>, Watched>>,
    fallback: Mutex<Attempts>,
    /// Held while models are made, so that none is made twice.
    training: Mutex<()>,
}

#[derive(Debug)]
struct Watched {
    /// Held by the snapshots that have the route.
    watch: Weak<Watch>,
    attempts: Attempts,
    pins: Pins,
}

/// The models that a policy names.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    model: Option<Arc<Model>>,
    shadow: Option<Arc<Model>>,
}

impl Pins {
    fn versions(&self) -> impl Iterator<Item = Arc<str>> {
        [&self.model, &self.shadow].into_iter().flatten().map(|model| Arc::clone(&model.version))
    }
}

/// What came of an attempt to make a model.
#[derive(Debug)]
pub struct Trained {
    /// `None` is the model for routes that have none of their own.
    pub route: Option<Arc<str>>,
    pub took: Duration,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub enum Outcome {
    Made(Arc<Model>),
    /// It judges, and a restart loses it.
    Unsaved(Arc<Model>, folder::Error),
    /// What was left of the rows was not enough.
    TooFew,
}

/// What is known of a route beside its model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// Requests that are kept to learn from.
    pub rows: usize,
    /// Requests that were learned from since the route is under watch, kept or not, and how many of them a model needs.
    pub seen: u64,
    pub needed: usize,
    pub drift: Option<f32>,
}

/// When a model was last made, or tried.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    /// Since 1970 UTC.
    last: Option<Duration>,
    /// Requests that had been seen by then.
    seen: u64,
}

impl Attempts {
    fn requests(self, seen: u64) -> Requests {
        // Fewer when routes have gone since.
        Requests { seen, new: seen.checked_sub(self.seen).unwrap_or(seen) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For whoever decides without serving: nothing is kept, and every version that is pinned counts as there.
impl Default for Registry {
    fn default() -> Self {
        Self::new(Models { folder: None, is_detached: true, kept: Mutex::default() }, FEW)
    }
}

impl Registry {
    /// Reads what the folder has. Files that cannot be read, or are of the future, are told and left where they are.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn open(folder: Option<&Path>, callers: usize) -> Result<(Self, Vec<folder::Error>), folder::Error> {
        let folder = folder.map(Folder::open).transpose()?;
        let (models, damaged) =
            folder.as_ref().map(|folder| folder.load_current(clock::since_epoch())).unwrap_or_default();
        let registry = Self::new(Models { folder, is_detached: false, kept: Mutex::new(models) }, callers);
        let fallback = registry.models.newest(None);
        lock(&registry.fallback).last = fallback.as_ref().map(|model| model.made_at);
        registry.shared.fallback.store(fallback);
        Ok((registry, damaged))
    }

    fn new(models: Models, callers: usize) -> Self {
        let settings = AnomalySettings::default();
        Self {
            shared: Shared { profiles: Profiles::new(callers), fallback: ArcSwapOption::empty() },
            settings: ArcSwap::from_pointee(settings),
            models,
            watched: Mutex::default(),
            fallback: Mutex::default(),
            training: Mutex::default(),
        }
    }

    #[must_use]
    pub fn settings(&self) -> Arc<AnomalySettings> {
        self.settings.load_full()
    }

    /// What holds from now on. What was seen stays, and counts as the new settings say.
    pub fn configure(&self, settings: &AnomalySettings) {
        self.settings.store(Arc::new(settings.clone()));
        let sample = sample(settings);
        for watch in self.watches() {
            watch.safety.set_share(settings.max_blocked);
            let mut reservoir = lock(&watch.reservoir);
            if reservoir.settings() != sample {
                *reservoir = reservoir.refitted(sample, fastrand::u64(..));
            }
        }
    }

    /// The watch of a route, the one that is there as long as some snapshot has it, and the models that the policy names. Changes nothing:
    /// what a reload comes to is open, and what runs meanwhile judges as it did.
    ///
    /// # Errors
    ///
    /// A model that is pinned is not there: such a route has to be closed, not left without checks.
    pub fn find(&self, route: &Arc<str>, policy: &AnomalyPolicy) -> Result<(Arc<Watch>, Pins), String> {
        let pinned = |key: &str, version: &Option<Arc<str>>| match version {
            Some(version) => {
                self.judging(version).map_or_else(|| self.models.pinned(route, key, version), |model| Ok(Some(model)))
            }
            None => Ok(None),
        };
        let pins = Pins { model: pinned("model", &policy.model)?, shadow: pinned("shadow", &policy.shadow)? };
        let watch = self.running(route).unwrap_or_else(|| {
            let settings = self.settings();
            Arc::new(Watch::new(Arc::clone(route), sample(&settings), settings.max_blocked, fastrand::u64(..)))
        });
        Ok((watch, pins))
    }

    /// The watch of a route that somebody has.
    #[must_use]
    pub fn running(&self, route: &str) -> Option<Arc<Watch>> {
        lock(&self.watched).get(route).and_then(|one| one.watch.upgrade())
    }

    /// What judges, or accompanies, some route right now, whatever has become of its file: another gateway with the same folder, and without the
    /// pin, may have removed it.
    fn judging(&self, version: &str) -> Option<Arc<Model>> {
        let watched = lock(&self.watched);
        let watches = watched.values().filter_map(|one| one.watch.upgrade());
        let mut models = watches.flat_map(|watch| [watch.model.load_full(), watch.shadow.load_full()]).flatten();
        models.find(|model| *model.version == *version)
    }

    /// From now on a route is judged by what its policy names, or by its newest model.
    pub fn judge(&self, watch: &Arc<Watch>, pins: &Pins) {
        let mut watched = lock(&self.watched);
        let newest = self.models.newest(Some(&watch.route));
        let running = watched.get(&watch.route).filter(|one| one.watch.as_ptr() == Arc::as_ptr(watch));
        let attempts = running.map_or_else(
            || Attempts { last: newest.as_ref().map(|model| model.made_at), seen: 0 },
            |running| running.attempts,
        );
        judge_by(watch, pins.model.clone().or(newest));
        watch.shadow.store(pins.shadow.clone());
        let one = Watched { watch: Arc::downgrade(watch), attempts, pins: pins.clone() };
        watched.insert(Arc::clone(&watch.route), one);
    }

    /// What is known of a route under watch.
    #[must_use]
    pub fn numbers(&self, watch: &Watch) -> Numbers {
        let (rows, seen) = {
            let reservoir = lock(&watch.reservoir);
            (reservoir.len(), reservoir.offered())
        };
        Numbers { rows, seen, needed: self.settings.load().warm_up, drift: lock(&watch.drift).index() }
    }

    /// All models that can be pinned, the newest first. Reads the folder, if there is one.
    #[must_use]
    pub fn models(&self) -> Vec<About> {
        match &self.models.folder {
            Some(folder) => folder.list(clock::since_epoch()).0,
            None => lock(&self.models.kept).iter().map(|model| model.about()).collect(),
        }
    }

    /// Ends a window of every caller: what it did is held against what it usually does. To be called at even intervals; visits every profile.
    pub fn close_windows(&self) {
        let watches: HashMap<u64, Arc<Watch>> = self.watches().into_iter().map(|watch| (watch.number, watch)).collect();
        self.shared.profiles.each(|place, profile| {
            if let Some(watch) = watches.get(&place.route) {
                watch.close_window(profile);
            }
        });
    }

    /// Makes the models that are due at this time since 1970 UTC. Blocks, for less than a second for each.
    #[must_use]
    pub fn tick(&self, now: Duration) -> Vec<Trained> {
        let AnomalySettings { warm_up, retrain, .. } = **self.settings.load();
        let schedule = Schedule { warm_up, every: retrain };
        self.train(now, None, |requests, last, is_drifting| schedule.is_due(requests, last, now, is_drifting))
    }

    /// Makes models now, of one route or of all; of those that have seen enough requests for one.
    #[must_use]
    pub fn train_now(&self, route: Option<&str>, now: Duration) -> Vec<Trained> {
        let warm_up = self.settings.load().warm_up as u64;
        self.train(now, route, |requests, _, _| requests.seen >= warm_up)
    }

    fn watches(&self) -> Vec<Arc<Watch>> {
        let mut watched = lock(&self.watched);
        watched.retain(|_, one| one.watch.strong_count() > 0);
        watched.values().filter_map(|one| one.watch.upgrade()).collect()
    }

    fn train(
        &self,
        now: Duration,
        only: Option<&str>,
        is_due: impl Fn(Requests, Option<Duration>, bool) -> bool,
    ) -> Vec<Trained> {
        let _one_at_a_time = lock(&self.training);
        let mut trained = Vec::new();
        let mut seen_by_all = 0;
        for watch in self.watches() {
            let attempts = lock(&self.watched).get(&watch.route).map_or(Attempts::default(), |one| one.attempts);
            let seen = lock(&watch.reservoir).offered();
            let is_drifting = lock(&watch.drift).is_alarming();
            seen_by_all += seen;
            if only.is_none_or(|only| *only == *watch.route)
                && is_due(attempts.requests(seen), attempts.last, is_drifting)
            {
                let rows = lock(&watch.reservoir).rows();
                trained.push(self.make(Some(&watch.route), rows, Attempts { last: Some(now), seen }));
            }
        }
        let fallback = *lock(&self.fallback);
        if only.is_none() && is_due(fallback.requests(seen_by_all), fallback.last, false) {
            let rows = self.mixed();
            if !rows.is_empty() {
                trained.push(self.make(None, rows, Attempts { last: Some(now), seen: seen_by_all }));
            }
        }
        trained
    }

    fn make(&self, route: Option<&Arc<str>>, rows: Vec<Seen>, attempts: Attempts) -> Trained {
        let began = clock::now();
        let now = attempts.last.unwrap_or_default();
        let before = self.models.newest(route.map(|route| &**route));
        let model = train(route.cloned(), rows, before.as_deref(), now).map(Arc::new);
        match route {
            None => *lock(&self.fallback) = attempts,
            Some(route) => {
                if let Some(one) = lock(&self.watched).get_mut(route) {
                    one.attempts = attempts;
                }
            }
        }
        let outcome = model.map_or(Outcome::TooFew, |model| match self.adopt(&model) {
            Ok(()) => Outcome::Made(model),
            Err(error) => Outcome::Unsaved(model, error),
        });
        Trained { route: route.cloned(), took: began.elapsed(), outcome }
    }

    /// Lets a new model judge where none is pinned, and keeps it.
    fn adopt(&self, model: &Arc<Model>) -> Result<(), folder::Error> {
        let keep = self.settings.load().keep;
        let pinned: Vec<Arc<str>> = {
            // Whoever asks for the newest meanwhile waits, and gets this one.
            let watched = lock(&self.watched);
            let pinned: Vec<Arc<str>> = watched.values().flat_map(|one| one.pins.versions()).collect();
            let runs = |route: &str| watched.get(route).is_some_and(|one| one.watch.strong_count() > 0);
            self.models.add(model, keep, &pinned, runs);
            match &model.route {
                None => self.shared.fallback.store(Some(Arc::clone(model))),
                Some(route) => {
                    let unpinned = watched.get(route).filter(|one| one.pins.model.is_none());
                    if let Some(watch) = unpinned.and_then(|one| one.watch.upgrade()) {
                        judge_by(&watch, Some(Arc::clone(model)));
                    }
                }
            }
            pinned
        };
        let saved = self.models.folder.as_ref().map(|folder| folder.save(model, keep, &pinned));
        saved.transpose().map(drop)
    }

    /// Of every route as much as of any other, for routes that are new; nothing when there is one route only.
    fn mixed(&self) -> Vec<Seen> {
        let watches = self.watches();
        let used = watches.iter().filter(|watch| !lock(&watch.reservoir).is_empty()).count();
        if used < 2 {
            return Vec::new();
        }
        let each = (MAX_ROWS / used).max(1);
        watches.iter().flat_map(|watch| lock(&watch.reservoir).some(each)).collect()
    }
}

fn judge_by(watch: &Watch, model: Option<Arc<Model>>) {
    let before = watch.model.swap(model.clone());
    if before.map(|model| Arc::clone(&model.version)) != model.as_ref().map(|model| Arc::clone(&model.version)) {
        // The scores of one say nothing about those of another.
        *lock(&watch.drift) = model.map_or_else(Drift::default, |model| Drift::of(&model.arrival.tails));
    }
}

fn sample(settings: &AnomalySettings) -> reservoir::Settings {
    reservoir::Settings { capacity: MAX_ROWS, half_life: settings.half_life, share: settings.caller_share }
}

mod models;
#[cfg(test)]
mod tests;
