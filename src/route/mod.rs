//! Which route a request takes: one reading of the path, one compiled table.
//!
//! # What a route asks for
//!
//! * **Host**: a name, `*.suffix` (one or more labels in front), or any.
//! * **Path**: literal segments, `{param}` (exactly one non-empty segment), `{rest...}` (all that follows, also
//!   nothing). `/a` and `/a/` are different paths; `/a/{rest...}` takes both.
//! * **Methods**: any of those listed, or every one. A route that lists GET also serves HEAD (RFC 9110 §9.3.2).
//! * **Header fields and query parameters**: all conditions hold. An exact value wants the field or parameter exactly
//!   once: a repeated one has no single reading, so it equals nothing. Query names and values are compared after
//!   percent-decoding, with `+` as a space; header values byte by byte.
//!
//! # Which route wins
//!
//! The most specific one, by the first of these that differs:
//!
//! 1. host: exact, then the longer wildcard, then the shorter, then any;
//! 2. path, segment by segment from the left: literal, then `{param}`, then `{rest...}`; a path that ends here comes
//!    before a `{rest...}` that takes nothing;
//! 3. methods: listed, then HEAD through a listed GET, then every method;
//! 4. more header conditions;
//! 5. more query conditions.
//!
//! Equals that one request can match are [`conflicts`]; should such rules be compiled all the same, the one written
//! first wins. Each route is judged on everything it asks for, so a route that is more specific by path but wants
//! another method leaves the request to a less specific one.

use http::{HeaderName, Method};

use crate::base::host_pattern::HostPattern;

pub mod normalize;
pub mod pattern;

mod candidates;
mod condition;
mod conflict;
mod explain;
mod params;
mod query;
mod table;

#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, reason = "it is there to fail where a guarantee is broken")]
pub mod properties;
#[cfg(test)]
mod tests;

pub use conflict::{Conflict, Example, conflicts};
pub use explain::{Candidate, Verdict, explain};
pub use normalize::{NormalPath, PathError, normalise, normalise_text};
pub use params::Params;
pub use pattern::{PathPattern, Segment};
pub use table::{Found, Lookup, Table};

/// What a request must look like for a route to be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// Any of these; never empty (`[Any]` when not written).
    pub hosts: Vec<HostPattern>,
    pub path: PathPattern,
    /// Any of these; empty means every method.
    pub methods: Vec<Method>,
    /// All of these.
    pub headers: Vec<FieldMatch<HeaderName>>,
    /// All of these.
    pub query: Vec<FieldMatch<Box<str>>>,
}

/// A request field or query parameter that has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMatch<N> {
    pub name: N,
    pub value: ValueMatch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    Present,
    Exact(Box<str>),
}

/// As much of a request as routing looks at.
pub trait Request {
    /// As `base::host_pattern::normalise` gives it; empty when there is none.
    fn host(&self) -> &str;
    /// As [`normalise`] gives it.
    fn path(&self) -> &str;
    fn method(&self) -> &Method;
    fn header(&self, name: &HeaderName) -> Field<'_>;
    /// What stands after `?`, as it was sent.
    fn query(&self) -> Option<&str>;
}

/// How often a name occurs in a request, and its value when that is unambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> FromIterator<&'a [u8]> for Field<'a> {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(values: I) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }
}
