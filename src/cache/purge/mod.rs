//! What can be purged together, and what was purged of late.

mod index;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use self::index::{Index, SHARDS};

use super::stored::Head;

/// Answers that are purged together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purge {
    All,
    Route(Arc<str>),
    Partner(Arc<str>),
    Tag(Arc<str>),
    /// Every answer whose key begins with this path ([`push_path`](super::key::push_path)): with whatever query, for every caller.
    Path(Arc<[u8]>),
    /// Every answer whose key begins with this resource ([`push_resource`](super::key::push_resource)), for every caller.
    Resource(Arc<[u8]>),
}

impl Purge {
    /// Whether an answer belongs to it.
    #[must_use]
    pub fn covers(&self, head: &Head) -> bool {
        let groups = &head.groups;
        match self {
            Self::All => true,
            Self::Route(route) => groups.route == *route,
            Self::Partner(partner) => groups.partner.as_ref() == Some(partner),
            Self::Tag(tag) => groups.tags.contains(tag),
            Self::Path(bytes) | Self::Resource(bytes) => head.key.as_bytes().starts_with(bytes),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Route(name) | Self::Partner(name) | Self::Tag(name) => name.len(),
            Self::Path(bytes) | Self::Resource(bytes) => bytes.len(),
        }
    }
}

/// A point among all purges: what was fetched before a purge must not be kept after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// So many purges are remembered, and of those so many bytes.
const REMEMBERED: usize = 4096;
const REMEMBERED_BYTES: usize = 1 << 20;

/// The last purges. What was fetched before them all counts as purged.
#[derive(Debug, Default)]
pub(super) struct Purges {
    /// How many there were since start.
    count: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// The newest at the end.
    purges: VecDeque<Purge>,
    bytes: usize,
}

impl Purges {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.count.load(Ordering::Acquire))
    }

    pub(super) fn note(&self, purge: &Purge) {
        let mut last = self.last();
        last.bytes += purge.len();
        last.purges.push_back(purge.clone());
        while last.purges.len() > REMEMBERED || last.bytes > REMEMBERED_BYTES {
            let Some(oldest) = last.purges.pop_front() else { break };
            last.bytes -= oldest.len();
        }
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Whether an answer belongs to something that was purged after `since`, or may do so.
    pub(super) fn cover(&self, head: &Head, since: Mark) -> bool {
        if self.mark() <= since {
            return false;
        }
        let last = self.last();
        let missed = self.mark().0.saturating_sub(since.0);
        let Some(missed) = usize::try_from(missed).ok().filter(|missed| *missed <= last.purges.len()) else {
            return true;
        };
        last.purges.iter().rev().take(missed).any(|purge| purge.covers(head))
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
