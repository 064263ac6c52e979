//! What tells stored answers apart.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A key: every part with its length before it, so that no two requests that differ in a part have the same. The first parts are
/// the resource (scheme, host, path and query), then come scope and chosen fields, then what `Vary` added.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<[u8]>);

impl Key {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whose answer is under it.
    #[must_use]
    pub fn scope(&self) -> Option<Scope<'_>> {
        None
    }
}

/// For people, without the values of fields that may be credentials.
impl fmt::Display for Key {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
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
pub fn push_resource(_resource: &Resource<'_>, _out: &mut Vec<u8>) {}

/// Writes the parts of the resource but its query, for all queries of a path.
pub fn push_path(_resource: &Resource<'_>, _out: &mut Vec<u8>) {}

/// Writes whose answer it is.
pub fn push_scope(_scope: Scope<'_>, _out: &mut Vec<u8>) {}

/// Writes the value of a field that the route chose; `None` where it is not there.
pub fn push_field(_values: Option<&[u8]>, _out: &mut Vec<u8>) {}
