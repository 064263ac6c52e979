//! `sluice explain`: the whole decision about one request, by the code that decides in the gateway, without a network.

mod human;
mod request;
mod sheet;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use self::request::Request;
use super::{Common, FOUND_ERRORS, Failure, Format, print, print_json, read_routes, tell};
use crate::base::location::Location;
use crate::base::{byte_size, duration};
use crate::config::RoutesReading;
use crate::config::checked::{Bootstrap, HeaderEdits, Timeouts};
use crate::listener::client_io::{ConnectionFacts, TlsFacts};
use crate::listener::head::{self, Room, Status};
use crate::listener::request::Http1View;
use crate::listener::worker::Settings;
use crate::pipeline::rescue::REQUEST_ID;
use crate::pipeline::verdict::{Answer, Forward};
use crate::pipeline::{self, Decision, Given};
use crate::route::{self, Candidate, RouteMatch};
use crate::snapshot::{Builder, CompiledAction, CompiledRoute, LongLived, Snapshot};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Resolve;

/// In the place of a request id that no client sent.
const NEW_ID: &str = "<new>";

#[derive(clap::Args)]
pub(super) struct Explain {
    #[command(flatten)]
    request: Request,
}

impl Explain {
    pub(super) fn carry_out(self, common: &Common) -> Result<(), Failure> {
        let bootstrap = common.bootstrap(FOUND_ERRORS)?;
        let reading = read_routes(&bootstrap)?;
        let upstreams = reading.routes.iter().flat_map(|routes| &routes.upstreams);
        let upstreams = upstreams.map(|(name, upstream)| (Arc::clone(name), upstream.at.clone())).collect();
        let snapshot = Arc::new(offline(reading)?);
        let explained = explain(self.request, Arc::clone(&snapshot), upstreams, &bootstrap)?;
        match common.format {
            Format::Json => print_json(&explained.to_json())?,
            Format::Human => print(&explained.to_text())?,
        }
        if !snapshot.report.is_ok() {
            tell(&format!(
                "note: {}; a gateway that runs closes these routes, and none starts with them: sluice check\n",
                snapshot.report.summary()
            ));
        }
        Ok(())
    }
}

fn explain(
    request: Request,
    snapshot: Arc<Snapshot>,
    upstreams: BTreeMap<Arc<str>, Location>,
    bootstrap: &Bootstrap,
) -> Result<Explained, Failure> {
    let connection = ConnectionFacts {
        listener: Arc::from("explain"),
        client: SocketAddr::new(request.client, 0),
        tls: request.url.https.then_some(TlsFacts {
            version: "TLSv1.3",
            server_name: None,
            http2: false,
            client: None,
        }),
    };
    let settings = Settings::of(bootstrap);
    let bytes = request.head();
    let mut room = Room::new();
    let rejection = match head::parse(&bytes, &mut room, &settings.limits) {
        Ok(Status::Complete(head, _)) => {
            let view = Http1View { head: &head, method: request.method.clone() };
            let decision = pipeline::decide(Arc::clone(&snapshot), &connection, &view, &settings, &Given::default());
            let rules: Vec<_> = snapshot.routes.iter().map(|route| &route.matches).collect();
            let candidates = pipeline::explain_route(&rules, &view, decision.facts());
            let same_path = |candidate: &Candidate| {
                let Some(path) = rules.get(candidate.index).map(|rule| only_path(rule)) else { return false };
                let won = pipeline::explain_route(&[&path], &view, decision.facts());
                won.iter().any(|candidate| candidate.verdict == route::Verdict::Won)
            };
            let candidates = candidates.into_iter().map(|candidate| (same_path(&candidate), candidate)).collect();
            return Ok(Explained { request, snapshot, upstreams, decision, candidates });
        }
        Ok(Status::Partial) => {
            return Err(Failure::found("the request does not end; is there a line break in a field?"));
        }
        Err(rejection) => rejection,
    };
    let decision =
        pipeline::refuse(Arc::clone(&snapshot), &connection, None::<&Http1View<'_, '_>>, &rejection, &settings);
    Ok(Explained { request, snapshot, upstreams, decision, candidates: Vec::new() })
}

/// What is left of a rule when only its path counts.
fn only_path(rule: &RouteMatch) -> RouteMatch {
    RouteMatch {
        hosts: vec![crate::base::host_pattern::HostPattern::Any],
        path: rule.path.clone(),
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
    }
}

/// The snapshot of these routes with nothing behind it: names are not resolved.
pub(super) fn offline(reading: RoutesReading) -> Result<Snapshot, Failure> {
    let Some(routes) = reading.routes else {
        return Err(Failure::Config { report: Box::new(reading.report), code: FOUND_ERRORS });
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::found)?;
    let builder = Builder {
        metrics: Metrics::new(),
        resolver: Arc::new(Offline),
        runtime: runtime.handle().clone(),
        lasting: LongLived::new(1 << 20),
    };
    Ok(builder.build(routes, reading.report, None))
}

struct Offline;

#[async_trait]
impl Resolve for Offline {
    async fn resolve(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Err(std::io::Error::other("offline"))
    }
}

struct Explained {
    request: Request,
    snapshot: Arc<Snapshot>,
    /// Where upstreams are written.
    upstreams: BTreeMap<Arc<str>, Location>,
    decision: Decision,
    /// With whether the path alone would match.
    candidates: Vec<(bool, Candidate)>,
}

impl Explained {
    fn route(&self) -> Option<&CompiledRoute> {
        self.snapshot.routes.get(self.decision.route()?)
    }

    fn action(&self) -> Option<&CompiledAction> {
        self.route()?.action.as_ref().ok()
    }

    /// Where a setting of the winning route is written.
    fn place(&self, key: &str) -> Option<&Location> {
        self.action()?.written.places.get(key)
    }

    /// What is wrong with the winning route.
    fn errors(&self) -> &[String] {
        self.route().and_then(|route| route.action.as_ref().err()).map_or(&[], Vec::as_slice)
    }

    /// Text with the id that was made for this request taken out, so that equal questions have equal answers.
    fn steady(&self, text: String) -> String {
        if self.keeps_id(&REQUEST_ID) {
            return text;
        }
        text.replace(self.decision.facts().request_id.as_str(), NEW_ID)
    }

    /// The one sentence that a client is told when it is refused.
    fn detail(&self, answer: &Answer) -> Option<String> {
        answer.reason?;
        let body = String::from_utf8_lossy(&answer.body);
        match serde_json::from_str::<Value>(&body) {
            Ok(problem) => problem["detail"].as_str().map(str::to_owned),
            Err(_) => body.trim_end().split_once(": ").map(|(_, detail)| detail.to_owned()),
        }
    }

    /// Where an upstream listens, as it is written.
    fn endpoints(plan: &Forward) -> Vec<String> {
        let status = plan.upstream.cluster.describe();
        let names = status.names.iter().map(|name| format!("{}:{}", name.host, name.port));
        status.endpoints.iter().map(ToString::to_string).chain(names).collect()
    }

    /// Fields of this request that stay behind, and were not only replaced by one of the same name.
    fn withheld(&self, plan: &Forward) -> Vec<String> {
        let stays = |name: &HeaderName| {
            head::is_hop_by_hop(name.as_str()) || (plan.withholds(name.as_str()) && !self.keeps_id(name))
        };
        let mut names: Vec<String> = self
            .request
            .headers
            .iter()
            .map(|(name, _)| name)
            .filter(|name| stays(name))
            .map(ToString::to_string)
            .collect();
        names.dedup();
        names
    }

    /// Fields that are added to those of the client.
    fn added(plan: &Forward) -> Vec<(HeaderName, HeaderValue)> {
        let pair = |(name, value): (&str, _)| Some((name.parse().ok()?, HeaderValue::from_bytes(value).ok()?));
        plan.added.iter().filter_map(pair).collect()
    }

    /// An id that was accepted goes on as it came.
    fn keeps_id(&self, name: &HeaderName) -> bool {
        let id = self.decision.facts().request_id.as_str();
        *name == REQUEST_ID
            && self.request.headers.iter().any(|(sent, value)| sent == name && value.as_bytes() == id.as_bytes())
    }

    fn to_json(&self) -> Value {
        let facts = self.decision.facts();
        let routes: Vec<Value> = self
            .candidates
            .iter()
            .filter_map(|(same_path, candidate)| {
                let route = self.snapshot.routes.get(candidate.index)?;
                let (won, why) = match &candidate.verdict {
                    route::Verdict::Won => (true, None),
                    route::Verdict::Lost(why) => (false, Some(why)),
                };
                Some(json!({
                    "name": &*route.name, "at": route.at.to_string(), "won": won, "same_path": same_path, "why": why,
                    "faulty": route.action.is_err(),
                }))
            })
            .collect();
        let outcome = match (&self.decision.answer, self.decision.plan()) {
            (Some(answer), _) => json!({ "answer": self.answer_json(answer) }),
            (None, plan) => json!({ "forward": plan.map(|plan| self.forward_json(plan)) }),
        };
        json!({
            "request": {
                "method": self.request.method.as_str(),
                "scheme": self.request.scheme(),
                "host": facts.host,
                "path": facts.path,
                "sent": self.request.url.target,
                "client": facts.client.to_string(),
            },
            "version": self.snapshot.version,
            "route": self.route().map(|route| &*route.name),
            "routes": routes,
            "errors": self.errors(),
            "outcome": outcome,
            "places": self.places(),
        })
    }

    fn answer_json(&self, answer: &Answer) -> Value {
        json!({
            "status": answer.status.as_u16(),
            "reason": answer.reason.map(crate::base::reason::Reason::as_str),
            "detail": self.detail(answer),
            "next": answer.reason.map(crate::base::reason::Reason::next_step),
            "fields": self.fields_json(&answer.fields),
            "body": self.steady(String::from_utf8_lossy(&answer.body).into_owned()),
        })
    }

    fn forward_json(&self, plan: &Forward) -> Value {
        let host = plan.host.as_ref().map_or_else(|| self.request.authority(), text);
        json!({
            "upstream": &**plan.upstream.cluster.name(),
            "endpoints": Self::endpoints(plan),
            "target": plan.target,
            "host": host,
            "withheld": self.withheld(plan),
            "added": self.fields_json(&Self::added(plan)),
            "max_body": plan.max_body,
            "timeouts": timeouts(&plan.timeouts).into_iter().collect::<serde_json::Map<_, _>>(),
            "response_headers": self.action().map(|action| edits_json(&action.written.response_headers)),
        })
    }

    fn fields_json(&self, fields: &[(HeaderName, HeaderValue)]) -> Vec<Value> {
        fields.iter().map(|(name, value)| json!([name.as_str(), self.steady(text(value))])).collect()
    }

    fn places(&self) -> Value {
        let places = self.action().map(|action| &action.written.places).into_iter().flatten();
        Value::Object(places.map(|(key, at)| ((*key).to_owned(), Value::from(at.to_string()))).collect())
    }
}

fn edits_json(edits: &HeaderEdits) -> Value {
    let pairs = |pairs: &[(HeaderName, HeaderValue)]| -> Vec<Value> {
        pairs.iter().map(|(name, value)| json!([name.as_str(), text(value)])).collect()
    };
    json!({
        "remove": edits.remove.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
        "set": pairs(&edits.set),
        "add": pairs(&edits.add),
    })
}

fn timeouts(timeouts: &Timeouts) -> [(String, Value); 4] {
    let Timeouts { connect, first_byte, idle, total } = timeouts;
    let off = || "off".to_owned();
    [
        ("connect".to_owned(), duration::format(*connect).into()),
        ("first_byte".to_owned(), duration::format(*first_byte).into()),
        ("idle".to_owned(), duration::format(*idle).into()),
        ("total".to_owned(), total.map_or_else(off, duration::format).into()),
    ]
}

fn max_body(limit: Option<u64>) -> String {
    limit.map_or_else(|| "off".to_owned(), byte_size::format)
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
