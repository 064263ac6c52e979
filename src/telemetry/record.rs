//! One finished request, as the access log and the metrics see it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::access_log::Escaped;
use crate::base::reason::Reason;

/// One finished request, good or bad; borrowed, because it lives only while it is written down.
///
/// What a client chose freely is bytes: it may be anything, and is made safe where it is written.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When its head had been read, since 1970-01-01 UTC.
    pub time: Duration,
    pub request_id: &'a [u8],
    /// 32 hex digits of `traceparent` (W3C Trace Context), when the request belongs to a trace.
    pub trace_id: Option<&'a str>,
    /// The client after trusted proxies have been believed, not necessarily the peer.
    pub client: IpAddr,
    pub listener: &'a str,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// `TLSv1.2` or `TLSv1.3`; `None` on plaintext.
    pub tls: Option<&'static str>,
    /// Empty when the head could not be read, like `host` and `path`.
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// The path in normal form. Never with the query: query strings carry secrets.
    pub path: &'a [u8],
    pub route: Option<&'a Escaped>,
    /// Of the caller, when it is a known partner.
    pub partner: Option<&'a Escaped>,
    /// How the caller was known: `jwt`, `api_key` or `certificate`.
    pub auth: Option<&'static str>,
    /// Whom the credential names.
    pub subject: Option<&'a str>,
    /// What the client was sent; 499 when it left before an answer began.
    pub status: u16,
    pub reason: Option<Reason>,
    /// The limit that refused the request, or would have.
    pub limit: Option<&'a str>,
    /// What policies that are only observed would have refused it for.
    pub observed: &'a [Reason],
    /// How unusual it was; `None` where the route does not check that.
    pub anomaly: Option<Unusual<'a>>,
    /// What the cache did with it, one of [`CACHE_RESULTS`]; `None` where the route has none.
    ///
    /// [`CACHE_RESULTS`]: super::metrics::CACHE_RESULTS
    pub cache: Option<&'static str>,
    pub upstream: Option<&'a Escaped>,
    /// The endpoint tried last.
    pub endpoint: Option<SocketAddr>,
    /// How often an endpoint was tried; 0 when the gateway answered by itself.
    pub attempts: u8,
    /// Whether the last attempt went over a kept connection.
    pub upstream_reused: bool,
    /// Bytes of the request body that were read, without framing.
    pub request_bytes: u64,
    /// Bytes of the response body that were sent, without framing.
    pub response_bytes: u64,
    /// TCP and TLS to the upstream; `None` over a kept connection.
    pub connect: Option<Duration>,
    /// From the head read to the first byte of the upstream's answer, connecting included.
    pub first_byte: Option<Duration>,
    /// From the head read to the last byte of the answer.
    pub total: Duration,
    /// The version of the routes that the request was served by.
    pub snapshot: &'a Escaped,
    pub user_agent: Option<&'a [u8]>,
}

/// How many reasons are told why a request was unusual.
pub const REASONS_TOLD: usize = 3;

/// How unusual a request was.
#[derive(Clone, Copy, Debug)]
pub struct Unusual<'a> {
    /// Its score in (0, 1) and the share of usual requests that are as unusual; `None` as long as there is no model.
    pub judged: Option<(f32, f32)>,
    /// What was done, when it reached a rung or its caller is held.
    pub action: Option<&'static str>,
    /// What made it unusual, the most first; empty texts say nothing.
    pub why: [&'a str; REASONS_TOLD],
}

/// Whole microseconds; what is longer than 584,000 years is that long.
pub(super) fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}
