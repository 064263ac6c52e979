//! `sluice anomaly explain`: one request of the access log, and what each feature has to do with it.

mod features;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::super::{Common, Failure, Format, print, print_json, tell};
use super::chosen::{self, Written, told};
use super::log::{Fate, Log, Request, named};
use super::replay::{MISSING, Step, replay};
use super::words::{counted, foreign, line, moment, rarity};
use crate::anomaly::explanation::Explanation;
use crate::anomaly::features::When;
use crate::anomaly::model::Judgement;
use crate::anomaly::watch::{Witnesses, explain};
use crate::anomaly::{Model, Row};
use crate::config::checked::AccessLogTarget;

#[derive(Args)]
pub(super) struct Explain {
    /// As the answer and the access log have it
    #[arg(value_name = "REQUEST_ID")]
    id: String,
    /// Access log; may be repeated [default: the file that the bootstrap file names]
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// A version of the folder, or a file [default: the model that judges the route]
    #[arg(long, value_name = "VERSION|FILE")]
    model: Option<String>,
    /// Where the models are [default: what the bootstrap file says]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// What a model says of a request, of which everything is known that a log tells.
struct Explained<'e> {
    request: &'e Request,
    model: &'e Model,
    /// Requests of its caller on its route before it.
    before: usize,
    row: Row,
    arrival: Judgement,
    outcome: Option<Judgement>,
    witnesses: Witnesses,
    why: Explanation,
}

impl Explain {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let written = Written::read(common)?;
        let files = self.files(&written)?;
        let found = Log::read(&files, |request| *request.id == *self.id)?;
        let Some(request) = found.requests.last() else {
            return Err(Failure::found(format!("there is no request `{}` in {}", self.id, named(&files))));
        };
        if found.requests.len() > 1 {
            tell(&format!("warning: {} requests have this id; this is the last\n", found.requests.len()));
        }
        self.judge(request)?;
        let model = written.model(self.model.as_deref(), Some(&request.route), self.folder.as_deref())?;
        let log = Log::quietly(&files, |other| {
            other.caller == request.caller && other.route == request.route && other.time <= request.time
        })?;
        let explained = explained(&log.requests, request, &model, written.bootstrap.anomaly.callers);
        let explained = explained.ok_or_else(|| Failure::found("the log has changed meanwhile; try again"))?;
        match common.format {
            Format::Json => print_json(&explained.to_json()),
            Format::Human => print(&explained.to_text()),
        }
    }

    fn files(&self, written: &Written) -> Result<Vec<PathBuf>, Failure> {
        if self.from.iter().any(|path| path == Path::new("-")) {
            return Err(Failure::found("the log is read twice, so it has to be a file"));
        }
        match &written.bootstrap.access_log.target {
            _ if !self.from.is_empty() => Ok(self.from.clone()),
            AccessLogTarget::File(path) => Ok(vec![path.clone()]),
            AccessLogTarget::Off | AccessLogTarget::Stdout => Err(Failure::found(
                "the bootstrap file names no file as `access_log.target`; name the access log with --from",
            )),
        }
    }

    /// Only what a check could have seen can be explained.
    fn judge(&self, request: &Request) -> Result<(), Failure> {
        let id = &self.id;
        if request.route.is_empty() {
            return Err(Failure::found(format!("request `{id}` has no route, so no check has seen it")));
        }
        if request.fate == Fate::Unseen {
            return Err(Failure::found(format!(
                "request `{id}` was refused with {} before any check of route `{}` saw it",
                request.status, request.route
            )));
        }
        Ok(())
    }
}

fn explained<'e>(
    requests: &[Request],
    request: &'e Request,
    model: &'e Model,
    callers: usize,
) -> Option<Explained<'e>> {
    let (mut explained, mut before) = (None, 0);
    replay(requests, callers, Some(model), |step| match step {
        Step::Arrived(one, row, running) if one == request => {
            let arrival = model.arrival.judge(row.arrival());
            let witnesses = Witnesses { arrival: arrival.rarity, running, window: 1.0 };
            let (row, why) = (row.clone(), explain(model, row, witnesses, witnesses.rarity().all));
            explained = Some(Explained { request, model, before, row, arrival, outcome: None, witnesses, why });
        }
        Step::Arrived(..) => before += 1,
        Step::Left(one, row) if one == request => {
            if let Some(explained) = &mut explained {
                explained.row = row.clone();
                explained.outcome = Some(model.outcome.judge(row.outcome()));
            }
        }
        Step::Left(..) => {}
    });
    explained
}

impl Explained<'_> {
    fn to_text(&self) -> String {
        let Self { request, arrival, witnesses, .. } = self;
        let mut out = String::new();
        line(&mut out, "request", &summary(request));
        line(&mut out, "model", &told(self.model));
        if let Some(said) = &request.said {
            let action = if said.action.is_empty() { String::new() } else { format!(", {}", foreign(&said.action)) };
            line(&mut out, "logged", &format!("score {:.3}, rarity {}{action}", said.score, rarity(said.rarity)));
            said.why.iter().for_each(|why| line(&mut out, "", &foreign(why)));
        }
        line(&mut out, "rarity", &rarity(witnesses.rarity().all));
        line(&mut out, "  arrival", &format!("{}, score {:.3}", rarity(arrival.rarity), arrival.score));
        let before = counted(self.before as u64, "request");
        let before = format!("{}, what came of {before} of this caller before", rarity(witnesses.running));
        line(&mut out, "  earlier", &before);
        for (at, because) in self.why.reasons.iter().enumerate() {
            let label = if at == 0 { "why" } else { "" };
            line(&mut out, label, &format!("{}. {}: {}", at + 1, because.feature, because.text));
        }
        features::tell("features", &self.arrival_shares(), &mut out);
        if let Some(outcome) = self.outcome {
            let text = format!(
                "rarity {}, score {:.3}: judges the caller's next requests",
                rarity(outcome.rarity),
                outcome.score
            );
            line(&mut out, "outcome", &text);
            features::tell("", &self.outcome_shares(), &mut out);
        }
        line(&mut out, "not logged", &MISSING.join(", "));
        out
    }

    fn to_json(&self) -> Value {
        let Self { request, arrival, witnesses, .. } = self;
        let because =
            self.why.reasons.iter().map(|because| json!({ "feature": because.feature, "text": &*because.text }));
        let said = request.said.as_ref().map(|said| {
            let action = Some(&*said.action).filter(|action| !action.is_empty());
            json!({ "score": said.score, "rarity": said.rarity, "action": action, "why": said.why })
        });
        json!({
            "request": {
                "request_id": &*request.id,
                "time": moment(request.time),
                "method": request.method.as_str(),
                "path": &*request.path,
                "route": &*request.route,
                "status": request.status,
                "caller": Some(&*request.who).filter(|who| !who.is_empty()),
                "client": request.client.to_string(),
            },
            "model": chosen::to_json(&self.model.about()),
            "logged": said,
            "rarity": witnesses.rarity().all,
            "arrival": {
                "score": arrival.score,
                "rarity": arrival.rarity,
                "features": features::to_json(&self.arrival_shares()),
            },
            "earlier": { "rarity": witnesses.running, "requests": self.before },
            "outcome": self.outcome.map(|outcome| json!({
                "score": outcome.score,
                "rarity": outcome.rarity,
                "features": features::to_json(&self.outcome_shares()),
            })),
            "why": because.collect::<Vec<_>>(),
            "not_logged": MISSING,
        })
    }

    fn arrival_shares(&self) -> Vec<features::Share> {
        features::shares(&self.model.arrival, When::Arrival, self.row.arrival())
    }

    fn outcome_shares(&self) -> Vec<features::Share> {
        features::shares(&self.model.outcome, When::Outcome, self.row.outcome())
    }
}

fn summary(request: &Request) -> String {
    let Request { id, time, method, path, status, client, who, route, .. } = request;
    let by = if who.is_empty() { "a caller that nobody knows".to_owned() } else { foreign(who) };
    format!(
        "{} at {}: {method} {} {status} on route {}, by {by} from {client}",
        foreign(id),
        moment(*time),
        foreign(path),
        foreign(route)
    )
}
