//! What `/status` and `/routes` show.

use serde_json::{Value, json};

use super::{Admin, anomaly};
use crate::config::checked::RouteTarget;
use crate::listener::worker::Phase;
use crate::snapshot::{CompiledRoute, Outcome, Snapshot};
use crate::store::Store;

pub(super) async fn status(admin: &Admin) -> Value {
    let snapshot = admin.reloader.snapshots.load();
    let faulty: Vec<Value> = snapshot.routes.iter().filter_map(faulty).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": admin.started_at.as_secs(),
        "phase": match admin.drain.phase() {
            Phase::Serving => "serving",
            Phase::Leaving => "leaving",
            Phase::Closing => "closing",
            Phase::Ended => "ended",
        },
        "ready": admin.drain.phase() == Phase::Serving,
        "connections": admin.drain.connections(),
        "routes": {
            "file": &*snapshot.file,
            "version": snapshot.version,
            "loaded_at": snapshot.loaded_at.as_secs(),
            "effect": snapshot.effect(),
            "count": snapshot.routes.len(),
            "faulty": faulty,
            "report": snapshot.report.to_json(),
            "refused": admin.reloader.refused().await,
        },
        "upstreams": snapshot.upstreams.values().map(|upstream| upstream.cluster.describe()).collect::<Vec<_>>(),
        "issuers": snapshot.gate.issuers.values().map(|compiled| compiled.issuer.describe()).collect::<Vec<_>>(),
        "revocations": revocations(admin),
        "cache": cache(&snapshot),
        "anomaly": anomaly::status(&snapshot),
        "store": admin.journal.store.as_ref().map(store),
        "listeners": admin.listeners.iter().map(|(listener, address)| json!({
            "name": &*listener.name,
            "address": address.to_string(),
            "certificates": listener.tls.as_ref().map(|tls| tls.expiry().iter().map(|entry| json!({
                "name": &*entry.name,
                "not_after": entry.not_after.as_secs(),
            })).collect::<Vec<_>>()),
        })).collect::<Vec<_>>(),
    })
}

fn revocations(admin: &Admin) -> Value {
    let counts = admin.journal.revocations.counts();
    let file = admin.revocations_file.as_ref().map(|file| {
        let status = file.status();
        json!({
            "path": file.path().display().to_string(),
            "loaded_at": status.loaded_at.as_secs(),
            "count": status.count,
            "refused": status.refused.map(|(at, error)| json!({ "at": at.as_secs(), "error": error })),
        })
    });
    json!({ "count": { "file": counts.file, "api": counts.api }, "unsaved": counts.unsaved, "file": file })
}

fn cache(snapshot: &Snapshot) -> Value {
    let numbers = snapshot.gate.lasting.cache.store().numbers();
    json!({ "entries": numbers.entries, "bytes": numbers.bytes, "budget": numbers.budget })
}

fn store(store: &Store) -> Value {
    let health = store.health();
    json!({
        "file": store.file().display().to_string(),
        "errors": health.errors,
        "failing": health.failing.iter().map(|failing| json!({
            "what": failing.what,
            "since": failing.since.as_secs(),
            "error": failing.error,
        })).collect::<Vec<_>>(),
    })
}

/// The answer of `POST /reload`.
pub(super) fn reload(outcome: &Outcome) -> Value {
    let mut answer = json!(outcome);
    answer["effect"] = outcome.effect().into();
    answer
}

fn faulty(route: &CompiledRoute) -> Option<Value> {
    let problems = route.action.as_ref().err()?;
    Some(json!({ "name": &*route.name, "at": route.at.to_string(), "problems": problems }))
}

/// Every route with what it matches and what it does, in the order of the file.
pub fn routes(snapshot: &Snapshot) -> Value {
    let routes: Vec<Value> = snapshot.routes.iter().map(route).collect();
    json!({ "version": snapshot.version, "routes": routes })
}

fn route(route: &CompiledRoute) -> Value {
    let matches = &route.matches;
    let (state, does) = match &route.action {
        Ok(action) => ("live", target(&action.written.target)),
        Err(problems) => ("faulty", json!({ "problems": problems })),
    };
    json!({
        "name": &*route.name,
        "at": route.at.to_string(),
        "state": state,
        "hosts": matches.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "path": matches.path.to_string(),
        "methods": matches.methods.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "headers": matches.headers.iter().map(|field| field.name.to_string()).collect::<Vec<_>>(),
        "query": matches.query.iter().map(|field| field.name.to_string()).collect::<Vec<_>>(),
        "action": does,
    })
}

fn target(target: &RouteTarget) -> Value {
    match target {
        RouteTarget::Forward { upstream, .. } => json!({ "upstream": &**upstream }),
        RouteTarget::Redirect { status, .. } => json!({ "redirect": status.as_u16() }),
        RouteTarget::Respond { status, .. } => json!({ "respond": status.as_u16() }),
    }
}
