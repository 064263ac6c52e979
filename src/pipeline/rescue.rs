//! The one place where reasons become answers.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use super::facts::Facts;
use super::verdict::Answer;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;

/// Where the meaning of a reason is written up; the `type` of a problem document (RFC 9457 §3.1.1).
const TYPE_PREFIX: &str = "urn:sluice:reason:";

/// Carries the id under which a request stands in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer to a request that ends with this rejection: a problem document (RFC 9457), or one line of text for
/// clients that ask for it.
#[must_use]
pub fn answer(rejection: &Rejection, facts: Option<&Facts>) -> Answer {
    let Rejection { reason, detail, fields: told } = rejection;
    let status = StatusCode::from_u16(client_status(*reason)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let request_id = facts.map(|facts| facts.request_id.as_str());
    // With room for the limits.
    let mut fields = Vec::with_capacity(told.len() + 8);
    fields.extend_from_slice(told);
    let (content_type, body) = if facts.is_some_and(|facts| facts.plain) {
        ("text/plain; charset=utf-8", format!("{reason}: {detail}\n"))
    } else {
        let partner = facts.and_then(|facts| facts.caller.as_ref()?.partner.as_ref());
        let problem = problem(*reason, status, detail, request_id, partner.map(|partner| &*partner.name));
        ("application/problem+json", problem)
    };
    fields.push((CONTENT_TYPE, HeaderValue::from_static(content_type)));
    fields.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    if let Some(id) = request_id.and_then(|id| HeaderValue::from_str(id).ok()) {
        fields.push((REQUEST_ID, id));
    }
    if matches!(
        reason,
        Reason::Draining | Reason::ConnectionLimit | Reason::KeysUnavailable | Reason::UpstreamUnavailable
    ) {
        fields.push((RETRY_AFTER, HeaderValue::from_static("1")));
    }
    Answer { status, fields, body: Bytes::from(body), reason: Some(*reason) }
}

/// The problem document. Written by hand: refusals are what an attacker gets the gateway to say most.
fn problem(
    reason: Reason,
    status: StatusCode,
    detail: &str,
    request_id: Option<&str>,
    partner: Option<&str>,
) -> String {
    let mut out = String::with_capacity(512);
    let mut member = |before: &str, text: &str| {
        out.push_str(before);
        push_json(&mut out, text);
    };
    member("{\"type\":\"", TYPE_PREFIX);
    member("", reason.as_str());
    member("\",\"title\":\"", status.canonical_reason().unwrap_or("Error"));
    member("\",\"status\":", status.as_str());
    member(",\"reason\":\"", reason.as_str());
    member("\",\"detail\":\"", detail);
    if let Some(id) = request_id {
        member("\",\"request_id\":\"", id);
    }
    if let Some(partner) = partner {
        member("\",\"partner\":\"", partner);
    }
    member("\"}\n", "");
    out
}

/// The inside of a JSON string (RFC 8259 §7).
fn push_json(out: &mut String, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        out.push_str(text);
    } else {
        // Displayed, a text is a JSON string with its quotes.
        let quoted = serde_json::Value::from(text).to_string();
        out.push_str(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
    }
}

/// 499 is for the log only: nobody is there to read it.
fn client_status(reason: Reason) -> u16 {
    if reason == Reason::ClientClosed { 400 } else { reason.status() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_problem_reads_back_whatever_it_says(detail in any::<String>(), partner in proptest::option::of(".{0,20}")) {
            let text = problem(Reason::RateLimited, StatusCode::TOO_MANY_REQUESTS, &detail, Some("r-1"), partner.as_deref());
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            let mut expected = serde_json::json!({
                "type": "urn:sluice:reason:RATE_LIMITED", "title": "Too Many Requests", "status": 429,
                "reason": "RATE_LIMITED", "detail": detail, "request_id": "r-1",
            });
            if let Some(partner) = partner {
                expected["partner"] = partner.into();
            }
            prop_assert_eq!(read, expected);
            prop_assert!(text.ends_with('\n'));
        }
    }
}
