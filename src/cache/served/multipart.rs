//! `multipart/byteranges` (RFC 9110 §14.6).

use bytes::Bytes;
use http::header::CONTENT_TYPE;

use super::form::ContentRange;
use crate::cache::stored::Stored;

/// Characters of a boundary, of 62 kinds: that one stands in a body by chance, or is guessed by who wrote the body, does not
/// happen.
const BOUNDARY: usize = 24;

/// A boundary, and the parts of a body with it around them; the bytes of the body are shared.
pub(super) fn write(stored: &Stored, parts: &[(u64, u64)]) -> (String, Vec<Bytes>) {
    let boundary: String = std::iter::repeat_with(fastrand::alphanumeric).take(BOUNDARY).collect();
    let content_type = stored.head.fields.get(&CONTENT_TYPE);
    let mut body = Vec::new();
    for (at, (from, to)) in parts.iter().enumerate() {
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(if at == 0 { b"--" } else { b"\r\n--" });
        head.extend_from_slice(boundary.as_bytes());
        if let Some(value) = content_type {
            head.extend_from_slice(b"\r\nContent-Type: ");
            head.extend_from_slice(value.as_bytes());
        }
        let range = ContentRange(*from, *to, stored.body.len());
        head.extend_from_slice(format!("\r\nContent-Range: {range}\r\n\r\n").as_bytes());
        body.push(Bytes::from(head));
        body.extend(stored.body.slice(*from, *to));
    }
    body.push(Bytes::from(format!("\r\n--{boundary}--\r\n")));
    (boundary, body)
}
