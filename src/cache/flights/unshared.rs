//! Keys whose answers were not kept of late.

use std::time::Instant;

/// Of one shard; 64 shards remember 4096.
const PLACES: usize = 64;

/// A table of fixed size, by hash. Of two keys with the same place only the later one is remembered, and two with the same hash
/// are taken for one: all that is lost by it is that requests wait for each other in vain, or do not wait where they could.
#[derive(Debug)]
pub(super) struct Unshared(Box<[Option<(u64, Instant)>]>);

impl Default for Unshared {
    fn default() -> Self {
        Self(vec![None; PLACES].into())
    }
}

impl Unshared {
    pub(super) fn remember(&mut self, hash: u64, until: Instant) {
        if let Some(place) = self.place(hash) {
            *place = Some((hash, until));
        }
    }

    pub(super) fn forget(&mut self, hash: u64) {
        if let Some(place) = self.place(hash) {
            place.take_if(|(known, _)| *known == hash);
        }
    }

    pub(super) fn contains(&mut self, hash: u64, now: Instant) -> bool {
        let place = self.place(hash);
        place.is_some_and(|place| place.is_some_and(|(known, until)| known == hash && now < until))
    }

    fn place(&mut self, hash: u64) -> Option<&mut Option<(u64, Instant)>> {
        self.0.get_mut(hash as usize % PLACES)
    }
}
