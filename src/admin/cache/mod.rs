//! `/cache`: what is stored, and taking it out.

#[cfg(test)]
mod tests;
mod url;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use self::url::Url;
use super::problem::problem;
use super::{AUDIT, Admin, is_json, json};
use crate::base::clock;
use crate::base::query;
use crate::cache::Stored;
use crate::cache::key::Scope;
use crate::cache::purge::Purge;
use crate::snapshot::Snapshot;

/// Answers that one look-up shows.
const MAX_SHOWN: usize = 1_000;

pub(super) async fn numbers(State(admin): State<Arc<Admin>>) -> Response {
    let snapshot = admin.reloader.snapshots.load();
    let cache = &snapshot.gate.lasting.cache;
    let numbers = cache.store().numbers();
    json(&json!({
        "entries": numbers.entries,
        "bytes": numbers.bytes,
        "budget": numbers.budget,
        "evicted": numbers.evicted,
        "purged": numbers.purged,
        "collapsed": admin.metrics.cache().collapsed_so_far(),
        "in_flight": cache.coming(),
    }))
}

/// What a look-up is for.
struct Asked {
    url: Url,
    partner: Option<String>,
    subject: Option<String>,
}

impl Asked {
    fn read(text: Option<&str>) -> Result<Self, String> {
        let (mut url, mut partner, mut subject) = (None, None, None);
        for (name, value) in query::pairs(text) {
            let member = match name {
                "url" => &mut url,
                "partner" => &mut partner,
                "subject" => &mut subject,
                _ => {
                    return Err(
                        "The query may have url, partner and subject; encode `&` within them as %26.".to_owned()
                    );
                }
            };
            let value = String::from_utf8(query::decoded(value.as_bytes()).collect());
            let value = value.map_err(|_| format!("`{name}` is not UTF-8."))?;
            if member.replace(value).is_some() {
                return Err(format!("`{name}` is there twice."));
            }
        }
        let url = url.ok_or("Say which: ?url=https://api.example.com/orders/1.")?;
        Ok(Self { url: Url::read(&url)?, partner, subject })
    }
}

/// What is stored for a URL; without a query in it, for all queries. Never a body, nor a credential.
pub(super) async fn look_up(State(admin): State<Arc<Admin>>, RawQuery(asked): RawQuery) -> Response {
    let asked = match Asked::read(asked.as_deref()) {
        Ok(asked) => asked,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, &detail),
    };
    let snapshot = admin.reloader.snapshots.load();
    let store = snapshot.gate.lasting.cache.store();
    let found: Vec<_> = asked.url.beginnings().iter().flat_map(|beginning| store.of_resource(beginning)).collect();
    json(&listed(found, &asked, clock::now()))
}

/// In the order of keys.
fn listed(mut found: Vec<Arc<Stored>>, asked: &Asked, now: Instant) -> Value {
    found.retain(|stored| {
        let (mut partner, mut subject) = (stored.head.groups.partner.as_deref(), None);
        match stored.head.key.scope() {
            Some(Scope::Partner(name)) => partner = Some(name),
            Some(Scope::Subject { partner: of, subject: name, .. }) => {
                (partner, subject) = (of.or(partner), Some(name));
            }
            Some(Scope::Everyone | Scope::Public) | None => {}
        }
        let is = |asked: &Option<String>, found| asked.is_none() || asked.as_deref() == found;
        is(&asked.partner, partner) && is(&asked.subject, subject)
    });
    found.sort_by(|one, other| one.head.key.cmp(&other.head.key));
    let entries: Vec<Value> = found.iter().take(MAX_SHOWN).map(|stored| described(stored, now)).collect();
    json!({ "count": found.len(), "entries": entries })
}

fn described(stored: &Stored, now: Instant) -> Value {
    let head = &stored.head;
    json!({
        "key": head.key.to_string(),
        "id": fingerprint(head.key.as_bytes()),
        "route": &*head.groups.route,
        "partner": head.groups.partner.as_deref(),
        "tags": head.groups.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
        "status": head.status.as_u16(),
        "age": head.freshness.age(now).as_secs(),
        "fresh_for": head.freshness.left(now).as_secs(),
        "stale": stored.marks.stale.load(Ordering::Relaxed) || head.freshness.left(now).is_zero(),
        "body_bytes": stored.body.len(),
        "hits": stored.marks.hits.load(Ordering::Relaxed),
    })
}

/// Tells keys apart that differ only in what is not shown of them.
fn fingerprint(key: &[u8]) -> String {
    let hash = digest(&SHA256, key);
    hash.as_ref().iter().take(6).fold(String::new(), |mut text, byte| {
        // A string takes everything.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// The body of a purge, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    all: Option<bool>,
    url: Option<String>,
    tag: Option<String>,
    route: Option<String>,
    partner: Option<String>,
    #[serde(default)]
    soft: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Url(Url),
    Group(Purge),
}

impl Target {
    /// The target, and whether the purge is a soft one.
    fn read(body: &[u8]) -> Result<(Self, bool), String> {
        let Written { all, url, tag, route, partner, soft } =
            serde_json::from_slice(body).map_err(|error| format!("The purge cannot be read: {error}."))?;
        let which = "Name one of `all`, `url`, `tag`, `route` and `partner`";
        let all = match all {
            Some(false) => return Err("`all` may only be true.".to_owned()),
            Some(true) => Some(Self::Group(Purge::All)),
            None => None,
        };
        let group =
            |name: Option<String>, purge: fn(Arc<str>) -> Purge| name.map(|name| Self::Group(purge(name.into())));
        let url = url.map(|url| Url::read(&url).map(Self::Url)).transpose()?;
        let named = [all, url, group(tag, Purge::Tag), group(route, Purge::Route), group(partner, Purge::Partner)];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(target), None) => Ok((target, soft)),
            (None, _) => Err(format!("{which}.")),
            (Some(_), Some(_)) => Err(format!("{which}, not several.")),
        }
    }

    fn purges(self) -> Vec<Purge> {
        match self {
            Self::Url(url) => url.purges().collect(),
            Self::Group(purge) => vec![purge],
        }
    }

    /// A name that nobody has here: most likely a slip, and otherwise of something that was.
    fn stranger(&self, snapshot: &Snapshot) -> Option<String> {
        let (what, name, is_known) = match self {
            Self::Group(Purge::Route(name)) => ("route", name, snapshot.routes.iter().any(|route| route.name == *name)),
            Self::Group(Purge::Partner(name)) => ("partner", name, snapshot.gate.partners.by_name(name).is_some()),
            Self::Group(_) | Self::Url(_) => return None,
        };
        (!is_known).then(|| format!("no {what} is named {name:?} in the routes that run"))
    }
}

/// It holds before the answer is written, also for what is on its way from an upstream.
pub(super) async fn purge(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    fields: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if !is_json(&fields) {
        let detail = "Send what to purge as JSON, with Content-Type: application/json.";
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    let (target, soft) = match Target::read(&body) {
        Ok(read) => read,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, &detail),
    };
    let snapshot = admin.reloader.snapshots.load();
    let warnings: Vec<String> = target.stranger(&snapshot).into_iter().collect();
    let what = what(&target);
    let store = snapshot.gate.lasting.cache.store();
    let purged: u64 = target.purges().iter().map(|purge| store.purge(purge, soft)).sum();
    tracing::info!(target: AUDIT, %peer, action = "purge", %what, soft, purged, "audit");
    json(&json!({ "purged": purged, "warnings": warnings }))
}

/// For the log; queries are left out, because they may hold secrets.
fn what(target: &Target) -> String {
    match target {
        Target::Url(url) => format!("url {}", url.without_query()),
        Target::Group(Purge::Tag(tag)) => format!("tag {tag:?}"),
        Target::Group(Purge::Route(route)) => format!("route {route:?}"),
        Target::Group(Purge::Partner(partner)) => format!("partner {partner:?}"),
        Target::Group(Purge::All | Purge::Path(_) | Purge::Resource(_)) => "all".to_owned(),
    }
}
