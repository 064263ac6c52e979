//! What one worker thread works with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

use crate::base::deadline::Deadlines;
use crate::config::checked::{Bootstrap, Deadlines as DeadlineSettings, Drain as DrainSettings, Http2, Limits, Pool};
use crate::forward::direct::Forwarder as Direct;
use crate::forward::pingora::Forwarder as Pingora;
use crate::snapshot::Snapshots;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::transform::forwarded::TrustedProxies;

/// The parts of the bootstrap that every request needs.
pub struct Settings {
    pub limits: Limits,
    pub deadlines: DeadlineSettings,
    pub http2: Http2,
    pub trusted_proxies: TrustedProxies,
    pub drain: DrainSettings,
}

impl Settings {
    #[must_use]
    pub fn of(bootstrap: &Bootstrap) -> Self {
        Self {
            limits: bootstrap.limits.clone(),
            deadlines: bootstrap.deadlines.clone(),
            http2: bootstrap.http2.clone(),
            trusted_proxies: TrustedProxies::new(&bootstrap.client_address.trusted_proxies),
            drain: bootstrap.drain.clone(),
        }
    }
}

/// Shared by the connections of one worker thread.
pub struct Worker {
    pub settings: Arc<Settings>,
    pub snapshots: Arc<Snapshots>,
    pub metrics: Metrics,
    pub access_log: Arc<AccessLog>,
    pub deadlines: Arc<Deadlines>,
    pub direct: Direct,
    pub pingora: Pingora,
    pub drain: Arc<Drain>,
}

impl Worker {
    /// A worker with no connection yet, and upstream pools of its own.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        pool: &Pool,
        snapshots: Arc<Snapshots>,
        metrics: Metrics,
        access_log: Arc<AccessLog>,
        drain: Arc<Drain>,
    ) -> Self {
        let deadlines = Deadlines::new();
        let direct = Direct::new(pool, Arc::clone(&deadlines), Arc::clone(&drain));
        let pingora = Pingora::new(pool, Arc::clone(&drain));
        Self { settings, snapshots, metrics, access_log, deadlines, direct, pingora, drain }
    }
}

/// How the gateway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Serving,
    /// Readiness is red, connections are still accepted.
    Leaving,
    /// Nothing new is accepted; idle connections end; requests in flight finish.
    Closing,
    /// What is left is cut.
    Ended,
}

/// The way to the end, and what is still open.
#[derive(Debug)]
pub struct Drain {
    /// Read by every request, so without a lock; the channel wakes those who wait.
    now: AtomicU8,
    phase: watch::Sender<Phase>,
    /// Loops that may still take a connection out of a backlog.
    accepting: AtomicUsize,
    failed: AtomicBool,
    connections: AtomicUsize,
    empty: Notify,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            now: AtomicU8::new(Phase::Serving as u8),
            phase: watch::Sender::new(Phase::Serving),
            accepting: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            empty: Notify::new(),
        }
    }
}

impl Drain {
    /// Goes on to a later phase; never back.
    pub fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = to > *phase;
            if later {
                *phase = to;
                self.now.store(to as u8, Ordering::Release);
            }
            later
        });
    }

    /// Something that the gateway cannot do without is lost: it begins to leave.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.advance(Phase::Leaving);
    }

    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Clients are told to open their next connection elsewhere.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.now.load(Ordering::Acquire) >= Phase::Leaving as u8
    }

    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.now.load(Ordering::Acquire) >= Phase::Closing as u8
    }

    /// Resolves when this phase has come.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives as long as `self`.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Resolves when nothing new may begin.
    pub async fn closing(&self) {
        self.reached(Phase::Closing).await;
    }

    /// Open client connections over all workers.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Counts a connection in for as long as the guard lives; `None` above `limit`.
    pub fn connection(self: &Arc<Self>, limit: usize) -> Option<ConnectionGuard> {
        let before = self.connections.fetch_add(1, Ordering::AcqRel);
        let guard = ConnectionGuard(Arc::clone(self));
        (before < limit).then_some(guard)
    }

    /// Counts an accept loop in for as long as the guard lives.
    pub fn accepting(self: &Arc<Self>) -> AcceptGuard {
        self.accepting.fetch_add(1, Ordering::AcqRel);
        AcceptGuard(Arc::clone(self))
    }

    /// Resolves when no client connection is open and none can come any more.
    pub async fn emptied(&self) {
        loop {
            let notified = self.empty.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            // In this order: what a loop takes is counted before the loop ends.
            if self.accepting.load(Ordering::Acquire) == 0 && self.connections() == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// One accept loop.
#[derive(Debug)]
pub struct AcceptGuard(Arc<Drain>);

impl Drop for AcceptGuard {
    fn drop(&mut self) {
        if self.0.accepting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}

/// One open client connection.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<Drain>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if self.0.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}
