//! Keeps pages of others away: whoever asks nobody who they are must not be driven by the operator's browser.
//!
//! A page may have its own name lead to this address (DNS rebinding): on loopback only addresses and `localhost` are
//! names of this API. And a page may send requests without seeing the answers: nothing that changes anything is done for
//! a browser at all.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::problem;

/// Where the API listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Loopback,
    /// Under names that only the network's operators know.
    Elsewhere,
}

pub(super) async fn refuse(State(bound): State<Bound>, request: Request, next: Next) -> Response {
    match verdict(bound, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, detail)) => problem(status, detail),
    }
}

fn verdict(bound: Bound, method: &Method, uri: &Uri, fields: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let hosts = fields.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let mut names = hosts.chain(uri.authority().map(|authority| authority.as_str()));
    // Browsers always say a host; health checks of old may not.
    if bound == Bound::Loopback && !names.all(is_local) {
        return Err((StatusCode::MISDIRECTED_REQUEST, "Ask for this API by its address, or as localhost."));
    }
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    let by_page = fields.contains_key(header::ORIGIN)
        || fields.get("sec-fetch-site").is_some_and(|site| site.as_bytes() != b"none");
    if changes && by_page {
        return Err((StatusCode::FORBIDDEN, "This API changes nothing for web pages."));
    }
    Ok(())
}

/// An address or `localhost`, with a port or without.
fn is_local(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && is_port(port));
    }
    let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
    is_port(port) && (name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost"))
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(bound: Bound, method: Method, target: &str, fields: &[(&'static str, &str)]) -> Result<(), u16> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        verdict(bound, &method, &target.parse().unwrap(), &map).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn on_loopback_only_addresses_and_localhost_are_its_names() {
        for (host, passes) in [
            ("127.0.0.1", true),
            ("127.0.0.1:9901", true),
            ("[::1]", true),
            ("[::1]:9901", true),
            ("localhost", true),
            ("LOCALHOST:9901", true),
            ("10.1.2.3:9901", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("evil.example:9901", false),
            ("", false),
            ("[::1", false),
            ("[::1].evil.example", false),
            ("localhost:evil", false),
            ("user@localhost", false),
        ] {
            let got = asked(Bound::Loopback, Method::GET, "/status", &[("host", host)]);
            assert_eq!(got, if passes { Ok(()) } else { Err(421) }, "{host}");
            assert_eq!(asked(Bound::Elsewhere, Method::GET, "/status", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(asked(Bound::Loopback, Method::GET, "/health", &[]), Ok(()), "HTTP/1.0");
        let both = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(asked(Bound::Loopback, Method::GET, "/status", &both), Err(421));
        let target = "http://evil.example/status";
        assert_eq!(asked(Bound::Loopback, Method::GET, target, &[("host", "localhost")]), Err(421));
    }

    #[test]
    fn nothing_is_changed_for_a_page() {
        for bound in [Bound::Loopback, Bound::Elsewhere] {
            for method in [Method::POST, Method::DELETE, Method::PUT, Method::OPTIONS] {
                for field in
                    [("origin", "http://localhost:9901"), ("origin", "null"), ("sec-fetch-site", "same-origin")]
                {
                    let fields = [("host", "localhost"), field];
                    assert_eq!(asked(bound, method.clone(), "/reload", &fields), Err(403), "{method} {field:?}");
                }
                assert_eq!(asked(bound, method, "/reload", &[("host", "localhost")]), Ok(()));
            }
            let typed = [("host", "localhost"), ("sec-fetch-site", "none")];
            assert_eq!(asked(bound, Method::GET, "/status", &typed), Ok(()));
            let page = [("host", "localhost"), ("origin", "http://a.example")];
            assert_eq!(asked(bound, Method::GET, "/status", &page), Ok(()), "it cannot read the answer");
        }
    }
}
