//! What is counted for connections: of clients by listener, to services by upstream.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{catalogue, counter, gauge, to_gauge};

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
pub struct ListenerMetrics(Arc<ListenerSeries>);

struct ListenerSeries {
    open: IntGauge,
    accepted: IntCounter,
    refused: IntCounter,
    handshakes: [IntCounter; 4],
}

impl ListenerMetrics {
    /// Counts an accepted connection, which is open until the guard is dropped.
    #[must_use = "the connection counts as open until this is dropped"]
    pub fn accepted(&self) -> OpenConnection {
        self.0.accepted.inc();
        self.0.open.inc();
        OpenConnection(Arc::clone(&self.0))
    }

    /// Counts a connection that was closed at once.
    pub fn refused(&self) {
        self.0.refused.inc();
    }

    pub fn handshake(&self, outcome: Handshake) {
        if let Some(counter) = self.0.handshakes.get(outcome as usize) {
            counter.inc();
        }
    }
}

/// An open client connection.
pub struct OpenConnection(Arc<ListenerSeries>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.dec();
    }
}

/// The counters of one upstream.
#[derive(Clone)]
pub struct UpstreamMetrics(Arc<UpstreamSeries>);

struct UpstreamSeries {
    connections: [IntCounter; 5],
    endpoints: IntGauge,
    dns_failures: IntCounter,
}

impl UpstreamMetrics {
    pub fn connection(&self, outcome: UpstreamConnection) {
        if let Some(counter) = self.0.connections.get(outcome as usize) {
            counter.inc();
        }
    }

    pub fn set_endpoints(&self, number: usize) {
        self.0.endpoints.set(to_gauge(number));
    }

    pub fn dns_failed(&self) {
        self.0.dns_failures.inc();
    }
}

/// The families that listeners and upstreams take their series from.
pub(super) struct ConnectionFamilies {
    open: IntGaugeVec,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    handshakes: IntCounterVec,
    upstream_connections: IntCounterVec,
    endpoints: IntGaugeVec,
    dns_failures: IntCounterVec,
}

impl ConnectionFamilies {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            open: gauge(registry, &catalogue::CONNECTIONS_OPEN),
            accepted: counter(registry, &catalogue::CONNECTIONS),
            refused: counter(registry, &catalogue::CONNECTIONS_REFUSED),
            handshakes: counter(registry, &catalogue::TLS_HANDSHAKES),
            upstream_connections: counter(registry, &catalogue::UPSTREAM_CONNECTIONS),
            endpoints: gauge(registry, &catalogue::UPSTREAM_ENDPOINTS),
            dns_failures: counter(registry, &catalogue::DNS_FAILURES),
        }
    }

    pub(super) fn listener(&self, name: &str) -> ListenerMetrics {
        ListenerMetrics(Arc::new(ListenerSeries {
            open: self.open.with_label_values(&[name]),
            accepted: self.accepted.with_label_values(&[name]),
            refused: self.refused.with_label_values(&[name]),
            handshakes: Handshake::ALL.map(|outcome| {
                let (result, version) = outcome.labels();
                self.handshakes.with_label_values(&[name, result, version])
            }),
        }))
    }

    pub(super) fn upstream(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics(Arc::new(UpstreamSeries {
            connections: UpstreamConnection::ALL
                .map(|outcome| self.upstream_connections.with_label_values(&[name, outcome.label()])),
            endpoints: self.endpoints.with_label_values(&[name]),
            dns_failures: self.dns_failures.with_label_values(&[name]),
        }))
    }

    /// Errors mean that a series is not there, which is what is wanted.
    pub(super) fn forget_upstream(&self, name: &str) {
        for outcome in UpstreamConnection::ALL {
            self.upstream_connections.remove_label_values(&[name, outcome.label()]).ok();
        }
        self.endpoints.remove_label_values(&[name]).ok();
        self.dns_failures.remove_label_values(&[name]).ok();
    }
}
