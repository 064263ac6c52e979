//! `sluice anomaly models`: what there is, and what each of them does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::super::admin::{At, text};
use super::super::{Common, Failure, Format, print, print_json};
use super::chosen::{Stored, Written, to_json};
use super::words::table;
use crate::anomaly::model::folder::Error;
use crate::base::timestamp;

#[derive(Args)]
pub(super) struct Models {
    /// Those of a folder, instead of those of a gateway that runs [without a value: of what the bootstrap file says]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<Option<PathBuf>>,
    #[command(flatten)]
    at: At,
}

/// By version: which routes it judges, or accompanies.
#[derive(Default)]
struct Roles {
    judges: BTreeMap<String, Vec<String>>,
    pinned: BTreeMap<String, Vec<String>>,
    shadows: BTreeMap<String, Vec<String>>,
}

impl Models {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let answer = match &self.folder {
            Some(folder) => {
                let written = Written::read(common)?;
                of_folder(&Stored::of(&written.folder(folder.as_deref())?)?, &written)
            }
            None => {
                let admin = self.at.admin(common)?;
                let (models, state) = (admin.ask("GET", "/anomaly/models", None)?, admin.ask("GET", "/anomaly", None)?);
                of_gateway(&models, &state)
            }
        };
        match common.format {
            Format::Json => print_json(&answer),
            Format::Human => print(&shown(&answer)),
        }
    }
}

/// As the next start would have it.
fn of_folder(stored: &Stored, written: &Written) -> Value {
    let mut roles = Roles::default();
    let newest = |of: Option<&str>| stored.models.iter().find(|model| model.route.as_deref() == of);
    let actions = written.routes.routes.iter().filter_map(|route| Some((&route.name, route.action.as_ref().ok()?)));
    for (name, policy) in actions.filter_map(|(name, action)| Some((name, action.anomaly.as_ref()?))) {
        let own = || newest(Some(name)).or_else(|| newest(None)).map(|model| Arc::clone(&model.version));
        roles.add(name, policy.model.clone().or_else(own).as_deref(), policy.model.is_some(), policy.shadow.as_deref());
    }
    let models: Vec<Value> = stored.models.iter().map(|model| roles.said(to_json(model))).collect();
    let damaged = stored.damaged.iter().map(|error| json!({ "path": path(error), "why": why(error) }));
    json!({ "folder": stored.folder.path().display().to_string(), "models": models, "damaged": damaged.collect::<Vec<_>>() })
}

fn of_gateway(models: &Value, state: &Value) -> Value {
    let mut roles = Roles::default();
    let fallback = state["fallback"]["version"].as_str();
    for route in state["routes"].as_array().into_iter().flatten() {
        let judging = route["model"]["version"].as_str().or(fallback);
        let is_pinned = route["pinned"].as_bool().unwrap_or_default();
        roles.add(text(&route["route"]), judging, is_pinned, route["shadow"].as_str());
    }
    let models = models["models"].as_array().into_iter().flatten().cloned();
    json!({ "models": models.map(|model| roles.said(model)).collect::<Vec<_>>() })
}

impl Roles {
    fn add(&mut self, route: &str, judging: Option<&str>, is_pinned: bool, shadow: Option<&str>) {
        let roles = [
            (&mut self.judges, judging),
            (&mut self.pinned, judging.filter(|_| is_pinned)),
            (&mut self.shadows, shadow),
        ];
        for (role, version) in roles {
            if let Some(version) = version {
                role.entry(version.to_owned()).or_default().push(route.to_owned());
            }
        }
    }

    fn said(&self, mut model: Value) -> Value {
        let version = text(&model["version"]).to_owned();
        for (name, role) in [("judges", &self.judges), ("pinned_by", &self.pinned), ("shadows", &self.shadows)] {
            model[name] = json!(role.get(&version).map(Vec::as_slice).unwrap_or_default());
        }
        model
    }
}

fn shown(answer: &Value) -> String {
    let models = answer["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    let damaged = answer["damaged"].as_array().map(Vec::as_slice).unwrap_or_default();
    if models.is_empty() && damaged.is_empty() {
        return "there are no models\n".to_owned();
    }
    let mut out = String::new();
    if !models.is_empty() {
        let heading = ["VERSION", "ROUTE", "MADE", "REQUESTS", "FROM", "TO", "DOES"].map(str::to_owned);
        let rows: Vec<[String; 7]> = std::iter::once(heading).chain(models.iter().map(row)).collect();
        table(&mut out, None, &rows);
    }
    for file in damaged {
        out.push_str(&format!("damaged: {}: {}\n", text(&file["path"]), text(&file["why"])));
    }
    out
}

fn row(model: &Value) -> [String; 7] {
    let time = |value: &Value| timestamp::format(Duration::from_secs(value.as_u64().unwrap_or_default()));
    let of = |name: &str| model[name].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let pinned = of("pinned_by");
    let judges = of("judges").into_iter().map(|route| {
        let how = if pinned.contains(&route) { " (pinned)" } else { "" };
        format!("judges {route}{how}")
    });
    let does: Vec<String> = judges.chain(of("shadows").into_iter().map(|route| format!("shadows {route}"))).collect();
    [
        text(&model["version"]).to_owned(),
        model["route"].as_str().unwrap_or("(any)").to_owned(),
        time(&model["made_at"]),
        model["rows"].to_string(),
        time(&model["window"]["from"]),
        time(&model["window"]["to"]),
        if does.is_empty() { "-".to_owned() } else { does.join(", ") },
    ]
}

fn path(error: &Error) -> String {
    let (Error::Io { path, .. } | Error::Damaged { path, .. } | Error::TooMany { path, .. } | Error::Ahead { path }) =
        error;
    path.display().to_string()
}

/// Without the path.
fn why(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => source.to_string(),
        Error::Damaged { fault, .. } => fault.to_string(),
        Error::Ahead { .. } => "made in the future".to_owned(),
        Error::TooMany { most, .. } => format!("there are more than {most} models; the others were not read"),
    }
}
