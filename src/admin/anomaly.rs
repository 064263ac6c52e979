//! `/anomaly`: what routes have learned, what follows from it, and learning now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::problem::problem;
use super::{AUDIT, Admin, json, query};
use crate::anomaly::model::About;
use crate::anomaly::registry::{Numbers, Outcome, Registry, Trained};
use crate::anomaly::{Action, Model};
use crate::base::clock;
use crate::snapshot::{CompiledAnomaly, Snapshot};
use crate::telemetry::metrics::{AnomalyCounts, Metrics, Training};

/// The arrival has half of what a ladder allows; outcomes and windows have a quarter each.
const ARRIVALS: f32 = 0.5;
/// The population stability index that is taken for drift.
const DRIFT: f32 = 0.25;

/// What each route has learned.
pub(super) async fn routes(State(admin): State<Arc<Admin>>) -> Response {
    let snapshot = admin.reloader.snapshots.load();
    json(&described(&snapshot, clock::since_epoch()))
}

/// Every model that can be pinned.
pub(super) async fn models(State(admin): State<Arc<Admin>>) -> Response {
    let registry = Arc::clone(&admin.reloader.snapshots.load().gate.lasting.anomaly);
    let now = clock::since_epoch();
    let described = |model: &About| {
        let mut described = self::model(model, now);
        described["route"] = json!(model.route.as_deref());
        described
    };
    match tokio::task::spawn_blocking(move || registry.models()).await {
        Ok(models) => {
            let models: Vec<Value> = models.iter().map(described).collect();
            json(&json!({ "count": models.len(), "models": models }))
        }
        Err(error) => {
            tracing::error!(%error, "reading models");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "The models could not be read; the log says why.")
        }
    }
}

/// Makes models now, of one route or of all that have seen enough. Answers when they judge.
pub(super) async fn train(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(asked): RawQuery,
) -> Response {
    let mut route = None;
    for pair in query(asked.as_deref()) {
        match pair {
            ("route", name) if !name.is_empty() => route = Some(name.to_owned()),
            _ => return problem(StatusCode::BAD_REQUEST, "The query may have route=NAME."),
        }
    }
    let snapshot = admin.reloader.snapshots.load();
    let registry = Arc::clone(&snapshot.gate.lasting.anomaly);
    if let Some(name) = &route {
        let Some((_, of)) = snapshot.anomalies().find(|(of, _)| ***of == **name) else {
            let detail = "There is no route of this name with anomaly checks in the routes that run.";
            return problem(StatusCode::NOT_FOUND, detail);
        };
        if let Some(lacking) = lacking(&registry.numbers(&of.watch)) {
            return problem(StatusCode::CONFLICT, &format!("There is {lacking} requests."));
        }
    }
    // Learning must not keep a whole snapshot.
    drop(snapshot);
    let of = route.clone();
    let trained = tokio::task::spawn_blocking(move || registry.train_now(of.as_deref(), clock::since_epoch())).await;
    let trained = match trained {
        Ok(trained) => trained,
        Err(error) => {
            tracing::error!(%error, "training");
            return problem(StatusCode::INTERNAL_SERVER_ERROR, "Training failed; the log says why.");
        }
    };
    trained.iter().for_each(|one| note(one, &admin.metrics));
    let number = trained.len();
    tracing::info!(target: AUDIT, %peer, action = "train", route, trained = number, "audit");
    json(&json!({ "trained": trained.iter().map(said).collect::<Vec<_>>() }))
}

/// Says in the log and in metrics what came of an attempt to make a model.
pub fn note(trained: &Trained, metrics: &Metrics) {
    let Trained { route, took, outcome } = trained;
    metrics.trained(training(outcome), *took);
    let route = route.as_deref().unwrap_or("fallback");
    match outcome {
        Outcome::Made(model) => {
            tracing::info!(route, version = &*model.version, rows = model.rows, ?took, "a model was made");
        }
        Outcome::Unsaved(model, error) => {
            let version = &*model.version;
            tracing::error!(route, version, %error, "a model was made and judges, but a restart loses it");
        }
        Outcome::TooFew => tracing::warn!(route, "no model was made: too little is left without what is rarest"),
    }
}

const fn training(outcome: &Outcome) -> Training {
    match outcome {
        Outcome::Made(_) => Training::Made,
        Outcome::Unsaved(..) => Training::Unsaved,
        Outcome::TooFew => Training::TooFew,
    }
}

fn said(trained: &Trained) -> Value {
    let version = match &trained.outcome {
        Outcome::Made(model) | Outcome::Unsaved(model, _) => Some(&*model.version),
        Outcome::TooFew => None,
    };
    json!({
        "route": trained.route.as_deref(),
        "result": training(&trained.outcome).as_str(),
        "version": version,
        "seconds": trained.took.as_secs_f64(),
    })
}

/// For `/status`: in short.
pub(super) fn status(snapshot: &Snapshot) -> Value {
    let registry = &snapshot.gate.lasting.anomaly;
    let (mut routes, mut judged, mut drifting) = (0, 0, Vec::new());
    for (route, of) in snapshot.anomalies() {
        routes += 1;
        judged += usize::from(of.watch.model.load().is_some());
        if registry.numbers(&of.watch).drift.is_some_and(|drift| drift > DRIFT) {
            drifting.push(&**route);
        }
    }
    json!({ "routes": routes, "with_a_model": judged, "drifting": drifting, "callers": registry.shared.profiles.len() })
}

fn described(snapshot: &Snapshot, now: Duration) -> Value {
    let registry = &snapshot.gate.lasting.anomaly;
    let settings = registry.settings();
    let fallback = registry.shared.fallback.load();
    json!({
        "callers": registry.shared.profiles.len(),
        "warm_up": settings.warm_up,
        "retrain_seconds": settings.retrain.as_secs(),
        "fallback": fallback.as_ref().map(|model| self::model(&model.about(), now)),
        "routes": snapshot.anomalies().map(|(name, of)| route(name, of, registry, now)).collect::<Vec<_>>(),
    })
}

fn route(name: &str, of: &CompiledAnomaly, registry: &Registry, now: Duration) -> Value {
    let numbers = registry.numbers(&of.watch);
    let own = of.watch.model.load();
    let fallback = registry.shared.fallback.load();
    let judging = own.as_ref().or(fallback.as_ref());
    let counts = of.metrics.counts();
    let rungs = of.policy.ladder.rungs.iter();
    let rungs = rungs.map(|(action, share)| rung(*action, *share, judging.map(|model| &**model), own.is_some()));
    json!({
        "route": name,
        "state": match (own.as_ref(), judging, lacking(&numbers)) {
            (Some(_), ..) => "judged by its own model".to_owned(),
            (None, Some(_), _) => "judged by the fallback model".to_owned(),
            (None, None, Some(lacking)) => lacking,
            (None, None, None) => "enough data, a model is about to be made".to_owned(),
        },
        "model": own.as_ref().map(|model| self::model(&model.about(), now)),
        "pinned": of.policy.model.is_some(),
        "shadow": of.watch.shadow.load().as_ref().map(|model| model.version.to_string()),
        "rows": numbers.rows,
        "seen": numbers.seen,
        "rungs": rungs.collect::<Vec<_>>(),
        "expected_rate": of.policy.ladder.rungs.first().map(|(_, share)| decimal(*share)),
        "rate": rate(&counts),
        "refusals_left": of.watch.safety.left(),
        "requests": requests(&counts),
        "drift": { "index": numbers.drift, "alarming": numbers.drift.is_some_and(|drift| drift > DRIFT) },
        "agreement": of.policy.shadow.as_ref().map(|_| json!({
            "both": counts.both,
            "only_model": counts.only_model,
            "only_shadow": counts.only_shadow,
            "neither": counts.neither,
        })),
    })
}

/// From which score of an arrival on it is done, and whether the model can find any arrival that rare, and may lead to that: one of other routes tags at
/// most. Outcomes and windows, which may lead to all rungs but `block`, are not looked at.
fn rung(action: Action, share: f32, model: Option<&Model>, is_own: bool) -> Value {
    let tails = model.map(|model| &model.arrival.tails);
    json!({
        "action": action.as_str(),
        "share": decimal(share),
        "score": tails.map(|tails| tails.threshold(share * ARRIVALS)),
        "reachable": tails.map(|tails| (is_own || action <= Action::Tag) && tails.rarity(1.0) <= share * ARRIVALS),
    })
}

fn model(model: &About, now: Duration) -> Value {
    json!({
        "version": &*model.version,
        "made_at": model.made_at.as_secs(),
        "age_seconds": now.saturating_sub(model.made_at).as_secs(),
        "rows": model.rows,
        "window": { "from": model.window.0.as_secs(), "to": model.window.1.as_secs() },
    })
}

/// As long as a route has seen too little for a model.
fn lacking(numbers: &Numbers) -> Option<String> {
    let Numbers { seen, needed, .. } = *numbers;
    (seen < needed as u64).then(|| format!("not enough data: {seen} of {needed}"))
}

/// As it is written in the file, not as the nearest number in binary.
fn decimal(share: f32) -> f64 {
    (f64::from(share) * 1e6).round() / 1e6
}

/// The share of scored requests that were unusual enough for some rung; `None` when nothing was scored.
fn rate(counts: &AnomalyCounts) -> Option<f64> {
    let scored: u64 = counts.actions.iter().sum::<u64>() + counts.held_back;
    (scored > 0).then(|| counts.unusual as f64 / scored as f64)
}

fn requests(counts: &AnomalyCounts) -> Value {
    let actions = Action::ALL.iter().zip(counts.actions);
    let mut said: serde_json::Map<String, Value> =
        actions.map(|(action, count)| (action.as_str().to_owned(), count.into())).collect();
    said.insert("held_back".to_owned(), counts.held_back.into());
    said.insert("unusual".to_owned(), counts.unusual.into());
    said.insert("refused".to_owned(), counts.refused.into());
    said.into()
}

#[cfg(test)]
mod tests;
