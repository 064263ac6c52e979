//! `sluice explain`: the whole decision about one request, by the code that decides in the gateway, without a network.

mod anomaly;
mod cache;
mod gate;
mod human;
mod sheet;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::claims::{claim, put};
use super::offline::{self, Offline, Request, as_caller, parse_as};
use super::{Common, FOUND_ERRORS, Failure, Format, print, print_json, read_routes, tell};
use crate::base::location::Location;
use crate::base::{byte_size, duration};
use crate::config::checked::expectation::Caller;
use crate::config::checked::identity::ClaimPath;
use crate::config::checked::{Bootstrap, HeaderEdits, Routes, Timeouts};
use crate::listener::head;
use crate::listener::request::Http1View;
use crate::listener::worker::Settings;
use crate::pipeline::rescue::REQUEST_ID;
use crate::pipeline::verdict::{Answer, Forward};
use crate::pipeline::{self, Decision, Given};
use crate::route::{self, Candidate, RouteMatch};
use crate::snapshot::{CompiledAction, CompiledRoute, Snapshot};

/// In the place of a request id that no client sent.
const NEW_ID: &str = "<new>";
/// In the place of a token that says who calls; whoever has it is believed.
const SIGNED: &str = "<signed>";

#[derive(clap::Args)]
pub(super) struct Explain {
    #[command(flatten)]
    request: Request,
    /// As if this caller had shown a good credential; scopes are separated by commas
    #[arg(long = "as", value_name = "PARTNER[/SUBJECT][:SCOPE,…]", value_parser = parse_as)]
    caller: Option<Caller>,
    /// A claim of this caller; the name may be a JSON pointer, the value JSON; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim, requires = "caller")]
    claims: Vec<(ClaimPath, Value)>,
}

impl Explain {
    pub(super) fn carry_out(self, common: &Common) -> Result<(), Failure> {
        let bootstrap = common.bootstrap(FOUND_ERRORS)?;
        let offline = Offline::new(read_routes(&bootstrap)?)?;
        let snapshot = Arc::new(offline.snapshot(None));
        let explained = self.explain(offline.routes(), &snapshot, &bootstrap)?;
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

    fn explain<'r>(
        self,
        routes: &'r Routes,
        snapshot: &Arc<Snapshot>,
        bootstrap: &Bootstrap,
    ) -> Result<Explained<'r>, Failure> {
        let Self { request, mut caller, claims } = self;
        let is_supposed = caller.is_some();
        for (path, value) in claims {
            if caller.as_mut().is_some_and(|caller| !put(&mut caller.claims, &path.0, value)) {
                return Err(Failure::found(format!("--claim {}: what it is within is no object", path.0.join("/"))));
            }
        }
        let connection = offline::connection(&request);
        let settings = Settings::of(bootstrap);
        let snapshot = Arc::clone(snapshot);
        let (decision, candidates, awaits_keys) = offline::read(&request, &settings, |read| {
            let decide = |view: &Http1View<'_, '_>, given: &Given| {
                pipeline::decide(Arc::clone(&snapshot), &connection, view, &settings, given)
            };
            let mut awaits_keys = false;
            let (decision, candidates) = match read {
                Ok(view) => {
                    let mut decision = decide(view, &Given::default());
                    awaits_keys = decision.take_pending().is_some();
                    if is_supposed || awaits_keys {
                        // What a credential would have to be is for the route to say, and that is known only now.
                        let route = decision.route().and_then(|index| snapshot.routes.get(index));
                        let caller = caller.map(|who| as_caller(&who, route, &snapshot));
                        decision = decide(view, &Given { waited: true, caller, ..Given::default() });
                    }
                    let candidates = candidates(&snapshot, view, &decision);
                    (decision, candidates)
                }
                Err(rejection) => {
                    let unread = None::<&Http1View<'_, '_>>;
                    (pipeline::refuse(Arc::clone(&snapshot), &connection, unread, rejection, &settings), Vec::new())
                }
            };
            (decision, candidates, awaits_keys)
        })?;
        Ok(Explained { request, snapshot, routes, decision, candidates, is_supposed, awaits_keys })
    }
}

/// The winner and the nearest others, each with whether the path alone would match.
fn candidates(snapshot: &Snapshot, view: &Http1View<'_, '_>, decision: &Decision) -> Vec<(bool, Candidate)> {
    let rules: Vec<_> = snapshot.routes.iter().map(|route| &route.matches).collect();
    let same_path = |candidate: &Candidate| {
        let Some(path) = rules.get(candidate.index).map(|rule| only_path(rule)) else { return false };
        let won = pipeline::explain_route(&[&path], view, decision.facts());
        won.iter().any(|candidate| candidate.verdict == route::Verdict::Won)
    };
    let candidates = pipeline::explain_route(&rules, view, decision.facts());
    candidates.into_iter().map(|candidate| (same_path(&candidate), candidate)).collect()
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

struct Explained<'r> {
    request: Request,
    snapshot: Arc<Snapshot>,
    /// What it is built of.
    routes: &'r Routes,
    decision: Decision,
    /// With whether the path alone would match.
    candidates: Vec<(bool, Candidate)>,
    /// The caller is one that is taken for known.
    is_supposed: bool,
    /// The gateway would have asked the issuer for its keys.
    awaits_keys: bool,
}

impl Explained<'_> {
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

    /// What a field says, without what is another one each time.
    fn value(&self, name: &HeaderName, value: &HeaderValue) -> String {
        match &self.routes.identity.token {
            Some(token) if token.header == name => SIGNED.to_owned(),
            _ => self.steady(text(value)),
        }
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
            "gate": self.gate_json(),
            "anomaly": self.anomaly_json(),
            "cache": self.cache_json(),
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
        fields.iter().map(|(name, value)| json!([name.as_str(), self.value(name, value)])).collect()
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
