//! The one place where reasons become answers.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use super::exchange::Facts;
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
    let Rejection { reason, detail, fields } = rejection;
    let status = StatusCode::from_u16(client_status(*reason)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let request_id = facts.map(|facts| facts.request_id.as_str());
    let mut fields = fields.clone();
    let (content_type, body) = if facts.is_some_and(|facts| facts.plain) {
        ("text/plain; charset=utf-8", format!("{reason}: {detail}\n"))
    } else {
        let mut problem = serde_json::json!({
            "type": format!("{TYPE_PREFIX}{reason}"),
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "reason": reason.as_str(),
            "detail": detail,
        });
        if let Some(id) = request_id {
            problem["request_id"] = id.into();
        }
        let partner = facts.and_then(|facts| facts.caller.as_ref()?.partner.as_ref());
        if let Some(partner) = partner {
            problem["partner"] = (*partner.name).into();
        }
        ("application/problem+json", format!("{problem}\n"))
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

/// 499 is for the log only: nobody is there to read it.
fn client_status(reason: Reason) -> u16 {
    if reason == Reason::ClientClosed { 400 } else { reason.status() }
}
