//! The running form of an upstream.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::balance::Balance;
use super::endpoints::Endpoints;
use super::resolve::Resolve;
use super::status::ClusterStatus;
use crate::base::tasks;
use crate::config::checked::{EndpointAddress, Upstream, UpstreamProtocol, UpstreamTls};

/// How long a start or a reload waits for the first answers before it goes on without.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// Pauses after failed resolutions: doubled from the first to the last.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// A resolver that says nothing for this long has failed: longer than `resolv.conf` waits for two servers by default.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);

/// The endpoints of one upstream, kept resolved in the background for as long as somebody holds the cluster.
#[derive(Debug)]
pub struct Cluster {
    identity: Identity,
    endpoints: Arc<Endpoints>,
    balance: Balance,
    /// Never sends: being dropped with the cluster is what ends the resolving task.
    _resolving: Option<oneshot::Sender<Infallible>>,
}

/// Everything that defines a cluster: upstreams of equal identity may share one, and what it has learned.
///
/// The order in which endpoints are written is no part of it, and neither is the content of a CA file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    name: Arc<str>,
    endpoints: Vec<EndpointAddress>,
    protocol: UpstreamProtocol,
    tls: Option<UpstreamTls>,
    dns_refresh: Duration,
}

impl Identity {
    #[must_use]
    pub fn of(spec: &Upstream) -> Self {
        let mut endpoints = spec.endpoints.clone();
        endpoints.sort_unstable_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        endpoints.dedup();
        Self {
            name: Arc::clone(&spec.name),
            endpoints,
            protocol: spec.protocol,
            tls: spec.tls.clone(),
            dns_refresh: spec.dns_refresh,
        }
    }
}

impl Cluster {
    /// Addresses are usable at once; names are resolved by a task on `runtime`, which the last `Arc` stops.
    #[must_use]
    pub fn start(spec: &Upstream, resolver: Arc<dyn Resolve>, runtime: &Handle) -> Arc<Self> {
        let identity = Identity::of(spec);
        let endpoints = Arc::new(Endpoints::new(Arc::clone(&identity.name), &identity.endpoints));
        let names = endpoints.names();
        let resolving = (!names.is_empty()).then(|| {
            let (alive, dropped) = oneshot::channel::<Infallible>();
            let task = keep_all_resolved(Arc::clone(&endpoints), names, resolver, identity.dns_refresh);
            let _on = runtime.enter();
            tasks::spawn("resolve upstream", async move {
                tokio::select! {
                    _ = dropped => {}
                    () = task => {}
                }
            });
            alive
        });
        Arc::new(Self { identity, endpoints, balance: Balance::round_robin(), _resolving: resolving })
    }

    /// Waits until every name has had its first answer and there is an endpoint, at most one second.
    /// Returns whether there is one. Asked before a new cluster is published, so that its routes do not begin with 503.
    pub async fn ready(&self) -> bool {
        let mut usable = self.endpoints.usable();
        if matches!(timeout(READY_WITHIN, usable.wait_for(|usable| *usable)).await, Ok(Ok(_))) {
            return true;
        }
        self.endpoints.with(|endpoints| !endpoints.is_empty())
    }

    /// The endpoint whose turn it is; `None` while no name has resolved.
    #[must_use]
    pub fn pick(&self) -> Option<SocketAddr> {
        self.pick_excluding(&[])
    }

    /// As [`pick`](Self::pick), without those that were already tried for this request; `None` when all were.
    #[must_use]
    pub fn pick_excluding(&self, tried: &[SocketAddr]) -> Option<SocketAddr> {
        self.endpoints.with(|endpoints| self.balance.choose(endpoints, tried))
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.identity.name
    }

    #[must_use]
    pub fn protocol(&self) -> UpstreamProtocol {
        self.identity.protocol
    }

    #[must_use]
    pub fn tls(&self) -> Option<&UpstreamTls> {
        self.identity.tls.as_ref()
    }

    /// Failed resolutions since start.
    #[must_use]
    pub fn resolve_failures(&self) -> u64 {
        self.endpoints.failures()
    }

    /// How many endpoints can be picked now.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.endpoints.with(<[SocketAddr]>::len)
    }

    #[must_use]
    pub fn describe(&self) -> ClusterStatus {
        self.endpoints.describe()
    }
}

/// Every name by its own clock, so that a slow one does not hold up the others.
async fn keep_all_resolved(
    endpoints: Arc<Endpoints>,
    names: Vec<(String, u16)>,
    resolver: Arc<dyn Resolve>,
    refresh: Duration,
) {
    let each = names.iter().enumerate().map(|(index, (host, port))| {
        let (endpoints, resolver) = (&*endpoints, &*resolver);
        keep_resolved(endpoints, resolver, index, host, *port, refresh)
    });
    join_all(each).await;
}

async fn keep_resolved(
    endpoints: &Endpoints,
    resolver: &dyn Resolve,
    index: usize,
    host: &str,
    port: u16,
    refresh: Duration,
) {
    let mut retry = FIRST_RETRY;
    loop {
        let answer = timeout(ANSWER_WITHIN, resolver.resolve(host, port)).await;
        let good = endpoints.record(index, answer.unwrap_or_else(|late| Err(late.into())));
        let pause = if good { refresh.max(FIRST_RETRY) } else { retry };
        retry = if good { FIRST_RETRY } else { (retry * 2).min(LAST_RETRY) };
        sleep(pause.mul_f64(fastrand::f64().mul_add(0.2, 0.9))).await;
    }
}
