//! One request as one line of JSON (RFC 8259), written by hand: no allocation, whatever bytes a client sent.

use super::address;
use super::page::{Page, Pen, eight_digits};
use super::timestamp::Timestamp;
use crate::telemetry::record::micros;
use crate::telemetry::{REASONS_TOLD, Record, Unusual};

/// What a field of the access log means, for its documentation.
pub struct Field {
    pub name: &'static str,
    /// The JSON type.
    pub kind: &'static str,
    /// When the field is there; empty for always.
    pub when: &'static str,
    pub meaning: &'static str,
}

const fn field(name: &'static str, kind: &'static str, when: &'static str, meaning: &'static str) -> Field {
    Field { name, kind, when, meaning }
}

/// Every field, in the order in which a line has them.
pub const FIELDS: &[Field] = &[
    field("time", "string", "", "When the head of the request had been read: RFC 3339, UTC, microseconds."),
    field("request_id", "string", "", "The id that answers and the gateway's own log carry too."),
    field("trace_id", "string", "the request belongs to a trace", "Trace id of W3C Trace Context, 32 hex digits."),
    field("client", "string", "", "Address of the client, after trusted proxies have been believed."),
    field("listener", "string", "", "Name of the listener."),
    field("protocol", "string", "", "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2`."),
    field("tls", "string", "the connection is secured", "`TLSv1.2` or `TLSv1.3`."),
    field("method", "string", "the head could be read", "Request method; cut after 32 bytes."),
    field("host", "string", "the head could be read", "Host that was asked for, without port; cut after 256 bytes."),
    field("path", "string", "the head could be read", "Path in normal form, without the query; cut after 4096 bytes."),
    field("route", "string", "a route matched", "Name of the route."),
    field("partner", "string", "the caller is a known partner", "Name of the partner."),
    field("auth", "string", "a credential was found good", "`jwt`, `api_key` or `certificate`."),
    field(
        "subject",
        "string",
        "the credential names one",
        "Subject of the token, id of the API key, or subject of the certificate; cut after 256 bytes.",
    ),
    field("status", "number", "", "Status that the client was sent; 499 when it left before an answer began."),
    field("reason", "string", "the request was refused or failed", "Why, as listed in [reasons](reasons.md)."),
    field("limit", "string", "a limit refused the request, or would have", "Name of the [limit](limits.md)."),
    field(
        "observed",
        "array",
        "a policy that is only observed would have refused the request",
        "The reasons it would have refused it for; at most 4.",
    ),
    field(
        "anomaly_score",
        "number",
        "the route has an [anomaly check](anomaly.md) and a model",
        "Score of the request, between 0 and 1 in thousandths; above 0.5 it is easier to tell from others than most are.",
    ),
    field(
        "anomaly_rarity",
        "number",
        "as `anomaly_score`",
        "The share of usual requests that are held to be as unusual, up to 1, in millionths: what the rungs of the route are compared with.",
    ),
    field(
        "anomaly_action",
        "string",
        "the request reached a rung, or its caller is held",
        "What was done: `observe`, `tag`, `throttle`, `challenge` or `block`.",
    ),
    field(
        "anomaly_why",
        "array",
        "the request reached a rung, or its caller is held",
        "What made it unusual, the most first; at most 3 texts, cut after 128 bytes each.",
    ),
    field(
        "cache",
        "string",
        "the route has a [cache](operations.md#cache)",
        "What the cache did: `hit`, `stale`, `stale_error`, `revalidated`, `expired`, `miss`, `vary_miss`, `refetch`, `bypass` or `method`.",
    ),
    field("upstream", "string", "the request was to be forwarded", "Name of the upstream."),
    field("endpoint", "string", "an endpoint was tried", "Address and port of the endpoint tried last."),
    field("attempts", "number", "the request was to be forwarded", "How often an endpoint was tried."),
    field("upstream_reused", "boolean", "an endpoint was tried", "Whether the last attempt used a kept connection."),
    field("request_bytes", "number", "", "Bytes of the request body that were read, without framing."),
    field("response_bytes", "number", "", "Bytes of the response body that were sent, without framing."),
    field("connect_us", "number", "a connection was opened", "Microseconds for TCP and TLS to the upstream."),
    field(
        "first_byte_us",
        "number",
        "the upstream answered",
        "Microseconds from the head read to the first byte of the upstream's answer, connecting included.",
    ),
    field("total_us", "number", "", "Microseconds from the head read to the last byte of the answer."),
    field("snapshot", "string", "", "Version of the routes that served the request."),
    field("user_agent", "string", "the client sent one", "User-Agent field; cut after 512 bytes."),
];

/// Longest piece of a text that a client chose, in bytes; what is longer ends with `…`.
/// Log shippers cut or refuse long lines, and a flood of long ones must not fill the memory.
const METHOD_LIMIT: usize = 32;
const HOST_LIMIT: usize = 256;
const PATH_LIMIT: usize = 4_096;
const USER_AGENT_LIMIT: usize = 512;
const ID_LIMIT: usize = 128;
/// Names of the configuration are shorter.
const NAME_LIMIT: usize = 256;
/// What makes a request unusual, in a few words.
const WHY_LIMIT: usize = 128;
/// Reasons in `observed`.
const OBSERVED_LIMIT: usize = 4;

/// What one byte of a text becomes at most: `\u0000`.
const MAX_ESCAPE: usize = 6;
/// Room for the longest line: keys, numbers and what we name ourselves, addresses, and texts that are as long as they may be.
const ROOM: usize = 1_408
    + 2 * address::ROOM
    + MAX_ESCAPE * (2 * ID_LIMIT + METHOD_LIMIT + HOST_LIMIT + PATH_LIMIT + 7 * NAME_LIMIT + USER_AGENT_LIMIT)
    + MAX_ESCAPE * REASONS_TOLD * WHY_LIMIT;

/// Appends the line and its newline.
pub(super) fn append(page: &mut Page, timestamp: &mut Timestamp, record: &Record<'_>) {
    page.write(ROOM, |pen| line(pen, timestamp, record));
}

#[inline]
fn line<'a>(pen: Pen<'a>, timestamp: &mut Timestamp, record: &Record<'_>) -> Pen<'a> {
    let pen = timestamp.write(pen.put(b"{\"time\":\""), record.time);
    let mut pen = text(pen.put(b"\",\"request_id\":\""), record.request_id, ID_LIMIT);
    if let Some(trace_id) = record.trace_id {
        pen = text(pen.put(b"\",\"trace_id\":\""), trace_id.as_bytes(), ID_LIMIT);
    }
    pen = address::ip(pen.put(b"\",\"client\":\""), record.client);
    pen = text(pen.put(b"\",\"listener\":\""), record.listener.as_bytes(), NAME_LIMIT);
    pen = pen.put(b"\",\"protocol\":\"").copy(record.protocol.as_bytes());
    if let Some(tls) = record.tls {
        pen = pen.put(b"\",\"tls\":\"").copy(tls.as_bytes());
    }
    if !record.method.is_empty() {
        pen = text(pen.put(b"\",\"method\":\""), record.method, METHOD_LIMIT);
    }
    if !record.host.is_empty() {
        pen = text(pen.put(b"\",\"host\":\""), record.host, HOST_LIMIT);
    }
    if !record.path.is_empty() {
        pen = text(pen.put(b"\",\"path\":\""), record.path, PATH_LIMIT);
    }
    if let Some(Escaped(route)) = record.route {
        pen = pen.put(b"\",\"route\":\"").copy(route);
    }
    if let Some(Escaped(partner)) = record.partner {
        pen = pen.put(b"\",\"partner\":\"").copy(partner);
    }
    if let Some(auth) = record.auth {
        pen = pen.put(b"\",\"auth\":\"").copy(auth.as_bytes());
    }
    if let Some(subject) = record.subject {
        pen = text(pen.put(b"\",\"subject\":\""), subject.as_bytes(), NAME_LIMIT);
    }
    pen = pen.put(b"\",\"status\":").number(u64::from(record.status));
    if let Some(reason) = record.reason {
        pen = pen.put(b",\"reason\":\"").copy(reason.as_str().as_bytes()).put(b"\"");
    }
    if let Some(limit) = record.limit {
        pen = text(pen.put(b",\"limit\":\""), limit.as_bytes(), NAME_LIMIT).put(b"\"");
    }
    for (at, reason) in record.observed.iter().take(OBSERVED_LIMIT).enumerate() {
        pen = if at == 0 { pen.put(b",\"observed\":[\"") } else { pen.put(b",\"") };
        pen = pen.copy(reason.as_str().as_bytes()).put(b"\"");
    }
    if !record.observed.is_empty() {
        pen = pen.put(b"]");
    }
    if let Some(anomaly) = &record.anomaly {
        pen = unusual(pen, anomaly);
    }
    if let Some(cache) = record.cache {
        pen = pen.put(b",\"cache\":\"").copy(cache.as_bytes()).put(b"\"");
    }
    if let Some(Escaped(upstream)) = record.upstream {
        pen = pen.put(b",\"upstream\":\"").copy(upstream);
        if let Some(endpoint) = record.endpoint {
            pen = address::socket(pen.put(b"\",\"endpoint\":\""), endpoint);
        }
        pen = pen.put(b"\",\"attempts\":").number(u64::from(record.attempts));
        pen = match (record.endpoint, record.upstream_reused) {
            (Some(_), true) => pen.put(b",\"upstream_reused\":true"),
            (Some(_), false) => pen.put(b",\"upstream_reused\":false"),
            (None, _) => pen,
        };
    }
    pen = pen.put(b",\"request_bytes\":").number(record.request_bytes);
    pen = pen.put(b",\"response_bytes\":").number(record.response_bytes);
    if let Some(connect) = record.connect {
        pen = pen.put(b",\"connect_us\":").number(micros(connect));
    }
    if let Some(first_byte) = record.first_byte {
        pen = pen.put(b",\"first_byte_us\":").number(micros(first_byte));
    }
    pen = pen.put(b",\"total_us\":").number(micros(record.total));
    pen = pen.put(b",\"snapshot\":\"").copy(&record.snapshot.0);
    if let Some(user_agent) = record.user_agent {
        pen = text(pen.put(b"\",\"user_agent\":\""), user_agent, USER_AGENT_LIMIT);
    }
    pen.put(b"\"}\n")
}

fn unusual<'a>(mut pen: Pen<'a>, Unusual { judged, action, why }: &Unusual<'_>) -> Pen<'a> {
    if let Some((score, rarity)) = judged {
        pen = fraction(pen.put(b",\"anomaly_score\":"), (score * 1e3).round() as u64 * 1_000);
        // It is never 0, however small.
        pen = fraction(pen.put(b",\"anomaly_rarity\":"), ((rarity * 1e6).round() as u64).max(1));
    }
    if let Some(action) = action {
        pen = pen.put(b",\"anomaly_action\":\"").copy(action.as_bytes()).put(b"\"");
    }
    let mut before: &[u8] = b",\"anomaly_why\":[\"";
    for why in why.iter().filter(|why| !why.is_empty()) {
        pen = text(pen.copy(before), why.as_bytes(), WHY_LIMIT).put(b"\"");
        before = b",\"";
    }
    if before == b",\"" { pen.put(b"]") } else { pen }
}

/// A number below 10, given in millionths, without zeros at its end but the first decimal.
fn fraction(pen: Pen<'_>, millionths: u64) -> Pen<'_> {
    let [_, whole, decimals @ ..] = eight_digits(millionths % 10_000_000);
    let shown = decimals.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    pen.put(&[whole, b'.']).put_first(&decimals, shown)
}

/// The inside of a JSON string.
#[inline]
fn text<'a>(pen: Pen<'a>, value: &[u8], limit: usize) -> Pen<'a> {
    if value.len() > limit {
        return odd_text(pen, value, limit);
    }
    pen.copy_plain(value).unwrap_or_else(|pen| odd_text(pen, value, limit))
}

/// A text that is cut, or needs escapes.
#[cold]
fn odd_text<'a>(pen: Pen<'a>, value: &[u8], limit: usize) -> Pen<'a> {
    let (value, is_cut) = cut(value, limit);
    let pen = escape(pen, value);
    if is_cut { pen.copy("…".as_bytes()) } else { pen }
}

/// A name as it stands inside a JSON string, made once for all lines that will have it.
#[derive(Clone, Debug)]
pub struct Escaped(Box<[u8]>);

impl Escaped {
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut page = Page::default();
        page.write(ROOM, |pen| odd_text(pen, name.as_bytes(), NAME_LIMIT));
        Self(page.filled().into())
    }
}

/// The value, and whether something was cut off; a character is never cut in two.
fn cut(value: &[u8], limit: usize) -> (&[u8], bool) {
    if value.len() <= limit {
        return (value, false);
    }
    let is_inside = |at: usize| value.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let end = (limit.saturating_sub(3)..=limit).rev().find(|at| !is_inside(*at)).unwrap_or(limit);
    (value.get(..end).unwrap_or(value), true)
}

/// JSON string escapes; invalid UTF-8 becomes U+FFFD. Also escapes DEL and the C1 controls, which RFC 8259 §7
/// would allow: some of them steer the terminal of whoever reads the log.
fn escape<'a>(mut pen: Pen<'a>, value: &[u8]) -> Pen<'a> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let hex = |value: u32| HEX.get(value as usize & 15).copied().unwrap_or_default();
    for chunk in value.utf8_chunks() {
        let valid = chunk.valid();
        let mut copied = 0;
        for (at, character) in valid.char_indices() {
            let short = match character {
                '"' => b'"',
                '\\' => b'\\',
                '\n' => b'n',
                '\r' => b'r',
                '\t' => b't',
                control if control.is_control() => 0,
                _ => continue,
            };
            pen = pen.copy(valid.get(copied..at).unwrap_or_default().as_bytes());
            copied = at + character.len_utf8();
            if short == 0 {
                let code = u32::from(character);
                pen = pen.put(&[b'\\', b'u', b'0', b'0', hex(code >> 4), hex(code)]);
            } else {
                pen = pen.put(&[b'\\', short]);
            }
        }
        pen = pen.copy(valid.get(copied..).unwrap_or_default().as_bytes());
        if !chunk.invalid().is_empty() {
            pen = pen.copy("\u{FFFD}".as_bytes());
        }
    }
    pen
}
