//! Where the counters of a rule are: one, or one for each key within a bound.
//!
//! Keys that the configuration bounds all have a counter of their own. Of others, [`CAPACITY`] have; apart for callers who are
//! identified and for strangers, so that who makes up addresses takes nothing from who is known. Counters that say no more than
//! a new one would are dropped first; when all are in use, further keys share [`SHARED`] counters, by their hash. So a key never
//! gets more than its rule allows, and memory has an end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::rate_limit::key::{Class, Key, Keyed};

/// How many keys of a class have a counter of their own at most.
pub(super) const CAPACITY: usize = 57_344;
const SHARDS: usize = 64;
/// A hash table of 2048 places takes 1792; one that never holds more than half of these never grows beyond, whatever comes and goes.
const CAPACITY_OF_SHARD: usize = CAPACITY / SHARDS;
/// How many counters those beyond share.
const SHARED: usize = 64;
/// Nanoseconds between two searches of a shard for counters to drop: a search costs more than a request may.
const SEARCH_PAUSE: u64 = 125_000_000;

#[derive(Debug)]
pub(super) enum Cells<C> {
    One(C),
    ByKey(Box<Table<C>>),
}

/// Which counter it was.
#[derive(Clone, Copy, Debug)]
pub(in crate::rate_limit) enum Place {
    One,
    Own(Keyed),
    Shared(Keyed),
}

#[derive(Debug)]
pub(super) struct Table<C> {
    known: Pool<C>,
    identified: Pool<C>,
    strangers: Pool<C>,
}

#[derive(Debug)]
struct Pool<C> {
    shards: Box<[Shard<C>]>,
    /// How many counters a shard may have.
    room: usize,
    /// None where every key has its own.
    shared: Box<[C]>,
}

/// Apart from its neighbours, whose locks others take.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<C>(Mutex<Own<C>>);

#[derive(Debug)]
struct Own<C> {
    counters: HashMap<Key, C, BuildHasherDefault<AsItIs>>,
    /// When counters to drop may be looked for again.
    next_search: u64,
}

impl<C> Cells<C> {
    /// One counter, or one for each key.
    pub(super) fn new(by_key: bool, new: impl Fn() -> C) -> Self {
        if by_key {
            let table = Table {
                known: Pool::new(usize::MAX, 0, &new),
                identified: Pool::new(CAPACITY_OF_SHARD, SHARED, &new),
                strangers: Pool::new(CAPACITY_OF_SHARD, SHARED, &new),
            };
            Self::ByKey(Box::new(table))
        } else {
            Self::One(new())
        }
    }

    /// Counts in the counter of a key, which is made when there is none. `count` gets the counter that the key may have shared before, too.
    ///
    /// `at` is the time in nanoseconds since some moment; `is_idle` says of a counter that it says no more than a new one; `new` makes
    /// one, of what the key may have been counted in before.
    pub(super) fn count<R>(
        &self,
        key: Option<Keyed>,
        at: u64,
        is_idle: impl Fn(&C) -> bool,
        new: impl FnOnce(Option<&C>) -> C,
        count: impl FnOnce(&C, Option<&C>) -> R,
    ) -> (Place, R) {
        let (table, key) = match (self, key) {
            (Self::One(counter), _) => return (Place::One, count(counter, None)),
            (Self::ByKey(table), key) => (table, key.unwrap_or(Keyed::OF_NOBODY)),
        };
        let pool = table.pool(key.class);
        let shared = pool.shared(key.key);
        // Held also while counting in what is shared: a key must not move to a counter of its own meanwhile.
        let mut own = pool.shard(key.key);
        if let Some(counter) = own.counters.get(&key.key) {
            return (Place::Own(key), count(counter, shared));
        }
        match (own.has_room(pool.room, at, is_idle), shared) {
            (false, Some(shared)) => (Place::Shared(key), count(shared, None)),
            _ => {
                let counter = own.counters.entry(key.key).or_insert_with(|| new(shared));
                (Place::Own(key), count(counter, shared))
            }
        }
    }

    /// The counter in which something was counted; `None` when it was dropped since, as saying nothing any more.
    pub(super) fn at<R>(&self, place: Place, look: impl FnOnce(&C) -> R) -> Option<R> {
        match (self, place) {
            (Self::One(counter), Place::One) => Some(look(counter)),
            (Self::ByKey(table), Place::Own(key)) => {
                table.pool(key.class).shard(key.key).counters.get(&key.key).map(look)
            }
            (Self::ByKey(table), Place::Shared(key)) => table.pool(key.class).shared(key.key).map(look),
            _ => None,
        }
    }

    /// All counters but those that keys share.
    pub(super) fn each(&self, mut look: impl FnMut(&C)) {
        match self {
            Self::One(counter) => look(counter),
            Self::ByKey(table) => {
                for pool in [&table.known, &table.identified, &table.strangers] {
                    pool.shards.iter().for_each(|shard| shard.lock().counters.values().for_each(&mut look));
                }
            }
        }
    }
}

impl<C> Table<C> {
    fn pool(&self, class: Class) -> &Pool<C> {
        match class {
            Class::Known => &self.known,
            Class::Identified => &self.identified,
            Class::Stranger => &self.strangers,
        }
    }
}

impl<C> Pool<C> {
    fn new(room: usize, shared: usize, new: &impl Fn() -> C) -> Self {
        let empty = || Shard(Mutex::new(Own { counters: HashMap::default(), next_search: 0 }));
        Self { shards: (0..SHARDS).map(|_| empty()).collect(), room, shared: (0..shared).map(|_| new()).collect() }
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Own<C>> {
        // The place is below what it is among.
        self.shards[key.place_among(self.shards.len())].lock()
    }

    fn shared(&self, key: Key) -> Option<&C> {
        self.shared.get(key.place_among(self.shared.len()))
    }
}

impl<C> Shard<C> {
    fn lock(&self) -> MutexGuard<'_, Own<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Own<C> {
    /// Whether there is room for one more counter, if need be after dropping those that are idle.
    fn has_room(&mut self, room: usize, at: u64, is_idle: impl Fn(&C) -> bool) -> bool {
        if self.counters.len() >= room.min(self.counters.capacity()) && at >= self.next_search {
            self.counters.retain(|_, counter| !is_idle(counter));
            self.next_search = at.saturating_add(SEARCH_PAUSE);
        }
        self.counters.len() < room
    }
}

/// For keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
