//! Revocations by name, for whoever asks at each request.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;

/// What is changed is copied first: with so many parts, a thousand of a million names.
const PARTS: usize = 1024;

/// One revocation of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) issuer: Option<Arc<str>>,
    pub(super) issued_before: Option<u64>,
    /// `u64::MAX` is for ever.
    pub(super) until: u64,
}

/// A token, as far as it matters here. What is no token has neither issuer nor time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issued<'a> {
    pub(super) issuer: &'a str,
    pub(super) at: u64,
}

impl Mark {
    /// A revocation about an issuer or a time of issue is about tokens only.
    fn covers(&self, token: Option<Issued<'_>>, now: u64) -> bool {
        let fits = match token {
            Some(token) => {
                self.issuer.as_deref().is_none_or(|issuer| issuer == token.issuer)
                    && self.issued_before.is_none_or(|before| token.at < before)
            }
            None => self.issuer.is_none() && self.issued_before.is_none(),
        };
        fits && now < self.until
    }

    fn is_about_the_same_as(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.issued_before == other.issued_before
    }
}

/// What becomes of a mark.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) name: Arc<str>,
    /// Replaces the one about the same issuer and time; with `until` at 0, takes it off.
    pub(super) mark: Mark,
}

pub(super) type Part = HashMap<Arc<str>, Arc<[Mark]>, RandomState>;

/// Names with their marks. Readers wait for nothing and take no lock; writers take turns by themselves.
#[derive(Debug)]
pub(super) struct Table {
    parts: Box<[ArcSwapOption<Part>]>,
    hasher: RandomState,
    marks: AtomicUsize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| ArcSwapOption::empty()).collect(),
            hasher: RandomState::default(),
            marks: AtomicUsize::new(0),
        }
    }
}

impl Table {
    /// Whether a mark of this name covers the token, or, without one, another credential.
    pub(super) fn covers(&self, name: &str, token: Option<Issued<'_>>, now: u64) -> bool {
        let Some(part) = self.parts.get(self.part(name)) else { return false };
        let part = part.load();
        let marks = part.as_ref().and_then(|part| part.get(name));
        marks.is_some_and(|marks| marks.iter().any(|mark| mark.covers(token, now)))
    }

    /// Where a name is. Changes to the same part are cheap together.
    pub(super) fn part(&self, name: &str) -> usize {
        // The lowest bits and the highest place it within the part.
        (self.hasher.hash_one(name) >> 32) as usize % PARTS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.load(Ordering::Relaxed) == 0
    }

    pub(super) fn marks_of(&self, name: &str) -> usize {
        let part = self.parts.get(self.part(name)).and_then(ArcSwapOption::load_full);
        part.as_deref().and_then(|part| part.get(name)).map_or(0, |marks| marks.len())
    }

    /// Changes a part, as one step for whoever reads. All names have to be of it. Gives back the part as it was, which is
    /// not to be freed by a reader.
    pub(super) fn change(&self, part: usize, changes: Vec<Change>) -> Option<Arc<Part>> {
        let place = self.parts.get(part)?;
        let old = place.load_full();
        let mut new = old.as_deref().cloned().unwrap_or_else(|| Part::with_hasher(self.hasher.clone()));
        let (mut added, mut removed) = (0, 0);
        for Change { name, mark } in changes {
            debug_assert_eq!(self.part(&name), part, "{name} is of another part");
            let before = new.get(&name).map(|marks| &**marks).unwrap_or_default();
            let mut marks: Vec<Mark> = before.iter().filter(|old| !old.is_about_the_same_as(&mark)).cloned().collect();
            removed += before.len();
            if mark.until > 0 {
                marks.push(mark);
            }
            added += marks.len();
            if marks.is_empty() {
                new.remove(&name);
            } else {
                new.insert(name, marks.into());
            }
        }
        place.store((!new.is_empty()).then(|| Arc::new(new)));
        self.marks.fetch_add(added, Ordering::Relaxed);
        self.marks.fetch_sub(removed, Ordering::Relaxed);
        old
    }
}
