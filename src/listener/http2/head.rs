//! What the HTTP/1.1 head reader refuses and `h2` lets pass, and the pipeline's view of a head.

use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Version};

use crate::base::field::Known;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::Limits;
use crate::listener::head::{IMITATION, imitates_protected, is_authority, is_hop_by_hop};
use crate::listener::syntax::is_target;
use crate::pipeline::view::{BodyLength, RequestView};

/// A head that came over HTTP/2.
pub struct Http2View<'a> {
    pub head: &'a Parts,
    pub body: BodyLength,
}

impl<'a> Http2View<'a> {
    /// `body_done`: nothing follows the head.
    pub fn new(head: &'a Parts, body_done: bool) -> Self {
        let declared = || head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let body = if body_done { BodyLength::None } else { declared().map_or(BodyLength::Unknown, BodyLength::Known) };
        Self { head, body }
    }
}

/// Holds a head to the rules of HTTP/1.1.
///
/// # Errors
///
/// As the HTTP/1.1 reader: what is over the limits, a target that is no path, a host that is none or not one, more than one length,
/// methods and expectations that nobody serves.
pub fn check(head: &Parts, limits: &Limits) -> Result<(), Rejection> {
    let method = head.method.as_str();
    if method.eq_ignore_ascii_case("CONNECT") || method.eq_ignore_ascii_case("TRACE") {
        return Err(Reason::MethodUnsupported.into());
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > limits.target {
        return Err(Reason::UriTooLong.into());
    }
    if !(target.starts_with('/') || (target == "*" && method == "OPTIONS")) || !target.bytes().all(is_target) {
        return Err(Rejection::with_detail(Reason::RequestMalformed, "The request target is not a path."));
    }
    if head.headers.len() > limits.fields {
        return Err(Reason::HeadersTooLarge.into());
    }
    let (mut length, mut field) = (None, None);
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    for (name, value) in &head.headers {
        let name = name.as_str();
        match name {
            "host" if field.replace(value.as_bytes()).is_some() => {
                return Err(Rejection::with_detail(Reason::HostInvalid, "The request has more than one Host field."));
            }
            // Equal ones too: each would go to the upstream, which may count them.
            "content-length" if length.replace(value).is_some() || !is_number(value) => {
                let detail = "The request has more than one Content-Length, or one that is no number.";
                return Err(Rejection::with_detail(Reason::RequestFraming, detail));
            }
            "expect" if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
                return Err(Reason::ExpectationFailed.into());
            }
            _ if imitates_protected(name) => {
                return Err(Rejection::with_detail(Reason::RequestMalformed, IMITATION));
            }
            _ => {}
        }
    }
    if let (Some(authority), Some(field)) = (authority, field)
        && !authority.eq_ignore_ascii_case(field)
    {
        let detail = "The Host field differs from the authority of the request target.";
        return Err(Rejection::with_detail(Reason::HostInvalid, detail));
    }
    match authority.or(field).map(std::str::from_utf8) {
        Some(Ok(host)) if is_authority(host) => Ok(()),
        _ => Err(Rejection::with_detail(Reason::HostInvalid, "The request has no authority that is a host and port.")),
    }
}

fn is_number(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
}

impl<'h> RequestView for Http2View<'h> {
    fn method(&self) -> &Method {
        &self.head.method
    }

    fn path(&self) -> &str {
        self.head.uri.path()
    }

    fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }

    fn authority(&self) -> Option<&str> {
        let host = || self.head.headers.get(HOST).and_then(|host| host.to_str().ok());
        self.head.uri.authority().map(http::uri::Authority::as_str).or_else(host)
    }

    fn version(&self) -> Version {
        Version::HTTP_2
    }

    fn body(&self) -> BodyLength {
        self.body
    }

    fn values<'v, 'n>(&'v self, name: &'n HeaderName) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, 'n, 'h> {
        self.head.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn known<'v>(&'v self, field: Known) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, 'h> {
        let name = field.header_name();
        let values = name.map(|name| self.head.headers.get_all(name));
        values.into_iter().flatten().map(HeaderValue::as_bytes)
    }

    fn fields<'v>(&'v self) -> impl Iterator<Item = (&'v str, &'v [u8])> + use<'v, 'h> {
        let carried = self.head.headers.iter().filter(|(name, _)| !is_hop_by_hop(name.as_str()));
        carried.map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    fn nominates(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn reason(target: &str, fields: &[(&str, &[u8])]) -> Option<Reason> {
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let limits = Limits { head: 4096, fields: 8, target: 256, connections: 1, requests_per_connection: 1 };
        check(&head, &limits).err().map(|rejection| rejection.reason)
    }

    #[test]
    fn one_host_is_needed_that_is_one() {
        let host = Some(Reason::HostInvalid);
        assert_eq!(reason("http://a.test/", &[]), None);
        assert_eq!(reason("/", &[("host", b"a.test:80")]), None);
        assert_eq!(reason("http://a.test/", &[("host", b"A.test")]), None);
        assert_eq!(reason("/", &[]), host);
        assert_eq!(reason("http://a.test/", &[("host", b"b.test")]), host);
        assert_eq!(reason("/", &[("host", b"a.test"), ("host", b"a.test")]), host);
        assert_eq!(reason("http://user@a.test/", &[]), host);
        assert_eq!(reason("/", &[("host", b"a test")]), host);
        assert_eq!(reason("/", &[("host", b"\xff")]), host);
    }

    #[test]
    fn lengths_are_one_number() {
        for value in [&b"+3"[..], b"3, 3", b"", b" 3", b"0x3"] {
            assert_eq!(
                reason("http://a.test/", &[("content-length", value)]),
                Some(Reason::RequestFraming),
                "{value:?}"
            );
        }
        assert_eq!(
            reason("http://a.test/", &[("content-length", b"3"), ("content-length", b"3")]),
            Some(Reason::RequestFraming)
        );
        assert_eq!(reason("http://a.test/", &[("content-length", b"3")]), None);
    }

    #[test]
    fn targets_have_no_more_characters_than_over_http_1() {
        assert_eq!(reason("http://a.test/a?b=[c]", &[]), None);
        for target in ["http://a.test/a\"b", "http://a.test/\u{e9}"] {
            assert_eq!(reason(target, &[]), Some(Reason::RequestMalformed), "{target}");
        }
    }
}
