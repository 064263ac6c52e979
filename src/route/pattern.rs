//! Path patterns: `/api/orders`, `/api/orders/{id}`, `/files/{rest...}`.

/// A path split at its slashes, in normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// These characters, in normal form.
    Literal(Box<str>),
    /// Exactly one non-empty segment, under this name.
    Param(Box<str>),
    /// All remaining segments, possibly none, under this name; only at the end.
    Rest(Box<str>),
}
