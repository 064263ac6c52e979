//! The operator's HTTP API on its own listener: health, readiness, metrics, status, routes, reload, revocations, cache, anomaly.

pub mod anomaly;
mod browsers;
mod cache;
mod identity;
mod issuers;
pub mod journal;
mod problem;
mod revocations;
pub mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::browsers::Bound;
use self::journal::Journal;
use crate::auth::revocation;
use crate::listener::accept::Listener;
use crate::listener::worker::{Drain, Phase};
use crate::snapshot::{Outcome, Reloader};
use crate::telemetry::metrics::{self, Metrics};

/// Where the log says who has changed what.
const AUDIT: &str = "sluice::audit";

/// What there is, for whoever asks for anything else.
const INDEX: &str = "\
GET    /health                  200 as long as the process lives
GET    /ready                   200 while this instance wants traffic, 503 when it drains
GET    /metrics                 Prometheus text
GET    /status                  what runs, what was refused and why, upstreams, certificates, issuers, revocations, cache, anomaly, store
GET    /routes                  every route with what it matches and does
POST   /reload                  read the routes again; 200 live, 422 refused
GET    /revocations             what is revoked; ?after=ID&limit=NUMBER
POST   /revocations             revoke: {\"token_id\": …}, {\"subject\": …}, {\"partner\": …} or {\"issued_before\": …}
GET    /revocations/ID          one of them
DELETE /revocations/ID          take it off
POST   /issuers/NAME/refresh    get the keys of an issuer now; ?drop_old=true
GET    /cache                   how much is stored
GET    /cache/look-up           what is stored for ?url=URL&partner=NAME&subject=NAME, the last two if they matter
POST   /cache/purge             take out: {\"all\": true}, {\"url\": …}, {\"tag\": …}, {\"route\": …} or {\"partner\": …}
GET    /anomaly                 what each route has learned, and what follows from it
GET    /anomaly/models          every model that can be pinned
POST   /anomaly/train           make models now; ?route=NAME
GET    /identity/keys           what upstreams verify identity tokens with, as a JSON Web Key Set
";

/// What the API shows and drives.
pub struct Admin {
    pub reloader: Arc<Reloader>,
    pub drain: Arc<Drain>,
    pub metrics: Metrics,
    pub listeners: Vec<(Arc<Listener>, SocketAddr)>,
    pub journal: Arc<Journal>,
    pub revocations_file: Option<Arc<revocation::File>>,
    /// Since 1970 UTC.
    pub started_at: Duration,
}

/// Serves until the gateway has stopped.
pub async fn serve(socket: TcpListener, admin: Arc<Admin>, mut stopped: watch::Receiver<bool>) {
    let bound = match socket.local_addr() {
        Ok(address) if !address.ip().is_loopback() => Bound::Elsewhere,
        Ok(_) | Err(_) => Bound::Loopback,
    };
    let routes = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/routes", get(routes))
        .route("/reload", post(reload))
        .route("/revocations", get(revocations::list).post(revocations::add))
        .route("/revocations/{id}", get(revocations::show).delete(revocations::delete))
        .route("/issuers/{name}/refresh", post(issuers::refresh))
        .route("/cache", get(cache::numbers))
        .route("/cache/look-up", get(cache::look_up))
        .route("/cache/purge", post(cache::purge))
        .route("/anomaly", get(anomaly::routes))
        .route("/anomaly/models", get(anomaly::models))
        .route("/anomaly/train", post(anomaly::train))
        .route("/identity/keys", get(identity::keys))
        .fallback(|| async { (StatusCode::NOT_FOUND, INDEX) })
        .method_not_allowed_fallback(|| async { (StatusCode::METHOD_NOT_ALLOWED, INDEX) })
        .layer(DefaultBodyLimit::max(revocations::MAX_BODY))
        .layer(middleware::from_fn_with_state(bound, browsers::refuse))
        .with_state(admin)
        .into_make_service_with_connect_info::<SocketAddr>();
    let end = async move {
        // The sender going away is an end as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = axum::serve(socket, routes).with_graceful_shutdown(end).await {
        tracing::error!(%error, "admin API ended");
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    if admin.drain.phase() == Phase::Serving {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], admin.metrics.encode()).into_response()
}

async fn status(State(admin): State<Arc<Admin>>) -> Response {
    json(&status::status(&admin).await)
}

async fn routes(State(admin): State<Arc<Admin>>) -> Response {
    json(&status::routes(&admin.reloader.snapshots.load()))
}

/// 200 when the file is live (faulty routes are in the answer), 422 when it was refused as a whole.
async fn reload(State(admin): State<Arc<Admin>>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    let outcome = admin.reloader.reload().await;
    tracing::info!(target: AUDIT, %peer, action = "reload", effect = outcome.effect(), "audit");
    let code = match outcome {
        Outcome::Unchanged { .. } | Outcome::Published { .. } => StatusCode::OK,
        Outcome::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    };
    (code, json(&status::reload(&outcome))).into_response()
}

/// The pairs of a query; nothing that is asked for here needs an escape.
fn query(text: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Forms of web pages cannot send this type.
fn is_json(fields: &HeaderMap) -> bool {
    let media_type = fields.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// In lines, because people read it with curl.
fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], format!("{value:#}\n")).into_response()
}
