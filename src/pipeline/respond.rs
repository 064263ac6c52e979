//! What happens to an upstream's answer head on its way to the client.

use http::header::{CACHE_CONTROL, CONNECTION, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::cached::CachePart;
use super::exchange::Exchange;
use super::rescue::{self, REQUEST_ID};
use super::verdict::Answer;
use crate::base::reason::Reason;
use crate::config::checked::limits::LimitFields;
use crate::listener::buffers;
use crate::listener::head::is_hop_by_hop;
use crate::rate_limit::Granted;
use crate::transform::headers::{self, FieldList};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Our entry in `Via` for a message received by this version (RFC 9110 §7.6.3); the pseudonym keeps host names inside.
#[must_use]
pub fn via(received: Version) -> HeaderValue {
    HeaderValue::from_static(match received {
        Version::HTTP_2 => "2 sluice",
        Version::HTTP_10 => "1.0 sluice",
        _ => "1.1 sluice",
    })
}

/// Fields to take off an answer that came over HTTP/1.1: hop-by-hop ones and those that `Connection` names.
/// `Transfer-Encoding` and `Trailer` stay: whoever writes the answer frames it anew.
#[must_use]
pub fn hop_by_hop(fields: &HeaderMap) -> Vec<HeaderName> {
    let mut drop: Vec<HeaderName> = Vec::new();
    for value in fields.get_all(CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let stays = [&b"close"[..], b"keep-alive", b"content-length", b"transfer-encoding", b"date"];
            if stays.iter().any(|name| token.eq_ignore_ascii_case(name)) {
                continue;
            }
            drop.extend(HeaderName::from_bytes(token).ok());
        }
    }
    drop.extend(fields.keys().filter(|name| is_hop_by_hop(name.as_str()) && *name != "transfer-encoding").cloned());
    drop
}

/// Adds what every answer carries, then carries out the route's edits. What was for the hop before is already off.
pub fn edit(exchange: &Exchange, received: Version, answer: &mut impl FieldList) {
    answer.append(&VIA, &via(received));
    answer.remove_received(&REQUEST_ID);
    answer.append_text(&REQUEST_ID, exchange.facts.request_id.as_str());
    if exchange.facts.credential_in_query {
        answer.append_text(&CACHE_CONTROL, "private");
    }
    if let Some(action) = exchange.route().and_then(|route| route.action.as_ref().ok()) {
        tell_limits(&exchange.granted, action.written.limit_fields, answer);
        if let Some(part) = &exchange.cache {
            tell_cache(part, answer);
        }
        headers::apply(action.response_headers(), answer);
    }
}

/// Tells what the cache did: `Cache-Status` (RFC 9211), behind the members of caches before us, and `X-Cache`.
fn tell_cache(part: &CachePart, answer: &mut impl FieldList) {
    let Some(outcome) = part.outcome else { return };
    let mut status = buffers::take_head();
    outcome.write(part.ttl, &mut status);
    answer.append_text(&CACHE_STATUS, str::from_utf8(&status).unwrap_or_default());
    buffers::give(status);
    // The tags are for this cache.
    [X_CACHE, CACHE_TAG, SURROGATE_KEY].iter().for_each(|name| answer.remove_received(name));
    answer.append_text(&X_CACHE, outcome.kind.x_cache());
}

/// What a request is answered that could not be forwarded.
#[must_use]
pub fn failed(exchange: &Exchange, reason: Reason) -> Answer {
    let mut answer = rescue::answer(&reason.into(), Some(&exchange.facts));
    if let Some(action) = exchange.route().and_then(|route| route.action.as_ref().ok()) {
        add_limits(&exchange.granted, action.written.limit_fields, &mut answer);
    }
    answer
}

/// As [`tell_limits`], on an answer of ours.
pub(super) fn add_limits(granted: &Granted, which: LimitFields, answer: &mut Answer) {
    granted.fields(which, |name, value| {
        let value = HeaderValue::from_bytes(value).ok();
        answer.fields.extend(value.map(|value| (HeaderName::from_static(name), value)));
    });
}

/// Tells of the limits that were asked. `RateLimit` and its policy are lists, and go on where the upstream's own end; of the older
/// fields there can only be one.
pub(super) fn tell_limits(granted: &Granted, which: LimitFields, answer: &mut impl FieldList) {
    granted.fields(which, |name, value| {
        let text = str::from_utf8(value).unwrap_or_default();
        match name {
            "ratelimit" | "ratelimit-policy" => answer.append_text(&HeaderName::from_static(name), text),
            older => answer.set_text(&HeaderName::from_static(older), text),
        }
    });
}
