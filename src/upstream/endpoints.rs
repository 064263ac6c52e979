//! The endpoints of a cluster now: given addresses, and the last good answer for every name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::status::{ClusterStatus, NameStatus, ResolveFailure};
use crate::base::clock;
use crate::config::checked::EndpointAddress;

/// Read by every request without a lock; written by the resolving task only when an answer differs.
#[derive(Debug)]
pub(super) struct Endpoints {
    cluster: Arc<str>,
    published: ArcSwap<Published>,
    /// Given as addresses; never change.
    fixed: Vec<SocketAddr>,
    names: Mutex<Vec<NameStatus>>,
    failures: AtomicU64,
    usable: watch::Sender<bool>,
}

#[derive(Debug)]
struct Published {
    addresses: Box<[SocketAddr]>,
    since: u64,
}

impl Endpoints {
    /// Splits addresses from names; addresses are usable at once.
    pub(super) fn new(cluster: Arc<str>, endpoints: &[EndpointAddress]) -> Self {
        let mut fixed = Vec::new();
        let mut names: Vec<NameStatus> = Vec::new();
        for endpoint in endpoints {
            if let Some(ip) = literal(&endpoint.host) {
                fixed.push(SocketAddr::new(ip, endpoint.port));
            } else if !names.iter().any(|name| *name.host == *endpoint.host && name.port == endpoint.port) {
                names.push(NameStatus {
                    host: endpoint.host.to_string(),
                    port: endpoint.port,
                    addresses: Vec::new(),
                    resolved_at: None,
                    failing_since: None,
                    last_failure: None,
                    failures: 0,
                });
            }
        }
        let published = Published { addresses: merge(&fixed, &[]), since: now() };
        let usable = watch::Sender::new(settled(&published.addresses, &names));
        Self {
            cluster,
            published: ArcSwap::from_pointee(published),
            fixed,
            names: Mutex::new(names),
            failures: AtomicU64::new(0),
            usable,
        }
    }

    /// Calls with the endpoints usable now, sorted and each once.
    pub(super) fn with<R>(&self, read: impl FnOnce(&[SocketAddr]) -> R) -> R {
        read(&self.published.load().addresses)
    }

    /// What has to be resolved.
    pub(super) fn names(&self) -> Vec<(String, u16)> {
        self.lock().iter().map(|name| (name.host.clone(), name.port)).collect()
    }

    /// Turns true, and stays so, when every name has had its first answer, good or bad, and there is an endpoint.
    pub(super) fn usable(&self) -> watch::Receiver<bool> {
        self.usable.subscribe()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Takes in what the resolver said about the name at `index`; an unchanged answer disturbs nobody.
    /// Returns whether it was a good one.
    pub(super) fn record(&self, index: usize, answer: io::Result<Vec<SocketAddr>>) -> bool {
        let mut names = self.lock();
        let Some(name) = names.get_mut(index) else { return false };
        let good = match answer.and_then(sound) {
            Ok(addresses) => {
                if name.failing_since.take().is_some() {
                    tracing::info!(cluster = %self.cluster, host = %name.host, "name resolves again");
                }
                name.resolved_at = Some(now());
                if name.addresses != addresses {
                    name.addresses = addresses;
                    self.publish(&names);
                }
                true
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                name.failures += 1;
                let error = error.to_string();
                if name.failing_since.is_none() {
                    name.failing_since = Some(now());
                    let kept = name.addresses.len();
                    tracing::warn!(cluster = %self.cluster, host = %name.host, %error, kept, "name does not resolve");
                }
                name.last_failure = Some(ResolveFailure { at: now(), error });
                false
            }
        };
        if !*self.usable.borrow() && settled(&self.published.load().addresses, &names) {
            self.usable.send_replace(true);
        }
        good
    }

    pub(super) fn describe(&self) -> ClusterStatus {
        let names = self.lock().clone();
        let published = self.published.load();
        ClusterStatus {
            name: self.cluster.to_string(),
            endpoints: published.addresses.to_vec(),
            since: published.since,
            resolve_failures: self.failures(),
            names,
        }
    }

    fn publish(&self, names: &[NameStatus]) {
        let addresses = merge(&self.fixed, names);
        if addresses != self.published.load().addresses {
            tracing::info!(cluster = %self.cluster, endpoints = ?addresses, "endpoints changed");
            self.published.store(Arc::new(Published { addresses, since: now() }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<NameStatus>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address literal, IPv6 with or without brackets.
fn literal(host: &str) -> Option<IpAddr> {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inside.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// An answer in the one form that is compared: v4-mapped addresses as IPv4, sorted, each once.
fn sound(mut addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the answer holds no address"));
    }
    for address in &mut addresses {
        if let IpAddr::V4(ip) = address.ip().to_canonical() {
            *address = SocketAddr::new(ip.into(), address.port());
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn merge(fixed: &[SocketAddr], names: &[NameStatus]) -> Box<[SocketAddr]> {
    let mut all: Vec<_> = fixed.iter().chain(names.iter().flat_map(|name| &name.addresses)).copied().collect();
    all.sort_unstable();
    all.dedup();
    all.into()
}

fn settled(addresses: &[SocketAddr], names: &[NameStatus]) -> bool {
    let answered = |name: &NameStatus| name.resolved_at.is_some() || name.last_failure.is_some();
    !addresses.is_empty() && names.iter().all(answered)
}

fn now() -> u64 {
    clock::since_epoch().as_secs()
}
