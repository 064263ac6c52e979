//! `sluice explain`: the whole decision about one request, by the code that decides in the gateway, without a network.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use clap::Args;
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use serde_json::{Value, json};

use super::{Common, FOUND_ERRORS, Failure, Format, print_json};
use crate::base::location::Location;
use crate::config::checked::Bootstrap;
use crate::listener::client_io::{ConnectionFacts, TlsFacts};
use crate::listener::worker::Settings;
use crate::pipeline::verdict::Verdict;
use crate::pipeline::view::{BodyLength, RequestView};
use crate::pipeline::{self, Decision};
use crate::route::{self, Candidate};
use crate::snapshot::{Builder, CompiledRoute, Snapshot};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Resolve;

#[derive(Args)]
pub(super) struct Explain {
    /// Such as GET
    method: Method,
    /// Such as https://api.example.com/api/orders/7
    url: Uri,
    /// Request field; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Bytes of request body
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    body: u64,
    /// The client's address
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    client: IpAddr,
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is not a field name"))?;
    let value = value.trim().parse().map_err(|_| format!("`{value}` is not a field value"))?;
    Ok((name, value))
}

impl Explain {
    pub(super) fn carry_out(self, common: &Common) -> Result<(), Failure> {
        let bootstrap = common.bootstrap(FOUND_ERRORS)?;
        let snapshot = Arc::new(offline(common)?);
        let explained = self.explain(snapshot, &bootstrap)?;
        match common.format {
            Format::Json => print_json(&explained.to_json()),
            Format::Human => print!("{}", explained.to_text()),
        }
        Ok(())
    }

    fn explain(self, snapshot: Arc<Snapshot>, bootstrap: &Bootstrap) -> Result<Explained, Failure> {
        let tls = self.url.scheme_str() == Some("https");
        let authority = self.url.authority().map(|authority| authority.as_str().to_owned());
        let authority = authority.ok_or_else(|| Failure::found("the URL needs a scheme and a host"))?;
        let request = Synthetic {
            method: self.method,
            path: self.url.path().to_owned(),
            query: self.url.query().map(str::to_owned),
            authority,
            headers: self.headers.into_iter().collect(),
            body: if self.body == 0 { BodyLength::None } else { BodyLength::Known(self.body) },
        };
        let connection = ConnectionFacts {
            listener: Arc::from("explain"),
            client: SocketAddr::new(self.client, 0),
            tls: tls.then_some(TlsFacts { version: "TLSv1.3", server_name: None, http2: false }),
        };
        let settings = Settings::of(bootstrap);
        let decision = pipeline::decide(Arc::clone(&snapshot), &connection, &request, &settings);
        let rules: Vec<_> = snapshot.routes.iter().map(|route| &route.matches).collect();
        let candidates = pipeline::explain_route(&rules, &request, &decision.facts);
        Ok(Explained { snapshot, decision, candidates, request })
    }
}

/// The shipped code path with nothing behind it: names are not resolved.
pub(super) fn offline(common: &Common) -> Result<Snapshot, Failure> {
    let reading = common.routes()?;
    let Some(routes) = reading.routes else {
        return Err(Failure::Config { report: Box::new(reading.report), code: FOUND_ERRORS });
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::found)?;
    let builder = Builder { metrics: Metrics::new(), resolver: Arc::new(Offline), runtime: runtime.handle().clone() };
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
    snapshot: Arc<Snapshot>,
    decision: Decision,
    candidates: Vec<Candidate>,
    request: Synthetic,
}

impl Explained {
    fn route(&self, index: usize) -> Option<&CompiledRoute> {
        self.snapshot.routes.get(index)
    }

    /// Where a setting of the winning route is written.
    fn place(&self, key: &str) -> Option<&Location> {
        self.decision.route.and_then(|index| self.route(index)?.action.as_ref().ok()?.written.places.get(key))
    }

    fn to_json(&self) -> Value {
        let facts = &self.decision.facts;
        let routes: Vec<Value> = self
            .candidates
            .iter()
            .filter_map(|candidate| {
                let route = self.route(candidate.index)?;
                let (won, why) = match &candidate.verdict {
                    route::Verdict::Won => (true, None),
                    route::Verdict::Lost(why) => (false, Some(why)),
                };
                Some(json!({ "name": &*route.name, "at": route.at.to_string(), "won": won, "why": why }))
            })
            .collect();
        let fields = |fields: &[(HeaderName, HeaderValue)]| -> Vec<Value> {
            fields
                .iter()
                .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
                .collect()
        };
        let outcome = match &self.decision.verdict {
            Verdict::Answer(answer) => json!({
                "answer": {
                    "status": answer.status.as_u16(),
                    "reason": answer.reason.map(crate::base::reason::Reason::as_str),
                    "fields": fields(&answer.fields),
                    "body": String::from_utf8_lossy(&answer.body),
                }
            }),
            Verdict::Forward(plan) => json!({
                "forward": {
                    "upstream": &**plan.upstream.cluster.name(),
                    "endpoints": plan.upstream.cluster.describe(),
                    "target": plan.target,
                    "host": plan.host.as_ref().map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()),
                    "withheld": plan.remove.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
                    "added": fields(&plan.append),
                }
            }),
        };
        json!({
            "request": {
                "method": facts.method, "host": facts.host, "path": facts.path, "sent_path": self.request.path,
                "client": facts.client.to_string(),
            },
            "routes": routes,
            "outcome": outcome,
            "places": self.places(),
        })
    }

    fn places(&self) -> Value {
        let action = self.decision.route.and_then(|index| self.route(index)?.action.as_ref().ok());
        let places = action.map(|action| &action.written.places);
        let places = places.into_iter().flatten().map(|(key, at)| ((*key).to_owned(), Value::from(at.to_string())));
        Value::Object(places.collect())
    }

    fn to_text(&self) -> String {
        let facts = &self.decision.facts;
        let mut text = Text::default();
        text.line(
            &format!("request   {} {} host {} from {}", facts.method, facts.path, facts.host, facts.client),
            None,
        );
        if facts.path != self.request.path {
            text.line(&format!("          sent as {}", self.request.path), None);
        }
        for candidate in &self.candidates {
            let Some(route) = self.route(candidate.index) else { continue };
            match &candidate.verdict {
                route::Verdict::Won => text.line(&format!("route     {}", route.name), Some(&route.at)),
                route::Verdict::Lost(why) => text.line(&format!("    not   {}: {why}", route.name), Some(&route.at)),
            }
        }
        if let Some(Err(problems)) = self.decision.route.and_then(|index| self.route(index)).map(|route| &route.action)
        {
            for problem in problems {
                text.line(&format!("faulty    {problem}"), None);
            }
        }
        match &self.decision.verdict {
            Verdict::Answer(answer) => {
                let reason = answer.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
                let place = self.place("redirect").or_else(|| self.place("respond"));
                text.line(&format!("answer    {}{reason}", answer.status), place);
                for (name, value) in &answer.fields {
                    text.line(&format!("          {name}: {}", String::from_utf8_lossy(value.as_bytes())), None);
                }
            }
            Verdict::Forward(plan) => {
                text.line("auth      none", self.place("auth"));
                let rewritten =
                    if plan.target.split('?').next() == Some(&*facts.path) { None } else { self.place("rewrite") };
                text.line(&format!("target    {}", plan.target), rewritten);
                let host = plan.host.as_ref().map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
                text.line(
                    &format!("host      {}", host.as_deref().unwrap_or(&self.request.authority)),
                    self.place("host"),
                );
                for (name, value) in &plan.append {
                    text.line(
                        &format!("          {name}: {}", String::from_utf8_lossy(value.as_bytes())),
                        self.edit_place(name),
                    );
                }
                text.line(&format!("upstream  {}", plan.upstream.cluster.name()), self.place("upstream"));
                let timeouts = &plan.timeouts;
                text.line(
                    &format!(
                        "timeouts  connect {:?}, first_byte {:?}, idle {:?}, total {}",
                        timeouts.connect,
                        timeouts.first_byte,
                        timeouts.idle,
                        timeouts.total.map_or("off".to_owned(), |total| format!("{total:?}"))
                    ),
                    self.place("timeouts"),
                );
            }
        }
        text.0
    }

    fn edit_place(&self, name: &HeaderName) -> Option<&Location> {
        let action = self.decision.route.and_then(|index| self.route(index)?.action.as_ref().ok())?;
        let edits = &action.written.request_headers;
        let written = edits.set.iter().chain(&edits.add).any(|(edited, _)| edited == name);
        written.then(|| self.place("request_headers")).flatten()
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, what: &str, place: Option<&Location>) {
        self.0.push_str(what);
        if let Some(place) = place {
            self.0.push_str(&format!("  ({place})"));
        }
        self.0.push('\n');
    }
}

/// A request that nobody sent.
struct Synthetic {
    method: Method,
    path: String,
    query: Option<String>,
    authority: String,
    headers: http::HeaderMap,
    body: BodyLength,
}

impl RequestView for Synthetic {
    fn method(&self) -> &Method {
        &self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn authority(&self) -> Option<&str> {
        Some(&self.authority)
    }

    fn version(&self) -> Version {
        Version::HTTP_11
    }

    fn body(&self) -> BodyLength {
        self.body
    }

    fn values<'v>(&'v self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}
