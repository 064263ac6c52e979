//! Everything that is revoked, as operators see it; what requests look at is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::table::{Change, Mark, Part};
use super::{Id, Revocation, Target};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<Id, Listed>,
    ends: BTreeSet<(u64, Id, Source)>,
    counts: Counts,
    unsaved: BTreeMap<Id, u64>,
    /// Counts changes, so that one that came while an earlier one was saved is not taken for saved.
    changes: u64,
    /// What readers may still look at: to be freed here, and not by the last of them.
    replaced: Vec<Arc<Part>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    File,
    Api,
}

/// A revocation with where it comes from. File and admin API may have given it different ends and reasons.
#[derive(Clone, Debug)]
pub enum Listed {
    File(Arc<Entry>),
    Api(Arc<Entry>),
    Both { file: Arc<Entry>, api: Arc<Entry> },
}

#[derive(Debug)]
pub struct Entry {
    pub revocation: Revocation,
    /// When it was revoked, or the file read; seconds since 1970 UTC.
    pub at: u64,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub file: usize,
    pub api: usize,
    /// Changes by the admin API that a restart would lose.
    pub unsaved: usize,
}

/// What has become of a revocation that was asked for.
#[derive(Clone, Debug)]
pub struct Made {
    pub id: Id,
    pub entry: Arc<Entry>,
    /// It was not there before.
    pub is_new: bool,
}

/// A change that a restart would lose.
#[derive(Clone, Debug)]
pub struct Unsaved {
    pub id: Id,
    /// `None`: it was deleted.
    pub entry: Option<Arc<Entry>>,
    change: u64,
}

impl Listed {
    #[must_use]
    pub fn file(&self) -> Option<&Arc<Entry>> {
        self.of(Source::File)
    }

    #[must_use]
    pub fn api(&self) -> Option<&Arc<Entry>> {
        self.of(Source::Api)
    }

    /// The one that holds longer.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::File(entry) | Self::Api(entry) => entry,
            Self::Both { file, api } if end(&file.revocation) > end(&api.revocation) => file,
            Self::Both { api, .. } => api,
        }
    }

    #[must_use]
    pub fn revocation(&self) -> &Revocation {
        &self.entry().revocation
    }

    fn of(&self, source: Source) -> Option<&Arc<Entry>> {
        match (self, source) {
            (Self::File(entry) | Self::Both { file: entry, .. }, Source::File)
            | (Self::Api(entry) | Self::Both { api: entry, .. }, Source::Api) => Some(entry),
            _ => None,
        }
    }

    fn made(file: Option<Arc<Entry>>, api: Option<Arc<Entry>>) -> Option<Self> {
        match (file, api) {
            (Some(file), Some(api)) => Some(Self::Both { file, api }),
            (Some(file), None) => Some(Self::File(file)),
            (None, Some(api)) => Some(Self::Api(api)),
            (None, None) => None,
        }
    }
}

impl Ledger {
    pub(super) fn get(&self, id: Id) -> Option<&Listed> {
        self.entries.get(&id)
    }

    pub(super) fn after(&self, id: Option<Id>) -> impl Iterator<Item = (Id, &Listed)> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range((from, Bound::Unbounded)).map(|(id, listed)| (*id, listed))
    }

    pub(super) fn ids_of_file(&self) -> impl Iterator<Item = Id> {
        self.entries.iter().filter(|(_, listed)| listed.file().is_some()).map(|(id, _)| *id)
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { unsaved: self.unsaved.len(), ..self.counts }
    }

    /// By the admin API. What is there already never ends earlier for it.
    pub(super) fn add(&mut self, id: Id, mut revocation: Revocation, now: u64) -> (Made, Change) {
        let known = self.get(id).and_then(Listed::api).cloned();
        if let Some(known) = &known {
            revocation.until = revocation.until.zip(known.revocation.until).map(|(new, old)| new.max(old));
            revocation.reason = revocation.reason.or_else(|| known.revocation.reason.clone());
        }
        let at = known.as_ref().map_or(now, |known| known.at);
        let (entry, change) = self.set(Source::Api, id, revocation, at);
        self.note_unsaved(id);
        (Made { id, entry, is_new: known.is_none() }, change)
    }

    /// In the place of what this source had under the id; nothing to tell when that is the same.
    pub(super) fn put(&mut self, source: Source, id: Id, revocation: &Revocation, at: u64) -> Option<Change> {
        let known = self.get(id).and_then(|listed| listed.of(source));
        let is_same = known.is_some_and(|known| known.revocation == *revocation);
        (!is_same).then(|| self.set(source, id, revocation.clone(), at).1)
    }

    /// Takes what this source has under the id, or only when it has `ended` by a time.
    pub(super) fn take(&mut self, source: Source, id: Id, ended: Option<u64>) -> Option<Change> {
        let entry = self.entries.get(&id)?.of(source)?;
        if ended.is_some_and(|now| !entry.revocation.has_ended(now)) {
            return None;
        }
        let entry = Arc::clone(entry);
        let left = self.replace(source, id, None);
        if source == Source::Api {
            self.note_unsaved(id);
        }
        Some(left.unwrap_or_else(|| change(&entry.revocation, 0)))
    }

    /// What has ended by now.
    pub(super) fn ended(&self, now: u64) -> Vec<(Source, Id)> {
        self.ends.iter().take_while(|(at, ..)| *at <= now).map(|(_, id, source)| (*source, *id)).collect()
    }

    pub(super) fn unsaved(&self, most: usize) -> Vec<Unsaved> {
        let unsaved = |(id, change): (&Id, &u64)| {
            let entry = self.get(*id).and_then(Listed::api).cloned();
            Unsaved { id: *id, entry, change: *change }
        };
        self.unsaved.iter().take(most).map(unsaved).collect()
    }

    pub(super) fn saved(&mut self, changes: &[Unsaved]) {
        for saved in changes {
            if self.unsaved.get(&saved.id) == Some(&saved.change) {
                self.unsaved.remove(&saved.id);
            }
        }
    }

    pub(super) fn keep_replaced(&mut self, part: Option<Arc<Part>>) {
        // One that nobody else has is freed here and now.
        self.replaced.extend(part.filter(|part| Arc::strong_count(part) > 1));
    }

    pub(super) fn free_replaced(&mut self) {
        self.replaced.retain(|part| Arc::strong_count(part) > 1);
    }

    fn set(&mut self, source: Source, id: Id, revocation: Revocation, at: u64) -> (Arc<Entry>, Change) {
        let otherwise = change(&revocation, end(&revocation));
        let entry = Arc::new(Entry { revocation, at });
        let change = self.replace(source, id, Some(Arc::clone(&entry))).unwrap_or(otherwise);
        (entry, change)
    }

    /// What is to be told to requests, unless nothing is left.
    fn replace(&mut self, source: Source, id: Id, entry: Option<Arc<Entry>>) -> Option<Change> {
        let old = self.entries.remove(&id);
        let of = |source| old.as_ref().and_then(|old: &Listed| old.of(source)).cloned();
        let (before, other) = match source {
            Source::File => (of(Source::File), of(Source::Api)),
            Source::Api => (of(Source::Api), of(Source::File)),
        };
        let until = |entry: &Arc<Entry>| entry.revocation.until;
        if let Some(until) = before.as_ref().and_then(until) {
            self.ends.remove(&(until, id, source));
        }
        if let Some(until) = entry.as_ref().and_then(until) {
            self.ends.insert((until, id, source));
        }
        let count = match source {
            Source::File => &mut self.counts.file,
            Source::Api => &mut self.counts.api,
        };
        *count = *count + usize::from(entry.is_some()) - usize::from(before.is_some());
        let listed = match source {
            Source::File => Listed::made(entry, other),
            Source::Api => Listed::made(other, entry),
        }?;
        let change = change(listed.revocation(), end(listed.revocation()));
        self.entries.insert(id, listed);
        Some(change)
    }

    fn note_unsaved(&mut self, id: Id) {
        self.changes += 1;
        self.unsaved.insert(id, self.changes);
    }
}

fn change(revocation: &Revocation, until: u64) -> Change {
    let name = match &revocation.target {
        Target::Token(name) | Target::Subject(name) | Target::Partner(name) => Arc::clone(name),
        Target::Everybody => Arc::from(""),
    };
    let mark = Mark { issuer: revocation.issuer.clone(), issued_before: revocation.issued_before, until };
    Change { name, mark }
}

/// The end as a number: `u64::MAX` is none.
pub(super) fn end(revocation: &Revocation) -> u64 {
    revocation.until.unwrap_or(u64::MAX)
}
