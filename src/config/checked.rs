//! What has been checked: every value parsed, every reference resolvable, every place remembered.

pub mod anomaly;
pub mod cache;
pub mod expectation;
pub mod identity;
pub mod limits;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;

use self::anomaly::{AnomalyPolicy, AnomalySettings};
use self::cache::CachePolicy;
use self::expectation::Expectation;
use self::identity::{Addresses, Auth, Identity, Issuer, Partners};
use self::limits::{LimitFields, Limits as RouteLimits, Plan};
use crate::base::host_pattern::HostPattern;
use crate::base::location::Location;
use crate::route::RouteMatch;

/// `config/gateway.yaml`: what is fixed at start (certificates excepted).
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The file it came from; `<defaults>` for the embedded one.
    pub file: Arc<str>,
    /// Worker threads, one accept loop and one runtime each.
    pub threads: usize,
    pub listeners: Vec<Listener>,
    pub admin: Option<SocketAddr>,
    /// `routes.yaml`, resolved against the folder of the bootstrap file.
    pub routes: PathBuf,
    /// Serve the routes that this program carries for as long as `routes` is not there: with the embedded bootstrap only.
    pub built_in_routes: bool,
    pub reload: Reload,
    pub limits: Limits,
    pub deadlines: Deadlines,
    pub http2: Http2,
    pub client_address: ClientAddress,
    pub pool: Pool,
    pub access_log: AccessLog,
    pub log: Log,
    pub drain: Drain,
    pub sandbox: Option<Sandbox>,
    /// What survives a restart; `None`: nothing does.
    pub store: Option<PathBuf>,
    pub credentials: Credentials,
    pub cache: Cache,
    pub anomaly: Anomaly,
}

/// What is learned about requests.
#[derive(Clone, Debug)]
pub struct Anomaly {
    /// Where models survive a restart; `None`: they do not.
    pub folder: Option<PathBuf>,
    /// Callers of routes whose ways are remembered.
    pub callers: usize,
}

/// The answers that are kept in memory.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Bytes, everything counted: keys, fields, bodies, bookkeeping.
    pub memory: usize,
}

/// How credentials are kept and recalled.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Bytes for verified tokens.
    pub token_cache: usize,
    /// A file that lists what is revoked, watched.
    pub revocations: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Listener {
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub tls: Option<ListenerTls>,
    /// HTTP/2 with prior knowledge on plaintext (RFC 9113 §3.3).
    pub h2c: bool,
    /// Peers that must open with a PROXY protocol header; `None` means that nobody may.
    pub proxy_protocol: Option<Vec<IpNet>>,
    pub at: Location,
}

#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// Tried by name (SNI): exact, then wildcard; the first one listed serves clients that send none.
    pub certificates: Vec<CertificateFiles>,
    /// TLS 1.2 is refused when set.
    pub tls13_only: bool,
    /// Offer `h2` by ALPN.
    pub http2: bool,
    pub client_certificates: Option<ClientCertificates>,
}

/// Asks clients for a certificate.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// Refuse the handshake without one; otherwise routes decide.
    pub required: bool,
    /// PEM bundle of the authorities that may have signed it, watched.
    pub ca: PathBuf,
    pub at: Location,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub at: Location,
}

#[derive(Clone, Debug)]
pub struct Reload {
    /// Refuse a whole file for one faulty route, instead of closing that route.
    pub strict: bool,
    /// Watch the file; off leaves SIGHUP and `POST /reload`.
    pub watch: bool,
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of request line and fields together.
    pub head: usize,
    /// Number of request fields.
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
    /// Open client connections over all listeners.
    pub connections: usize,
    /// Requests on one HTTP/1.1 connection before it is closed.
    pub requests_per_connection: u64,
}

#[derive(Clone, Debug)]
pub struct Deadlines {
    /// From accept to the end of the TLS handshake and PROXY header.
    pub handshake: Duration,
    /// From the first byte of a request head to its end (and from accept to the first byte).
    pub head: Duration,
    /// Between requests.
    pub keep_alive: Duration,
    /// Between two reads of a request body, and between two writes to a client that does not read.
    pub body: Duration,
}

#[derive(Clone, Debug)]
pub struct Http2 {
    pub max_concurrent_streams: u32,
    pub stream_window: u32,
    pub connection_window: u32,
}

#[derive(Clone, Debug)]
pub struct ClientAddress {
    /// Peers whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Kept upstream connections.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Idle connections kept for each worker thread.
    pub size: usize,
    pub idle: Duration,
    /// Since it was opened.
    pub lifetime: Duration,
}

#[derive(Clone, Debug)]
pub struct AccessLog {
    pub target: AccessLogTarget,
    /// Lines waiting for the writer before further ones are dropped and counted.
    pub buffer: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    Off,
    Stdout,
    File(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Log {
    /// A filter such as `info` or `sluice=debug,pingora=warn`.
    pub level: String,
    pub json: bool,
}

#[derive(Clone, Debug)]
pub struct Drain {
    /// How long accepting goes on after readiness turned red.
    pub delay: Duration,
    /// How long requests in flight may take after that.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Sandbox {
    pub address: SocketAddr,
    /// An OpenAPI 3 document; the embedded partner API when not given.
    pub openapi: Option<PathBuf>,
}

/// `routes.yaml`: what is hot.
#[derive(Clone, Debug)]
pub struct Routes {
    pub file: Arc<str>,
    /// First 12 hex digits of the SHA-256 of the file's bytes.
    pub version: String,
    pub issuers: BTreeMap<Arc<str>, Arc<Issuer>>,
    pub plans: BTreeMap<Arc<str>, Plan>,
    pub partners: Partners,
    pub identity: Identity,
    pub anomaly: AnomalySettings,
    pub upstreams: BTreeMap<Arc<str>, Upstream>,
    /// In file order; a faulty route keeps its place and name so that it can answer 503.
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Arc<str>,
    pub endpoints: Vec<EndpointAddress>,
    pub protocol: UpstreamProtocol,
    pub tls: Option<UpstreamTls>,
    /// How often names are resolved again.
    pub dns_refresh: Duration,
    pub at: Location,
}

/// Where an upstream listens; a host that is a name is resolved off the request path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointAddress {
    pub host: Arc<str>,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    Http1,
    /// HTTP/2 only; without TLS by prior knowledge.
    Http2,
    /// By ALPN; needs TLS.
    Auto,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// Sent as SNI and verified; never empty.
    pub server_name: Arc<str>,
    /// PEM bundle to verify against instead of the system's.
    pub ca: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub name: Arc<str>,
    pub matches: RouteMatch,
    /// What to do, or what is wrong with it: a faulty route is closed (503), never skipped.
    pub action: Result<RouteAction, Vec<String>>,
    /// What `sluice test` tries.
    pub tests: Vec<Expectation>,
    pub at: Location,
}

#[derive(Clone, Debug)]
pub struct RouteAction {
    pub target: RouteTarget,
    pub auth: Auth,
    pub addresses: Option<Addresses>,
    pub limits: RouteLimits,
    pub limit_fields: LimitFields,
    /// What one request counts for in rates and quotas.
    pub cost: NonZeroU32,
    pub request_headers: HeaderEdits,
    pub response_headers: HeaderEdits,
    pub timeouts: Timeouts,
    /// Bytes; `None` is no limit.
    pub max_body: Option<u64>,
    /// Let `%2F`, `%5C` and `%00` through to the upstream.
    pub allow_encoded_slash: bool,
    pub engine: Engine,
    /// What is done about unusual requests.
    pub anomaly: Option<Arc<AnomalyPolicy>>,
    /// Which answers are kept.
    pub cache: Option<Arc<CachePolicy>>,
    /// Tags whose answers are purged when a request that changes something succeeds.
    pub invalidates: Vec<Template>,
    /// Where each written setting of this route stands, by key (`upstream`, `rewrite`, `request_headers` …).
    pub places: BTreeMap<&'static str, Location>,
}

#[derive(Clone, Debug)]
pub enum RouteTarget {
    /// Weighted upstreams come later; today exactly one.
    Forward {
        upstream: Arc<str>,
        rewrite: Option<Rewrite>,
        host: HostRewrite,
    },
    Redirect {
        status: StatusCode,
        location: Template,
    },
    Respond {
        status: StatusCode,
        content_type: HeaderValue,
        body: Arc<[u8]>,
    },
}

#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Takes this prefix (without a trailing slash) off the path.
    StripPrefix(Arc<str>),
    /// Makes the path anew; the query is kept.
    Path(Template),
}

/// The Host that the upstream sees.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// What the client sent.
    Keep,
    Set(HeaderValue),
}

/// Text with `{param}` and `{rest...}` places, split once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    Text(Box<str>),
    /// Index into the parameters of the matched path pattern, which all patterns of the route name alike.
    Param(Box<str>),
    /// The query string of the request with its `?`, or nothing (`{?}`).
    Query,
}

/// In this order: remove, set (replace), add.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    pub remove: Vec<HeaderName>,
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS to the upstream.
    pub connect: Duration,
    /// From the request sent to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two reads from or writes to the upstream.
    pub idle: Duration,
    /// The whole request; `None` is no limit.
    pub total: Option<Duration>,
}

/// Who forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The forwarder of our own where it can, otherwise Pingora.
    Auto,
    /// As `Auto`; the upstream is none that rules it out.
    Direct,
    /// Always Pingora.
    Pingora,
}

/// Everything a listener may serve by name.
#[must_use]
pub fn route_hosts(routes: &Routes) -> Vec<&HostPattern> {
    routes.routes.iter().flat_map(|route| &route.matches.hosts).collect()
}
