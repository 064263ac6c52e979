//! What happens to an upstream's answer head on its way to the client.

use http::header::{CONNECTION, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::exchange::Exchange;
use super::rescue::REQUEST_ID;
use crate::listener::head::is_hop_by_hop;
use crate::transform::headers::{self, FieldList};

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
    answer.set_text(&REQUEST_ID, exchange.facts.request_id.as_str());
    if let Some(action) = exchange.route().and_then(|route| route.action.as_ref().ok()) {
        exchange.granted.fields(action.written.limit_fields, |name, value| {
            let (name, value) = (HeaderName::from_static(name), str::from_utf8(value).unwrap_or_default());
            // The older fields are one number each; the others are lists, and an upstream may have a part in them.
            if name.as_str().starts_with("x-") {
                answer.set_text(&name, value);
            } else {
                answer.append_text(&name, value);
            }
        });
        headers::apply(action.response_headers(), answer);
    }
}
