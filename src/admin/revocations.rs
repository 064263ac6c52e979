//! `/revocations`: what is revoked, by hand, for the next request and all after it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::{invalid, problem};
use super::{AUDIT, Admin, is_json, json, query};
use crate::auth::revocation::{Id, Listed, MAX_NAME, MAX_REASON, Made, Removed, Revocation, Target, read_one};
use crate::base::clock;

/// Longer than what any revocation takes, with every character escaped.
pub(super) const MAX_BODY: usize = 12 * (3 * MAX_NAME + MAX_REASON);

/// Revocations in one answer, unless others are asked for …
const USUAL_PAGE: usize = 1_000;
/// … but not more than these.
const MAX_PAGE: usize = 10_000;

/// One page, in the order of their ids; `next` is for the `after` of the next page.
pub(super) async fn list(State(admin): State<Arc<Admin>>, RawQuery(asked): RawQuery) -> Response {
    let (mut after, mut limit) = (None, USUAL_PAGE);
    for (name, value) in query(asked.as_deref()) {
        match (name, Id::parse(value), value.parse()) {
            ("after", Some(id), _) => after = Some(id),
            ("limit", _, Ok(number @ 1..=MAX_PAGE)) => limit = number,
            _ => {
                let detail = format!("The query may have after=ID, and limit=NUMBER up to {MAX_PAGE}.");
                return problem(StatusCode::BAD_REQUEST, &detail);
            }
        }
    }
    let mut page = admin.journal.revocations.list(after, limit + 1, |_| true);
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|(id, _)| id.to_string());
    let counts = admin.journal.revocations.counts();
    json(&json!({
        "revocations": page.iter().map(|(id, listed)| described(*id, listed)).collect::<Vec<_>>(),
        "next": next,
        "count": { "file": counts.file, "api": counts.api },
    }))
}

pub(super) async fn show(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Response {
    match Id::parse(&id).and_then(|id| Some((id, admin.journal.revocations.get(id)?))) {
        Some((id, listed)) => json(&described(id, &listed)),
        None => unknown(),
    }
}

/// 201 when it is new, 200 when it was there, with the later end of both. It holds before the answer is written.
pub(super) async fn add(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    fields: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if !is_json(&fields) {
        let detail = "Send a revocation as JSON, with Content-Type: application/json.";
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    let now = clock::since_epoch().as_secs();
    let revocation = match read_one(&body, now) {
        Ok(revocation) if revocation.has_ended(now) => {
            return invalid("The revocation is not good.", vec!["`until` is over already".to_owned()]);
        }
        Ok(revocation) => revocation,
        Err(mistakes) => return invalid("The revocation is not good.", mistakes),
    };
    let mut warnings = strangers(&admin, &revocation);
    let Made { id, is_new, .. } = match admin.journal.revocations.add(revocation, now) {
        Ok(made) => made,
        Err(full) => return problem(StatusCode::INSUFFICIENT_STORAGE, &full.to_string()),
    };
    let durable = saved(&admin, &mut warnings).await;
    // By now it may have been deleted by somebody else.
    let Some(listed) = admin.journal.revocations.get(id) else { return unknown() };
    let effect = listed.revocation().effect();
    let reason = listed.revocation().reason.as_deref().unwrap_or_default();
    tracing::info!(target: AUDIT, %peer, action = "revoke", %id, ?effect, ?reason, durable, "audit");
    let mut answer = described(id, &listed);
    answer["durable"] = durable.into();
    answer["warnings"] = warnings.into();
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    (status, [(header::LOCATION, format!("/revocations/{id}"))], json(&answer)).into_response()
}

/// 409 for what only the file revokes.
pub(super) async fn delete(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
) -> Response {
    let Some(id) = Id::parse(&id) else { return unknown() };
    let Some(listed) = admin.journal.revocations.get(id) else { return unknown() };
    let mut warnings = Vec::new();
    match admin.journal.revocations.remove(id) {
        Removed::Unknown => return unknown(),
        Removed::OnlyInFile => {
            let detail = "The file of revocations has it; take it off there.";
            return problem(StatusCode::CONFLICT, detail);
        }
        Removed::Yes { in_file: true } => warnings.push("the file has it, too, so it still holds".to_owned()),
        Removed::Yes { in_file: false } => {}
    }
    let durable = saved(&admin, &mut warnings).await;
    let was = listed.revocation().effect();
    tracing::info!(target: AUDIT, %peer, action = "delete revocation", %id, ?was, durable, "audit");
    json(&json!({ "id": id.to_string(), "deleted": was, "durable": durable, "warnings": warnings }))
}

/// Whether the change survives a restart.
async fn saved(admin: &Admin, warnings: &mut Vec<String>) -> bool {
    if admin.journal.store.is_none() {
        warnings.push("there is no store, so a restart forgets this (`store.file`)".to_owned());
        return false;
    }
    match admin.journal.save().await {
        Ok(()) => true,
        Err(error) => {
            warnings.push(format!(
                "the store failed ({error}); it is tried again each second, and a restart before forgets this"
            ));
            false
        }
    }
}

/// Names that nobody has here: most likely a slip, and otherwise of somebody who is to come.
fn strangers(admin: &Admin, revocation: &Revocation) -> Vec<String> {
    let snapshot = admin.reloader.snapshots.load();
    let mut warnings = Vec::new();
    if let Some(issuer) = revocation.issuer.as_ref().filter(|issuer| !snapshot.gate.issuers.contains_key(&***issuer)) {
        let names: Vec<&str> = snapshot.gate.issuers.keys().map(|name| &**name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        warnings.push(format!("no issuer is named {issuer:?} in the routes that run; there is: {names}"));
    }
    if let Target::Partner(partner) = &revocation.target
        && snapshot.gate.partners.by_name(partner).is_none()
    {
        warnings.push(format!("no partner is named {partner:?} in the routes that run"));
    }
    warnings
}

fn described(id: Id, listed: &Listed) -> Value {
    let sources = [("file", listed.file()), ("api", listed.api())];
    json!({
        "id": id.to_string(),
        "revocation": listed.revocation().to_json(),
        "effect": listed.revocation().effect(),
        "revoked_at": listed.entry().at,
        "sources": sources.iter().filter(|(_, entry)| entry.is_some()).map(|(name, _)| *name).collect::<Vec<_>>(),
    })
}

fn unknown() -> Response {
    problem(StatusCode::NOT_FOUND, "There is no such revocation.")
}
