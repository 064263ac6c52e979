//! The forms of a request target (RFC 9112 §3.2).

use super::{authority, malformed};
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;

/// What a request is about. Paths are as sent: printable ASCII, not yet normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/path?query`, what nearly every client sends (§3.2.1).
    Origin { path: &'b str, query: Option<&'b str> },
    /// `http://host/path?query`, which every server has to accept (§3.2.2). Its authority is equal to the Host field.
    Absolute { https: bool, authority: &'b str, path: &'b str, query: Option<&'b str> },
    /// `*` of OPTIONS, also in its absolute form `http://host` (§3.2.4).
    Asterisk { authority: Option<&'b str> },
}

impl<'b> Target<'b> {
    /// Begins with `/`, or is `*`.
    #[must_use]
    pub fn path(&self) -> &'b str {
        match *self {
            Self::Origin { path, .. } | Self::Absolute { path, .. } => path,
            Self::Asterisk { .. } => "*",
        }
    }

    /// What follows the first `?`; an empty query is still there.
    #[must_use]
    pub fn query(&self) -> Option<&'b str> {
        match *self {
            Self::Origin { query, .. } | Self::Absolute { query, .. } => query,
            Self::Asterisk { .. } => None,
        }
    }

    /// Host and port of an absolute form.
    #[must_use]
    pub fn authority(&self) -> Option<&'b str> {
        match *self {
            Self::Origin { .. } => None,
            Self::Absolute { authority, .. } => Some(authority),
            Self::Asterisk { authority } => authority,
        }
    }

    pub(super) fn length(&self) -> usize {
        let query = self.query().map_or(0, |query| query.len() + 1);
        self.path().len() + query
    }
}

pub(super) fn read<'b>(method: &str, target: &'b str) -> Result<Target<'b>, Rejection> {
    // In any case: nothing serves `connect`, but something behind us might take it for CONNECT.
    if method.eq_ignore_ascii_case("CONNECT") || method.eq_ignore_ascii_case("TRACE") {
        return Err(Reason::MethodUnsupported.into());
    }
    if target.starts_with('/') {
        let (path, query) = split_query(target);
        return Ok(Target::Origin { path, query });
    }
    if target == "*" {
        return if method == "OPTIONS" {
            Ok(Target::Asterisk { authority: None })
        } else {
            Err(malformed("The request target `*` belongs to OPTIONS only."))
        };
    }
    let (https, rest) = match (after(target, "http://"), after(target, "https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(malformed("The request target is neither a path nor an http or https URI.")),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err(malformed("The request target contains user information."));
    }
    if !authority::is_valid(authority) {
        return Err(Rejection::with_detail(
            Reason::HostInvalid,
            "The authority of the request target is not a host and port.",
        ));
    }
    let (path, query) = split_query(rest);
    Ok(match (path, query) {
        ("", None) if method == "OPTIONS" => Target::Asterisk { authority: Some(authority) },
        ("", query) => Target::Absolute { https, authority, path: "/", query },
        (path, query) => Target::Absolute { https, authority, path, query },
    })
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    // Byte by byte: targets are too short for a search that has to be set up.
    let mark = target.bytes().position(|byte| byte == b'?');
    match mark.and_then(|mark| target.split_at_checked(mark)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

/// Schemes are case-insensitive (RFC 3986 §3.1).
fn after<'b>(target: &'b str, scheme: &str) -> Option<&'b str> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}
