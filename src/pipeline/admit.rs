//! Who asks: the facts of a request that every later phase relies on.

use std::borrow::Cow;
use std::mem::take;
use std::time::{Duration, Instant};

use http::Version;

use super::exchange::Facts;
use super::shelf::Memory;
use super::view::RequestView;
use crate::base::field::Known;
use crate::base::{clock, host_pattern};
use crate::listener::client_io::ConnectionFacts;
use crate::listener::worker::Settings;
use crate::route::{self, NormalPath};
use crate::transform::forwarded::{self, Chain};
use crate::transform::request_id::RequestId;
use crate::transform::trace::TraceId;

/// A request whose sender is known.
pub(super) struct Admitted<'a> {
    started: Instant,
    started_at: Duration,
    pub(super) chain: Chain<'a>,
    pub(super) request_id: RequestId,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) path: Result<NormalPath<'a>, route::PathError>,
}

impl<'a> Admitted<'a> {
    pub(super) fn new<V: RequestView>(connection: &ConnectionFacts, request: &'a V, settings: &Settings) -> Self {
        let authority = request.authority().unwrap_or_default();
        let peer = forwarded::Peer { address: connection.client.ip(), tls: connection.tls.is_some(), host: authority };
        let chain = forwarded::assess(peer, &settings.trusted_proxies, |field| request.known(forwarded_field(field)));
        Self {
            started: clock::now(),
            started_at: clock::since_epoch(),
            chain,
            request_id: RequestId::accept_or_new(request.known(Known::RequestId).next()),
            host: host_pattern::normal(without_port(authority)),
            path: route::normalise_text(request.path()),
        }
    }

    pub(super) fn into_facts<V: RequestView>(self, request: &V, memory: &mut Memory) -> Facts {
        let write = |mut memory: String, text: &str| {
            memory.push_str(text);
            memory
        };
        let user_agent = request.known(Known::UserAgent).next();
        // Nearly all are ASCII, and that is quickly seen.
        let user_agent = user_agent.filter(|value| value.is_ascii() || std::str::from_utf8(value).is_ok());
        let path = match &self.path {
            Ok(path) => path.as_str(),
            Err(_) => request.path(),
        };
        Facts {
            started: self.started,
            started_at: self.started_at,
            request_id: self.request_id,
            trace_id: request.known(Known::Traceparent).next().and_then(TraceId::of),
            client: self.chain.facts.client,
            method: write(take(&mut memory.method), request.method().as_str()),
            host: write(take(&mut memory.host), self.host.as_deref().unwrap_or_default()),
            path: write(take(&mut memory.path), path),
            version: request.version(),
            user_agent: user_agent.map(|value| {
                let mut memory = take(&mut memory.user_agent);
                memory.extend_from_slice(value);
                memory
            }),
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

const fn forwarded_field(field: forwarded::Field) -> Known {
    match field {
        forwarded::Field::For => Known::ForwardedFor,
        forwarded::Field::Proto => Known::ForwardedProto,
        forwarded::Field::Host => Known::ForwardedHost,
        forwarded::Field::Forwarded => Known::Forwarded,
    }
}

/// Host without its port; an address in brackets keeps its colons.
fn without_port(authority: &str) -> &str {
    let port = authority.bytes().rev().take_while(u8::is_ascii_digit).count();
    let host = authority.get(..authority.len() - port).and_then(|host| host.strip_suffix(':'));
    host.filter(|host| !host.is_empty()).unwrap_or(authority)
}

/// Whether plain text is asked for and JSON is not; browsers and most clients take `*/*` and get the problem document.
fn prefers_plain<V: RequestView>(request: &V) -> bool {
    let mut plain = false;
    for range in request.known(Known::Accept).flat_map(|value| value.split(|byte| *byte == b',')) {
        let media = range.iter().position(|byte| *byte == b';').and_then(|end| range.get(..end)).unwrap_or(range);
        let media = media.trim_ascii();
        let is = |known: &str| media.eq_ignore_ascii_case(known.as_bytes());
        if is("application/problem+json") || is("application/json") {
            return false;
        }
        plain |= is("text/plain");
    }
    plain
}
