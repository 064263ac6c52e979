//! What is no longer good although its signature is.

mod document;
mod entry;
mod file;
mod ledger;
mod table;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::jwt::Token;

pub use document::{Mistake, Mistakes, check_invariants, read_one};
pub use entry::{Id, MAX_NAME, MAX_REASON, Revocation, Target, Time, Written};
pub use file::{File, FileError, FileStatus, Reloaded};
pub use ledger::{Counts, Entry, Listed, Made, Unsaved};

use ledger::{Ledger, Source};
use table::{Change, Issued, Table};

/// Revocations of the file, and as many again of the admin API. Each takes some 650 bytes of resident memory.
pub const MAX_REVOCATIONS: usize = 1_000_000;
/// Revocations of the file that name the same, and as many again of the admin API: a request looks through them.
pub const MAX_FOR_ONE: usize = 1_000;

/// Everything that was revoked, by file and by admin API; long-lived, and read by every request without waiting.
#[derive(Debug, Default)]
pub struct Revocations {
    /// A bit for each table that holds something.
    kinds: AtomicU8,
    tables: Tables,
    ledger: Mutex<Ledger>,
    /// Held while the file takes the place of an older one, so that two readings never mix.
    replacing: Mutex<()>,
}

/// By what is named.
#[derive(Debug, Default)]
struct Tables {
    tokens: Table,
    subjects: Table,
    partners: Table,
    everybody: Table,
}

/// There is no room for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error(
        "there are {MAX_REVOCATIONS} revocations already; let them end, or use a time of issue instead of token ids"
    )]
    All,
    #[error("there are {MAX_FOR_ONE} revocations of the same name already; delete what later ones cover")]
    ForOne,
}

/// What became of a wish to delete a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is off. `in_file`: the file has it, too, so it still holds.
    Yes {
        in_file: bool,
    },
    /// The file has it, and only there can it be taken off.
    OnlyInFile,
    Unknown,
}

impl Revocations {
    /// Whether a token, or any credential of this partner, is revoked. `issued_at` of a token without `iat` counts as 0.
    ///
    /// `partner` is the caller's name as a partner; where the caller is none that is known, the partner that the token
    /// names counts. One load where nothing is revoked, otherwise look-ups; no lock, and nothing is allocated.
    #[must_use]
    #[inline]
    pub fn revokes(&self, token: Option<&Token>, partner: Option<&str>, now: Duration) -> bool {
        let kinds = self.kinds.load(Ordering::Acquire);
        let subject = token.and_then(|token| token.subject.as_deref());
        kinds != 0 && self.tables.revoke(kinds, token, subject, partner, now.as_secs())
    }

    /// As [`Revocations::revokes`], for a credential that is no token: `subject` is the id of an API key, or the subject of a
    /// certificate.
    #[must_use]
    #[inline]
    pub fn revokes_other(&self, subject: Option<&str>, partner: Option<&str>, now: Duration) -> bool {
        let kinds = self.kinds.load(Ordering::Acquire);
        kinds != 0 && self.tables.revoke(kinds, None, subject, partner, now.as_secs())
    }

    /// Revokes by the admin API, for the next request and all after it. The same again keeps the later end.
    ///
    /// `now` is in seconds since 1970 UTC.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn add(&self, revocation: Revocation, now: u64) -> Result<Made, Full> {
        let id = revocation.id();
        let (kind, part) = self.tables.place(&revocation.target);
        let mut ledger = self.lock();
        if ledger.get(id).is_none_or(|listed| listed.api().is_none()) {
            if ledger.counts().api >= MAX_REVOCATIONS {
                return Err(Full::All);
            }
            if self.tables.of(kind).marks_of(revocation.target.name()) >= 2 * MAX_FOR_ONE {
                return Err(Full::ForOne);
            }
        }
        let (made, change) = ledger.add(id, revocation, now);
        self.publish(&mut ledger, kind, part, vec![change]);
        Ok(made)
    }

    /// Takes a revocation of the admin API off.
    pub fn remove(&self, id: Id) -> Removed {
        let mut ledger = self.lock();
        let Some(listed) = ledger.get(id) else { return Removed::Unknown };
        if listed.api().is_none() {
            return Removed::OnlyInFile;
        }
        let (kind, part) = self.tables.place(&listed.revocation().target);
        let in_file = listed.file().is_some();
        let change = ledger.take(Source::Api, id, None);
        self.publish(&mut ledger, kind, part, change.into_iter().collect());
        Removed::Yes { in_file }
    }

    /// Puts back what the admin API had revoked before a restart.
    pub fn restore(&self, kept: impl IntoIterator<Item = (Revocation, u64)>) {
        let mut kept: Vec<_> = kept.into_iter().map(|(revocation, at)| self.placed(revocation, at)).collect();
        self.put(Source::Api, &mut kept);
    }

    /// What the file lists takes the place of what it listed before. At no moment is less revoked than both.
    pub fn replace_file(&self, listed: Vec<Revocation>, now: u64) {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = listed.into_iter().filter(|revocation| !revocation.has_ended(now));
        let mut listed: Vec<Placed> = listed.map(|revocation| self.placed(revocation, now)).collect();
        let mut kept: Vec<Id> = listed.iter().map(|placed| placed.id).collect();
        kept.sort_unstable();
        self.put(Source::File, &mut listed);
        let gone = self.lock().ids_of_file().filter(|id| kept.binary_search(id).is_err()).collect();
        self.take(Source::File, gone, None);
    }

    /// Drops what has ended, and frees what readers have left.
    pub fn sweep(&self, now: u64) {
        let mut ended = [(Source::File, Vec::new()), (Source::Api, Vec::new())];
        {
            let mut ledger = self.lock();
            ledger.free_replaced();
            for (source, id) in ledger.ended(now) {
                ended.iter_mut().filter(|(of, _)| *of == source).for_each(|(_, ids)| ids.push(id));
            }
        }
        for (source, ids) in ended {
            self.take(source, ids, Some(now));
        }
    }

    /// In the order of their ids, those after `after` that are `wanted`, and so many of them at most.
    #[must_use]
    pub fn list(&self, after: Option<Id>, most: usize, wanted: impl Fn(&Revocation) -> bool) -> Vec<(Id, Listed)> {
        let ledger = self.lock();
        let all = ledger.after(after).filter(|(_, listed)| wanted(listed.revocation()));
        all.take(most).map(|(id, listed)| (id, listed.clone())).collect()
    }

    #[must_use]
    pub fn get(&self, id: Id) -> Option<Listed> {
        self.lock().get(id).cloned()
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts()
    }

    /// What the admin API has changed since it was last [saved](Self::saved), and so many of it at most.
    #[must_use]
    pub fn unsaved(&self, most: usize) -> Vec<Unsaved> {
        self.lock().unsaved(most)
    }

    /// These changes are where they survive a restart. What has changed again meanwhile stays unsaved.
    pub fn saved(&self, changes: &[Unsaved]) {
        self.lock().saved(changes);
    }

    fn placed(&self, revocation: Revocation, at: u64) -> Placed {
        let (kind, part) = self.tables.place(&revocation.target);
        Placed { kind, part, id: revocation.id(), at, revocation }
    }

    /// In groups that are published as one step each.
    fn put(&self, source: Source, all: &mut Vec<Placed>) {
        all.sort_unstable_by_key(|placed| (placed.kind, placed.part, placed.id));
        all.dedup_by(|again, kept| {
            let same = again.id == kept.id;
            if same && ledger::end(&again.revocation) > ledger::end(&kept.revocation) {
                kept.revocation.clone_from(&again.revocation);
            }
            same
        });
        for group in all.chunk_by(|a, b| (a.kind, a.part) == (b.kind, b.part)) {
            let Some(Placed { kind, part, .. }) = group.first() else { continue };
            let mut ledger = self.lock();
            let put = |placed: &Placed| ledger.put(source, placed.id, &placed.revocation, placed.at);
            let changes: Vec<Change> = group.iter().filter_map(put).collect();
            if !changes.is_empty() {
                self.publish(&mut ledger, *kind, *part, changes);
            }
        }
    }

    fn take(&self, source: Source, ids: Vec<Id>, ended: Option<u64>) {
        let placed = |id| {
            let listed = self.get(id)?;
            Some((self.tables.place(&listed.revocation().target), id))
        };
        let mut all: Vec<((Kind, usize), Id)> = ids.into_iter().filter_map(placed).collect();
        all.sort_unstable();
        for group in all.chunk_by(|(a, _), (b, _)| a == b) {
            let Some(((kind, part), _)) = group.first() else { continue };
            let mut ledger = self.lock();
            let changes = group.iter().filter_map(|(_, id)| ledger.take(source, *id, ended)).collect();
            self.publish(&mut ledger, *kind, *part, changes);
        }
    }

    /// With the ledger locked, so that tables change in the order that it does.
    fn publish(&self, ledger: &mut Ledger, kind: Kind, part: usize, changes: Vec<Change>) {
        ledger.keep_replaced(self.tables.of(kind).change(part, changes));
        let kinds = Kind::ALL.iter().filter(|kind| !self.tables.of(**kind).is_empty());
        self.kinds.store(kinds.fold(0, |bits, kind| bits | kind.bit()), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A revocation on its way into its table.
struct Placed {
    kind: Kind,
    part: usize,
    id: Id,
    /// When it was revoked.
    at: u64,
    revocation: Revocation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tokens,
    Subjects,
    Partners,
    Everybody,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Tokens, Self::Subjects, Self::Partners, Self::Everybody];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Tables {
    fn of(&self, kind: Kind) -> &Table {
        match kind {
            Kind::Tokens => &self.tokens,
            Kind::Subjects => &self.subjects,
            Kind::Partners => &self.partners,
            Kind::Everybody => &self.everybody,
        }
    }

    fn place(&self, target: &Target) -> (Kind, usize) {
        let kind = match target {
            Target::Token(_) => Kind::Tokens,
            Target::Subject(_) => Kind::Subjects,
            Target::Partner(_) => Kind::Partners,
            Target::Everybody => Kind::Everybody,
        };
        (kind, self.of(kind).part(target.name()))
    }

    fn revoke(&self, kinds: u8, token: Option<&Token>, subject: Option<&str>, partner: Option<&str>, now: u64) -> bool {
        let issued = token.map(|token| Issued { issuer: &token.issuer, at: token.issued_at.unwrap_or(0) });
        let covers = |kind: Kind, name: Option<&str>| {
            kinds & kind.bit() != 0 && name.is_some_and(|name| self.of(kind).covers(name, issued, now))
        };
        let of_token = |token: &Token| covers(Kind::Tokens, token.id.as_deref()) || covers(Kind::Everybody, Some(""));
        let partner = partner.or_else(|| token.and_then(|token| token.partner.as_deref()));
        covers(Kind::Partners, partner) || covers(Kind::Subjects, subject) || token.is_some_and(of_token)
    }
}
