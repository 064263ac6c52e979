//! Targets that an answer to an unsafe request makes invalid beside its own (RFC 9111 §4.4).

use http::HeaderMap;
use http::header::{CONTENT_LOCATION, LOCATION};

use crate::base::host_pattern;

/// Lines of a field that are looked at; both fields have one value.
const MAX_LINES: usize = 2;

/// Bytes of a reference that are looked at.
const MAX_LENGTH: usize = 8 * 1024;

/// Path and query of `Location` and `Content-Location`, where they are of the same origin as the request (scheme, host and port):
/// references are resolved against the target, and dot segments are gone (RFC 3986 §5.2). Not the target itself, and each once. What
/// is no reference, is longer than 8 KiB, or names a user is left out.
///
/// `host` may have a port. Paths are not yet in the normal form that keys have.
#[must_use]
pub fn also_changed(scheme: &str, host: &str, target: &str, fields: &HeaderMap) -> Vec<String> {
    let mut found = Vec::new();
    for name in [LOCATION, CONTENT_LOCATION] {
        for value in fields.get_all(name).iter().take(MAX_LINES) {
            let Some(reference) = str::from_utf8(value.as_bytes()).ok().filter(|text| text.len() <= MAX_LENGTH) else {
                continue;
            };
            if let Some(changed) = resolved(scheme, host, target, reference.trim_matches([' ', '\t']))
                && changed != target
                && !found.contains(&changed)
            {
                found.push(changed);
            }
        }
    }
    found
}

/// `None` when it is of another origin, or no reference.
fn resolved(scheme: &str, host: &str, target: &str, reference: &str) -> Option<String> {
    let reference = reference.split_once('#').map_or(reference, |(before, _)| before);
    if reference.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let rest = match reference.split_once(':') {
        Some((found, rest)) if is_scheme(found) => {
            // A scheme without an authority is no http(s) URL (RFC 9110 §4.2).
            let is_ours = found.eq_ignore_ascii_case(scheme) && rest.starts_with("//");
            is_ours.then_some(rest)?
        }
        _ => reference,
    };
    let (base, base_query) = split_query(target);
    let Some(rest) = rest.strip_prefix("//") else {
        let (path, query) = split_query(rest);
        let path = match path {
            "" => return Some(joined(base, query.or(base_query))),
            path if path.starts_with('/') => without_dots(path),
            path => without_dots(&format!("{}/{path}", base.rsplit_once('/').map_or("", |(folder, _)| folder))),
        };
        return Some(joined(&path, query));
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = split_query(rest);
    let is_same = origin(scheme, authority)? == origin(scheme, host)?;
    is_same.then(|| joined(&without_dots(path), query))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)))
}

fn joined(path: &str, query: Option<&str>) -> String {
    let path = if path.is_empty() { "/" } else { path };
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Host and port in one form; the usual port where there is none.
fn origin(scheme: &str, authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let port = match port {
        "" if scheme.eq_ignore_ascii_case("https") => 443,
        "" => 80,
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        _ => return None,
    };
    Some((host_pattern::normalise(host)?, port))
}

/// RFC 3986 §5.2.4, for a path that begins with a slash; dots may be percent-encoded, as they mean the same.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_open = false;
    for segment in path.split('/').skip(1) {
        let dots = dots_of(segment);
        ends_open = dots > 0;
        match dots {
            0 => kept.push(segment),
            1 => {}
            _ => {
                kept.pop();
            }
        }
    }
    let mut path: String = kept.iter().flat_map(|segment| ["/", segment]).collect();
    if ends_open {
        path.push('/');
    }
    path
}

/// 1 or 2 for a dot segment, otherwise 0.
fn dots_of(segment: &str) -> usize {
    let (mut rest, mut dots) = (segment, 0);
    while let Some(after) = [".", "%2E", "%2e"].iter().find_map(|dot| rest.strip_prefix(dot)) {
        rest = after;
        dots += 1;
    }
    if rest.is_empty() && dots <= 2 { dots } else { 0 }
}
