//! Where answers are kept: one budget of bytes, admission by how often they are asked for (TinyLFU), groups to purge by.

mod kept;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::HeaderName;

use self::kept::Kept;
use super::key::Key;
use super::purge::{Mark, Purge, Purges, SHARDS};
use super::storable::NotStored;
use super::stored::{Head, Stored};

/// What is found under a key.
#[derive(Clone, Debug)]
pub enum Slot {
    Answer(Arc<Stored>),
    /// Answers depend on these fields of the request, and are kept under longer keys.
    Varies(Arc<[HeaderName]>),
}

impl Slot {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Answer(one), Self::Answer(other)) => Arc::ptr_eq(one, other),
            (Self::Varies(one), Self::Varies(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// A slot, and what the store has to know of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) slot: Slot,
    /// From then on it is of no use; `None` is later than can be said.
    pub(super) until: Option<Instant>,
    /// Bytes that the budget is charged.
    pub(super) weight: u32,
    pub(super) shard: u8,
}

/// Answers of the whole gateway.
///
/// # The budget
///
/// Entries are weighed with all that hangs on them. After each [`Store::put`] all entries together weigh no more than the budget; while
/// several threads put, no more than the budget and one answer for each of them.
///
/// # Purges
///
/// When [`Store::purge`] has returned, nothing that belongs to it is found that was there or on its way before. That holds against any
/// `put` at the same time: a purge is noted first, then looks through the shards, with the lock of each, and removes what it finds. A
/// `put` has that lock while it looks whether something was noted and inserts. Either it had the lock first: then the purge finds what it
/// inserted. Or the purge had it: then it finds the note. Purging all puts a new, empty `Kept` in the place of the old one, after
/// it is noted: whoever puts into the old one is heard of no more, and whoever has seen the new one finds the note. Purges go one at a time,
/// so that none goes through a `Kept` while another replaces it.
#[derive(Debug)]
pub struct Store {
    kept: ArcSwap<Kept>,
    purges: Purges,
    purging: Mutex<()>,
    budget: u64,
    evicted: Arc<AtomicU64>,
    purged: AtomicU64,
}

/// What the store can say of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Answers.
    pub entries: u64,
    /// Counted as the budget counts them.
    pub bytes: u64,
    pub budget: u64,
    /// Since start: answers that had to go for want of room, or were not let in.
    pub evicted: u64,
    /// Since start.
    pub purged: u64,
}

impl Store {
    /// With so many bytes.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        let (budget, evicted) = (memory as u64, Arc::<AtomicU64>::default());
        Self {
            kept: ArcSwap::from_pointee(Kept::new(budget, Arc::clone(&evicted))),
            purges: Purges::default(),
            purging: Mutex::default(),
            budget,
            evicted,
            purged: AtomicU64::new(0),
        }
    }

    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Slot> {
        self.kept.load().get(key).map(|entry| entry.slot)
    }

    /// Bytes.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Whether an answer belongs to something that was purged after `since`.
    #[must_use]
    pub fn is_purged(&self, head: &Head, since: Mark) -> bool {
        self.purges.cover(head, since)
    }

    /// Whether the answer for a key may belong to something that was purged after `since`.
    #[must_use]
    pub fn may_be_purged(&self, key: &Key, since: Mark) -> bool {
        self.purges.may_cover(key.as_bytes(), since)
    }

    /// The present, to hold a later [`Store::put`] against.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.purges.mark()
    }

    /// Keeps an answer under its key, unless others are asked for more often. When answers `varies` by fields of the request, the key has
    /// them behind `base`, where it is said so. Of the answers for one base 64 are kept; then the one least asked for goes.
    ///
    /// # Errors
    ///
    /// `Purged` when what it belongs to was purged after `since`; `TooLarge` when it has no room in the budget.
    pub fn put(
        &self,
        stored: Arc<Stored>,
        varies: Option<(Key, Arc<[HeaderName]>)>,
        since: Mark,
    ) -> Result<(), NotStored> {
        let kept = self.kept.load_full();
        let base = varies.as_ref().map_or(&stored.head.key, |(base, _)| base);
        let shard = kept.shard_of(base.as_bytes());
        let Some(entry) = Entry::answer(&stored, shard).filter(|entry| u64::from(entry.weight) <= self.budget) else {
            return Err(NotStored::TooLarge);
        };
        {
            let _writing = kept.write(shard);
            if self.purges.cover(&stored.head, since) {
                return Err(NotStored::Purged);
            }
            match varies {
                None => kept.remove_variants(shard, &stored.head.key),
                Some((base, names)) => kept.vary(shard, &base, names, &stored, entry.until),
            }
            kept.put(stored.head.key.clone(), entry);
        }
        kept.settle(self.budget);
        Ok(())
    }

    /// Puts the same answer with another head in the place of `before`, unless something else is there by now, or it was purged after
    /// `since`.
    pub fn replace(&self, before: &Arc<Stored>, after: Arc<Stored>, since: Mark) {
        let kept = self.kept.load_full();
        let key = &before.head.key;
        let is_before = |found: &Entry| matches!(&found.slot, Slot::Answer(stored) if Arc::ptr_eq(stored, before));
        let Some(shard) = kept.get(key.as_bytes()).filter(is_before).map(|found| found.shard) else { return };
        let Some(entry) = Entry::answer(&after, shard).filter(|entry| u64::from(entry.weight) <= self.budget) else {
            return;
        };
        {
            let _writing = kept.write(shard);
            if self.purges.cover(&after.head, since) || !kept.get(key.as_bytes()).is_some_and(|found| is_before(&found))
            {
                return;
            }
            kept.put(key.clone(), entry);
        }
        kept.settle(self.budget);
    }

    /// Removes what is under a key; where it says that answers vary, those, too.
    pub fn remove(&self, key: &[u8]) {
        let kept = self.kept.load_full();
        let Some(found) = kept.get(key) else { return };
        let _writing = kept.write(found.shard);
        if matches!(found.slot, Slot::Varies(_)) {
            kept.remove_variants(found.shard, &Key::from(key));
        }
        kept.remove(key);
    }

    /// Purges what belongs together, and says how many answers that was. A soft purge leaves them as stale.
    ///
    /// Takes some microseconds for each of them, and less for a purge of all. Nobody who looks up waits; who puts may wait for one of
    /// them.
    pub fn purge(&self, purge: &Purge, soft: bool) -> u64 {
        let _one_at_a_time = self.purging.lock().unwrap_or_else(PoisonError::into_inner);
        self.purges.note(purge);
        let count = match purge {
            Purge::All if !soft => self.begin_anew(),
            _ => self.kept.load_full().purge(purge, soft),
        };
        self.purged.fetch_add(count, Ordering::Relaxed);
        count
    }

    fn begin_anew(&self) -> u64 {
        let old = self.kept.swap(Arc::new(Kept::new(self.budget, Arc::clone(&self.evicted))));
        let count = old.answers();
        // Whoever drops it last frees every answer: that is not to be somebody with requests to serve.
        for _ in 0..1_000 {
            if Arc::strong_count(&old) == 1 {
                break;
            }
            thread::yield_now();
        }
        count
    }

    /// Every answer whose key begins so: with a whole resource ([`push_resource`](super::key::push_resource)), or with one but its
    /// query ([`push_path`](super::key::push_path)).
    #[must_use]
    pub fn of_resource(&self, beginning: &[u8]) -> Vec<Arc<Stored>> {
        let kept = self.kept.load_full();
        let found = (0..SHARDS).flat_map(|shard| kept.index.beginning_with(shard, beginning));
        let answers = found.filter_map(|(_, slot)| match slot {
            Slot::Answer(stored) => Some(stored),
            Slot::Varies(_) => None,
        });
        answers.collect()
    }

    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let kept = self.kept.load();
        Numbers {
            entries: kept.answers(),
            bytes: kept.bytes(),
            budget: self.budget,
            evicted: self.evicted.load(Ordering::Relaxed),
            purged: self.purged.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
pub(in crate::cache) mod tests;
