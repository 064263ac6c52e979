//! Heads between a stream of an HTTP/2 client and an HTTP/1.1 upstream.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, SERVER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use httparse::Header;

use crate::base::field::Known;
use crate::base::reason::Reason;
use crate::forward::head::date;
use crate::forward::head::put;
use crate::forward::response::ResponseHead;
use crate::listener::framing::{Framing, is_forbidden_trailer};
use crate::listener::head::is_hop_by_hop;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::rescue::REQUEST_ID;
use crate::pipeline::respond;
use crate::pipeline::verdict::Forward;
use crate::transform::headers::Withheld;

/// Fields that an answer gets from us, beside those of its route.
const OURS: usize = 4;

/// How the body of a stream goes on: `body_done` when there is none.
pub fn framing(head: &Parts, body_done: bool) -> Framing {
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(length) => Framing::Length(length),
        None if body_done => Framing::None,
        None => Framing::Chunked,
    }
}

/// Writes the head of a request that is forwarded over HTTP/1.1 by the plan: names as they came, cookie crumbs as one field
/// (RFC 9113 §8.2.3). Values of HTTP/2 that `h2` lets pass hold nothing that HTTP/1.1 may not.
pub fn write_request(out: &mut Vec<u8>, head: &Parts, plan: &Forward, framing: Framing) {
    put(out, &[head.method.as_str().as_bytes(), b" ", plan.target.as_bytes(), b" HTTP/1.1\r\nHost: "]);
    match (&plan.host, head.uri.authority()) {
        (Some(host), _) => out.extend_from_slice(host.as_bytes()),
        (None, Some(authority)) => out.extend_from_slice(authority.as_str().as_bytes()),
        (None, None) => out.extend_from_slice(head.headers.get("host").map_or(b"", |host| host.as_bytes())),
    }
    out.extend_from_slice(b"\r\n");
    let mut crumbs = false;
    for (name, value) in &head.headers {
        let name = name.as_str();
        if name == "host" || name == "content-length" || is_hop_by_hop(name) || plan.withholds(name) {
            continue;
        }
        let is_cookie = name == "cookie";
        match (crumbs, is_cookie) {
            (true, true) => {
                put(out, &[b"; ", value.as_bytes()]);
                continue;
            }
            (true, false) => out.extend_from_slice(b"\r\n"),
            (false, _) => {}
        }
        put(out, &[name.as_bytes(), b": ", value.as_bytes()]);
        crumbs = is_cookie;
        if !crumbs {
            out.extend_from_slice(b"\r\n");
        }
    }
    if crumbs {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(plan.added.as_bytes());
    match framing {
        Framing::None => {}
        Framing::Length(length) => put(out, &[b"Content-Length: ", length.to_string().as_bytes(), b"\r\n"]),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body: the trailers that may be sent behind it (RFC 9110 §6.5.1) and are not withheld, the others are dropped.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>, withheld: &Withheld) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if !is_forbidden_trailer(name.as_str()) && !withheld.contains(Known::of(name.as_str()), name.as_str()) {
            put(out, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The fields of the final answer as the client gets them: without what was for the upstream's connection, with the edits of
/// the route.
///
/// # Errors
///
/// `UPSTREAM_PROTOCOL` for a value that HTTP/2 cannot carry.
pub fn final_fields(answer: &mut ResponseHead<'_, '_>, exchange: &Exchange) -> Result<HeaderMap, Reason> {
    let mut fields = fields(answer, answer.status != StatusCode::NO_CONTENT)?;
    if !answer.has_date {
        // RFC 9110 §6.6.1: whoever forwards an answer without one dates it.
        fields.insert(DATE, date());
    }
    respond::edit(exchange, answer.version, &mut fields);
    if let Some(id) = fields.get_mut(REQUEST_ID) {
        // No other answer has this value: in the table of HPACK (RFC 7541 §7.1.3) it would only push out those that come again.
        id.set_sensitive(true);
    }
    Ok(fields)
}

/// The fields of an interim answer: no body, no edits.
///
/// # Errors
///
/// Those of [`final_fields`].
pub fn interim_fields(answer: &mut ResponseHead<'_, '_>) -> Result<HeaderMap, Reason> {
    fields(answer, false)
}

/// The fields of an answer without what was for the upstream's connection; without a length where there is no body
/// (RFC 9110 §8.6).
///
/// # Errors
///
/// Those of [`final_fields`].
pub fn fields(answer: &mut ResponseHead<'_, '_>, with_length: bool) -> Result<HeaderMap, Reason> {
    answer.drop_hop_by_hop();
    let mut fields = HeaderMap::with_capacity(answer.fields.len() + OURS);
    for Header { name, value } in answer.fields.iter().filter(|field| !field.name.is_empty()) {
        append(&mut fields, name.as_bytes(), value)?;
    }
    if !with_length {
        fields.remove(CONTENT_LENGTH);
    }
    Ok(fields)
}

/// The fields of a trailer section that has been checked: whole lines.
///
/// # Errors
///
/// Those of [`final_fields`].
pub fn trailer_fields(lines: &[u8]) -> Result<HeaderMap, Reason> {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Reason::UpstreamProtocol)?;
        let (name, value) = line.split_at(colon);
        append(&mut fields, name, value.get(1..).unwrap_or_default().trim_ascii())?;
    }
    Ok(fields)
}

fn append(fields: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), Reason> {
    let name = match usual(name) {
        Some(name) => name,
        None => HeaderName::from_bytes(name).map_err(|_| Reason::UpstreamProtocol)?,
    };
    let value = HeaderValue::from_bytes(value).map_err(|_| Reason::UpstreamProtocol)?;
    fields.try_append(name, value).map_err(|_| Reason::UpstreamProtocol)?;
    Ok(())
}

/// What most answers have, in the two spellings in which they have it: found without a search through all known names.
fn usual(name: &[u8]) -> Option<HeaderName> {
    Some(match name {
        b"Date" | b"date" => DATE,
        b"Server" | b"server" => SERVER,
        b"Content-Type" | b"content-type" => CONTENT_TYPE,
        b"Cache-Control" | b"cache-control" => CACHE_CONTROL,
        b"Content-Length" | b"content-length" => CONTENT_LENGTH,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::listener::framing::{BodyGuard, Part};

    #[test]
    fn trailers_are_read_line_by_line() {
        let fields = trailer_fields(b"Grpc-Status: 0\r\nx-empty:\r\nx-a:b:c \r\n").unwrap();
        let read: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(read, [("grpc-status", &b"0"[..]), ("x-empty", b""), ("x-a", b"b:c")]);
    }

    proptest! {
        #[test]
        fn what_the_chunk_reader_passes_can_be_sent(section in trailer_section()) {
            let mut guard = BodyGuard::new(Framing::Chunked, None);
            let mut lines = Vec::new();
            let fed = guard.feed_into(&[b"0\r\n", &section[..], b"\r\n"].concat(), |part| {
                if let Part::Trailer(piece) = part {
                    lines.extend_from_slice(piece);
                }
            });
            if fed.is_ok_and(|fed| fed.done) {
                let fields = trailer_fields(&lines);
                prop_assert!(fields.is_ok_and(|fields| fields.len() == lines.iter().filter(|byte| **byte == b'\n').count()));
            }
        }
    }

    fn trailer_section() -> impl Strategy<Value = Vec<u8>> {
        let line = ("[a-zA-Z_-]{1,12}", proptest::collection::vec(any::<u8>(), 0..12));
        proptest::collection::vec(line, 0..5).prop_map(|lines| {
            let line = |(name, value): (String, Vec<u8>)| [name.as_bytes(), b":", &value, b"\r\n"].concat();
            lines.into_iter().flat_map(line).collect()
        })
    }

    #[test]
    fn only_trailers_that_may_be_sent_behind_a_body_are() {
        let mut trailers = HeaderMap::new();
        for name in ["x-checksum", "content-length", "host", "authorization", "x-forwarded-for", "cookie"] {
            trailers.insert(name, HeaderValue::from_static("1"));
        }
        let mut out = Vec::new();
        write_last_chunk(&mut out, Some(&trailers), &Withheld::default());
        assert_eq!(out, b"0\r\nx-checksum: 1\r\n\r\n");
        out.clear();
        write_last_chunk(&mut out, None, &Withheld::default());
        assert_eq!(out, b"0\r\n\r\n");
    }
}
