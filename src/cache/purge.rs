//! What can be purged together, and what was purged of late.

use std::sync::Arc;

/// Answers that are purged together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purge {
    All,
    Route(Arc<str>),
    Partner(Arc<str>),
    Tag(Arc<str>),
    /// Every answer whose key begins with this resource ([`push_resource`](super::key::push_resource)), for every caller; or with
    /// one but its query ([`push_path`](super::key::push_path)).
    Resource(Arc<[u8]>),
}

/// A point among all purges: what was fetched before a purge must not be kept after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);
