//! Which route a request takes: one reading of the path, one compiled table.

use http::{HeaderName, Method};

use crate::base::host_pattern::HostPattern;

pub mod pattern;

pub use pattern::PathPattern;

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
