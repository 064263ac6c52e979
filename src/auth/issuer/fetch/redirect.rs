//! Where a redirect may lead: elsewhere on the same server, and nowhere else.

use http::Uri;
use http::uri::{Authority, PathAndQuery};

/// Where the redirect from `base` leads, always on the same scheme, host and port.
///
/// # Errors
///
/// It leads to somebody else, who could hand out keys in the issuer's name, or is no `http` reference that is understood.
pub(super) fn follow(base: &Uri, location: &[u8]) -> Result<Uri, String> {
    let text = std::str::from_utf8(location).map_err(|_| "a redirect that is no text".to_owned())?;
    let text = text.split_once('#').map_or(text, |(reference, _fragment)| reference);
    let path: PathAndQuery = if text.starts_with('/') && !text.starts_with("//") {
        text.parse().map_err(|_| "a redirect to a path that is none".to_owned())?
    } else {
        let target: Uri = text.parse().map_err(|_| "a redirect that is not understood".to_owned())?;
        if target.scheme() != base.scheme() || !same_server(base, &target) {
            return Err("a redirect to another server, which is not followed".to_owned());
        }
        target.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|error| error.to_string())
}

fn same_server(one: &Uri, other: &Uri) -> bool {
    let named = |authority: &Authority| !authority.as_str().contains('@');
    let (Some(of_one), Some(of_other)) = (one.authority(), other.authority()) else { return false };
    named(of_other) && of_one.host().eq_ignore_ascii_case(of_other.host()) && port(one) == port(other)
}

/// The port that is written, or that of the scheme.
pub(super) fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}
