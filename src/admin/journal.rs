//! Revocations on their way from memory to the store, and back at the start.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::auth::revocation::{Entry, Id, Revocation, Revocations, Target, Time, Unsaved, Written};
use crate::base::clock;
use crate::store::{Store, StoreError, revocations as kept};

/// Changes that are saved in one step.
const BATCH: usize = 10_000;

/// What is revoked through the API, in memory and, with a store, where it survives a restart.
pub struct Journal {
    pub revocations: Arc<Revocations>,
    pub store: Option<Store>,
    /// So that what one saves is not saved by another one, too, and in another order.
    saving: Mutex<()>,
}

/// Why the store's revocations cannot be put back; without them, what was revoked would be good again.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("store.file: {file}: {error}")]
    Store { file: String, error: StoreError },
    #[error("store.file: {file}: the revocation {id:?} is damaged: {problem}")]
    Row { file: String, id: String, problem: String },
}

impl Journal {
    /// Puts back what the store has.
    ///
    /// # Errors
    ///
    /// A store that cannot be read, or that holds what no revocation is.
    pub async fn open(revocations: Arc<Revocations>, store: Option<Store>) -> Result<Self, JournalError> {
        if let Some(store) = &store {
            let file = || store.file().display().to_string();
            let rows = store.load_revocations().await;
            let rows = rows.map_err(|error| JournalError::Store { file: file(), error })?;
            let entry = |row: kept::Revocation| {
                let id = row.id.clone();
                from_row(row).map_err(|problem| JournalError::Row { file: file(), id, problem })
            };
            let entries: Result<Vec<_>, _> = rows.into_iter().map(entry).collect();
            revocations.restore(entries?);
            revocations.sweep(clock::since_epoch().as_secs());
        }
        Ok(Self { revocations, store, saving: Mutex::default() })
    }

    /// Saves what has changed. Without a store there is nothing to save.
    ///
    /// # Errors
    ///
    /// The store failed, and has said so; what is not saved stays in memory for the next time.
    pub async fn save(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.saving.lock().await;
        loop {
            let changes = self.revocations.unsaved(BATCH);
            if changes.is_empty() {
                return Ok(());
            }
            if let Some(store) = &self.store {
                let put = changes.iter().filter_map(to_row).collect();
                let deleted = changes.iter().filter(|change| change.entry.is_none());
                store.change_revocations(put, deleted.map(|change| change.id.to_string()).collect()).await?;
            }
            self.revocations.saved(&changes);
        }
    }
}

fn to_row(change: &Unsaved) -> Option<kept::Revocation> {
    let Entry { revocation, at } = &**change.entry.as_ref()?;
    let Revocation { target, issuer, issued_before, until, reason } = revocation;
    let mut row = kept::Revocation {
        id: change.id.to_string(),
        issuer: issuer.as_deref().map(str::to_owned),
        issued_before: *issued_before,
        until: *until,
        reason: reason.as_deref().map(str::to_owned),
        revoked_at: *at,
        ..kept::Revocation::default()
    };
    let name = Some(target.name().to_owned());
    match target {
        Target::Token(_) => row.token_id = name,
        Target::Subject(_) => row.subject = name,
        Target::Partner(_) => row.partner = name,
        Target::Everybody => {}
    }
    Some(row)
}

/// As strictly as what comes through the API; but for the time, which may have been set back since.
fn from_row(row: kept::Revocation) -> Result<(Revocation, u64), String> {
    let kept::Revocation { id, token_id, subject, partner, issuer, issued_before, until, reason, revoked_at } = row;
    let (issued_before, until) = (issued_before.map(Time), until.map(Time));
    let written = Written { token_id, subject, partner, issuer, issued_before, until, reason };
    let revocation = written.check(u64::MAX).map_err(|mistakes| mistakes.join(", "))?;
    if Id::parse(&id) != Some(revocation.id()) {
        return Err("its id is not its own".to_owned());
    }
    Ok((revocation, revoked_at))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::auth::revocation::read_one;

    const NOW: u64 = 1_800_000_000;

    fn file() -> PathBuf {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("sluice-journal-{}-{number}/a.db", std::process::id()))
    }

    async fn open(file: &std::path::Path) -> Result<Journal, JournalError> {
        Journal::open(Arc::default(), Some(Store::open(file, || {}).unwrap())).await
    }

    #[tokio::test]
    async fn every_kind_comes_back_as_it_was() {
        let file = file();
        let journal = open(&file).await.unwrap();
        let all = [
            r#"{"token_id": "t", "until": 4000000000, "reason": "lost"}"#,
            r#"{"token_id": "t", "issuer": "main"}"#,
            r#"{"subject": "ann", "issued_before": 5}"#,
            r#"{"partner": "acme"}"#,
            r#"{"issued_before": 7, "issuer": "main"}"#,
            r#"{"issued_before": 7}"#,
        ];
        for json in all {
            journal.revocations.add(read_one(json.as_bytes(), NOW).unwrap(), NOW).unwrap();
        }
        let gone = journal.revocations.add(read_one(br#"{"subject": "bob"}"#, NOW).unwrap(), NOW).unwrap();
        journal.save().await.unwrap();
        journal.revocations.remove(gone.id);
        journal.save().await.unwrap();
        assert_eq!(journal.revocations.counts().unsaved, 0);
        let listed = |journal: &Journal| {
            let all = journal.revocations.list(None, usize::MAX, |_| true);
            all.into_iter().map(|(_, listed)| (listed.revocation().clone(), listed.entry().at)).collect::<Vec<_>>()
        };
        let reopened = open(&file).await.unwrap();
        assert_eq!(listed(&reopened), listed(&journal));
        assert_eq!(reopened.revocations.counts().api, all.len());
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn a_row_that_is_no_revocation_keeps_the_gateway_from_starting() {
        let file = file();
        let row = kept::Revocation { id: "7".into(), subject: Some("ann".into()), ..kept::Revocation::default() };
        let store = Store::open(&file, || {}).unwrap();
        store.change_revocations(vec![row.clone()], vec![]).await.unwrap();
        let error = open(&file).await.err().unwrap().to_string();
        assert!(error.starts_with("store.file: ") && error.contains("\"7\" is damaged: its id"), "{error}");
        let row = kept::Revocation { token_id: Some(String::new()), ..row };
        store.change_revocations(vec![row], vec![]).await.unwrap();
        let error = open(&file).await.err().unwrap().to_string();
        assert!(error.contains("`token_id` is empty"), "{error}");
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_saved_is_saved_later() {
        let file = file();
        let journal = open(&file).await.unwrap();
        let other = rusqlite::Connection::open(&file).unwrap();
        other.execute_batch("ALTER TABLE revocations RENAME TO away").unwrap();
        journal.revocations.add(read_one(br#"{"subject": "ann"}"#, NOW).unwrap(), NOW).unwrap();
        journal.save().await.unwrap_err();
        assert_eq!(journal.revocations.counts().unsaved, 1);
        other.execute_batch("ALTER TABLE away RENAME TO revocations").unwrap();
        journal.save().await.unwrap();
        assert_eq!(open(&file).await.unwrap().revocations.counts().api, 1);
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn without_a_store_nothing_waits_to_be_saved() {
        let journal = Journal::open(Arc::default(), None).await.unwrap();
        journal.revocations.add(read_one(br#"{"subject": "ann"}"#, NOW).unwrap(), NOW).unwrap();
        journal.save().await.unwrap();
        assert_eq!(journal.revocations.counts().unsaved, 0);
    }
}
