//! Answers that are coming, by key: whoever asks for one that is already asked for waits for the same.

mod unshared;

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use self::unshared::Unshared;
use super::fill::{self, Answer, Reader, Writer};
use super::key::Key;
use super::purge::Mark;

/// How long it is remembered that the answers for a key are not kept: requests for it do not wait for each other.
pub const NOT_SHARED: Duration = Duration::from_secs(10);

/// Requests for keys of different shards do not wait for each other.
const SHARDS: usize = 64;

/// Sharded by key. As many as there are requests that lead one.
#[derive(Debug, Default)]
pub struct Flights {
    table: Arc<Table>,
}

#[derive(Debug)]
struct Table {
    shards: [Mutex<Shard>; SHARDS],
    /// Its seed is another one in each process: who chooses keys cannot choose where they lie.
    hasher: RandomState,
    collapsed: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    /// Each with when it was asked for.
    running: HashMap<Key, (Answer, Mark), RandomState>,
    unshared: Unshared,
}

/// What an arriving request does.
#[derive(Debug)]
pub enum Joined {
    /// Ask the upstream, and write what it says. Look into the store once more before that: since it was looked into, another
    /// flight may have stored the answer and be over.
    Leads(Flight, Reader),
    Follows(Reader),
    /// Ask the upstream for yourself ([`Flights::alone`]): the answers for this key are not kept.
    Alone,
}

/// A flight, for whoever leads it. Dropped, it is over: the next request leads another one. What it brings for the store has to
/// be there before that.
#[derive(Debug)]
pub struct Flight {
    pub writer: Writer,
    key: Key,
    table: Arc<Table>,
}

/// What flights can say of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Answers that are coming and can be joined.
    pub flights: usize,
    /// Since start: requests that waited for what another one had asked for.
    pub collapsed: u64,
}

impl Flight {
    /// The answers for this key are not kept: the flight is over for newcomers, and for a while requests do not join. Until
    /// [`NOT_SHARED`] has passed, or a flight for the key ends whose answer is kept.
    pub fn not_shared(&self, now: Instant) {
        let (mut shard, hash) = self.table.shard(&self.key);
        shard.unshared.remember(hash, now + NOT_SHARED);
        shard.land(self);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let is_kept = self.writer.is_kept();
        let (mut shard, hash) = self.table.shard(&self.key);
        if is_kept {
            shard.unshared.forget(hash);
        }
        shard.land(self);
    }
}

impl Flights {
    /// `mark` is the present; a flight that began when `is_outdated` is not joined, and another one takes its place.
    pub fn join(&self, key: &Key, now: Instant, mark: Mark, is_outdated: impl FnOnce(Mark) -> bool) -> Joined {
        let (mut shard, hash) = self.table.shard(key);
        if shard.unshared.contains(hash, now) {
            return Joined::Alone;
        }
        let running = shard.running.get(key).filter(|(_, since)| !is_outdated(*since));
        if let Some((answer, _)) = running {
            let Some(reader) = answer.join() else { return Joined::Alone };
            drop(shard);
            self.table.collapsed.fetch_add(1, Ordering::Relaxed);
            return Joined::Follows(reader);
        }
        let (writer, reader) = fill::pair();
        shard.running.insert(key.clone(), (writer.answer(), mark));
        drop(shard);
        Joined::Leads(self.flight(key, writer), reader)
    }

    /// A flight of one's own; `None` when there is one already.
    pub fn begin(&self, key: &Key, mark: Mark) -> Option<(Flight, Reader)> {
        let (mut shard, _) = self.table.shard(key);
        if shard.running.contains_key(key) {
            return None;
        }
        let (writer, reader) = fill::pair();
        shard.running.insert(key.clone(), (writer.answer(), mark));
        drop(shard);
        Some((self.flight(key, writer), reader))
    }

    /// A flight that nobody joins, for whoever has to ask for itself.
    #[must_use]
    pub fn alone(&self, key: &Key) -> (Flight, Reader) {
        let (writer, reader) = fill::pair();
        (self.flight(key, writer), reader)
    }

    fn flight(&self, key: &Key, writer: Writer) -> Flight {
        Flight { writer, key: key.clone(), table: Arc::clone(&self.table) }
    }

    /// How many answers are coming.
    #[must_use]
    pub fn running(&self) -> usize {
        self.table.shards.iter().map(|shard| lock(shard).running.len()).sum()
    }

    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers { flights: self.running(), collapsed: self.table.collapsed.load(Ordering::Relaxed) }
    }
}

impl Default for Table {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, hasher: RandomState::default(), collapsed: AtomicU64::new(0) }
    }
}

impl Table {
    /// The shard of a key, and the hash of the key.
    fn shard(&self, key: &Key) -> (MutexGuard<'_, Shard>, u64) {
        let hash = self.hasher.hash_one(key);
        let [first, ..] = &self.shards;
        // The lowest bits place it among what is not shared.
        let shard = self.shards.get((hash >> 32) as usize % SHARDS).unwrap_or(first);
        (lock(shard), hash)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Takes a flight out, unless another one has its place.
    fn land(&mut self, flight: &Flight) {
        if self.running.get(&flight.key).is_some_and(|(answer, _)| answer.is_of(&flight.writer)) {
            self.running.remove(&flight.key);
        }
    }
}

#[cfg(test)]
mod tests;
