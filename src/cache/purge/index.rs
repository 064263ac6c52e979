//! Which answers are kept, in order of keys and by what they are purged with.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::Purge;
use crate::cache::key::{Key, path_of};
use crate::cache::store::{Entry, Slot};
use crate::cache::stored::{Groups, Stored};

/// All variants of a key are in one of them.
pub(in crate::cache) const SHARDS: u8 = 64;

/// What is kept, whether the cache has let it in already or not. A lock is held for a look-up, or to copy pointers out of one shard.
#[derive(Debug)]
pub(in crate::cache) struct Index {
    shards: Box<[Mutex<Shard>]>,
    hashes: RandomState,
    answers: AtomicU64,
    bytes: AtomicU64,
}

/// Trees, and not tables: they give back what they no longer need, and never stop to grow.
#[derive(Debug, Default)]
struct Shard {
    keys: BTreeMap<Key, Slot>,
    /// By digest of the group and address of the answer.
    groups: BTreeMap<(u64, usize), Arc<Stored>>,
}

impl Index {
    /// Bytes for an answer in one group: a place in a tree that is half empty, as trees are that fill in order.
    pub(in crate::cache) const PER_GROUP: usize = 2 * (size_of::<(u64, usize)>() + size_of::<Arc<Stored>>()) + 8;

    /// The same for its key.
    pub(in crate::cache) const PER_KEY: usize = 2 * (size_of::<Key>() + size_of::<Slot>()) + 8;

    pub(in crate::cache) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hashes: RandomState::default(),
            answers: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Where an answer is whose key begins so: all of a path are together, for whomever they are.
    #[expect(clippy::cast_possible_truncation, reason = "the rest is less than a u8")]
    pub(in crate::cache) fn shard_of(&self, key: &[u8]) -> u8 {
        (self.hashes.hash_one(path_of(key).unwrap_or(key)) % u64::from(SHARDS)) as u8
    }

    /// The shards that have what is purged together.
    pub(in crate::cache) fn shards_of(&self, purge: &Purge) -> std::ops::Range<u8> {
        match purge {
            Purge::Path(bytes) | Purge::Resource(bytes) if path_of(bytes).is_some() => {
                let shard = self.shard_of(bytes);
                shard..shard + 1
            }
            _ => 0..SHARDS,
        }
    }

    pub(in crate::cache) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// What all entries weigh.
    pub(in crate::cache) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(in crate::cache) fn join(&self, key: &Key, entry: &Entry) {
        self.bytes.fetch_add(entry.weight.into(), Ordering::Relaxed);
        let Some(mut shard) = self.shard(entry.shard) else { return };
        shard.keys.insert(key.clone(), entry.slot.clone());
        if let Slot::Answer(stored) = &entry.slot {
            self.answers.fetch_add(1, Ordering::Relaxed);
            for group in self.groups(&stored.head.groups) {
                shard.groups.insert((group, address(stored)), Arc::clone(stored));
            }
        }
    }

    /// Takes out what joined before, once. What joined under the same key since stays.
    pub(in crate::cache) fn leave(&self, key: &Key, entry: &Entry) {
        self.bytes.fetch_sub(entry.weight.into(), Ordering::Relaxed);
        let Some(mut shard) = self.shard(entry.shard) else { return };
        if shard.keys.get(key).is_some_and(|slot| slot.is_same(&entry.slot)) {
            shard.keys.remove(key);
        }
        if let Slot::Answer(stored) = &entry.slot {
            self.answers.fetch_sub(1, Ordering::Relaxed);
            for group in self.groups(&stored.head.groups) {
                shard.groups.remove(&(group, address(stored)));
            }
        }
    }

    /// What a shard has of what is purged together.
    pub(in crate::cache) fn found(&self, shard: u8, purge: &Purge) -> Vec<(Key, Slot)> {
        let group = match purge {
            Purge::All => return self.beginning_with(shard, &[]),
            Purge::Path(bytes) | Purge::Resource(bytes) => return self.beginning_with(shard, bytes),
            Purge::Route(name) => self.digest(Kind::Route, name),
            Purge::Partner(name) => self.digest(Kind::Partner, name),
            Purge::Tag(name) => self.digest(Kind::Tag, name),
        };
        let Some(shard) = self.shard(shard) else { return Vec::new() };
        // Groups of the same digest are told apart.
        let members = shard.groups.range((group, 0)..=(group, usize::MAX)).map(|(_, stored)| stored);
        let found = members.filter(|stored| purge.covers(&stored.head));
        found.map(|stored| (stored.head.key.clone(), Slot::Answer(Arc::clone(stored)))).collect()
    }

    /// What a shard has whose keys begin so.
    pub(in crate::cache) fn beginning_with(&self, shard: u8, bytes: &[u8]) -> Vec<(Key, Slot)> {
        let Some(shard) = self.shard(shard) else { return Vec::new() };
        let from = shard.keys.range::<[u8], _>((Bound::Included(bytes), Bound::Unbounded));
        let found = from.take_while(|(key, _)| key.as_bytes().starts_with(bytes));
        found.map(|(key, slot)| (key.clone(), slot.clone())).collect()
    }

    fn shard(&self, shard: u8) -> Option<MutexGuard<'_, Shard>> {
        Some(self.shards.get(usize::from(shard))?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn groups<'a>(&'a self, groups: &'a Groups) -> impl Iterator<Item = u64> + 'a {
        let partner = groups.partner.iter().map(|partner| self.digest(Kind::Partner, partner));
        let tags = groups.tags.iter().map(|tag| self.digest(Kind::Tag, tag));
        std::iter::once(self.digest(Kind::Route, &groups.route)).chain(partner).chain(tags)
    }

    fn digest(&self, kind: Kind, name: &str) -> u64 {
        self.hashes.hash_one((kind as u8, name))
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Route,
    Partner,
    Tag,
}

fn address(stored: &Arc<Stored>) -> usize {
    Arc::as_ptr(stored).addr()
}
