//! What tells stored answers apart.

mod describe;
mod parts;
mod query;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::sync::Arc;

use http::HeaderName;

pub use self::query::counted;

use self::parts::{Kind, push, push_with, take};

/// A key: every part with its length before it, so that no two requests that differ in a part have the same. The first parts are
/// the resource (scheme, host, path and query), then come scope and chosen fields, then what `Vary` added.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<[u8]>);

impl Key {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Who shares an answer, as the key has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    Everyone,
    /// Nobody is known.
    Public,
    Partner(&'a str),
    /// Somebody of a partner, or of none; `by` says whose names subjects are.
    Subject {
        partner: Option<&'a str>,
        by: &'a str,
        subject: &'a str,
    },
}

/// Where an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// `http` or `https`, as the client used it.
    pub scheme: &'a str,
    /// In lower case, with its port where one was sent that is not the usual one.
    pub host: &'a str,
    /// In normal form.
    pub path: &'a str,
    /// What counts of it, in the order that counts.
    pub query: Option<&'a str>,
}

/// Writes the parts of the resource. What is purged by URL is every key that begins so.
pub fn push_resource(resource: &Resource<'_>, out: &mut Vec<u8>) {
    push_path(resource.scheme, resource.host, resource.path, out);
    match resource.query {
        Some(query) => push(Kind::Query, query.as_bytes(), out),
        None => push(Kind::NoQuery, &[], out),
    }
}

/// Writes the parts of a resource that do not depend on its query: every key of this path begins so.
pub fn push_path(scheme: &str, host: &str, path: &str, out: &mut Vec<u8>) {
    push(Kind::Scheme, scheme.as_bytes(), out);
    push(Kind::Host, host.as_bytes(), out);
    push(Kind::Path, path.as_bytes(), out);
}

/// The bytes that [`push_path`] wrote at the beginning of a key.
#[must_use]
pub fn path_of(key: &[u8]) -> Option<&[u8]> {
    let mut rest = key;
    for kind in [Kind::Scheme, Kind::Host, Kind::Path] {
        take(&mut rest).filter(|(found, _)| *found == kind)?;
    }
    key.get(..key.len() - rest.len())
}

/// The bytes that [`push_resource`] wrote at the beginning of a key.
#[must_use]
pub fn resource_of(key: &[u8]) -> Option<&[u8]> {
    let mut rest = key.get(path_of(key)?.len()..)?;
    take(&mut rest).filter(|(found, _)| matches!(found, Kind::Query | Kind::NoQuery))?;
    key.get(..key.len() - rest.len())
}

/// Writes by which terms of a route the answer came: two routes with one URL share nothing, nor does a route with what it was before
/// its terms changed.
pub fn push_route(terms: u64, out: &mut Vec<u8>) {
    push(Kind::Route, &terms.to_le_bytes(), out);
}

/// Writes whose answer it is.
pub fn push_scope(scope: Scope<'_>, out: &mut Vec<u8>) {
    match scope {
        Scope::Everyone => push(Kind::Everyone, &[], out),
        Scope::Public => push(Kind::Public, &[], out),
        Scope::Partner(partner) => push(Kind::Partner, partner.as_bytes(), out),
        Scope::Subject { partner, by, subject } => {
            push(Kind::Subject, subject.as_bytes(), out);
            push(Kind::Issuer, by.as_bytes(), out);
            match partner {
                Some(partner) => push(Kind::OfPartner, partner.as_bytes(), out),
                None => push(Kind::OfNone, &[], out),
            }
        }
    }
}

/// Writes a field that the route chose, with its values in one; `None` where it is not there.
pub fn push_field(name: &HeaderName, values: Option<&[u8]>, out: &mut Vec<u8>) {
    push(Kind::Field, name.as_str().as_bytes(), out);
    match values {
        Some(values) => push(Kind::Value, values, out),
        None => push(Kind::NoValue, &[], out),
    }
}

/// Ends fields of which there are more for one request than for another, so that no key is the beginning of another one.
pub fn push_end(out: &mut Vec<u8>) {
    push(Kind::End, &[], out);
}

/// Writes a field that `Vary` named; `write` gives its value in normal form, and whether the field is there.
pub(super) fn push_variant(name: &HeaderName, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) {
    push(Kind::Variant, name.as_str().as_bytes(), out);
    push_with(out, |out| if write(out) { Kind::Value } else { Kind::NoValue });
}
