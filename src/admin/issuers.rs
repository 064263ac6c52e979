//! `/issuers/{name}/refresh`: an issuer's keys, now.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::problem::problem;
use super::{AUDIT, Admin, json, query};

/// Waits until the keys are here, or the attempt has failed: 502 then. With `drop_old=true`, keys that the issuer no
/// longer publishes are good no longer.
pub(super) async fn refresh(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    RawQuery(asked): RawQuery,
) -> Response {
    let mut drop_old = false;
    for pair in query(asked.as_deref()) {
        drop_old = match pair {
            ("drop_old", "true") => true,
            ("drop_old", "false") => false,
            _ => return problem(StatusCode::BAD_REQUEST, "The query may have drop_old=true."),
        };
    }
    let snapshot = admin.reloader.snapshots.load();
    let Some(compiled) = snapshot.gate.issuers.get(&*name) else {
        return problem(StatusCode::NOT_FOUND, "There is no issuer of this name in the routes that run.");
    };
    let issuer = Arc::clone(&compiled.issuer);
    // Waiting for the issuer must not keep a whole snapshot.
    drop(snapshot);
    let before = issuer.numbers();
    issuer.refresh_now(drop_old).done().await;
    let after = issuer.numbers();
    let (status, result) = if after.failed > before.failed {
        (StatusCode::BAD_GATEWAY, "failed")
    } else if after.fetched > before.fetched {
        (StatusCode::OK, "refreshed")
    } else {
        (StatusCode::OK, "unchanged")
    };
    tracing::info!(target: AUDIT, %peer, action = "refresh issuer", issuer = ?name, drop_old, result, "audit");
    (status, json(&json!({ "result": result, "issuer": issuer.describe() }))).into_response()
}
