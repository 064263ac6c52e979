//! What the tests of limits have in common: routes files with plans, partners by API key, and the fields that tell of limits.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;
use sluice::auth::api_key;

pub use crate::identity::scene::{BOTH, Caller, Version, build};
use crate::support::client::Response;
use crate::support::gateway::{Builder, endpoint};
use crate::support::{TestGateway, eventually};

/// A route that partners call with their keys.
pub const KEYED: &str = "auth: { api_key: {} }, upstream: app";

/// The same, answered here.
pub const KEYED_HERE: &str = "auth: { api_key: {} }, respond: { body: good }";

/// A route that asks nobody who they are, answered here.
pub const OPEN: &str = "auth: none, respond: { body: good }";

/// A partner and its API key.
#[derive(Clone)]
pub struct Partner {
    pub name: String,
    pub key: String,
    entry: String,
}

impl Partner {
    pub fn new(name: &str) -> Self {
        let made = api_key::generate(None).unwrap();
        let sha256: String = made.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = String::from_utf8(made.key.reveal().to_vec()).unwrap();
        Self { name: name.to_owned(), key, entry: format!("{{ id: \"{}\", sha256: {sha256} }}", made.id) }
    }

    /// The field with its key.
    pub fn field(&self) -> (&str, &str) {
        ("x-api-key", &self.key)
    }

    /// A GET with its key.
    pub async fn get(&self, caller: &mut Caller, target: &str) -> Response {
        caller.get(target, &[self.field()]).await
    }

    /// What so many GETs are answered, one after the other.
    pub async fn gets(&self, caller: &mut Caller, target: &str, count: usize) -> Vec<u16> {
        statuses(caller, target, &[self.field()], count).await
    }
}

/// What so many GETs are answered, one after the other.
pub async fn statuses(caller: &mut Caller, target: &str, fields: &[(&str, &str)], count: usize) -> Vec<u16> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(caller.get(target, fields).await.status);
    }
    found
}

/// A routes file as it is put together. Values are in flow style, without their braces.
#[derive(Clone)]
pub struct File {
    lists: BTreeMap<&'static str, Vec<(String, String)>>,
    routes: Vec<(String, String)>,
}

impl File {
    /// With an upstream `app`.
    pub fn new(upstream: SocketAddr) -> Self {
        Self { routes: Vec::new(), ..Self::without_upstream() }.put("upstreams", "app", endpoint(upstream))
    }

    pub fn without_upstream() -> Self {
        Self { lists: BTreeMap::new(), routes: Vec::new() }
    }

    pub fn plan(self, name: &str, keys: &str) -> Self {
        self.put("plans", name, format!("{{ {keys} }}"))
    }

    /// On a plan, unless its name is empty.
    pub fn partner(self, plan: &str, partner: &Partner) -> Self {
        self.partner_with(plan, &[partner], "")
    }

    /// A partner with the keys of several, named as the first, with further keys.
    pub fn partner_with(self, plan: &str, same: &[&Partner], more: &str) -> Self {
        let entries: Vec<&str> = same.iter().map(|partner| &*partner.entry).collect();
        let plan = if plan.is_empty() { String::new() } else { format!("plan: {plan}, ") };
        self.put("partners", &same[0].name, format!("{{ {plan}api_keys: [{}], {more} }}", entries.join(", ")))
    }

    pub fn issuer(self, name: &str, keys: &str) -> Self {
        self.put("issuers", name, format!("{{ {keys} }}"))
    }

    /// One more, beside `app`.
    pub fn upstream(self, name: &str, address: SocketAddr) -> Self {
        self.put("upstreams", name, endpoint(address))
    }

    /// A route at `/<name>`, and below it.
    pub fn route(mut self, name: &str, keys: &str) -> Self {
        put(&mut self.routes, name, keys.to_owned());
        self
    }

    pub fn without_route(mut self, name: &str) -> Self {
        self.routes.retain(|(known, _)| known != name);
        self
    }

    fn put(mut self, list: &'static str, name: &str, value: String) -> Self {
        put(self.lists.entry(list).or_default(), name, value);
        self
    }

    pub async fn start(&self) -> TestGateway {
        build().start(&self.to_string()).await
    }

    /// Behind a proxy that says in `X-Forwarded-For` who calls.
    pub async fn start_behind_proxy(&self) -> TestGateway {
        behind_proxy(build()).start(&self.to_string()).await
    }
}

pub fn behind_proxy(builder: Builder) -> Builder {
    builder.set("client_address", r#"{ trusted_proxies: ["127.0.0.0/8"] }"#)
}

fn put(list: &mut Vec<(String, String)>, name: &str, value: String) {
    match list.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => list.push((name.to_owned(), value)),
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version: 1")?;
        for (list, entries) in &self.lists {
            writeln!(f, "{list}:")?;
            for (name, value) in entries {
                writeln!(f, "  {name}: {value}")?;
            }
        }
        writeln!(f, "routes:")?;
        for (name, keys) in &self.routes {
            writeln!(f, "  - {{ name: {name}, match: {{ path: \"/{name}/{{rest...}}\" }}, {keys} }}")?;
        }
        Ok(())
    }
}

/// A member of `RateLimit` or `RateLimit-Policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Numbers, or texts in quotes, as they stand there.
    pub parameters: Vec<(String, String)>,
}

impl Member {
    #[track_caller]
    pub fn number(&self, parameter: &str) -> u64 {
        let found = self.parameters.iter().find(|(name, _)| name == parameter);
        found.unwrap_or_else(|| panic!("no {parameter} in {self:?}")).1.parse().unwrap()
    }

    pub fn has(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|(name, _)| name == parameter)
    }
}

/// The members of a List of Strings with parameters (RFC 9651 §3.1), on however many lines; anything else fails the test.
#[track_caller]
pub fn members(response: &Response, field: &str) -> Vec<Member> {
    let whole = response.head.all(field).join(", ");
    let mut rest = whole.as_str();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let name = quoted(&mut rest, &whole);
        let mut parameters = Vec::new();
        while let Some(after) = rest.strip_prefix(';') {
            let (key, value) = after.split_once('=').unwrap_or_else(|| panic!("no value in {whole:?}"));
            assert!(!key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{whole:?}");
            rest = value;
            let value = if rest.starts_with('"') {
                format!("\"{}\"", quoted(&mut rest, &whole))
            } else {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let (digits, after) = rest.split_at(end);
                assert!((1..=15).contains(&digits.len()), "{whole:?}");
                rest = after;
                digits.to_owned()
            };
            assert!(!parameters.iter().any(|(known, _)| known == key), "{key} twice in {whole:?}");
            parameters.push((key.to_owned(), value));
        }
        found.push(Member { name, parameters });
        if !rest.is_empty() {
            rest = rest.strip_prefix(", ").unwrap_or_else(|| panic!("no list: {whole:?}"));
            assert!(!rest.is_empty(), "a comma at the end of {whole:?}");
        }
    }
    found
}

#[track_caller]
fn quoted(rest: &mut &str, whole: &str) -> String {
    let after = rest.strip_prefix('"').unwrap_or_else(|| panic!("no String in {whole:?}"));
    let (text, after) = after.split_once('"').unwrap_or_else(|| panic!("no end of a String in {whole:?}"));
    assert!(!text.contains('\\'), "no test has such names: {whole:?}");
    *rest = after;
    text.to_owned()
}

/// What `RateLimit` tells of a limit: `r`.
#[track_caller]
pub fn left(response: &Response, limit: &str) -> u64 {
    member(response, "ratelimit", limit).number("r")
}

/// The member of this limit, of which there has to be one.
#[track_caller]
pub fn member(response: &Response, field: &str, limit: &str) -> Member {
    let mut found = members(response, field);
    found.retain(|member| member.name == limit);
    assert_eq!(found.len(), 1, "{limit} in {:?}", response.head.fields);
    found.swap_remove(0)
}

/// Fails unless this is a refusal by this limit, told in all places where a client looks; returns the seconds of `Retry-After`.
#[track_caller]
pub fn refused_by(response: &Response, reason: &str, limit: &str) -> u64 {
    let problem = response.refused(429, reason);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.ends_with(&format!("Limit: {limit}.")), "{detail}");
    assert_eq!(problem["title"], "Too Many Requests");
    assert_eq!(response.field("cache-control"), Some("no-store"));
    let wait: u64 = response.field("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1);
    wait
}

pub async fn refusals(gateway: &TestGateway, limit: &str) -> f64 {
    gateway.metrics_value(&format!(r#"sluice_limit_refusals_total{{limit="{limit}"}}"#)).await
}

/// The last line of the access log, once there are so many.
pub async fn logged(gateway: &TestGateway, count: usize) -> Value {
    gateway.access_log(count).await.swap_remove(count - 1)
}

/// The line of the first request to this path, once it is written.
pub async fn logged_at(gateway: &TestGateway, path: &str) -> Value {
    let line = eventually(path, async || {
        let lines = gateway.access_log(0).await;
        lines.into_iter().find(|line| line["path"] == path)
    });
    line.await
}
