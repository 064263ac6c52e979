//! The profiles of a process, bounded.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::Profile;

/// A power of two.
const SHARDS: usize = 64;
/// How often a profile is passed over when room is needed, at most: one for each time it was used, and what was used once goes
/// before what is used again and again.
const CHANCES: u8 = 3;
/// Profiles that are looked at under one lock.
const BATCH: usize = 32;

/// Who and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub route: u64,
    pub caller: u64,
}

/// The profiles of a process: at most so many, in 64 shards with a lock of their own. What has not been used for longest goes
/// first, nearly (generalised CLOCK: Smith, Sequentiality and Prefetching in Database Systems, TODS 1978).
///
/// A profile takes up to 1 KB with its place in the tables, so 100 000 take up to 100 MB; memory is taken when callers come.
#[derive(Debug)]
pub struct Profiles {
    shards: Box<[Shard]>,
    /// How many profiles a shard may have.
    room: usize,
    /// Keyed, so that nobody chooses the shard of others.
    hasher: RandomState,
}

/// Apart from its neighbours, whose locks others take.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Pool>);

#[derive(Debug, Default)]
struct Pool {
    /// Where in `slots`.
    places: HashMap<Place, usize, RandomState>,
    /// Never fewer than before, so that what goes through them meets each that stays.
    slots: Vec<Slot>,
    /// Where room is looked for next.
    hand: usize,
}

/// In a box, because a table that grows is copied while others wait.
#[derive(Debug)]
struct Slot {
    place: Place,
    chances: u8,
    profile: Box<Profile>,
}

impl Profiles {
    /// For so many, rounded up to a multiple of 64. Callers do not fall evenly to shards: with a few in a hundred less, some shards
    /// are full.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, room: capacity.div_ceil(SHARDS).max(1), hasher: RandomState::default() }
    }

    /// Looks at the profile of a caller who comes, which is made when there is none. Others of the shard wait meanwhile.
    pub fn with<R>(&self, place: Place, look: impl FnOnce(&mut Profile) -> R) -> R {
        let mut pool = self.pool(place);
        let slot = pool.slot(place, self.room);
        slot.chances = (slot.chances + 1).min(CHANCES);
        look(&mut slot.profile)
    }

    /// As [`Profiles::with`], once more for the same request: it counts as one use.
    pub fn again<R>(&self, place: Place, look: impl FnOnce(&mut Profile) -> R) -> R {
        look(&mut self.pool(place).slot(place, self.room).profile)
    }

    fn pool(&self, place: Place) -> MutexGuard<'_, Pool> {
        let shard = self.hasher.hash_one(place) as usize % SHARDS;
        // The place is below what it is among.
        self.shards[shard].lock()
    }

    /// Looks at every profile, a few under one lock: whoever has a request waits for no more than these. What comes meanwhile may
    /// be left out.
    pub fn each(&self, mut look: impl FnMut(Place, &mut Profile)) {
        for shard in &self.shards {
            let mut start = 0;
            while shard.lock().batch(start, &mut look) {
                start += BATCH;
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().slots.len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shard {
    /// A panic leaves a profile half learned at worst, which does no harm.
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn slot(&mut self, place: Place, room: usize) -> &mut Slot {
        let at = match self.places.get(&place) {
            Some(at) => *at,
            None => self.enter(place, room),
        };
        // Slots are never taken away.
        &mut self.slots[at]
    }

    /// A slot with a new profile.
    fn enter(&mut self, place: Place, room: usize) -> usize {
        let at = if self.slots.len() < room {
            self.slots.push(Slot { place, chances: 0, profile: Box::default() });
            self.slots.len() - 1
        } else {
            let at = self.least_used();
            let slot = &mut self.slots[at];
            self.places.remove(&slot.place);
            *slot.profile = Profile::default();
            (slot.place, slot.chances) = (place, 0);
            at
        };
        self.places.insert(place, at);
        at
    }

    /// Each step takes a chance that a use has given, so there are no more steps than uses and newcomers.
    fn least_used(&mut self) -> usize {
        loop {
            let at = self.hand;
            self.hand = (at + 1) % self.slots.len().max(1);
            match self.slots.get_mut(at) {
                Some(slot) if slot.chances > 1 => slot.chances -= 1,
                _ => return at,
            }
        }
    }

    /// Whether there are more behind these.
    fn batch(&mut self, start: usize, look: &mut impl FnMut(Place, &mut Profile)) -> bool {
        self.slots.iter_mut().skip(start).take(BATCH).for_each(|slot| look(slot.place, &mut slot.profile));
        self.slots.len() > start + BATCH
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn place(caller: u64) -> Place {
        Place { route: 1, caller }
    }

    fn requests(profiles: &Profiles, place: Place) -> u32 {
        profiles.with(place, |profile| profile.counts.requests)
    }

    #[test]
    fn callers_and_routes_have_profiles_of_their_own() {
        let profiles = Profiles::new(1_000);
        assert!(profiles.is_empty());
        for (route, caller) in [(1, 1), (1, 2), (2, 1)] {
            let place = Place { route, caller };
            profiles.with(place, |profile| profile.counts.requests = (10 * route + caller) as u32);
        }
        assert_eq!(profiles.len(), 3);
        assert_eq!(requests(&profiles, Place { route: 1, caller: 2 }), 12);
        let mut found = Vec::new();
        profiles.each(|place, profile| found.push((place.route, place.caller, profile.counts.requests)));
        found.sort_unstable();
        assert_eq!(found, [(1, 1, 11), (1, 2, 12), (2, 1, 21)]);
    }

    #[test]
    fn there_are_never_more_than_allowed() {
        let profiles = Profiles::new(1_000);
        for caller in 0..20_000 {
            profiles.with(place(caller), |_| ());
            assert!(caller % 1_000 != 0 || profiles.len() <= 1_024);
        }
        let mut found = 0;
        profiles.each(|_, _| found += 1);
        assert_eq!((profiles.len(), found), (1_024, 1_024));
        let indexed: usize = profiles.shards.iter().map(|shard| shard.lock().places.len()).sum();
        assert_eq!(indexed, 1_024);
        assert_eq!(Profiles::new(0).with(place(1), |profile| profile.counts.requests), 0);
    }

    #[test]
    fn who_comes_once_does_not_push_out_who_comes_again() {
        let profiles = Profiles::new(1_000);
        for stranger in 0..100_000 {
            profiles.with(place(1_000_000 + stranger), |_| ());
            (0..3).for_each(|_| profiles.again(place(1_000_000 + stranger), |_| ()));
            profiles.with(place(stranger % 100), |profile| profile.counts.requests += 1);
        }
        let kept = (0..100).filter(|caller| requests(&profiles, place(*caller)) == 1_000).count();
        assert_eq!(kept, 100);
    }

    #[test]
    fn who_has_not_come_for_long_goes() {
        let profiles = Profiles::new(1_000);
        (0..10).for_each(|_| profiles.with(place(1), |profile| profile.counts.requests += 1));
        for _ in 0..4 {
            (0..5_000).for_each(|caller| profiles.with(place(2 + caller), |_| ()));
            (0..5_000).for_each(|caller| profiles.with(place(2 + caller), |_| ()));
        }
        assert_eq!(requests(&profiles, place(1)), 0);
    }

    #[test]
    fn a_panic_takes_nothing_from_others() {
        let profiles = Profiles::new(1);
        let panics = AssertUnwindSafe(|| profiles.with(place(1), |_| panic!("of the caller")));
        assert!(catch_unwind(panics).is_err());
        profiles.with(place(1), |profile| profile.counts.requests += 1);
        assert_eq!((requests(&profiles, place(1)), profiles.len()), (1, 1));
    }
}
