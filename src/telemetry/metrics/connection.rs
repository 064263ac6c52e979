//! What is counted for connections: of clients by listener, to services by upstream.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::Registry;

use super::capped::Capped;
use super::exposition::{self, Series};
use super::sharded::{Counter, Sharded};
use super::{catalogue, to_gauge};

/// How a TLS handshake with a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Tls12,
    Tls13,
    Failed,
    TimedOut,
}

impl Handshake {
    const ALL: [Self; 4] = [Self::Tls12, Self::Tls13, Self::Failed, Self::TimedOut];

    /// `result` and `version`.
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Tls12 => ("ok", "TLSv1.2"),
            Self::Tls13 => ("ok", "TLSv1.3"),
            Self::Failed => ("failed", "none"),
            Self::TimedOut => ("timeout", "none"),
        }
    }
}

/// How a request came, or did not come, to a connection to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamConnection {
    Opened,
    /// Kept from an earlier request.
    Reused,
    /// Refused, unreachable or reset before it stood.
    Refused,
    TimedOut,
    TlsFailed,
}

impl UpstreamConnection {
    const ALL: [Self; 5] = [Self::Opened, Self::Reused, Self::Refused, Self::TimedOut, Self::TlsFailed];

    const fn label(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reused => "reused",
            Self::Refused => "refused",
            Self::TimedOut => "timeout",
            Self::TlsFailed => "tls",
        }
    }
}

/// The counters of one listener.
#[derive(Clone)]
pub struct ListenerMetrics(Arc<Sharded<ListenerCells>>);

#[derive(Default)]
struct ListenerCells {
    /// Up and down.
    open: Counter,
    accepted: Counter,
    refused: Counter,
    handshakes: [Counter; Handshake::ALL.len()],
}

impl ListenerMetrics {
    /// Counts an accepted connection, which is open until the guard is dropped.
    #[must_use = "the connection counts as open until this is dropped"]
    pub fn accepted(&self) -> OpenConnection {
        let (cells, writer) = self.0.mine();
        cells.accepted.add(1, writer);
        cells.open.add(1, writer);
        OpenConnection(Arc::clone(&self.0))
    }

    /// Counts a connection that was closed at once.
    pub fn refused(&self) {
        let (cells, writer) = self.0.mine();
        cells.refused.add(1, writer);
    }

    pub fn handshake(&self, outcome: Handshake) {
        let (cells, writer) = self.0.mine();
        if let Some(counter) = cells.handshakes.get(outcome as usize) {
            counter.add(1, writer);
        }
    }
}

/// An open client connection.
pub struct OpenConnection(Arc<Sharded<ListenerCells>>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let (cells, writer) = self.0.mine();
        cells.open.subtract(1, writer);
    }
}

/// All listeners.
pub(super) struct Listeners {
    threads: usize,
    named: Mutex<BTreeMap<Box<str>, ListenerMetrics>>,
}

impl Listeners {
    pub(super) fn register(registry: &Registry, threads: usize) -> Arc<Self> {
        let listeners = Arc::new(Self { threads, named: Mutex::default() });
        let families = [
            &catalogue::CONNECTIONS_OPEN,
            &catalogue::CONNECTIONS,
            &catalogue::CONNECTIONS_REFUSED,
            &catalogue::TLS_HANDSHAKES,
        ];
        let these = Arc::clone(&listeners);
        exposition::register(registry, &families, move || {
            let mut series = families.map(Series::new);
            for (name, ListenerMetrics(cells)) in &*these.named() {
                let [open, accepted, refused, handshakes] = &mut series;
                open.gauge(&[name], cells.sum(|cells| cells.open.get()).cast_signed());
                accepted.counter(&[name], cells.sum(|cells| cells.accepted.get()));
                refused.counter(&[name], cells.sum(|cells| cells.refused.get()));
                for outcome in Handshake::ALL {
                    let (result, version) = outcome.labels();
                    let number = |cells: &ListenerCells| cells.handshakes.get(outcome as usize).map_or(0, Counter::get);
                    handshakes.counter(&[name, result, version], cells.sum(number));
                }
            }
            series.map(Series::finish).into()
        });
        listeners
    }

    pub(super) fn get(&self, name: &str) -> ListenerMetrics {
        let make = || ListenerMetrics(Arc::new(Sharded::new(self.threads)));
        self.named().entry(name.into()).or_insert_with(make).clone()
    }

    fn named(&self) -> MutexGuard<'_, BTreeMap<Box<str>, ListenerMetrics>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counters of one upstream.
#[derive(Clone)]
pub struct UpstreamMetrics(Arc<OfUpstream>);

struct OfUpstream {
    cells: Sharded<UpstreamCells>,
    endpoints: AtomicI64,
}

#[derive(Default)]
struct UpstreamCells {
    connections: [Counter; UpstreamConnection::ALL.len()],
    dns_failures: Counter,
}

impl UpstreamMetrics {
    pub fn connection(&self, outcome: UpstreamConnection) {
        let (cells, writer) = self.0.cells.mine();
        if let Some(counter) = cells.connections.get(outcome as usize) {
            counter.add(1, writer);
        }
    }

    pub fn set_endpoints(&self, number: usize) {
        self.0.endpoints.store(to_gauge(number), Ordering::Relaxed);
    }

    pub fn dns_failed(&self) {
        let (cells, writer) = self.0.cells.mine();
        cells.dns_failures.add(1, writer);
    }
}

/// All upstreams that have series now.
pub(super) struct Upstreams {
    threads: usize,
    named: Capped<UpstreamMetrics>,
}

impl Upstreams {
    /// For so many threads, and at most `limit` upstreams.
    pub(super) fn register(registry: &Registry, threads: usize, limit: usize) -> Arc<Self> {
        let upstreams = Arc::new(Self { threads, named: Capped::new("upstreams", limit) });
        let families = [&catalogue::UPSTREAM_CONNECTIONS, &catalogue::UPSTREAM_ENDPOINTS, &catalogue::DNS_FAILURES];
        let these = Arc::clone(&upstreams);
        exposition::register(registry, &families, move || {
            let mut series = families.map(Series::new);
            for (name, UpstreamMetrics(upstream)) in these.named.all() {
                let [connections, endpoints, dns_failures] = &mut series;
                for outcome in UpstreamConnection::ALL {
                    let number =
                        |cells: &UpstreamCells| cells.connections.get(outcome as usize).map_or(0, Counter::get);
                    connections.counter(&[&name, outcome.label()], upstream.cells.sum(number));
                }
                endpoints.gauge(&[&name], upstream.endpoints.load(Ordering::Relaxed));
                dns_failures.counter(&[&name], upstream.cells.sum(|cells| cells.dns_failures.get()));
            }
            series.map(Series::finish).into()
        });
        upstreams
    }

    pub(super) fn get(&self, name: &str) -> UpstreamMetrics {
        let make = || OfUpstream { cells: Sharded::new(self.threads), endpoints: AtomicI64::new(0) };
        self.named.get(name, || UpstreamMetrics(Arc::new(make())))
    }

    pub(super) fn retain(&self, names: &[&str]) {
        self.named.retain(names);
    }
}
