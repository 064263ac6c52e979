//! Who asks: the facts of a request that every later phase relies on.

use std::borrow::Cow;

use http::Version;

use super::facts::{Facts, Told};
use super::view::RequestView;
use crate::base::authority::without_port;
use crate::base::field::Known;
use crate::base::host_pattern;
use crate::listener::client_io::ConnectionFacts;
use crate::listener::worker::Settings;
use crate::route::{self, NormalPath};
use crate::transform::forwarded::{self, Chain};
use crate::transform::request_id::RequestId;
use crate::transform::trace::TraceId;

/// A request whose sender is known.
pub(super) struct Admitted<'a> {
    pub(super) chain: Chain<'a>,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) path: Result<NormalPath<'a>, route::PathError>,
}

impl<'a> Admitted<'a> {
    pub(super) fn new<V: RequestView>(connection: &ConnectionFacts, request: &'a V, settings: &Settings) -> Self {
        let authority = request.authority().unwrap_or_default();
        let peer = forwarded::Peer { address: connection.client.ip(), tls: connection.tls.is_some(), host: authority };
        let chain = forwarded::assess(peer, &settings.trusted_proxies, |field| request.known(forwarded_field(field)));
        Self { chain, host: host_pattern::normal(without_port(authority)), path: route::normalise_text(request.path()) }
    }

    pub(super) fn tell<V: RequestView>(&self, request: &V, facts: &mut Facts) {
        let user_agent = request.known(Known::UserAgent).next();
        facts.tell(&Told {
            request_id: RequestId::accept_or_new(request.known(Known::RequestId).next()),
            trace_id: request.known(Known::Traceparent).next().and_then(TraceId::of),
            client: self.chain.facts.client,
            method: request.method().as_str(),
            host: self.host.as_deref().unwrap_or_default(),
            path: match &self.path {
                Ok(path) => path.as_str(),
                Err(_) => request.path(),
            },
            version: request.version(),
            // Nearly all are ASCII, and that is quickly seen.
            user_agent: user_agent.filter(|value| value.is_ascii() || std::str::from_utf8(value).is_ok()),
            plain: prefers_plain(request),
        });
    }
}

/// The facts of a request whose head could not be read.
pub(super) fn unread(connection: &ConnectionFacts, facts: &mut Facts) {
    facts.tell(&Told {
        request_id: RequestId::new_random(),
        trace_id: None,
        client: connection.client.ip().to_canonical(),
        method: "",
        host: "",
        path: "",
        version: Version::HTTP_11,
        user_agent: None,
        plain: false,
    });
}

const fn forwarded_field(field: forwarded::Field) -> Known {
    match field {
        forwarded::Field::For => Known::ForwardedFor,
        forwarded::Field::Proto => Known::ForwardedProto,
        forwarded::Field::Host => Known::ForwardedHost,
        forwarded::Field::Forwarded => Known::Forwarded,
    }
}

/// Whether plain text is asked for and JSON is not; browsers and most clients take `*/*` and get the problem document.
fn prefers_plain<V: RequestView>(request: &V) -> bool {
    let mut plain = false;
    for range in request.known(Known::Accept).flat_map(|value| value.split(|byte| *byte == b',')) {
        let range = range.trim_ascii_start();
        let is = |media: &str| {
            let parts = range.split_at_checked(media.len());
            parts.is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(media.as_bytes()) && matches!(rest.trim_ascii_start(), [] | [b';', ..])
            })
        };
        if is("application/problem+json") || is("application/json") {
            return false;
        }
        plain |= is("text/plain");
    }
    plain
}
