//! The keys of `gateway.yaml`.

use super::{Address, Bool, Count, Duration, List, Name, Network, OrOff, Size, Text, Threads, choices, model};
use crate::config::defaults::{self, size, time};

model! {
    /// The bootstrap file of a Sluice gateway: what is fixed at start.
    Gateway "the bootstrap file" OPEN {
        /// The version of this format: 1.
        required version: Count,
        /// Worker threads, each with its own accept loop; `auto` is one for each core.
        optional threads: Threads = "auto",
        /// Where requests are accepted.
        required listeners: List<Listener>,
        /// The operator's interface: metrics, health, status, reload. `off` for none.
        optional admin: OrOff<Admin>,
        /// The routes file, from the folder of this file.
        optional routes: Text = defaults::ROUTES,
        /// What to do when the routes file changes.
        optional reload: Reload,
        /// How much a client may send or hold.
        optional limits: Limits,
        /// How long a client may take.
        optional deadlines: Deadlines,
        /// HTTP/2 on listeners.
        optional http2: Http2,
        /// Whom to believe about the address of a client.
        optional client_address: ClientAddress,
        /// Kept connections to upstreams.
        optional upstream_pool: UpstreamPool,
        /// One line for each request.
        optional access_log: AccessLog,
        /// What the gateway says about itself.
        optional log: Log,
        /// How to stop without losing requests.
        optional drain: Drain,
        /// What survives a restart: quotas, revocations. `off` for nothing.
        optional store: OrOff<Store> = "off",
        /// How credentials are kept and recalled.
        optional credentials: Credentials,
        /// The answers that are kept for routes with `cache`.
        optional cache: Cache,
        /// What is learned for routes with `anomaly`.
        optional anomaly: Anomaly,
        /// A mock of the partner API for tests. Not served when not written.
        optional sandbox: Sandbox,
    }

    /// An address that accepts requests.
    Listener "a listener" {
        /// Unique; appears in logs and metrics.
        required name: Name,
        /// IP address and port.
        required address: Address,
        /// TLS; plaintext when not written.
        optional tls: ListenerTls,
        /// Accept HTTP/2 with prior knowledge on plaintext (RFC 9113 section 3.3).
        optional h2c: Bool = false,
        /// Require a PROXY protocol header (version 1 or 2) from these peers and refuse all others.
        optional proxy_protocol: ProxyProtocol,
    }

    /// TLS of a listener.
    ListenerTls "`tls` of a listener" {
        /// Chosen by the name a client asks for: exact, then wildcard; the first one serves clients that ask for none.
        required certificates: List<Certificate>,
        /// The oldest version accepted.
        optional min_version: TlsVersion = "1.2",
        /// Offer HTTP/2 (ALPN `h2`).
        optional http2: Bool = true,
        /// Ask clients for a certificate. Nobody is asked when not written.
        optional client_certificates: ClientCertificates,
    }

    /// Asks clients for a certificate.
    ClientCertificates "`client_certificates`" {
        /// `required` refuses the connection without one; with `optional`, routes decide (`auth: {certificate: true}`).
        optional mode: CertificateMode = "required",
        /// A PEM file of the authorities that may have signed it, from the folder of this file. Read again when it changes.
        required ca: Text,
    }

    /// A certificate chain and its private key, both PEM, from the folder of this file. Read again when they change.
    Certificate "a certificate" {
        /// The chain, the server's own certificate first.
        required certificate: Text,
        /// The private key.
        required key: Text,
    }

    /// The PROXY protocol in front of every connection.
    ProxyProtocol "`proxy_protocol`" {
        /// The load balancers, as networks.
        required from: List<Network>,
    }

    /// The operator's interface.
    Admin "`admin`" {
        /// IP address and port; it has no authentication, so keep it on a private address.
        optional address: Address = defaults::ADMIN.to_string(),
    }

    /// Reload of the routes file.
    Reload "`reload`" {
        /// `lenient` closes a faulty route and takes the others live; `strict` refuses the whole file.
        optional mode: ReloadMode = "lenient",
        /// Watch the file; without, SIGHUP and `POST /reload` are the ways.
        optional watch: Bool = true,
    }

    /// How much a client may send or hold.
    Limits "`limits`" {
        /// Request line and fields together.
        optional head: Size = size(defaults::HEAD),
        /// Number of request fields.
        optional fields: Count = defaults::FIELDS,
        /// The request target.
        optional target: Size = size(defaults::TARGET),
        /// Open client connections over all listeners.
        optional connections: Count = defaults::CONNECTIONS,
        /// Requests on one HTTP/1.1 connection before it is closed.
        optional requests_per_connection: Count = defaults::REQUESTS_PER_CONNECTION,
    }

    /// How long a client may take.
    Deadlines "`deadlines`" {
        /// From accept to the end of the TLS handshake and the PROXY header.
        optional handshake: Duration = time(defaults::HANDSHAKE),
        /// For a request head, from its first byte.
        optional head: Duration = time(defaults::HEAD_DEADLINE),
        /// Between requests.
        optional keep_alive: Duration = time(defaults::KEEP_ALIVE),
        /// For each pause within a request body, and for a client that does not read its answer.
        optional body: Duration = time(defaults::BODY),
    }

    /// HTTP/2 on listeners.
    Http2 "`http2`" {
        /// Requests at once on a connection.
        optional max_concurrent_streams: Count = defaults::MAX_CONCURRENT_STREAMS,
        /// Flow-control window of a stream.
        optional stream_window: Size = size(defaults::STREAM_WINDOW),
        /// Flow-control window of a connection.
        optional connection_window: Size = size(defaults::CONNECTION_WINDOW),
    }

    /// Whom to believe about the address of a client.
    ClientAddress "`client_address`" {
        /// Peers whose `X-Forwarded-For` and `Forwarded` are believed, as networks; nobody when empty.
        optional trusted_proxies: List<Network>,
    }

    /// Kept connections to upstreams.
    UpstreamPool "`upstream_pool`" {
        /// Idle connections for each worker thread and engine.
        optional size: Count = defaults::POOL_SIZE,
        /// How long an idle connection is kept.
        optional idle: Duration = time(defaults::POOL_IDLE),
        /// How long the engine `direct` uses a connection, so that load moves to where names lead now; open requests finish.
        optional lifetime: Duration = time(defaults::POOL_LIFETIME),
    }

    /// One line of JSON for each request.
    AccessLog "`access_log`" {
        /// `stdout`, `off`, or a file with a `/` in its path, from the folder of this file.
        optional target: Text = "stdout",
        /// Lines that may wait for the writer; further ones are dropped and counted.
        optional buffer: Count = defaults::LOG_BUFFER,
    }

    /// What the gateway says about itself, on standard error.
    Log "`log`" {
        /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or a list such as `info,sluice::route=debug`.
        optional level: Text = defaults::LOG_LEVEL,
        optional format: LogFormat = "text",
    }

    /// How to stop without losing requests.
    Drain "`drain`" {
        /// How long to go on accepting after readiness has turned red.
        optional delay: Duration = time(defaults::DRAIN_DELAY),
        /// How long requests in flight may take after that.
        optional timeout: Duration = time(defaults::DRAIN_TIMEOUT),
    }

    /// What survives a restart.
    Store "`store`" {
        /// The database file, from the folder of this file. Made when it is not there.
        required file: Text,
    }

    /// How credentials are kept and recalled.
    Credentials "`credentials`" {
        /// Memory for tokens that have been verified; the next request with the same token needs a look-up only.
        optional token_cache: Size = size(defaults::TOKEN_CACHE),
        /// A file that lists what is revoked, from the folder of this file. Read again when it changes.
        optional revocations: Text,
    }

    /// The answers that are kept for routes with `cache`.
    Cache "`cache`" {
        /// Memory for all of them, everything counted. `off` keeps none.
        optional memory: OrOff<Size> = size(defaults::CACHE_MEMORY),
    }

    /// What is learned for routes with `anomaly`.
    Anomaly "`anomaly`" {
        /// Where models survive a restart, from the folder of this file. Made when it is not there. Without it, a restart learns
        /// anew.
        optional folder: Text,
        /// Callers of routes whose ways are remembered; of those beyond, whoever was away for longest is forgotten.
        optional callers: Count = defaults::CALLERS,
    }

    /// A mock of the partner API for tests.
    Sandbox "`sandbox`" {
        /// IP address and port.
        required address: Address,
        /// An OpenAPI 3 document, from the folder of this file; the embedded partner API when not written.
        optional openapi: Text,
    }
}

choices! {
    /// The oldest TLS version accepted.
    TlsVersion "a TLS version" {
        Tls12 "1.2",
        Tls13 "1.3",
    }

    CertificateMode "a mode" {
        Required "required",
        Optional "optional",
    }

    ReloadMode "a reload mode" {
        Lenient "lenient",
        Strict "strict",
    }

    LogFormat "a log format" {
        Text "text",
        Json "json",
    }
}
