//! What the API refuses: problem documents (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    answer(status, &body(status, detail))
}

/// 422, with everything that is wrong with what was sent.
pub(super) fn invalid(detail: &str, errors: Vec<String>) -> Response {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let mut body = body(status, detail);
    body["errors"] = errors.into();
    answer(status, &body)
}

fn body(status: StatusCode, detail: &str) -> Value {
    let title = status.canonical_reason().unwrap_or("Error");
    json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail })
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let media_type = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, media_type)], format!("{body:#}\n")).into_response()
}
