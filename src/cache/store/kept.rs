//! What is kept from one purge of all to the next.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use http::HeaderName;
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::{Entry, Slot};
use crate::cache::key::Key;
use crate::cache::purge::{Index, Purge, SHARDS};
use crate::cache::reuse;
use crate::cache::stored::{self, Stored};

/// Answers for one key that differ by fields of the request: clients choose those, so somebody could go on for ever.
pub(super) const MAX_VARIANTS: usize = 64;

/// Bytes that moka takes to keep an entry: counts, places in its table, its queue and its timer wheel, its sketch.
///
/// 100,000 answers in two groups (`cargo bench --bench cache -- fill`, release profile, mimalloc) with bodies of 100 bytes take 1,512
/// bytes of resident memory each, weighed as 1,576; with 1 KiB 2,419, weighed as 2,488; with 10,000 bytes 11,657, weighed as 11,704.
const BOOKKEEPING: usize = 512;

/// Moka holds the entries and decides who stays, the index has them in order.
///
/// An entry is never changed in its place, it is removed and another one inserted: moka would count a change of weight wrong when the
/// entry is removed before its queue of changes has come to it. The index hears of every entry that moka lets go of.
pub(super) struct Kept {
    pub(super) entries: Cache<Key, Entry, RandomState>,
    pub(super) index: Arc<Index>,
    /// Held by whoever puts, replaces or purges in a shard. Moka's own locks and the index's come after.
    writing: Box<[Mutex<()>]>,
}

/// Entries leave by themselves when they are of no use.
struct Useful;

impl Expiry<Key, Entry> for Useful {
    fn expire_after_create(&self, _: &Key, entry: &Entry, created: Instant) -> Option<Duration> {
        entry.until.map(|until| until.saturating_duration_since(created))
    }
}

impl Entry {
    /// `None` when it is larger than can be counted.
    pub(super) fn answer(stored: &Arc<Stored>, shard: u8) -> Option<Self> {
        let groups = &stored.head.groups;
        let groups = 1 + usize::from(groups.partner.is_some()) + groups.tags.len();
        let weight = BOOKKEEPING + Index::PER_KEY + groups * Index::PER_GROUP + stored.weight();
        let freshness = &stored.head.freshness;
        let useful = freshness.lifetime.saturating_add(reuse::useful_for(stored)).saturating_sub(freshness.initial_age);
        Some(Self {
            until: freshness.received.checked_add(useful),
            weight: weight.try_into().ok()?,
            slot: Slot::Answer(Arc::clone(stored)),
            shard,
        })
    }

    fn varies(base: &Key, names: Arc<[HeaderName]>, until: Option<Instant>, shard: u8) -> Self {
        let own = stored::allocated(stored::COUNTS + size_of_val(&*names)) + stored::weight_of_key(base);
        let names_own: usize = names.iter().map(stored::weight_of_name).sum();
        let weight = BOOKKEEPING + Index::PER_KEY + own + names_own;
        Self { slot: Slot::Varies(names), until, weight: weight.try_into().unwrap_or(u32::MAX), shard }
    }
}

impl Kept {
    pub(super) fn new(budget: u64, evicted: Arc<AtomicU64>) -> Self {
        let index = Arc::new(Index::new());
        let listening = Arc::clone(&index);
        let entries = Cache::builder()
            .max_capacity(budget)
            .weigher(|_, entry: &Entry| entry.weight)
            .expire_after(Useful)
            .eviction_listener(move |key: Arc<Key>, entry, cause| {
                listening.leave(&key, &entry);
                if cause == RemovalCause::Size && matches!(entry.slot, Slot::Answer(_)) {
                    evicted.fetch_add(1, Ordering::Relaxed);
                }
            })
            .build_with_hasher(RandomState::default());
        Self { entries, index, writing: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Entry> {
        self.entries.get(key)
    }

    pub(super) fn shard_of(&self, base: &[u8]) -> u8 {
        self.index.shard_of(base)
    }

    pub(super) fn answers(&self) -> u64 {
        self.index.answers()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// Until this is dropped, nobody else puts or purges in a shard.
    pub(super) fn write(&self, shard: u8) -> Option<MutexGuard<'_, ()>> {
        Some(self.writing.get(usize::from(shard))?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// While the shard is being written.
    pub(super) fn put(&self, key: Key, entry: Entry) {
        self.remove(key.as_bytes());
        self.index.join(&key, &entry);
        self.entries.insert(key, entry);
    }

    pub(super) fn remove(&self, key: &[u8]) {
        self.entries.invalidate(key);
    }

    /// Says under `base` which fields tell its answers apart, and makes room for one more of them. While the shard is being written.
    pub(super) fn vary(
        &self,
        shard: u8,
        base: &Key,
        names: Arc<[HeaderName]>,
        stored: &Stored,
        until: Option<Instant>,
    ) {
        let found = self.get(base.as_bytes());
        match &found {
            Some(Entry { slot: Slot::Varies(before), .. }) if *before == names => {}
            // Answers by other fields may look like those by these.
            _ => self.remove_variants(shard, base),
        }
        self.make_room(shard, base, &stored.head.key);
        let lasts = |found: &Entry| {
            let longer = until.is_some_and(|until| found.until.is_none_or(|other| other >= until));
            longer && matches!(&found.slot, Slot::Varies(before) if *before == names)
        };
        if !found.as_ref().is_some_and(lasts) {
            self.put(base.clone(), Entry::varies(base, names, until, shard));
        }
    }

    /// Removes the variant that was least asked for, when there are as many as may be.
    fn make_room(&self, shard: u8, base: &Key, key: &Key) {
        let mut variants = self.variants(shard, base);
        variants.retain(|stored| stored.head.key != *key);
        if variants.len() >= MAX_VARIANTS {
            let asked =
                |stored: &&Arc<Stored>| (stored.marks.hits.load(Ordering::Relaxed), stored.head.freshness.received);
            if let Some(least) = variants.iter().min_by_key(asked) {
                self.remove(least.head.key.as_bytes());
            }
        }
    }

    pub(super) fn remove_variants(&self, shard: u8, base: &Key) {
        self.variants(shard, base).iter().for_each(|stored| self.remove(stored.head.key.as_bytes()));
    }

    fn variants(&self, shard: u8, base: &Key) -> Vec<Arc<Stored>> {
        let found = self.index.beginning_with(shard, base.as_bytes()).into_iter();
        let variant = |(key, slot)| match slot {
            Slot::Answer(stored) if key != *base => Some(stored),
            _ => None,
        };
        found.filter_map(variant).collect()
    }

    /// Nobody else waits for longer than one removal takes, or a look into the index.
    pub(super) fn purge(&self, purge: &Purge, soft: bool) -> u64 {
        let mut count = 0;
        for shard in self.index.shards_of(purge) {
            let found = {
                let _writing = self.write(shard);
                self.index.found(shard, purge)
            };
            for (key, slot) in found {
                let answer = if let Slot::Answer(stored) = &slot { Some(stored) } else { None };
                count += u64::from(answer.is_some());
                if !soft {
                    let _writing = self.write(shard);
                    // What was put meanwhile is newer than the purge.
                    if self.get(key.as_bytes()).is_some_and(|found| found.slot.is_same(&slot)) {
                        self.remove(key.as_bytes());
                    }
                } else if let Some(stored) = answer {
                    stored.marks.stale.store(true, Ordering::Relaxed);
                }
            }
        }
        count
    }

    /// Brings what is kept down to the budget: moka lets every entry in at first, and decides later.
    pub(super) fn settle(&self, budget: u64) {
        const TIMES: usize = 4;
        for _ in 0..TIMES {
            self.entries.run_pending_tasks();
            if self.bytes() <= budget {
                break;
            }
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("answers", &self.answers()).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
