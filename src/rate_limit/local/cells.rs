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

#[cfg(test)]
impl<C> Cells<C> {
    /// With room for one counter in a shard, and one that the others share.
    pub(super) fn cramped(mut self) -> Self {
        if let Self::ByKey(table) = &mut self {
            for pool in [&mut table.identified, &mut table.strangers] {
                pool.room = 1;
                pool.shared = std::mem::take(&mut pool.shared).into_iter().take(1).collect();
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Counters that are in use until the time in them.
    fn count(cells: &Cells<AtomicU64>, key: Keyed, at: u64, until: u64) -> Place {
        let is_idle = |counter: &AtomicU64| counter.load(Ordering::Relaxed) <= at;
        let new = |_: Option<&AtomicU64>| AtomicU64::new(0);
        let count = |counter: &AtomicU64, _: Option<&AtomicU64>| counter.fetch_max(until, Ordering::Relaxed);
        cells.count(Some(key), at, is_idle, new, count).0
    }

    fn number_of(cells: &Cells<AtomicU64>) -> usize {
        let mut number = 0;
        cells.each(|_| number += 1);
        number
    }

    /// Bytes of the hash tables: std's take a byte for each place beside what is in it, and use seven places in eight.
    fn bytes(cells: &Cells<AtomicU64>) -> usize {
        let Cells::ByKey(table) = cells else { return 0 };
        let places = |shard: &Shard<AtomicU64>| match shard.lock().counters.capacity() {
            0 => 0,
            capacity => (capacity * 8).div_ceil(7).next_power_of_two(),
        };
        let pools = [&table.known, &table.identified, &table.strangers];
        let places: usize = pools.iter().flat_map(|pool| pool.shards.iter()).map(places).sum();
        places * (size_of::<(Key, AtomicU64)>() + 1)
    }

    #[test]
    fn a_million_strangers_take_no_more_than_their_room() {
        let cells = Cells::new(true, AtomicU64::default);
        let mut shared = 0;
        // In waves, so that counters come and go while all others are in use.
        for number in 0..1_000_000 {
            let at = number / 1_000 * 10_000_000;
            let until = at + number * 7_919 % 3_000 * 1_000_000;
            let place = count(&cells, Keyed::numbered(number, Class::Stranger), at, until);
            shared += usize::from(matches!(place, Place::Shared(_)));
            if number % 100_000 == 0 {
                assert!(number_of(&cells) <= CAPACITY);
            }
        }
        assert!(number_of(&cells) > CAPACITY * 9 / 10, "{}", number_of(&cells));
        assert!(shared > 100_000, "{shared}");
        assert!(bytes(&cells) <= 64 * 2_048 * 25, "{}", bytes(&cells));

        // Who is known has a counter all the same.
        for number in 0..1_000 {
            for class in [Class::Known, Class::Identified] {
                assert!(matches!(count(&cells, Keyed::numbered(number, class), 0, 1), Place::Own(_)));
            }
        }
        // And strangers, once the counters say nothing any more.
        let later = u64::MAX / 2;
        assert!(matches!(count(&cells, Keyed::numbered(7, Class::Stranger), later, later + 1), Place::Own(_)));
    }

    #[test]
    fn counters_of_the_known_are_kept_while_they_say_anything_and_no_longer() {
        let cells = Cells::new(true, AtomicU64::default);
        for number in 0..200_000 {
            assert!(matches!(count(&cells, Keyed::numbered(number, Class::Known), 0, 10), Place::Own(_)));
        }
        assert_eq!(number_of(&cells), 200_000);
        for number in 0..200_000 {
            let place = Place::Own(Keyed::numbered(number, Class::Known));
            assert_eq!(cells.at(place, |counter| counter.load(Ordering::Relaxed)), Some(10));
        }
        // Others who come when they say nothing take their room.
        let before = bytes(&cells);
        for number in 200_000..400_000 {
            count(&cells, Keyed::numbered(number, Class::Known), SEARCH_PAUSE, SEARCH_PAUSE + 1);
        }
        assert_eq!((number_of(&cells) <= 400_000, bytes(&cells) <= 2 * before), (true, true));
    }

    #[test]
    fn shards_are_searched_no_more_than_a_few_times_a_second() {
        let cells = Cells::new(true, AtomicU64::default);
        let looked = AtomicU64::new(0);
        for number in 0..300_000 {
            let is_idle = |_: &AtomicU64| {
                looked.fetch_add(1, Ordering::Relaxed);
                false
            };
            let key = Keyed::numbered(number, Class::Stranger);
            cells.count(Some(key), number * 1_000, is_idle, |_| AtomicU64::new(0), |_, _| ());
        }
        // 0.3 seconds: at most three times, and while the tables grew.
        assert!(looked.into_inner() <= 5 * CAPACITY as u64);
    }
}
