//! Validators: asking the upstream whether an answer still holds, and answering clients that ask us (RFC 9111 §4.3, RFC 9110 §13).

use http::{HeaderMap, StatusCode};

use super::Fields;
use super::stored::{Stored, StoredFields};

/// Whether the client has what is stored (RFC 9111 §4.3.2): `If-None-Match`, by weak comparison, goes before
/// `If-Modified-Since`.
#[must_use]
pub fn is_unchanged(_request: &dyn Fields, _status: StatusCode, _stored: &StoredFields) -> bool {
    false
}

/// Whether it can be asked for by its validators.
#[must_use]
pub fn has_validator(_stored: &StoredFields) -> bool {
    false
}

/// Asks the upstream for the answer only if it is another one (RFC 9111 §4.3.1).
pub fn push_conditions(_stored: &StoredFields, _request: &mut HeaderMap) {}

/// Whether a 304 is about this answer (RFC 9111 §4.3.4).
#[must_use]
pub fn confirms(_not_modified: &HeaderMap, _stored: &StoredFields) -> bool {
    false
}

/// The stored fields with those of a newer message about the same answer in their place (RFC 9111 §3.2).
#[must_use]
pub fn updated(stored: &StoredFields, _newer: &HeaderMap) -> HeaderMap {
    stored.to_map()
}

/// What an answer to HEAD says about a stored answer to GET (RFC 9111 §4.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByHead {
    /// It is the same: these are its fields now.
    Updates(Box<HeaderMap>),
    /// It is another one by now.
    Invalidates,
    Nothing,
}

#[must_use]
pub fn by_head(_status: StatusCode, _fields: &HeaderMap, _stored: &Stored) -> ByHead {
    ByHead::Nothing
}

/// The targets that an answer to an unsafe request makes invalid beside its own (RFC 9111 §4.4): path and query of `Location`
/// and `Content-Location`, where they are of the same origin.
#[must_use]
pub fn also_changed(_scheme: &str, _host: &str, _target: &str, _fields: &HeaderMap) -> Vec<String> {
    Vec::new()
}
