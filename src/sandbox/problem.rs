//! What the sandbox itself refuses: problem documents (RFC 9457).

use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::respond::{Answer, Payload};
use super::validate::Violation;

pub(super) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

pub(super) fn problem(status: StatusCode, detail: &str) -> Answer {
    answer(status, &body(status, detail))
}

/// 400, naming every place that is wrong.
pub(super) fn invalid(what: &str, violations: &[Violation]) -> Answer {
    let status = StatusCode::BAD_REQUEST;
    let mut body = body(status, &format!("{what} is not what the document asks for."));
    let errors = violations.iter().map(|wrong| json!({ "pointer": wrong.pointer, "detail": wrong.detail })).collect();
    if let Value::Object(members) = &mut body {
        members.insert("errors".into(), Value::Array(errors));
    }
    answer(status, &body)
}

fn body(status: StatusCode, detail: &str) -> Value {
    let title = status.canonical_reason().unwrap_or("Error");
    json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail })
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Answer::new(status, Payload::Bytes(body.to_string().into()));
    answer.headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    answer
}
