//! Heads as we write them: nothing of the client's bytes is copied that was not parsed.

use std::cell::RefCell;
use std::time::UNIX_EPOCH;

use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::base::field::Known;
use crate::listener::framing::Framing;
use crate::listener::head::{Head, Version};
use crate::pipeline::verdict::Forward;

/// What stands in `Connection` of the head that is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// HTTP/1.1 that goes on: nothing is written.
    KeepAlive,
    /// Written when the connection ends with this request.
    Close,
    /// Written with the protocol that is asked for.
    Upgrade,
    /// Whatever the client speaks and wants, HTTP/1.1 on a connection that is ours to keep: nothing is written.
    Ours,
}

/// Writes the head of a request that is forwarded over HTTP/1.1 by the plan.
pub fn write_request(out: &mut Vec<u8>, head: &Head<'_, '_>, plan: &Forward, connection: Connection) {
    let http10 = head.version == Version::Http10 && connection != Connection::Ours;
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(plan.target.as_bytes());
    out.extend_from_slice(if http10 { b" HTTP/1.0\r\nHost: " } else { b" HTTP/1.1\r\nHost: " });
    match &plan.host {
        Some(host) => out.extend_from_slice(host.as_bytes()),
        None => out.extend_from_slice(head.host.as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
    for (known, field) in head.known_fields() {
        let ours = matches!(known, Known::Host | Known::ContentLength);
        if ours || head.is_for_this_hop(known, field.name) || plan.withheld.contains(known, field.name) {
            continue;
        }
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(plan.added.as_bytes());
    match head.framing {
        Framing::None => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            put_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    match connection {
        Connection::KeepAlive if http10 => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Connection::KeepAlive | Connection::Ours => {}
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
        Connection::Upgrade => {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
            if let Some(protocol) = head.upgrade {
                put(out, &[b"Upgrade: ", protocol.as_bytes(), b"\r\n"]);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of an answer of ours.
pub fn write_answer(
    out: &mut Vec<u8>,
    status: StatusCode,
    fields: &[(HeaderName, HeaderValue)],
    length: Option<usize>,
    close: bool,
) {
    put(
        out,
        &[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", status.canonical_reason().unwrap_or("").as_bytes(), b"\r\n"],
    );
    for (name, value) in fields {
        put(out, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    if !fields.iter().any(|(name, _)| *name == header::DATE) {
        write_date(out);
    }
    if let Some(length) = length {
        out.extend_from_slice(b"content-length: ");
        put_number(out, length as u64);
        out.extend_from_slice(b"\r\n");
    }
    if close {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the `Date` field for now (RFC 9110 §6.6.1).
pub fn write_date(out: &mut Vec<u8>) {
    put(out, &[b"date: ", date().as_bytes(), b"\r\n"]);
}

/// The `Date` field for now (RFC 9110 §6.6.1); rendered once a second for each thread.
#[must_use]
pub fn date() -> HeaderValue {
    thread_local! {
        static DATE: RefCell<(u64, HeaderValue)> = const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
    }
    let now = crate::base::clock::since_epoch();
    DATE.with_borrow_mut(|(second, date)| {
        if *second != now.as_secs()
            && let Ok(rendered) = HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + now))
        {
            (*second, *date) = (now.as_secs(), rendered);
        }
        date.clone()
    })
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        // Less than ten.
        *digit |= (number % 10) as u8;
        start -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

pub(super) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}
