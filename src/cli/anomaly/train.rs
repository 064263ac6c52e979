//! `sluice anomaly train`: a model, made now.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::super::admin::{At, text};
use super::super::{Common, FOUND_ERRORS, Failure, Format, print, print_json};
use super::chosen::{Stored, Written, to_json, told};
use super::log::{Fate, Log, digest};
use super::replay::{Step, replay};
use super::words::{counted, line};
use crate::anomaly::model::folder::Folder;
use crate::anomaly::reservoir::{Reservoir, Settings};
use crate::anomaly::training;
use crate::base::clock;
use crate::config::checked::anomaly::{AnomalySettings, MAX_ROWS};

#[derive(Args)]
pub(super) struct Train {
    /// Of this route; a gateway that runs makes those of all routes without it
    #[arg(long, value_name = "NAME", value_parser = route_name)]
    route: Option<String>,
    /// Access log to learn from, instead of what a gateway has seen; may be repeated, `-` is standard input
    #[arg(long, value_name = "FILE", requires = "route")]
    from: Vec<PathBuf>,
    /// Where the model is written [default: what the bootstrap file says]
    #[arg(long, value_name = "FOLDER", requires = "from")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

impl Train {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        match &self.route {
            Some(route) if !self.from.is_empty() => self.by_log(route, common),
            route => self.by_gateway(route.as_deref(), common),
        }
    }

    fn by_gateway(&self, route: Option<&str>, common: &Common) -> Result<(), Failure> {
        let query = route.map(|route| format!("?route={route}")).unwrap_or_default();
        let answer = self.at.admin(common)?.ask("POST", &format!("/anomaly/train{query}"), None)?;
        let trained = answer["trained"].as_array().map(Vec::as_slice).unwrap_or_default();
        match common.format {
            Format::Json => print_json(&answer)?,
            Format::Human if trained.is_empty() => print("no route has seen enough requests for a model\n")?,
            Format::Human => print(&trained.iter().map(said).collect::<String>())?,
        }
        // Whoever asks for one model wants that one.
        let is_made = !trained.is_empty() && (route.is_none() || trained.iter().all(|one| one["version"].is_string()));
        if is_made { Ok(()) } else { Err(Failure::Told { code: FOUND_ERRORS }) }
    }

    fn by_log(&self, route: &str, common: &Common) -> Result<(), Failure> {
        let written = Written::read(common)?;
        let folder = Folder::open(&written.folder(self.folder.as_deref())?).map_err(Failure::found)?;
        let settings = &written.routes.anomaly;
        let log = Log::read(&self.from, |request| *request.route == *route && request.fate == Fate::Passed)?;
        let seen = log.requests.len();
        if seen < settings.warm_up {
            return Err(Failure::found(format!(
                "not enough data: {} of route `{route}`, and `anomaly.warm_up` wants {}",
                counted(seen as u64, "request"),
                settings.warm_up
            )));
        }
        let sample = sample(&log, route, settings, written.bootstrap.anomaly.callers);
        let before = Stored::of(folder.path())?.newest(Some(route))?;
        let model = training::train(Some(Arc::from(route)), sample.rows(), before.as_deref(), clock::since_epoch());
        let model = model.ok_or_else(|| Failure::found("too little is left without what is rarest"))?;
        // A gateway may judge by any of the others; it removes what it does not need when it makes its next.
        let path = folder.save(&model, usize::MAX, &[]).map_err(Failure::found)?;
        match common.format {
            Format::Json => {
                let mut answer = to_json(&model.about());
                answer["path"] = json!(path.display().to_string());
                answer["requests"] = json!(seen);
                answer["log"] = log.to_json();
                print_json(&answer)
            }
            Format::Human => {
                let mut out = String::new();
                line(&mut out, "model", &told(&model));
                line(&mut out, "file", &path.display().to_string());
                let next = "judges from the next start with this folder on, unless `model` of the route pins another; `shadow` only tries it";
                line(&mut out, "next", next);
                print(&out)
            }
        }
    }
}

/// As a gateway would have kept them.
fn sample(log: &Log, route: &str, settings: &AnomalySettings, callers: usize) -> Reservoir {
    let AnomalySettings { half_life, caller_share: share, .. } = *settings;
    let mut reservoir = Reservoir::new(Settings { capacity: MAX_ROWS, half_life, share }, digest(route));
    replay(&log.requests, callers, None, |step| {
        if let Step::Left(request, row) = step {
            reservoir.offer(request.caller, request.time, row);
        }
    });
    reservoir
}

/// It becomes a part of a target.
fn route_name(text: &str) -> Result<String, String> {
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_sound) {
        Ok(text.to_owned())
    } else {
        Err("no route is called that".to_owned())
    }
}

fn said(trained: &Value) -> String {
    let route =
        trained["route"].as_str().map_or_else(|| "routes without one".to_owned(), |route| format!("route {route}"));
    match (text(&trained["result"]), trained["version"].as_str()) {
        ("unsaved", Some(version)) => {
            format!("{version} judges {route}, but could not be written: a restart loses it; the log says why\n")
        }
        (_, Some(version)) => format!("{version} judges {route}\n"),
        _ => format!("no model of {route}: too little is left without what is rarest\n"),
    }
}
