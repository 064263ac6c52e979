//! What can be purged together, and what was purged of late.

use std::sync::Arc;

/// Answers that are purged together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purge {
    All,
    Route(Arc<str>),
    Partner(Arc<str>),
    Tag(Arc<str>),
    /// Every answer whose path this is, with whatever query: a resource without one.
    Path(Arc<[u8]>),
    /// Every answer whose key begins with this resource ([`push_resource`](super::key::push_resource)), for every caller.
    Resource(Arc<[u8]>),
}

/// A point among all purges: what was fetched before a purge must not be kept after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);
