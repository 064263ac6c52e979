//! Which endpoint is next.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the endpoints of a cluster share its requests. Takes no lock.
#[derive(Debug)]
pub(super) enum Balance {
    /// One after the other; holds the next turn.
    RoundRobin(AtomicUsize),
}

impl Balance {
    /// Begins at a random turn, so that many gateways started together do not all begin with the same endpoint.
    pub(super) fn round_robin() -> Self {
        Self::RoundRobin(AtomicUsize::new(fastrand::usize(..)))
    }

    /// The next endpoint that was not tried yet. What the tried ones would have got is spread evenly over the rest,
    /// instead of falling to whichever stands behind them.
    pub(super) fn choose(&self, endpoints: &[SocketAddr], tried: &[SocketAddr]) -> Option<SocketAddr> {
        let untried = || endpoints.iter().filter(|endpoint| !tried.contains(endpoint));
        let count = if tried.is_empty() { endpoints.len() } else { untried().count() };
        let Self::RoundRobin(turn) = self;
        let turn = turn.fetch_add(1, Ordering::Relaxed).checked_rem(count)?;
        if tried.is_empty() { endpoints.get(turn).copied() } else { untried().nth(turn).copied() }
    }
}
