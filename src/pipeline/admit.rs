//! Who asks: the facts of a request that every later phase relies on.

use std::time::{Duration, Instant};

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderName, Version};

use super::exchange::Facts;
use super::rescue::REQUEST_ID;
use super::view::RequestView;
use crate::base::{clock, host_pattern};
use crate::listener::client_io::ConnectionFacts;
use crate::listener::worker::Settings;
use crate::route::{self, NormalPath};
use crate::transform::forwarded::{self, Chain};
use crate::transform::request_id::RequestId;
use crate::transform::trace::trace_id;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request whose sender is known.
pub(super) struct Admitted<'a> {
    started: Instant,
    started_at: Duration,
    pub(super) chain: Chain<'a>,
    pub(super) request_id: RequestId,
    pub(super) host: Option<String>,
    pub(super) path: Result<NormalPath<'a>, route::PathError>,
}

impl<'a> Admitted<'a> {
    pub(super) fn new<V: RequestView>(connection: &ConnectionFacts, request: &'a V, settings: &Settings) -> Self {
        let authority = request.authority().unwrap_or_default();
        let peer = forwarded::Peer { address: connection.client.ip(), tls: connection.tls.is_some(), host: authority };
        let chain = forwarded::assess(peer, &settings.trusted_proxies, |field| request.values(forwarded_name(field)));
        Self {
            started: clock::now(),
            started_at: clock::since_epoch(),
            chain,
            request_id: RequestId::accept_or_new(request.values(&REQUEST_ID).next()),
            host: host_pattern::normalise(without_port(authority)),
            path: route::normalise(request.path()),
        }
    }

    pub(super) fn into_facts<V: RequestView>(self, request: &V) -> Facts {
        Facts {
            started: self.started,
            started_at: self.started_at,
            request_id: self.request_id,
            trace_id: request.values(&TRACEPARENT).next().and_then(trace_id).map(Box::from),
            client: self.chain.facts.client,
            method: request.method().as_str().to_owned(),
            host: self.host.unwrap_or_default(),
            path: match self.path {
                Ok(path) => path.into_cow().into_owned(),
                Err(_) => request.path().to_owned(),
            },
            version: request.version(),
            user_agent: request.first_value(&USER_AGENT).map(str::to_owned),
            plain: prefers_plain(request),
        }
    }
}

/// The facts of a request whose head could not be read.
pub(super) fn unread(connection: &ConnectionFacts) -> Facts {
    Facts {
        started: clock::now(),
        started_at: clock::since_epoch(),
        request_id: RequestId::new_random(),
        trace_id: None,
        client: connection.client.ip().to_canonical(),
        method: String::new(),
        host: String::new(),
        path: String::new(),
        version: Version::HTTP_11,
        user_agent: None,
        plain: false,
    }
}

pub(super) fn forwarded_name(field: forwarded::Field) -> &'static HeaderName {
    static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    static FORWARDED: HeaderName = http::header::FORWARDED;
    match field {
        forwarded::Field::For => &FOR,
        forwarded::Field::Proto => &PROTO,
        forwarded::Field::Host => &HOST,
        forwarded::Field::Forwarded => &FORWARDED,
    }
}

/// Host without its port; an address in brackets keeps its colons.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

/// Whether plain text is asked for and JSON is not; browsers and most clients take `*/*` and get the problem document.
fn prefers_plain<V: RequestView>(request: &V) -> bool {
    let mut plain = false;
    for value in request.values(&ACCEPT) {
        for range in value.split(|byte| *byte == b',') {
            let media = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            if media.eq_ignore_ascii_case(b"application/problem+json")
                || media.eq_ignore_ascii_case(b"application/json")
            {
                return false;
            }
            plain |= media.eq_ignore_ascii_case(b"text/plain");
        }
    }
    plain
}
