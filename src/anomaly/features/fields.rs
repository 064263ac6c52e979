//! The fields of a request, seen once.

use super::hash;

/// The fields of a request, seen once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub count: u32,
    /// Of names and values.
    pub bytes: u32,
    /// Of the names in their order, without those that come and go with single requests.
    pub order: u64,
    /// Of `User-Agent`; 0 without.
    pub agent: u64,
}

impl Fields {
    /// Looks at every field once, and allocates nothing. The case of names does not matter.
    pub fn of<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut seen = Self::default();
        for (name, value) in fields {
            seen.count = seen.count.saturating_add(1);
            let bytes = u32::try_from(name.len().saturating_add(value.len())).unwrap_or(u32::MAX);
            seen.bytes = seen.bytes.saturating_add(bytes);
            if comes_and_goes(name) {
                continue;
            }
            seen.order = hash::of_name(seen.order, name);
            if name.eq_ignore_ascii_case(b"user-agent") {
                seen.agent = hash::of(0, value).max(1);
            }
        }
        seen
    }
}

/// Whether a client sends a field with some of its requests and not with others: what is about a body, a credential, a cached
/// answer or a trace, and what proxies on the way add.
fn comes_and_goes(name: &[u8]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let begins =
        |known: &str| name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()));
    match name.first().map_or(0, |first| first | 0x20) {
        b'a' => is("authorization"),
        b'b' => is("b3") || is("baggage"),
        b'c' => is("cookie") || begins("content-") || is("cache-control"),
        b'd' => is("dpop") || is("date"),
        b'e' => is("expect"),
        b'f' => is("forwarded"),
        b'i' => begins("if-") || is("idempotency-key"),
        b'o' => is("origin"),
        b'p' => is("pragma") || is("priority") || is("proxy-authorization"),
        b'r' => is("range") || is("referer"),
        b's' => is("sec-fetch-user"),
        b't' => is("traceparent") || is("tracestate") || is("transfer-encoding") || is("trailer"),
        b'u' => is("upgrade") || is("upgrade-insecure-requests") || is("uber-trace-id"),
        b'v' => is("via"),
        b'x' => {
            begins("x-forwarded-")
                || begins("x-b3-")
                || is("x-real-ip")
                || is("x-request-id")
                || is("x-correlation-id")
                || is("x-amzn-trace-id")
                || is("x-cloud-trace-context")
        }
        _ => false,
    }
}
