//! Traffic through the engine, in simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice::anomaly::features::FEATURES;
use sluice::anomaly::features::{Transformation, columns};
use sluice::anomaly::forest::Options;
use sluice::anomaly::ladder::Ladder;
use sluice::anomaly::model::Model;
use sluice::anomaly::profile::{Place, Profiles};
use sluice::anomaly::reservoir::Settings;
use sluice::anomaly::training::train;
use sluice::anomaly::watch::Shared;
use sluice::anomaly::{Action, Arrival, Arrived, Outcome, Row, Watch};

use super::attacks::{self, Incident};
use super::usual::{Label, Request, Traffic, WINDOW};
use super::world::{DAY, HOUR, PARTNERS, ROUTES, partners};

/// Thursday, 2026-11-19, since 1970.
const BEGIN: f64 = 20_776.0 * DAY;

/// Nothing is counted before this: four days, a weekend among them, to learn from.
pub const FROM: f64 = 4.0 * DAY;

/// From when on models are made as often as they usually are.
const STEADY: f64 = FROM - 12.0 * HOUR;

pub const RUNGS: [(Action, f32); 4] =
    [(Action::Tag, 0.02), (Action::Throttle, 0.005), (Action::Challenge, 0.002), (Action::Block, 0.0005)];

#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub seed: u64,
    pub days: f64,
    /// Seconds between two models, once it runs steadily.
    pub retrain: f64,
    pub has_attacks: bool,
    /// Whether the ladder does anything.
    pub refuses: bool,
    pub variant: Variant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    AsShipped,
    /// Models that know nothing of what is usual for a caller.
    WithoutZScores,
    /// Made of all rows, nothing trimmed, by cuts of so many columns beyond the first.
    Untrimmed(u16),
}

/// What the engine said about a request.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub at: f64,
    pub partner: usize,
    pub route: usize,
    pub label: Label,
    /// Comes while its caller is attacked on this route, or soon after.
    pub is_beside: bool,
    pub score: f32,
    pub rarity: f32,
    /// Of the three witnesses, as the watch weighs them.
    pub witnesses: [f32; 3],
    pub refused: Option<Action>,
    pub is_held_back: bool,
}

pub struct Run {
    pub judged: Vec<Judged>,
    pub incidents: Vec<Incident>,
    /// Some usual requests of the last day, for whoever measures times; with the engine as it is at the end.
    pub last: Vec<Request>,
    pub engine: Engine,
}

pub struct Engine {
    pub shared: Shared,
    pub watches: Vec<Watch>,
    pub ladder: Ladder,
}

impl Engine {
    fn new(setup: &Setup) -> Self {
        let sample = Settings { capacity: 16_384, half_life: Duration::from_secs(86_400), share: 0.1 };
        let shared = Shared { profiles: Profiles::new(100_000), fallback: arc_swap::ArcSwapOption::empty() };
        let watches =
            (0_u64..).zip(ROUTES).map(|(at, name)| Watch::new(name.into(), sample, 0.01, setup.seed + at)).collect();
        let ladder = Ladder {
            rungs: if setup.refuses { RUNGS.to_vec() } else { vec![(Action::Tag, RUNGS[0].1)] },
            cool_down: Duration::from_secs(300),
            throttle: Duration::from_secs(1),
        };
        Self { shared, watches, ladder }
    }

    pub fn arrive(&self, request: &Request, token_age: f64) -> Arrived {
        let wall = Duration::from_secs_f64(BEGIN + request.at);
        let arrival = Arrival {
            at: Duration::from_secs_f64(request.at),
            wall,
            method: &request.method,
            path: &request.path,
            query: request.query.as_deref(),
            fields: request.fields,
            content_type: request.content_type,
            body: Some(request.body),
            caller: caller(request.partner),
            network: request.network,
            token_age: Some(Duration::from_secs_f64(token_age)),
        };
        let issued_at = Duration::from_secs_f64(BEGIN + request.at - token_age);
        self.watches[request.route].arrive(&self.shared, &self.ladder, &arrival, Some(issued_at))
    }

    pub fn leave(&self, request: &Request, arrived: &mut Arrived) {
        self.watches[request.route].leave(&self.shared, arrived, &outcome(request));
    }

    fn close_windows(&self) {
        for watch in &self.watches {
            for partner in 0..=PARTNERS {
                let place = Place { route: watch.number, caller: caller(partner) };
                self.shared.profiles.with(place, |profile| watch.close_window(profile));
            }
        }
    }

    fn train(&self, variant: Variant, at: f64) {
        for watch in &self.watches {
            let mut rows = watch.reservoir.lock().map(|reservoir| reservoir.rows()).unwrap_or_default();
            if rows.len() < 2_000 {
                continue;
            }
            if variant == Variant::WithoutZScores {
                rows.iter_mut().for_each(|seen| forget_usual(&mut seen.row));
            }
            let before = watch.model.load_full();
            let now = Duration::from_secs_f64(BEGIN + at);
            let route = Some(Arc::clone(&watch.route));
            let model = match variant {
                Variant::Untrimmed(extension) => {
                    Model::make_by(Options { extension, ..Options::default() }, route, &rows, now)
                }
                _ => train(route, rows, before.as_deref(), now),
            };
            if let Some(model) = model {
                watch.model.store(Some(Arc::new(model)));
            }
        }
    }
}

/// No partner is the caller that nobody knows.
fn caller(partner: usize) -> u64 {
    (partner as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn outcome(request: &Request) -> Outcome {
    Outcome {
        at: Duration::from_secs_f64(request.at + request.duration),
        duration: Duration::from_secs_f64(request.duration),
        status: request.status,
        request_bytes: request.body,
        response_bytes: request.response_bytes,
        is_failure: request.status >= 500,
    }
}

/// A column that is always missing cuts nothing.
fn forget_usual(row: &mut Row) {
    let of_callers = FEATURES.iter().filter(|feature| feature.transformation == Transformation::ZScore);
    for column in of_callers.flat_map(|feature| columns(feature.name)) {
        row.0[column] = f32::NAN;
    }
}

pub fn run(setup: Setup) -> Run {
    let mut traffic = Traffic::new(partners(setup.seed), setup.seed);
    let mut attackers = Traffic::new(partners(setup.seed), setup.seed).beside(!setup.seed);
    let end = setup.days * DAY;
    let incidents = if setup.has_attacks { attacks::plan(&traffic, (FROM, end), setup.seed) } else { Vec::new() };
    let mut to_come: Vec<usize> = (0..incidents.len()).collect();
    let mut run = Run { judged: Vec::new(), incidents, last: Vec::new(), engine: Engine::new(&setup) };
    let mut waiting: Vec<Request> = Vec::new();
    let mut open: BTreeMap<(u64, usize), (Request, Arrived)> = BTreeMap::new();
    // When a partner last got new tokens because it was asked to.
    let mut renewed = [f64::NEG_INFINITY; PARTNERS + 1];
    let (mut from, mut trained, mut number) = (0.0, 0.0, 0);
    while from < end {
        let until = from + WINDOW;
        traffic.window(from, &mut waiting);
        to_come.retain(|at| {
            let begins = run.incidents[*at].start < until;
            if begins {
                waiting.extend(run.incidents[*at].requests(*at, &mut attackers));
            }
            !begins
        });
        let (mut now, later): (Vec<Request>, Vec<Request>) = waiting.into_iter().partition(|one| one.at < until);
        waiting = later;
        now.sort_by(|a, b| a.at.total_cmp(&b.at));
        for request in now {
            leave_until(&run.engine, &mut open, request.at);
            number += 1;
            if request.at >= end - DAY && request.label == Label::Usual && run.last.len() < 100_000 {
                run.last.push(request.clone());
            }
            let place = Place { route: run.engine.watches[request.route].number, caller: caller(request.partner) };
            let at = Duration::from_secs_f64(request.at);
            let watch = &run.engine.watches[request.route];
            let excess = watch.common_excess();
            let [running, window] =
                run.engine.shared.profiles.with(place, |profile| {
                    [watch.common_share(profile.running.rarity(at, excess)), profile.counts.rarity]
                });
            let is_attack = matches!(request.label, Label::Attack(_));
            let since = if is_attack { f64::INFINITY } else { request.at - renewed[request.partner] };
            let arrived = run.engine.arrive(&request, request.token_age.min(since));
            let verdict = &arrived.verdict;
            if verdict.since.is_some() && !is_attack {
                renewed[request.partner] = request.at;
            }
            let is_refused = verdict.action == Action::Block || verdict.wait.is_some() || verdict.since.is_some();
            if let Some(judged) = arrived.judged.filter(|_| request.at >= FROM) {
                let is_beside = !is_attack
                    && run.incidents.iter().any(|one| one.is_beside(request.partner, request.route, request.at));
                run.judged.push(Judged {
                    at: request.at,
                    partner: request.partner,
                    route: request.route,
                    label: request.label,
                    is_beside,
                    score: judged.score,
                    rarity: verdict.rarity,
                    witnesses: [2.0 * judged.rarity, 4.0 * running, 4.0 * window],
                    refused: is_refused.then_some(verdict.action),
                    is_held_back: arrived.held_back.is_some(),
                });
            }
            if !is_refused {
                let end = Duration::from_secs_f64(request.at + request.duration).as_nanos() as u64;
                open.insert((end, number), (request, arrived));
            }
        }
        leave_until(&run.engine, &mut open, until);
        run.engine.close_windows();
        from = until;
        let every = if from < STEADY { 6.0 * HOUR } else { setup.retrain };
        if from - trained >= every {
            trained = from;
            run.engine.train(setup.variant, from);
        }
    }
    run
}

fn leave_until(engine: &Engine, open: &mut BTreeMap<(u64, usize), (Request, Arrived)>, at: f64) {
    let until = Duration::from_secs_f64(at).as_nanos() as u64;
    while let Some(first) = open.first_entry().filter(|first| first.key().0 <= until) {
        let (request, mut arrived) = first.remove();
        engine.leave(&request, &mut arrived);
    }
}
