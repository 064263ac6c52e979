//! The published state: one immutable, compiled form of `routes.yaml`, pinned by every request for as long as it lasts.

mod anomaly;
mod cache;
mod carry_over;
mod gate;
mod reload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::anomaly::Watch;
use crate::base::location::Location;
use crate::config::checked::anomaly::AnomalySettings;
use crate::config::checked::{HeaderEdits, RouteAction};
use crate::config::report::Report;
use crate::route::{RouteMatch, Table};
use crate::telemetry::access_log::Escaped;
use crate::telemetry::metrics::{RouteMetrics, UpstreamMetrics};
use crate::transform::headers::RequestEdits;
use crate::transform::rewrite::{CompiledRewrite, CompiledTemplate};
use crate::upstream::Cluster;
use crate::upstream::trust::Trust;

pub use anomaly::CompiledAnomaly;
pub use cache::CompiledCache;
pub use carry_over::Builder;
pub use gate::{CompiledAccess, CompiledIdentity, CompiledMethod, CompiledPartner, Gate, Guard, LongLived};
pub use reload::{FirstError, Outcome, Refusal, Reloader, Source};

/// Everything a request is served by.
pub struct Snapshot {
    pub version: String,
    /// The version as lines of the access log have it.
    pub log_version: Escaped,
    pub file: Arc<str>,
    /// Since 1970 UTC.
    pub loaded_at: Duration,
    pub table: Table,
    /// In the order of the file; positions are what the table answers with.
    pub routes: Vec<CompiledRoute>,
    pub upstreams: BTreeMap<Arc<str>, Arc<CompiledUpstream>>,
    pub gate: Gate,
    pub anomaly: AnomalySettings,
    pub report: Report,
    /// Some route has a cache.
    pub caches: bool,
    /// Counts the requests that no route matched.
    pub unrouted: RouteMetrics,
}

pub struct CompiledRoute {
    pub name: Arc<str>,
    /// The name as lines of the access log have it.
    pub log_name: Escaped,
    pub at: Location,
    pub matches: RouteMatch,
    /// Or what is wrong with it.
    pub action: Result<CompiledAction, Vec<String>>,
    /// What a route of this name has learned that is closed now, or not checked: kept for when it is again.
    pub learned: Option<Arc<Watch>>,
    pub metrics: RouteMetrics,
}

pub struct CompiledAction {
    pub written: RouteAction,
    pub guard: Guard,
    pub request_edits: RequestEdits,
    pub cache: Option<CompiledCache>,
    pub anomaly: Option<CompiledAnomaly>,
    /// Tags that are purged when a request that changes something succeeds.
    pub invalidates: Box<[CompiledTemplate]>,
    pub target: Target,
}

pub enum Target {
    Forward { upstream: Arc<CompiledUpstream>, rewrite: Option<CompiledRewrite> },
    Redirect { location: CompiledTemplate },
    Respond,
}

/// An upstream as requests use it.
pub struct CompiledUpstream {
    pub cluster: Arc<Cluster>,
    /// Its name as lines of the access log have it.
    pub log_name: Escaped,
    /// What its certificate is verified against, when it is spoken to over TLS.
    pub trust: Option<Arc<Trust>>,
    /// Connections may be shared between upstreams of the same key only.
    pub pool_key: u64,
    /// Named to the upstream when a client names no host.
    pub fallback_host: Option<HeaderValue>,
    pub metrics: UpstreamMetrics,
}

impl CompiledUpstream {
    /// Brings the gauges up to what the cluster knows now.
    pub fn refresh_gauges(&self) {
        self.metrics.set_endpoints(self.cluster.usable());
    }
}

impl Snapshot {
    /// What a route does; `None` when it is closed.
    #[must_use]
    pub fn action(&self, index: usize) -> Option<&CompiledAction> {
        self.routes.get(index)?.action.as_ref().ok()
    }

    /// Brings gauges up to what upstreams and issuers know now.
    pub fn refresh_gauges(&self) {
        self.upstreams.values().for_each(|upstream| upstream.refresh_gauges());
        self.gate.refresh_gauges();
        self.anomalies().for_each(|(_, anomaly)| anomaly.refresh_gauges(&self.gate.lasting.anomaly));
    }

    /// The routes with anomaly checks, by name.
    pub fn anomalies(&self) -> impl Iterator<Item = (&Arc<str>, &CompiledAnomaly)> {
        self.routes.iter().filter_map(|route| Some((&route.name, route.action.as_ref().ok()?.anomaly.as_ref()?)))
    }

    /// What outlives snapshots goes by this one from now on.
    fn take_effect(&self) {
        let registry = &self.gate.lasting.anomaly;
        self.anomalies().for_each(|(_, anomaly)| registry.judge(&anomaly.watch, &anomaly.pins));
        registry.configure(&self.anomaly);
    }

    /// The names of all limits, some of them more than once.
    pub fn limit_names(&self) -> impl Iterator<Item = &str> {
        let of_routes = self.routes.iter().filter_map(|route| route.action.as_ref().ok());
        let of_routes = of_routes.flat_map(|action| action.guard.limits.names());
        of_routes.chain(self.gate.partners.iter().flat_map(|(_, partner)| partner.limits.names()))
    }

    /// Routes that are closed because of an error.
    #[must_use]
    pub fn faulty(&self) -> usize {
        self.routes.iter().filter(|route| route.action.is_err()).count()
    }

    /// The names of these routes.
    #[must_use]
    pub fn closed(&self) -> Vec<String> {
        self.routes.iter().filter(|route| route.action.is_err()).map(|route| route.name.to_string()).collect()
    }

    /// What is wrong with these routes, by their names.
    pub fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        self.routes.iter().flat_map(|route| {
            let problems = route.action.as_ref().err().into_iter().flatten();
            problems.map(|problem| (&*route.name, problem.as_str()))
        })
    }

    /// What it means for requests, in one sentence.
    #[must_use]
    pub fn effect(&self) -> String {
        reload::effect(&self.version, self.routes.len(), &self.closed())
    }
}

impl CompiledAction {
    #[must_use]
    pub fn response_headers(&self) -> &HeaderEdits {
        &self.written.response_headers
    }
}

/// Where the current snapshot is published.
pub struct Snapshots {
    current: ArcSwap<Snapshot>,
}

impl Snapshots {
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        first.take_effect();
        Self { current: ArcSwap::from_pointee(first) }
    }

    /// The current snapshot; hold on to it for the whole of a request.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes a snapshot current, with one pointer store; returns the one before.
    #[must_use]
    pub fn publish(&self, next: Snapshot) -> Arc<Snapshot> {
        next.take_effect();
        self.current.swap(Arc::new(next))
    }
}
