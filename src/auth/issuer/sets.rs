//! The keys of an issuer that count at a moment: those of its newest set, and for a while those that have left it.

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::jwt::{KeyFault, KeySet};

/// Replaced sets that are kept at most; an issuer that rotates faster loses the overlap of the oldest.
const MAX_FORMER: usize = 8;

/// The newest set, and those that it has replaced.
#[derive(Clone, Debug)]
pub(super) struct Sets {
    /// How long a key that has left the set is still good.
    overlap: Duration,
    newest: KeySet,
    /// Why keys of the newest set cannot be used.
    left_out: Vec<KeyFault>,
    /// The newest first.
    former: Vec<Former>,
}

#[derive(Clone, Debug)]
struct Former {
    set: KeySet,
    until: Instant,
}

impl Sets {
    pub fn new(overlap: Duration) -> Self {
        Self { overlap, newest: KeySet::default(), left_out: Vec::new(), former: Vec::new() }
    }

    /// The sets of another, with an overlap of one's own from now on.
    pub fn inherit(&mut self, other: &Self) {
        *self = Self { overlap: self.overlap, ..other.clone() };
    }

    /// A set has come, which may be the one that is there.
    pub fn take(&mut self, set: KeySet, left_out: Vec<KeyFault>, now: Instant) {
        self.left_out = left_out;
        let replaced = std::mem::replace(&mut self.newest, set);
        // What comes back has not left.
        self.former.retain(|former| former.until > now && !former.set.is_same(&self.newest));
        let left = !self.newest.clone().with_overlap(&replaced).is_same(&self.newest);
        if left && !self.overlap.is_zero() {
            self.former.insert(0, Former { set: replaced, until: now + self.overlap });
            self.former.truncate(MAX_FORMER);
        }
    }

    /// Lets go of what has had its time.
    pub fn expire(&mut self, now: Instant) {
        self.former.retain(|former| former.until > now);
    }

    /// Lets go of everything but the newest set.
    pub fn drop_former(&mut self) {
        self.former.clear();
    }

    /// When the next set has had its time.
    pub fn next_end(&self) -> Option<Instant> {
        self.former.iter().map(|former| former.until).min()
    }

    /// All keys that count.
    pub fn keys(&self) -> KeySet {
        self.former.iter().fold(self.newest.clone(), |keys, former| keys.with_overlap(&former.set))
    }

    /// Those of them that the newest set does not have, by their ids.
    pub fn overlapping(&self) -> Vec<String> {
        let newest = self.newest.ids();
        self.keys().ids().into_iter().filter(|id| !newest.contains(id)).collect()
    }

    pub fn left_out(&self) -> &[KeyFault] {
        &self.left_out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::issuer::tests::jwks;
    use crate::config::checked::identity::Algorithm;

    const IDS: [&str; 3] = ["a", "b", "c"];
    const OVERLAP: Duration = Duration::from_secs(100);

    /// The keys whose bits are set.
    fn set(mask: usize) -> KeySet {
        let ids: Vec<_> = IDS.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, id)| *id).collect();
        KeySet::from_jwks(jwks(&ids).as_bytes(), &[Algorithm::EdDsa]).unwrap().0
    }

    proptest! {
        #[test]
        fn a_key_counts_while_it_is_published_and_for_the_overlap_after(
            steps in prop::collection::vec((0_u64..80, prop::option::of(1_usize..8)), 0..30),
        ) {
            let mut sets = Sets::new(OVERLAP);
            let mut now = Instant::now();
            let (mut published, mut left) = (0, [None::<Instant>; 3]);
            for (pause, mask) in steps {
                now += Duration::from_secs(pause);
                if let Some(mask) = mask {
                    for (at, left) in left.iter_mut().enumerate() {
                        if published & !mask & (1 << at) != 0 {
                            *left = Some(now);
                        }
                    }
                    published = mask;
                    sets.take(set(mask), Vec::new(), now);
                } else {
                    sets.expire(now);
                }
                for (at, id) in IDS.iter().enumerate() {
                    let overlaps = left[at].is_some_and(|left| now < left + OVERLAP);
                    let is_published = published & (1 << at) != 0;
                    let has = sets.keys().ids().iter().any(|known| known == id);
                    prop_assert_eq!(has, is_published || overlaps);
                    prop_assert_eq!(sets.overlapping().iter().any(|known| known == id), overlaps && !is_published);
                }
            }
        }
    }
}
