//! One request as one line of JSON (RFC 8259), written by hand: no allocation, whatever bytes a client sent.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::timestamp::Timestamp;
use crate::telemetry::Record;

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
    field("status", "number", "", "Status that the client was sent; 499 when it left before an answer began."),
    field("reason", "string", "the request was refused or failed", "Why, as listed in [reasons](reasons.md)."),
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

/// Appends the line and its newline.
pub(super) fn append(out: &mut Vec<u8>, timestamp: &mut Timestamp, record: &Record<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    timestamp.append(out, record.time);
    out.push(b'"');
    text(out, b",\"request_id\":", cut(record.request_id.as_bytes(), ID_LIMIT));
    if let Some(trace_id) = record.trace_id {
        text(out, b",\"trace_id\":", cut(trace_id.as_bytes(), ID_LIMIT));
    }
    out.extend_from_slice(b",\"client\":\"");
    address(out, record.client);
    out.push(b'"');
    name(out, b",\"listener\":", record.listener);
    name(out, b",\"protocol\":", record.protocol);
    if let Some(tls) = record.tls {
        name(out, b",\"tls\":", tls);
    }
    for (key, value, limit) in [
        (&b",\"method\":"[..], record.method, METHOD_LIMIT),
        (b",\"host\":", record.host, HOST_LIMIT),
        (b",\"path\":", record.path, PATH_LIMIT),
    ] {
        if !value.is_empty() {
            text(out, key, cut(value, limit));
        }
    }
    if let Some(route) = record.route {
        name(out, b",\"route\":", route);
    }
    number(out, b",\"status\":", u64::from(record.status));
    if let Some(reason) = record.reason {
        name(out, b",\"reason\":", reason.as_str());
    }
    if let Some(upstream) = record.upstream {
        name(out, b",\"upstream\":", upstream);
        if let Some(endpoint) = record.endpoint {
            out.extend_from_slice(b",\"endpoint\":\"");
            socket_address(out, endpoint);
            out.push(b'"');
        }
        number(out, b",\"attempts\":", u64::from(record.attempts));
        if record.endpoint.is_some() {
            out.extend_from_slice(b",\"upstream_reused\":");
            out.extend_from_slice(if record.upstream_reused { b"true" } else { b"false" });
        }
    }
    number(out, b",\"request_bytes\":", record.request_bytes);
    number(out, b",\"response_bytes\":", record.response_bytes);
    if let Some(connect) = record.connect {
        number(out, b",\"connect_us\":", micros(connect));
    }
    if let Some(first_byte) = record.first_byte {
        number(out, b",\"first_byte_us\":", micros(first_byte));
    }
    number(out, b",\"total_us\":", micros(record.total));
    name(out, b",\"snapshot\":", record.snapshot);
    if let Some(user_agent) = record.user_agent {
        text(out, b",\"user_agent\":", cut(user_agent, USER_AGENT_LIMIT));
    }
    out.extend_from_slice(b"}\n");
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
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

fn name(out: &mut Vec<u8>, key: &[u8], value: &str) {
    text(out, key, (value.as_bytes(), false));
}

fn text(out: &mut Vec<u8>, key: &[u8], (value, is_cut): (&[u8], bool)) {
    out.extend_from_slice(key);
    out.push(b'"');
    // In blocks without an early exit, which the compiler turns into vector instructions.
    if value.chunks(32).all(|block| block.iter().fold(true, |plain, byte| plain & is_plain(*byte))) {
        out.extend_from_slice(value);
    } else {
        escape(out, value);
    }
    if is_cut {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    (b' '..0x7F).contains(&byte) & (byte != b'"') & (byte != b'\\')
}

/// JSON string escapes; invalid UTF-8 becomes U+FFFD. Also escapes DEL and the C1 controls, which RFC 8259 §7
/// would allow: some of them steer the terminal of whoever reads the log.
#[cold]
fn escape(out: &mut Vec<u8>, value: &[u8]) {
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
            out.extend_from_slice(valid.get(copied..at).unwrap_or_default().as_bytes());
            copied = at + character.len_utf8();
            if short == 0 {
                let code = u32::from(character);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(code >> 4), hex(code)]);
            } else {
                out.extend_from_slice(&[b'\\', short]);
            }
        }
        out.extend_from_slice(valid.get(copied..).unwrap_or_default().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

fn number(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    digits(out, value);
}

fn digits(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        start -= 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            digits(out, u64::from(a));
            for octet in [b, c, d] {
                out.push(b'.');
                digits(out, u64::from(octet));
            }
        }
        // Writing into a vector cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

fn socket_address(out: &mut Vec<u8>, endpoint: SocketAddr) {
    match endpoint {
        SocketAddr::V4(_) => {
            address(out, endpoint.ip());
            out.push(b':');
            digits(out, u64::from(endpoint.port()));
        }
        SocketAddr::V6(endpoint) => drop(write!(out, "{endpoint}")),
    }
}
