//! What holds when nothing is written, each with its reason.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use serde_json::Value;

use crate::base::{byte_size, duration};

/// Loopback, because the operator's interface has no authentication of its own.
pub const ADMIN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9901));
/// Beside the folder of the bootstrap file, as in the repository.
pub const ROUTES: &str = "../routes.yaml";

/// Four times what common servers take for one line: large cookies and tokens fit, floods do not.
pub const HEAD: u64 = 32 << 10;
/// Browsers send about 30, proxies add about 10.
pub const FIELDS: u64 = 100;
/// The longest that RFC 9112 §3 recommends to support at least.
pub const TARGET: u64 = 8 << 10;
/// At 16 KiB a TLS connection about 160 MiB.
pub const CONNECTIONS: u64 = 10_000;
/// Enough never to be noticed, few enough that load balancers see connections move.
pub const REQUESTS_PER_CONNECTION: u64 = 10_000;

/// Two round trips over the worst mobile network.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Slow senders of heads are attackers more often than not.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Longer than the 60 s that load balancers keep idle connections, so that they close first and no request races.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A pause within a body; mobile clients do pause.
pub const BODY: Duration = Duration::from_secs(60);

/// What RFC 9113 §6.5.2 recommends as the least is 100.
pub const MAX_CONCURRENT_STREAMS: u64 = 128;
/// Four times the 64 KiB of RFC 9113 §6.9.2: 20 MB/s a stream at 12 ms.
pub const STREAM_WINDOW: u64 = 256 << 10;
/// Four streams at full speed.
pub const CONNECTION_WINDOW: u64 = 1 << 20;

/// Idle connections to upstreams for each thread.
pub const POOL_SIZE: u64 = 128;
/// Shorter than the 60 s after which common servers close, so that a request seldom meets a closing connection.
pub const POOL_IDLE: Duration = Duration::from_secs(50);
pub const POOL_LIFETIME: Duration = Duration::from_secs(3_600);

/// About 4 MiB of lines: a second of a slow disk at full load.
pub const LOG_BUFFER: u64 = 8_192;
pub const LOG_LEVEL: &str = "info";

/// Load balancers ask for readiness every few seconds.
pub const DRAIN_DELAY: Duration = Duration::from_secs(5);
/// With the delay it stays below the 30 s after which Kubernetes kills unless told otherwise.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// A healthy service in the same region accepts within milliseconds.
pub const CONNECT: Duration = Duration::from_secs(1);
/// Slow reports included.
pub const FIRST_BYTE: Duration = Duration::from_secs(15);
/// As long as clients are given.
pub const IDLE: Duration = Duration::from_secs(60);
/// Documents yes, films no.
pub const MAX_BODY: u64 = 10 << 20;
/// The time to live that service discovery commonly sets.
pub const DNS_REFRESH: Duration = Duration::from_secs(30);

/// Ten times what network time leaves between clocks, and short beside the life of a token.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// New keys are usually published hours before they sign; an unknown key is fetched at once all the same.
pub const JWKS_REFRESH: Duration = Duration::from_secs(300);
/// As long as tokens that were signed with the old key commonly live on.
pub const JWKS_OVERLAP: Duration = Duration::from_secs(300);
/// A request waits for it, once.
pub const JWKS_TIMEOUT: Duration = Duration::from_secs(2);
/// Whoever sends tokens with made-up keys must not make us flood the issuer.
pub const JWKS_COOL_DOWN: Duration = Duration::from_secs(10);
/// The client that a token was issued to, in OpenID Connect.
pub const PARTNER_CLAIM: &str = "azp";
pub const SUBJECT_CLAIM: &str = "sub";
pub const SCOPES_CLAIM: &str = "scope";
pub const TOKEN_ID_CLAIM: &str = "jti";
pub const API_KEY_HEADER: &str = "X-API-Key";

pub const PARTNER_HEADER: &str = "X-Sluice-Partner";
pub const SUBJECT_HEADER: &str = "X-Sluice-Subject";
pub const SCOPES_HEADER: &str = "X-Sluice-Scopes";
pub const TOKEN_HEADER: &str = "X-Sluice-Identity";
pub const TOKEN_ISSUER: &str = "sluice";
/// Longer than any request waits before it is forwarded, too short to be of use to whoever finds it in a log.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// About thirty thousand verified tokens.
pub const TOKEN_CACHE: u64 = 32 << 20;

/// Some ten thousand answers of an ordinary API.
pub const CACHE_MEMORY: u64 = 128 << 20;
/// Answers of APIs are far smaller; what is larger takes the room of hundreds of them.
pub const MAX_OBJECT: u64 = 1 << 20;
/// In percent: of a minute six seconds, in which one request of many fetches what all would wait for.
pub const REFRESH_AHEAD: u8 = 10;

/// One in a thousand: on a route with a request a second some ninety a day, which somebody can still look at.
pub const CONTAMINATION: f64 = 0.001;
/// Long enough that a burst is over, short enough that a mistake of ours is forgiven.
pub const COOL_DOWN: Duration = Duration::from_secs(300);
/// Between two requests of a throttled caller: people hardly notice, programs do.
pub const THROTTLE: Duration = Duration::from_secs(1);
/// The same, as it is written.
pub const THROTTLE_WRITTEN: &str = "1/s";
pub const SCORE_HEADER: &str = "X-Anomaly-Score";
/// The fewest with which one request in a thousand can be told to be that rare.
pub const WARM_UP: u64 = 2_000;
/// A model grows in less than a second, and traffic changes over the day.
pub const RETRAIN: Duration = Duration::from_secs(3_600);
/// Day and night are both usual.
pub const HALF_LIFE: Duration = Duration::from_secs(86_400);
/// Nobody makes usual what only they do.
pub const CALLER_SHARE: f64 = 0.1;
/// Ten times what the default of a route asks for; a model that is wrong shuts nobody out.
pub const MAX_BLOCKED: f64 = 0.01;
/// Enough to go back by a release.
pub const KEEP_MODELS: u64 = 5;
/// Some kilobytes each.
pub const CALLERS: u64 = 100_000;

/// Temporary and with the method kept: browsers never forget a permanent one.
pub const REDIRECT_STATUS: u64 = 307;
pub const RESPOND_STATUS: u64 = 200;
pub const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// For the schema: a duration as it is written.
pub(super) fn time(value: Duration) -> Value {
    duration::format(value).into()
}

/// For the schema: a part as it is written.
pub(super) fn share(value: f64) -> Value {
    // As precise as what is read.
    let percent = format!("{:.4}", value * 100.0);
    format!("{}%", percent.trim_end_matches('0').trim_end_matches('.')).into()
}

/// For the schema: a size as it is written.
pub(super) fn size(value: u64) -> Value {
    byte_size::format(value).into()
}
