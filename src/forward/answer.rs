//! The head of an upstream's answer as it goes to an HTTP/1 client, and how its body is framed anew.

use http::{HeaderName, HeaderValue, StatusCode, Version};
use httparse::Header;

use crate::forward::head::{put, write_date};
use crate::forward::response::{BodyFraming, ResponseHead};
use crate::listener::buffers;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::respond;
use crate::transform::headers::FieldList;

/// What is done to the framing of a body on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reframing {
    /// The client gets it as the upstream sent it.
    None,
    /// Chunks of our own for those of the upstream, without extensions and with the trailers.
    Rechunk,
    /// Chunks are unknown to HTTP/1.0: the end of the connection is the end of the body.
    Unchunk,
    /// The upstream ends by closing; in chunks the client learns the end, and its connection goes on.
    Chunk,
}

/// Whether the client learns the end of the body without the end of its connection.
pub fn is_delimited(head: &ResponseHead<'_, '_>, to_head: bool, client: Version) -> bool {
    client != Version::HTTP_10 || head.is_bodyless(to_head) || matches!(head.framing, BodyFraming::Length(_))
}

pub fn reframing(head: &ResponseHead<'_, '_>, to_head: bool, client: Version) -> Reframing {
    match head.framing {
        _ if head.is_bodyless(to_head) => Reframing::None,
        BodyFraming::Chunked if client == Version::HTTP_10 => Reframing::Unchunk,
        BodyFraming::Chunked => Reframing::Rechunk,
        BodyFraming::UntilClose if client != Version::HTTP_10 => Reframing::Chunk,
        BodyFraming::Length(_) | BodyFraming::UntilClose => Reframing::None,
    }
}

/// Writes the final head: without what was for the upstream's connection, with the edits of the route.
pub fn write_head(
    out: &mut Vec<u8>,
    head: &mut ResponseHead<'_, '_>,
    to_head: bool,
    reframing: Reframing,
    keep_alive: bool,
    exchange: &Exchange,
) {
    head.drop_hop_by_hop();
    if head.status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6: a client that believes it waits for a body that never comes.
        drop_all(head.fields, "content-length");
    }
    let mut added = buffers::take_head();
    if !head.has_date {
        // RFC 9110 §6.6.1: whoever forwards an answer without one dates it; the route may know better.
        write_date(&mut added);
    }
    let mut fields = Fields { read: head.fields, added };
    respond::edit(exchange, head.version, &mut fields);
    let Fields { added, .. } = fields;

    write_status(out, head.status, head.phrase);
    write_fields(out, head.fields);
    out.extend_from_slice(&added);
    buffers::give(added);
    // A HEAD is told what a GET would be.
    let as_to_get = to_head && head.framing == BodyFraming::Chunked && exchange.facts.version != Version::HTTP_10;
    if as_to_get || matches!(reframing, Reframing::Rechunk | Reframing::Chunk) {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    match (keep_alive, exchange.facts.version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::HTTP_10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, _) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim head (RFC 9110 §15.2): no body, no edits.
pub fn write_interim(out: &mut Vec<u8>, head: &mut ResponseHead<'_, '_>) {
    head.drop_hop_by_hop();
    drop_all(head.fields, "content-length");
    write_status(out, head.status, head.phrase);
    write_fields(out, head.fields);
    out.extend_from_slice(b"\r\n");
}

/// Writes the agreement to an upgrade (RFC 9110 §7.8), with the edits of the route.
pub fn write_switched(out: &mut Vec<u8>, head: &mut ResponseHead<'_, '_>, exchange: &Exchange) {
    let protocol = head.fields.iter().find(|field| field.name.eq_ignore_ascii_case("upgrade")).map(|field| field.value);
    head.drop_hop_by_hop();
    drop_all(head.fields, "content-length");
    let mut fields = Fields { read: head.fields, added: buffers::take_head() };
    respond::edit(exchange, head.version, &mut fields);
    let Fields { added, .. } = fields;
    write_status(out, head.status, head.phrase);
    write_fields(out, head.fields);
    if exchange.plan.as_ref().is_some_and(|plan| plan.agrees_to_bearer)
        && !head.fields.iter().any(|field| field.name.eq_ignore_ascii_case("sec-websocket-protocol"))
    {
        out.extend_from_slice(b"sec-websocket-protocol: bearer\r\n");
    }
    put(out, &[&added, b"connection: Upgrade\r\nupgrade: ", protocol.unwrap_or_default(), b"\r\n\r\n"]);
    buffers::give(added);
}

fn write_status(out: &mut Vec<u8>, status: StatusCode, phrase: &str) {
    put(out, &[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", phrase.as_bytes(), b"\r\n"]);
}

fn write_fields(out: &mut Vec<u8>, fields: &[Header<'_>]) {
    for Header { name, value } in fields.iter().filter(|field| !field.name.is_empty()) {
        put(out, &[name.as_bytes(), b": ", value, b"\r\n"]);
    }
}

fn drop_all(fields: &mut [Header<'_>], name: &str) {
    for field in fields.iter_mut().filter(|field| field.name.eq_ignore_ascii_case(name)) {
        field.name = "";
    }
}

/// The fields of an answer while the route edits them: those that were read, and lines behind them.
struct Fields<'a, 'b> {
    read: &'a mut [Header<'b>],
    added: Vec<u8>,
}

impl Fields<'_, '_> {
    fn drop_added(&mut self, name: &str) {
        let mut at = 0;
        while let Some(rest) = self.added.get(at..).filter(|rest| !rest.is_empty()) {
            let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
            let of_line = rest.iter().position(|byte| *byte == b':').and_then(|colon| rest.get(..colon));
            if of_line.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes())) {
                self.added.drain(at..at + length);
            } else {
                at += length;
            }
        }
    }
}

impl FieldList for Fields<'_, '_> {
    fn remove(&mut self, name: &HeaderName) {
        drop_all(self.read, name.as_str());
        self.drop_added(name.as_str());
    }

    fn remove_received(&mut self, name: &HeaderName) {
        drop_all(self.read, name.as_str());
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.remove(name);
        self.append(name, value);
    }

    fn set_text(&mut self, name: &HeaderName, value: &str) {
        self.remove(name);
        put(&mut self.added, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }

    fn append_text(&mut self, name: &HeaderName, value: &str) {
        put(&mut self.added, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }

    fn append(&mut self, name: &HeaderName, value: &HeaderValue) {
        put(&mut self.added, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_reach_what_was_read_and_what_was_added() {
        let mut read = [
            Header { name: "X-A", value: b"1" },
            Header { name: "x-a", value: b"2" },
            Header { name: "X-B", value: b"3" },
        ];
        let name = HeaderName::from_static;
        let mut fields = Fields { read: &mut read, added: Vec::new() };
        fields.append(&name("x-c"), &HeaderValue::from_static("4"));
        fields.append(&name("x-d"), &HeaderValue::from_static("5"));
        fields.append(&name("x-c"), &HeaderValue::from_static("6"));
        fields.set(&name("x-a"), &HeaderValue::from_static("7"));
        fields.remove(&name("x-c"));
        fields.remove_received(&name("x-b"));
        let mut out = Vec::new();
        write_fields(&mut out, fields.read);
        out.extend_from_slice(&fields.added);
        assert_eq!(String::from_utf8(out).unwrap(), "x-d: 5\r\nx-a: 7\r\n");
    }
}
