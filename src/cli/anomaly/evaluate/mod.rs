//! `sluice anomaly evaluate`: how a model judges an access log.

mod labels;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use self::labels::Labels;
use self::report::Results;
use super::super::{Common, Failure, Format, print, print_json};
use super::From;
use super::chosen::{Written, observing};
use super::log::{Fate, Log, Request};
use super::replay::{Step, replay};
use crate::anomaly::Model;
use crate::anomaly::explanation::Explanation;
use crate::anomaly::training::Drift;
use crate::anomaly::watch::{Witnesses, explain};

/// Requests that are shown with why.
const SHOWN: usize = 20;

#[derive(Args)]
pub(super) struct Evaluate {
    /// A version of the folder, or a file
    #[arg(long, value_name = "VERSION|FILE")]
    model: String,
    /// Requests of this route, judged by its ladder [default: the route of the model]
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    #[command(flatten)]
    log: From,
    /// Ids of requests that were attacks, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Where the models are [default: what the bootstrap file says]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// How a model judges one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged<'r> {
    pub request: &'r Request,
    /// Of the arrival.
    pub score: f32,
    /// What a ladder is asked with, but for windows, which no model knows of.
    pub rarity: f32,
}

impl Evaluate {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let written = Written::read(common)?;
        let model = written.model(Some(&self.model), self.route.as_deref(), self.folder.as_deref())?;
        let route = self.route.as_deref().or(model.route.as_deref()).ok_or_else(|| {
            Failure::found("the model is for routes without one of their own; say with --route which is meant")
        })?;
        let policy = written.policy(route)?;
        let labels = self.labels.as_deref().map(Labels::read).transpose()?;
        let log = Log::read(&self.log.from, |request| *request.route == *route)?;
        let evaluation = evaluate(&log.requests, &model, written.bootstrap.anomaly.callers);
        if evaluation.judged.is_empty() {
            let unseen = log.requests.len();
            return Err(Failure::found(format!(
                "no request of the log was one that a check of route `{route}` sees; {unseen} of it were refused before"
            )));
        }
        let results = Results {
            model: &model,
            route,
            is_written: policy.is_some(),
            ladder: policy.map_or_else(observing, |policy| policy.ladder.clone()),
            unseen: log.requests.iter().filter(|request| request.fate == Fate::Unseen).count(),
            quality: labels.as_ref().map(|labels| labels.against(&evaluation.judged, &log.requests)),
            log: &log,
            evaluation,
        };
        match common.format {
            Format::Json => print_json(&results.to_json()),
            Format::Human => print(&results.to_text()),
        }
    }
}

/// All requests that a check would have seen.
pub(super) struct Evaluation<'r> {
    /// The rarest first.
    pub judged: Vec<Judged<'r>>,
    /// Of the last requests, some thousand.
    pub drift: Option<f32>,
    /// Of the rarest, in the same order.
    pub why: Vec<Explanation>,
}

fn evaluate<'r>(requests: &'r [Request], model: &Model, callers: usize) -> Evaluation<'r> {
    let mut judged: Vec<Judged<'r>> = Vec::with_capacity(requests.len());
    let mut drift = Drift::of(&model.arrival.tails);
    let mut rarest = Rarest::default();
    replay(requests, callers, Some(model), |step| {
        let Step::Arrived(request, row, running) = step else { return };
        let arrival = model.arrival.judge(row.arrival());
        drift.note(arrival.rarity);
        let witnesses = Witnesses { arrival: arrival.rarity, running, window: 1.0 };
        let one = Judged { request, score: arrival.score, rarity: witnesses.rarity().all };
        rarest.offer(one, judged.len(), || explain(model, row, witnesses, witnesses.rarity().all));
        judged.push(one);
    });
    judged.sort_by_key(key);
    Evaluation { judged, drift: drift.index(), why: rarest.0.into_values().collect() }
}

/// Rarer ones are less; of those as rare, those with a higher score. Floats above 0 are in the order of their bits.
pub(super) fn key(judged: &Judged<'_>) -> (u32, u32) {
    (judged.rarity.to_bits(), !judged.score.to_bits())
}

/// Why the rarest requests are rare. Nothing is asked for others.
#[derive(Default)]
struct Rarest(BTreeMap<((u32, u32), usize), Explanation>);

impl Rarest {
    fn offer(&mut self, judged: Judged<'_>, at: usize, why: impl FnOnce() -> Explanation) {
        let key = (key(&judged), at);
        if self.0.len() < SHOWN || self.0.last_key_value().is_some_and(|(last, _)| key < *last) {
            self.0.insert(key, why());
            if self.0.len() > SHOWN {
                self.0.pop_last();
            }
        }
    }
}
