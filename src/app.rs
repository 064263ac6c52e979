//! The composition root: from a checked bootstrap to a running gateway, and to its end.

mod anomaly;
mod keeping;
mod quotas;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use self::keeping::Keeping;
use crate::admin::journal::JournalError;
use crate::admin::{self, Admin};
use crate::anomaly::model::folder;
use crate::auth::revocation;
use crate::base::{clock, tasks};
use crate::config::checked::Bootstrap;
use crate::config::watch::{WatchError, Watcher};
use crate::listener::accept::Listener;
use crate::listener::bind::{self, BindError};
use crate::listener::thread;
use crate::listener::tls::{Reloaded, TlsError, TlsStore};
use crate::listener::worker::{Drain, Phase, Settings, Worker};
use crate::sandbox;
use crate::snapshot::{Builder, FirstError, LongLived, Outcome, Reloader, Snapshot, Source};
use crate::store::{self, StoreError};
use crate::telemetry::access_log::{self, AccessLog};
use crate::telemetry::metrics::Metrics;
use crate::upstream::SystemResolver;

/// How often replaced snapshots are freed and slow gauges refreshed.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How long the access log may take to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Why the gateway cannot start; each names the setting and what it is about.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Routes(#[from] FirstError),
    #[error("access_log.target: {0}")]
    AccessLog(#[from] access_log::StartError),
    #[error("sandbox.openapi: {0}")]
    Sandbox(#[from] sandbox::Error),
    #[error(transparent)]
    Store(#[from] store::OpenError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("store.file: {}: {error}", file.display())]
    Quotas { file: PathBuf, error: StoreError },
    #[error(transparent)]
    Revocations(#[from] revocation::FileError),
    #[error("anomaly.folder: {0}")]
    Anomaly(#[from] folder::Error),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error("{what}: {source}")]
    System { what: &'static str, source: io::Error },
}

/// A gateway that serves.
pub struct Running {
    listeners: Vec<(Arc<str>, SocketAddr)>,
    admin: Option<SocketAddr>,
    sandbox: Option<SocketAddr>,
    reloader: Arc<Reloader>,
    drain: Arc<Drain>,
    access_log: Arc<AccessLog>,
    metrics: Metrics,
    settings: Arc<Settings>,
    stopped: watch::Receiver<bool>,
    runtime: Handle,
}

/// Starts everything; what could fail is tried before anything is served.
///
/// Runs its control tasks on the calling runtime and its workers on threads of their own.
pub async fn start(bootstrap: Bootstrap) -> Result<Running, StartError> {
    // An error means that one is installed already.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = Handle::current();
    let metrics = Metrics::for_threads(bootstrap.threads);
    let mut sockets = Sockets::open(&bootstrap, &metrics)?;
    let admin_socket = bootstrap.admin.map(|address| control_socket("admin.address", address)).transpose()?;
    let sandbox = start_sandbox(&bootstrap)?;
    let access_log = Arc::new(AccessLog::start(&bootstrap.access_log, bootstrap.threads, &metrics)?);

    let models = anomaly::open(&bootstrap.anomaly, &metrics)?;
    let lasting = LongLived::new(bootstrap.credentials.token_cache, bootstrap.cache.memory);
    let lasting = LongLived { anomaly: Arc::clone(&models), ..lasting };
    let (keeping, watched_revocations) = Keeping::start(&bootstrap, &lasting, &metrics).await?;
    let builder =
        Builder { metrics: metrics.clone(), resolver: Arc::new(SystemResolver), runtime: runtime.clone(), lasting };
    let source = Source { path: bootstrap.routes.clone(), built_in: bootstrap.built_in_routes };
    let watched_routes = watch_routes(&bootstrap)?;
    let reloader = Arc::new(Reloader::start(source, bootstrap.reload.strict, builder).await?);
    let drain = Arc::new(Drain::default());
    let settings = Arc::new(Settings::of(&bootstrap));

    let mut workers = Vec::with_capacity(bootstrap.threads);
    for number in 0..bootstrap.threads {
        let of_worker = sockets.of_worker(number);
        let make = {
            let (settings, drain, access_log) = (Arc::clone(&settings), Arc::clone(&drain), Arc::clone(&access_log));
            let (snapshots, metrics, pool) = (Arc::clone(&reloader.snapshots), metrics.clone(), bootstrap.pool.clone());
            move || Worker::new(settings, &pool, snapshots, metrics, access_log, drain)
        };
        let worker = thread::start(number, of_worker, make);
        workers.push(worker.map_err(|source| StartError::System { what: "worker thread", source })?);
    }

    let mut watchers = watch_certificates(&sockets, &metrics)?;
    watchers.extend(watched_revocations);
    if let Some((watcher, changes)) = watched_routes {
        watchers.push(watcher);
        tasks::spawn("reload", reload_on(changes, Arc::clone(&reloader)));
    }
    let (stopped_sender, stopped) = watch::channel(false);
    let admin_address = match admin_socket {
        Some((socket, address)) => {
            let state = Admin {
                reloader: Arc::clone(&reloader),
                drain: Arc::clone(&drain),
                metrics: metrics.clone(),
                listeners: sockets.described(),
                journal: Arc::clone(&keeping.journal),
                revocations_file: keeping.file.clone(),
                started_at: clock::since_epoch(),
            };
            tasks::spawn("admin", admin::serve(socket, Arc::new(state), stopped.clone()));
            Some(address)
        }
        None => None,
    };
    tasks::spawn("failure", leave_on_failure(Arc::clone(&drain), metrics.clone(), Arc::clone(&settings)));
    tasks::spawn("housekeeping", keep_house(Arc::clone(&reloader), stopped.clone()));
    tasks::spawn("windows", anomaly::close_windows(Arc::clone(&models), stopped.clone()));
    tasks::spawn("training", anomaly::train(models, metrics.clone(), stopped.clone()));
    tasks::spawn("keeping", Arc::clone(&keeping).go_on(stopped.clone()));
    metrics.set_ready(true);
    let ending = end(workers, watchers, Arc::clone(&drain), Arc::clone(&access_log), keeping, stopped_sender);
    tasks::spawn("end", ending);
    Ok(Running {
        listeners: sockets.addresses,
        admin: admin_address,
        sandbox,
        reloader,
        drain,
        access_log,
        metrics,
        settings,
        stopped,
        runtime,
    })
}

impl Running {
    /// Where a listener really listens, also when port 0 was asked for.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.listeners.iter().find(|(name, _)| **name == *listener).map(|(_, address)| *address)
    }

    #[must_use]
    pub fn listeners(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.listeners
    }

    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    #[must_use]
    pub fn sandbox(&self) -> Option<SocketAddr> {
        self.sandbox
    }

    /// What serves now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.reloader.snapshots.load()
    }

    /// Reads the routes again, as `POST /reload` does.
    pub async fn reload(&self) -> Outcome {
        self.reloader.reload().await
    }

    /// As [`Running::reload`], for callers that must not wait for a disk.
    pub fn start_reload(&self) {
        let reloader = Arc::clone(&self.reloader);
        let _on = self.runtime.enter();
        tasks::spawn("reload", async move {
            reloader.reload().await;
        });
    }

    /// Opens the access log anew, after its file was moved away.
    pub fn reopen_logs(&self) {
        self.access_log.reopen();
    }

    /// Leaves in order: not ready, then no new connections, then the end once nothing is in flight or the time is over.
    pub fn terminate(&self) {
        let _on = self.runtime.enter();
        tasks::spawn("drain", leave(Arc::clone(&self.drain), self.metrics.clone(), Arc::clone(&self.settings)));
    }

    /// Whether it ended because something that it cannot do without had failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.drain.failed()
    }

    /// Ends at once; what is in flight is cut.
    pub fn interrupt(&self) {
        self.metrics.set_ready(false);
        self.drain.advance(Phase::Ended);
    }

    /// Resolves when everything has ended and the last log line is written.
    pub async fn stopped(&self) {
        // The sender going away without a word is an end as well.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }
}

/// The way out, from readiness turning red to the end.
async fn leave(drain: Arc<Drain>, metrics: Metrics, settings: Arc<Settings>) {
    metrics.set_ready(false);
    drain.advance(Phase::Leaving);
    tracing::info!(delay = ?settings.drain.delay, timeout = ?settings.drain.timeout, "draining");
    tokio::time::sleep(settings.drain.delay).await;
    drain.advance(Phase::Closing);
    if tokio::time::timeout(settings.drain.timeout, drain.emptied()).await.is_err() {
        tracing::warn!(connections = drain.connections(), "drain timed out, what is left is cut");
    }
    drain.advance(Phase::Ended);
}

/// Half a gateway is worse than none: when a worker has failed, what is left of it leaves in order.
async fn leave_on_failure(drain: Arc<Drain>, metrics: Metrics, settings: Arc<Settings>) {
    drain.reached(Phase::Leaving).await;
    if drain.failed() {
        leave(drain, metrics, settings).await;
    }
}

/// The listening sockets, one of each listener for every worker.
struct Sockets {
    listeners: Vec<Arc<Listener>>,
    by_worker: Vec<Vec<std::net::TcpListener>>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
}

impl Sockets {
    fn open(bootstrap: &Bootstrap, metrics: &Metrics) -> Result<Self, StartError> {
        let mut sockets = Self {
            listeners: Vec::new(),
            by_worker: (0..bootstrap.threads).map(|_| Vec::new()).collect(),
            addresses: Vec::new(),
        };
        for listener in &bootstrap.listeners {
            let tls = listener.tls.as_ref().map(|tls| TlsStore::open(tls, &listener.name)).transpose()?;
            let bound =
                bind::bind(&format!("listeners[{}].address", listener.name), listener.address, bootstrap.threads)?;
            let address = bound.first().map(std::net::TcpListener::local_addr).transpose();
            let address = address.map_err(|source| StartError::System { what: "listener address", source })?;
            sockets.addresses.push((Arc::clone(&listener.name), address.unwrap_or(listener.address)));
            for (worker, socket) in sockets.by_worker.iter_mut().zip(bound) {
                worker.push(socket);
            }
            sockets.listeners.push(Arc::new(Listener {
                name: Arc::clone(&listener.name),
                tls: tls.map(Arc::new),
                h2c: listener.h2c,
                proxy_protocol: listener.proxy_protocol.clone(),
                metrics: metrics.listener(&listener.name),
            }));
        }
        sockets.publish_expiry(metrics);
        Ok(sockets)
    }

    fn publish_expiry(&self, metrics: &Metrics) {
        for listener in &self.listeners {
            if let Some(tls) = &listener.tls {
                publish_expiry(metrics, &listener.name, tls);
            }
        }
    }

    fn of_worker(&mut self, number: usize) -> Vec<(Arc<Listener>, std::net::TcpListener)> {
        let sockets = self.by_worker.get_mut(number).map(std::mem::take).unwrap_or_default();
        self.listeners.iter().cloned().zip(sockets).collect()
    }

    fn described(&self) -> Vec<(Arc<Listener>, SocketAddr)> {
        self.listeners.iter().cloned().zip(self.addresses.iter().map(|(_, address)| *address)).collect()
    }
}

fn publish_expiry(metrics: &Metrics, listener: &str, tls: &TlsStore) {
    let expiry = tls.expiry();
    let expiry: Vec<(&str, Duration)> = expiry.iter().map(|entry| (&*entry.name, entry.not_after)).collect();
    metrics.set_certificates(listener, &expiry);
}

/// A socket of the control side: one, shared with nobody.
fn control_socket(setting: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let system = |what| move |source| StartError::System { what, source };
    let mut bound = bind::bind(setting, address, 1)?;
    let socket = bound.pop().ok_or_else(|| system("control socket")(io::ErrorKind::AddrNotAvailable.into()))?;
    let address = socket.local_addr().map_err(system("control socket"))?;
    Ok((TcpListener::from_std(socket).map_err(system("control socket"))?, address))
}

fn start_sandbox(bootstrap: &Bootstrap) -> Result<Option<SocketAddr>, StartError> {
    let Some(settings) = &bootstrap.sandbox else { return Ok(None) };
    let document = match &settings.openapi {
        Some(path) => sandbox::Document::load(path)?,
        None => sandbox::Document::embedded()?,
    };
    let (socket, address) = control_socket("sandbox.address", settings.address)?;
    tasks::spawn("sandbox", async move {
        if let Err(error) = sandbox::serve(socket, Arc::new(document), std::future::pending()).await {
            tracing::error!(%error, "sandbox ended");
        }
    });
    Ok(Some(address))
}

/// Says when the routes file has changed; begins before it is first read, so that no change falls between.
fn watch_routes(bootstrap: &Bootstrap) -> Result<Option<(Watcher, mpsc::Receiver<()>)>, StartError> {
    if !bootstrap.reload.watch {
        return Ok(None);
    }
    let (sender, changes) = mpsc::channel(1);
    // A full channel means that a reload is due anyway.
    let changed = move || sender.try_send(()).unwrap_or_default();
    Ok(Some((Watcher::start(vec![bootstrap.routes.clone()], changed)?, changes)))
}

async fn reload_on(mut changes: mpsc::Receiver<()>, reloader: Arc<Reloader>) {
    while changes.recv().await.is_some() {
        reloader.reload().await;
    }
}

/// Swaps certificates when their files change.
fn watch_certificates(sockets: &Sockets, metrics: &Metrics) -> Result<Vec<Watcher>, StartError> {
    let mut watchers = Vec::new();
    for listener in &sockets.listeners {
        let Some(tls) = &listener.tls else { continue };
        let (store, name, metrics) = (Arc::clone(tls), Arc::clone(&listener.name), metrics.clone());
        let changed = move || match store.reload() {
            Ok(Reloaded::Swapped) => publish_expiry(&metrics, &name, &store),
            Ok(Reloaded::Unchanged) => {}
            // The store has logged why.
            Err(_) => metrics.certificate_reload_failed(),
        };
        watchers.push(Watcher::start(tls.files(), changed.clone())?);
        // They may have changed since they were first read.
        changed();
    }
    Ok(watchers)
}

async fn keep_house(reloader: Arc<Reloader>, mut stopped: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopped.changed() => return,
        }
        reloader.sweep().await;
        reloader.snapshots.load().refresh_gauges();
    }
}

/// Waits for the workers, then ends what served them.
async fn end(
    workers: Vec<JoinHandle<()>>,
    watchers: Vec<Watcher>,
    drain: Arc<Drain>,
    access_log: Arc<AccessLog>,
    keeping: Arc<Keeping>,
    stopped: watch::Sender<bool>,
) {
    drain.closing().await;
    let joined = tokio::task::spawn_blocking(move || {
        for worker in workers {
            if let Err(panic) = worker.join() {
                tracing::error!(message = tasks::panic_message(&*panic), "worker panicked");
            }
        }
        drop(watchers);
        access_log.shutdown(LAST_LINES)
    });
    match joined.await {
        Ok(Err(error)) => tracing::warn!(%error, "shutdown"),
        Ok(Ok(())) => {}
        Err(error) => tracing::error!(%error, "shutdown"),
    }
    // No request counts any more.
    keeping.end().await;
    stopped.send_replace(true);
}
