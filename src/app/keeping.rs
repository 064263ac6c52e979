//! What survives a restart: put back before anything is served, kept once a second, and once more at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::StartError;
use super::quotas::Quotas;
use crate::admin::journal::Journal;
use crate::auth::revocation::{Counts, File, Revocations};
use crate::base::clock;
use crate::config::checked::Bootstrap;
use crate::config::watch::Watcher;
use crate::snapshot::LongLived;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// What a crash may lose of what is counted.
const EVERY: Duration = Duration::from_secs(1);

/// How long the end may wait for a disk.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Revocations, with or without a store, and with one the counts of quotas.
pub(super) struct Keeping {
    pub(super) journal: Arc<Journal>,
    pub(super) file: Option<Arc<File>>,
    quotas: Option<Quotas>,
    metrics: Metrics,
}

impl Keeping {
    /// Reads store and file of revocations. What they hold is in force when this returns.
    pub(super) async fn start(
        bootstrap: &Bootstrap,
        lasting: &LongLived,
        metrics: &Metrics,
    ) -> Result<(Arc<Self>, Option<Watcher>), StartError> {
        let failed = metrics.clone();
        let store =
            bootstrap.store.as_ref().map(|file| Store::open(file, move || failed.store_failed())).transpose()?;
        let quotas = match &store {
            Some(store) => Some(Quotas::restore(store, &lasting.ledger).await?),
            None => None,
        };
        let journal = Journal::open(Arc::clone(&lasting.revocations), store).await?;
        let path = bootstrap.credentials.revocations.as_deref();
        let file = path.map(|path| File::open(path, &lasting.revocations)).transpose()?.map(Arc::new);
        let watcher = file.as_ref().map(|file| watch(file, &lasting.revocations, metrics)).transpose()?;
        let keeping = Self { journal: Arc::new(journal), file, quotas, metrics: metrics.clone() };
        keeping.refresh_gauges();
        Ok((Arc::new(keeping), watcher))
    }

    pub(super) async fn go_on(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.keep().await,
                _ = stopped.changed() => return,
            }
        }
    }

    /// Keeps what the last requests have changed, and closes the store.
    pub(super) async fn end(&self) {
        let last = async {
            self.keep().await;
            if let Some(store) = &self.journal.store {
                store.close().await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
            tracing::warn!(waited = ?LAST_WORDS, "the store did not answer, what it was to keep last may be lost");
        }
    }

    async fn keep(&self) {
        self.journal.revocations.sweep(clock::since_epoch().as_secs());
        // The store has said and counted what is wrong; what is not saved is tried again next time.
        self.journal.save().await.ok();
        if let Some(quotas) = &self.quotas {
            quotas.keep().await.ok();
        }
        self.refresh_gauges();
    }

    fn refresh_gauges(&self) {
        let Counts { file, api, unsaved } = self.journal.revocations.counts();
        self.metrics.set_revocations(file, api, unsaved);
    }
}

fn watch(file: &Arc<File>, revocations: &Arc<Revocations>, metrics: &Metrics) -> Result<Watcher, StartError> {
    let path = file.path().to_owned();
    let (file, revocations, metrics) = (Arc::clone(file), Arc::clone(revocations), metrics.clone());
    let changed = move || {
        // The file says why.
        if file.reload(&revocations).is_err() {
            metrics.revocation_file_failed();
        }
    };
    let watcher = Watcher::start(vec![path], changed.clone())?;
    // It may have changed since it was first read.
    changed();
    Ok(watcher)
}
