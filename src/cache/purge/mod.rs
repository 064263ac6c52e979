//! What can be purged together, and what was purged of late.

mod index;

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

pub(super) use self::index::{Index, SHARDS};

use super::key::{path_of, resource_of};
use super::stored::{Groups, Head};

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
}

/// A point among all purges: what was fetched before a purge must not be kept after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// Two of them share a place now and then: an answer is then not kept although it might have been.
const PLACES: usize = 1 << 16;

/// When what was purged last. Takes the same room however many purges there are.
pub(super) struct Purges {
    /// How many there were since start.
    count: AtomicU64,
    /// The last that may have been about anything.
    all: AtomicU64,
    /// The last that was about a route, a partner or a tag.
    groups: AtomicU64,
    /// The last of each, by digest.
    last: Box<[AtomicU64]>,
    hashes: RandomState,
}

impl Default for Purges {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            all: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            last: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hashes: RandomState::default(),
        }
    }
}

impl Purges {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.count.load(Ordering::Acquire))
    }

    /// One at a time.
    pub(super) fn note(&self, purge: &Purge) {
        let now = self.mark().0 + 1;
        let places = match purge {
            Purge::Route(name) | Purge::Partner(name) | Purge::Tag(name) => {
                self.groups.store(now, Ordering::Release);
                self.place(kind(purge), name.as_bytes())
            }
            Purge::Path(bytes) if path_of(bytes) == Some(bytes) => self.place(PATH, bytes),
            Purge::Resource(bytes) if resource_of(bytes) == Some(bytes) => self.place(RESOURCE, bytes),
            Purge::All | Purge::Path(_) | Purge::Resource(_) => Some(&self.all),
        };
        if let Some(place) = places {
            place.store(now, Ordering::Release);
        }
        self.count.store(now, Ordering::Release);
    }

    /// Whether an answer belongs to something that was purged after `since`, or may do so.
    pub(super) fn cover(&self, head: &Head, since: Mark) -> bool {
        if self.mark() <= since {
            return false;
        }
        let Groups { route, partner, tags } = &head.groups;
        let is_late = |kind, name: &str| self.is_late(self.place(kind, name.as_bytes()), since);
        self.covers_key(head.key.as_bytes(), since)
            || is_late(ROUTE, route)
            || partner.as_ref().is_some_and(|partner| is_late(PARTNER, partner))
            || tags.iter().any(|tag| is_late(TAG, tag))
    }

    /// Whether the answer for a key may belong to something that was purged after `since`, whatever tags it will have.
    pub(super) fn may_cover(&self, key: &[u8], since: Mark) -> bool {
        self.mark() > since && (self.is_late(Some(&self.groups), since) || self.covers_key(key, since))
    }

    fn covers_key(&self, key: &[u8], since: Mark) -> bool {
        let is_late = |kind, part: Option<&[u8]>| part.is_some_and(|part| self.is_late(self.place(kind, part), since));
        self.is_late(Some(&self.all), since) || is_late(PATH, path_of(key)) || is_late(RESOURCE, resource_of(key))
    }

    /// Whether no two of these share a place.
    #[cfg(test)]
    pub(super) fn are_apart(&self, routes: &[&str], tags: &[&str]) -> bool {
        let routes = routes.iter().map(|name| (ROUTE, name));
        let named = routes.chain(tags.iter().map(|name| (TAG, name)));
        let places = named.filter_map(|(kind, name)| self.place(kind, name.as_bytes()));
        let mut seen = std::collections::BTreeSet::new();
        places.into_iter().all(|place| seen.insert(std::ptr::from_ref(place)))
    }

    fn is_late(&self, place: Option<&AtomicU64>, since: Mark) -> bool {
        place.is_some_and(|place| place.load(Ordering::Acquire) > since.0)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the rest is less than the number of places")]
    fn place(&self, kind: u8, name: &[u8]) -> Option<&AtomicU64> {
        self.last.get((self.hashes.hash_one((kind, name)) % PLACES as u64) as usize)
    }
}

const ROUTE: u8 = 0;
const PARTNER: u8 = 1;
const TAG: u8 = 2;
const PATH: u8 = 3;
const RESOURCE: u8 = 4;

const fn kind(purge: &Purge) -> u8 {
    match purge {
        Purge::Route(_) => ROUTE,
        Purge::Partner(_) => PARTNER,
        Purge::All | Purge::Tag(_) => TAG,
        Purge::Path(_) => PATH,
        Purge::Resource(_) => RESOURCE,
    }
}

impl fmt::Debug for Purges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purges").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
