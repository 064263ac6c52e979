//! The keys of an issuer that count at a moment: those of its newest set, and for a while those that have left it.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::auth::jwt::{KeyFault, KeySet};
use crate::config::checked::identity::Algorithm;

/// Replaced sets that are kept at most; an issuer that rotates faster loses the overlap of the oldest.
const MAX_FORMER: usize = 8;

/// Sets as they were fetched. What is published is made from them anew, so that no key outstays its time.
#[derive(Debug)]
pub(super) struct Sets {
    algorithms: Vec<Algorithm>,
    /// How long a key that has left the set is still good.
    overlap: Duration,
    current: Option<Bytes>,
    /// The newest first.
    former: Vec<Former>,
}

#[derive(Debug)]
struct Former {
    set: Bytes,
    until: Instant,
}

/// What is to be published.
#[derive(Debug)]
pub(super) struct Composed {
    pub keys: KeySet,
    /// Keys that only an earlier set has.
    pub overlapping: Vec<String>,
    /// Why keys of the newest set cannot be used.
    pub left_out: Vec<KeyFault>,
}

impl Sets {
    pub fn new(algorithms: Vec<Algorithm>, overlap: Duration) -> Self {
        Self { algorithms, overlap, current: None, former: Vec::new() }
    }

    /// Takes in a set; `None` when it is the one that is there. With `drop_former` no other set counts from now on.
    ///
    /// # Errors
    ///
    /// It is no key set that can be used; nothing has changed.
    pub fn take(&mut self, set: &Bytes, drop_former: bool, now: Instant) -> Result<Option<Composed>, KeyFault> {
        let unchanged = self.current.as_ref() == Some(set);
        if unchanged && (!drop_former || self.former.is_empty()) {
            return Ok(None);
        }
        let read = KeySet::from_jwks(set, &self.algorithms)?;
        if drop_former {
            self.former.clear();
        }
        if !unchanged {
            let replaced = self.current.replace(set.clone());
            self.former.retain(|former| former.until > now && former.set != *set);
            if let Some(replaced) = replaced.filter(|_| !drop_former && !self.overlap.is_zero()) {
                self.former.insert(0, Former { set: replaced, until: now + self.overlap });
                self.former.truncate(MAX_FORMER);
            }
        }
        Ok(Some(self.compose(read)))
    }

    /// Lets go of what has had its time; `None` when nothing has.
    pub fn expire(&mut self, now: Instant) -> Option<Composed> {
        self.keep(|former| former.until > now)
    }

    /// Lets go of everything but the newest set; `None` when there is nothing else.
    pub fn drop_former(&mut self) -> Option<Composed> {
        self.keep(|_| false)
    }

    /// When the next set has had its time.
    pub fn next_end(&self) -> Option<Instant> {
        self.former.iter().map(|former| former.until).min()
    }

    fn keep(&mut self, which: impl Fn(&Former) -> bool) -> Option<Composed> {
        let before = self.former.len();
        self.former.retain(which);
        if self.former.len() == before {
            return None;
        }
        let read = KeySet::from_jwks(self.current.as_ref()?, &self.algorithms).ok()?;
        Some(self.compose(read))
    }

    fn compose(&self, (keys, left_out): (KeySet, Vec<KeyFault>)) -> Composed {
        let newest = keys.ids();
        // All of them were read once, when they were taken in.
        let former = self.former.iter().filter_map(|former| KeySet::from_jwks(&former.set, &self.algorithms).ok());
        let keys = former.fold(keys, |keys, (former, _)| keys.with_overlap(&former));
        let overlapping = keys.ids().into_iter().filter(|id| !newest.contains(id)).collect();
        Composed { keys, overlapping, left_out }
    }
}
