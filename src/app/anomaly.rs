//! Models of what is usual: read before anything is served, made anew while it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::StartError;
use crate::admin::anomaly::note;
use crate::anomaly::model::folder::Error;
use crate::anomaly::registry::Registry;
use crate::base::clock;
use crate::config::checked::Anomaly;
use crate::telemetry::metrics::Metrics;

/// How soon after it is due a model is made.
const EVERY: Duration = Duration::from_secs(10);

/// In which what a caller does is held against its usual.
const WINDOW: Duration = Duration::from_secs(10);

/// Reads the folder, if there is one. A file that is damaged is said and counted, and keeps nothing from starting: what it
/// held is learned anew.
pub(super) fn open(settings: &Anomaly, metrics: &Metrics) -> Result<Arc<Registry>, StartError> {
    let (registry, errors) = Registry::open(settings.folder.as_deref(), settings.callers)?;
    let (ahead, damaged): (Vec<_>, Vec<_>) = errors.iter().partition(|error| matches!(error, Error::Ahead { .. }));
    for error in ahead {
        tracing::warn!(%error, "a model is of the future");
    }
    for error in &damaged {
        tracing::warn!(%error, "a model cannot be read");
    }
    metrics.damaged_models(damaged.len());
    Ok(Arc::new(registry))
}

/// Makes models when they are due, away from requests and from what else control does.
pub(super) async fn train(registry: Arc<Registry>, metrics: Metrics, stopped: watch::Receiver<bool>) {
    every(EVERY, stopped, "training", move || {
        registry.tick(clock::since_epoch()).iter().for_each(|one| note(one, &metrics));
    })
    .await;
}

/// Ends the windows of all callers at even intervals, whatever training takes.
pub(super) async fn close_windows(registry: Arc<Registry>, stopped: watch::Receiver<bool>) {
    every(WINDOW, stopped, "windows", move || registry.close_windows()).await;
}

/// Works on a thread that may block, one time after the other, until it is stopped.
async fn every(
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
    what: &str,
    work: impl Fn() + Clone + Send + 'static,
) {
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopped.changed() => return,
        }
        if let Err(error) = tokio::task::spawn_blocking(work.clone()).await {
            tracing::error!(%error, what, "anomaly checks");
        }
    }
}
