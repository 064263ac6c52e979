//! Parts of a stored answer (RFC 9110 §14).

use super::Fields;
use super::stored::Head;

/// What of a body a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    Whole,
    /// `from..to`, in bytes.
    One(u64, u64),
    /// Several, in the order asked for, none of them overlapping another.
    Many(Box<[(u64, u64)]>),
    /// None of what was asked for is there: 416.
    Nothing,
}

/// What `Range` of a GET asks for, given the length of the whole; `If-Range` has to hold, by strong comparison (RFC 9110
/// §13.1.5).
#[must_use]
pub fn select(_request: &dyn Fields, _head: &Head, _length: u64) -> Selected {
    Selected::Whole
}
