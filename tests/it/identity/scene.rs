//! What the tests of identity have in common: routes files, claims, and a client of either protocol.

use std::fmt;
use std::net::SocketAddr;

use http::Request;
use serde_json::{Value, json};
use sluice::base::clock;

use crate::support::client::Response;
use crate::support::gateway::{Builder, endpoint};
use crate::support::issuer::{IdentityProvider, SigningKey};
use crate::support::wire::{Body, Framing, Head};
use crate::support::{Client, H2Client, TestGateway, Upstream};

/// `iss` of the tokens.
pub const ISSUER: &str = "https://id.test/";

/// The protocols that clients speak.
pub const BOTH: [Version; 2] = [Version::One, Version::Two];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// A routes file as it is put together. Values are in flow style.
#[derive(Clone)]
pub struct File {
    issuers: Vec<(String, String)>,
    partners: Vec<(String, String)>,
    upstream: SocketAddr,
    routes: Vec<String>,
    more: String,
}

impl File {
    /// Every route leads to this upstream.
    pub fn new(upstream: SocketAddr) -> Self {
        Self { issuers: Vec::new(), partners: Vec::new(), upstream, routes: Vec::new(), more: String::new() }
    }

    /// [`ISSUER`] under the name `main`, with the keys of this provider, and the partner `acme`, whose client is `acme-app`.
    pub fn usual(upstream: &Upstream, provider: &IdentityProvider) -> Self {
        Self::new(upstream.address()).issuer("main", &keys_of(provider, "")).partner("acme", "clients: [acme-app]")
    }

    /// Replaces one of this name.
    pub fn issuer(mut self, name: &str, keys: &str) -> Self {
        put(&mut self.issuers, name, keys);
        self
    }

    /// Replaces one of this name.
    pub fn partner(mut self, name: &str, keys: &str) -> Self {
        put(&mut self.partners, name, keys);
        self
    }

    pub fn without_partner(mut self, name: &str) -> Self {
        self.partners.retain(|(known, _)| known != name);
        self
    }

    /// A route at `/<name>`; `auth` is `none` or a mapping without its braces.
    pub fn route(mut self, name: &str, auth: &str, more: &str) -> Self {
        let auth = if auth == "none" { auth.to_owned() } else { format!("{{ {auth} }}") };
        self.routes.retain(|route| !route.starts_with(&format!("{{ name: {name},")));
        self.routes
            .push(format!("{{ name: {name}, match: {{ path: /{name} }}, auth: {auth}, upstream: app, {more} }}"));
        self
    }

    /// Further lines at the top.
    pub fn with(mut self, lines: &str) -> Self {
        self.more.push_str(lines);
        self.more.push('\n');
        self
    }
}

fn put(list: &mut Vec<(String, String)>, name: &str, keys: &str) {
    list.retain(|(known, _)| known != name);
    list.push((name.to_owned(), keys.to_owned()));
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version: 1")?;
        for (what, entries) in [("issuers", &self.issuers), ("partners", &self.partners)] {
            if !entries.is_empty() {
                writeln!(f, "{what}:")?;
            }
            for (name, keys) in entries {
                writeln!(f, "  {name}: {{ {keys} }}")?;
            }
        }
        writeln!(f, "upstreams:\n  app: {}\nroutes:", endpoint(self.upstream))?;
        for route in &self.routes {
            writeln!(f, "  - {route}")?;
        }
        f.write_str(&self.more)
    }
}

/// The keys of an issuer `main`: [`ISSUER`], for the audience `api`. `jwks` are further keys of its key set.
pub fn keys_of(provider: &IdentityProvider, jwks: &str) -> String {
    format!(r#"issuer: "{ISSUER}", audiences: [api], jwks: {{ url: "{}", {jwks} }}"#, provider.url())
}

/// A gateway whose listener speaks both protocols.
pub fn build() -> Builder {
    TestGateway::build().listener("http", "h2c: true")
}

pub async fn start(file: &File) -> TestGateway {
    build().start(&file.to_string()).await
}

/// Good for the usual issuer: `ann` of `acme`, with the scope `orders:read`.
pub fn claims() -> Value {
    let now = clock::since_epoch().as_secs();
    json!({
        "iss": ISSUER, "aud": "api", "sub": "ann", "azp": "acme-app", "scope": "orders:read", "jti": "t-1",
        "iat": now - 10, "exp": now + 300,
    })
}

/// [`claims`] with these in place of theirs; null takes one off.
pub fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    let Value::Object(changes) = changes else { panic!("an object") };
    for (name, value) in changes {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(&name);
        } else {
            claims[name] = value;
        }
    }
    claims
}

/// An issuer that is there, and its key.
pub fn provider() -> (SigningKey, IdentityProvider) {
    let key = SigningKey::es256("k1");
    let provider = IdentityProvider::start(&[&key]);
    (key, provider)
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A connection of either protocol.
pub enum Caller {
    One(Client),
    Two(H2Client),
}

impl Caller {
    pub async fn connect(gateway: &TestGateway, version: Version) -> Self {
        match version {
            Version::One => Self::One(gateway.client().await),
            Version::Two => Self::Two(H2Client::connect(gateway.address()).await),
        }
    }

    /// A GET at `api.test`.
    pub async fn get(&mut self, target: &str, fields: &[(&str, &str)]) -> Response {
        match self {
            Self::One(client) => {
                let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                client.request(format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{lines}\r\n")).await
            }
            Self::Two(client) => {
                let mut request = Request::get(format!("http://api.test{target}"));
                for (name, value) in fields {
                    request = request.header(*name, *value);
                }
                response(client.send(request.body(()).unwrap(), &[]).await)
            }
        }
    }

    /// A GET with a token in `Authorization`.
    pub async fn with_token(&mut self, target: &str, token: &str) -> Response {
        self.get(target, &[("authorization", &bearer(token))]).await
    }
}

/// In the form of an HTTP/1.1 answer, so that tests look at one kind.
pub fn response(answer: crate::support::h2_client::H2Response) -> Response {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
    };
    let head = Head { start: String::new(), fields: answer.headers.iter().map(field).collect() };
    let body = Body { bytes: answer.body, ..Body::default() };
    Response { status: answer.status.as_u16(), head, framing: Framing::None, body, informational: Vec::new() }
}

/// A GET on a connection of its own.
pub async fn get(gateway: &TestGateway, version: Version, target: &str, fields: &[(&str, &str)]) -> Response {
    Caller::connect(gateway, version).await.get(target, fields).await
}

/// A GET with a token on a connection of its own, in HTTP/1.1.
pub async fn ask(gateway: &TestGateway, target: &str, token: &str) -> Response {
    Caller::connect(gateway, Version::One).await.with_token(target, token).await
}

/// What has been counted of credentials.
pub async fn counted(gateway: &TestGateway, method: &str, result: &str) -> f64 {
    let sample = format!(r#"sluice_credentials_total{{method="{method}",result="{result}"}}"#);
    gateway.metrics_value(&sample).await
}

/// The newest line of the access log, once there are so many.
pub async fn logged(gateway: &TestGateway, count: usize) -> Value {
    gateway.access_log(count).await.swap_remove(count - 1)
}
