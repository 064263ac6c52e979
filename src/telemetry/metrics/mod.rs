//! Metrics for Prometheus, from one [catalogue](FAMILIES), with closed label sets.
//!
//! Handles are found when a snapshot is compiled and kept in it; counting a request looks nothing up. What is counted for
//! requests and connections each thread counts for itself, and a scrape adds it up; what seldom changes is in the metrics
//! of the `prometheus` crate.

mod anomaly;
mod cache;
mod caller;
mod capped;
mod catalogue;
mod connection;
mod exposition;
mod histogram;
mod issuer;
mod route;
mod sharded;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::base::reason::Reason;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

pub use anomaly::AnomalyMetrics;
pub use cache::{Background, CACHE_RESULTS, CacheMetrics, CacheNumbers};
pub use caller::{Credential, DecisionMetrics, PartnerMetrics};
pub use catalogue::{AGE_BUCKETS, FAMILIES, Family, Kind, LABELS, LATENCY_BUCKETS, Label, PROCESS};
pub use connection::{Handshake, ListenerMetrics, OpenConnection, UpstreamConnection, UpstreamMetrics};
pub use issuer::IssuerMetrics;
pub use route::RouteMetrics;

use self::caller::Callers;
use self::connection::{Listeners, Upstreams};
use self::exposition::Series;
use self::issuer::Issuers;
use self::route::Routes;
use self::sharded::{Counter, Sharded};

/// Routes with series of their own, retired ones included until [`Metrics::retain_routes`]; further ones share `other`.
/// A route has 46 series, and with a cache 10 more.
pub const MAX_ROUTES: usize = 2_000;
/// Upstreams with series of their own, likewise. An upstream has 7 series.
pub const MAX_UPSTREAMS: usize = 1_000;
/// Partners with series of their own, likewise. A partner has 6 series.
pub const MAX_PARTNERS: usize = 1_000;
/// Limits with a series of their own.
pub const MAX_LIMITS: usize = 1_000;
/// Issuers with series of their own, likewise. An issuer has 4 series.
pub const MAX_ISSUERS: usize = 200;
/// Threads that serve no requests and count now and then: the main one and that of control.
const OTHER_THREADS: usize = 2;
/// Stands for requests that no route matched.
const UNROUTED: &str = "none";

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of a process; clones count into the same.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    routes: Arc<Routes>,
    listeners: Arc<Listeners>,
    upstreams: Arc<Upstreams>,
    callers: Arc<Callers>,
    issuers: Arc<Issuers>,
    cache: CacheMetrics,
    /// Up and down.
    requests_in_flight: Arc<Sharded<Counter>>,
    reloads_succeeded: IntCounter,
    reloads_failed: IntCounter,
    reload_last_success: IntGauge,
    reload_last_successful: IntGauge,
    routes_configured: IntGauge,
    routes_faulty: IntGauge,
    config_info: IntGaugeVec,
    config_version: Mutex<Option<Box<str>>>,
    certificate_expiry: IntGaugeVec,
    certificates: Mutex<BTreeSet<(Box<str>, Box<str>)>>,
    certificate_reload_failures: IntCounter,
    revocations: IntGaugeVec,
    revocations_unsaved: IntGauge,
    revocation_file_failures: IntCounter,
    store_errors: IntCounter,
    access_log_dropped: IntCounter,
    access_log_errors: IntCounter,
    ready: IntGauge,
}

/// What went live.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    pub version: &'a str,
    /// When, since 1970-01-01 UTC.
    pub at: Duration,
    /// Faulty ones included.
    pub routes: usize,
    pub faulty: usize,
}

impl Metrics {
    /// For one thread on each core; see [`Metrics::for_threads`].
    #[must_use]
    pub fn new() -> Self {
        Self::for_threads(thread::available_parallelism().map_or(1, Into::into))
    }

    /// For so many threads that serve requests. More may count, but share what they write.
    ///
    /// With a registry of its own: two of them, as in tests, never meet.
    #[must_use]
    pub fn for_threads(threads: usize) -> Self {
        let threads = threads + OTHER_THREADS;
        let registry = Registry::new();
        let reloads = counter(&registry, &catalogue::RELOADS);
        gauge(&registry, &catalogue::BUILD_INFO).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        sound(registry.register(Box::new(ProcessCollector::for_self())));
        Self(Arc::new(Inner {
            routes: Routes::register(&registry, threads, MAX_ROUTES),
            listeners: Listeners::register(&registry, threads),
            upstreams: Upstreams::register(&registry, threads, MAX_UPSTREAMS),
            callers: Callers::register(&registry, threads, MAX_PARTNERS, MAX_LIMITS),
            issuers: Issuers::register(&registry, MAX_ISSUERS),
            cache: CacheMetrics::register(&registry, threads),
            requests_in_flight: in_flight(&registry, threads),
            reloads_succeeded: reloads.with_label_values(&["success"]),
            reloads_failed: reloads.with_label_values(&["failure"]),
            reload_last_success: single_gauge(&registry, &catalogue::RELOAD_LAST_SUCCESS),
            reload_last_successful: single_gauge(&registry, &catalogue::RELOAD_LAST_SUCCESSFUL),
            routes_configured: single_gauge(&registry, &catalogue::ROUTES),
            routes_faulty: single_gauge(&registry, &catalogue::ROUTES_FAULTY),
            config_info: gauge(&registry, &catalogue::CONFIG_INFO),
            config_version: Mutex::new(None),
            certificate_expiry: gauge(&registry, &catalogue::CERTIFICATE_EXPIRY),
            certificates: Mutex::new(BTreeSet::new()),
            certificate_reload_failures: single_counter(&registry, &catalogue::CERTIFICATE_RELOAD_FAILURES),
            revocations: gauge(&registry, &catalogue::REVOCATIONS),
            revocations_unsaved: single_gauge(&registry, &catalogue::REVOCATIONS_UNSAVED),
            revocation_file_failures: single_counter(&registry, &catalogue::REVOCATION_FILE_FAILURES),
            store_errors: single_counter(&registry, &catalogue::STORE_ERRORS),
            access_log_dropped: single_counter(&registry, &catalogue::ACCESS_LOG_DROPPED),
            access_log_errors: single_counter(&registry, &catalogue::ACCESS_LOG_ERRORS),
            ready: single_gauge(&registry, &catalogue::READY),
            registry,
        }))
    }

    /// The handles of a route: the same again for the same name, so that counters survive a reload.
    #[must_use]
    pub fn route(&self, name: &str) -> RouteMetrics {
        self.0.routes.get(name)
    }

    /// The handles for requests that no route matched.
    #[must_use]
    pub fn unrouted(&self) -> RouteMetrics {
        self.0.routes.unrouted().clone()
    }

    /// Removes the series of routes that are not in this list. Call it once a new snapshot is live; what requests of
    /// the old one still count is lost.
    pub fn retain_routes(&self, names: &[&str]) {
        self.0.routes.retain(names);
    }

    #[must_use]
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        self.0.listeners.get(name)
    }

    /// The handles of an upstream: the same again for the same name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        self.0.upstreams.get(name)
    }

    /// Removes the series of upstreams that are not in this list.
    pub fn retain_upstreams(&self, names: &[&str]) {
        self.0.upstreams.retain(names);
    }

    /// The handles of a partner: the same again for the same name.
    #[must_use]
    pub fn partner(&self, name: &str) -> PartnerMetrics {
        self.0.callers.partner(name)
    }

    /// Removes the series of partners that are not in this list.
    pub fn retain_partners(&self, names: &[&str]) {
        self.0.callers.retain_partners(names);
    }

    /// The limits whose refusals are counted, each by its name.
    pub fn set_limits<'n>(&self, names: impl Iterator<Item = &'n str>) {
        self.0.callers.set_limits(names);
    }

    /// What is counted when a request is decided about.
    #[must_use]
    pub fn decisions(&self) -> DecisionMetrics {
        self.0.callers.decisions()
    }

    /// The handles of an issuer: the same again for the same name.
    #[must_use]
    pub fn issuer(&self, name: &str) -> IssuerMetrics {
        self.0.issuers.get(name)
    }

    /// Removes the series of issuers that are not in this list.
    pub fn retain_issuers(&self, names: &[&str]) {
        self.0.issuers.retain(names);
    }

    /// What is counted of the cache.
    #[must_use]
    pub fn cache(&self) -> &CacheMetrics {
        &self.0.cache
    }

    /// Counts a request as in flight until the guard is dropped.
    #[must_use = "the request counts as in flight until this is dropped"]
    pub fn request_started(&self) -> InFlight<'_> {
        let (counter, writer) = self.0.requests_in_flight.mine();
        counter.add(1, writer);
        InFlight(&self.0.requests_in_flight)
    }

    /// Counts a refusal that no request stands behind: a connection or a stream that was never one.
    pub fn refused(&self, reason: Reason) {
        self.0.routes.unrouted().count(reason);
    }

    /// The first configuration went live.
    pub fn started(&self, published: &Published<'_>) {
        let inner = &*self.0;
        inner.reload_last_success.set(to_gauge(published.at.as_secs()));
        inner.reload_last_successful.set(1);
        inner.routes_configured.set(to_gauge(published.routes));
        inner.routes_faulty.set(to_gauge(published.faulty));

        let mut version = inner.config_version.lock().unwrap_or_else(PoisonError::into_inner);
        inner.config_info.with_label_values(&[published.version]).set(1);
        if let Some(old) = version.replace(published.version.into()).filter(|old| **old != *published.version) {
            // An error would mean that it is not there.
            inner.config_info.remove_label_values(&[&*old]).ok();
        }
    }

    /// A new configuration went live.
    pub fn reload_succeeded(&self, published: &Published<'_>) {
        self.started(published);
        self.0.reloads_succeeded.inc();
    }

    /// A new configuration was refused as a whole; the old one stays live.
    pub fn reload_failed(&self) {
        self.0.reload_last_successful.set(0);
        self.0.reloads_failed.inc();
    }

    /// Replaces what is known about the certificates of a listener: first DNS name and end of validity, since
    /// 1970-01-01 UTC.
    pub fn set_certificates(&self, listener: &str, certificates: &[(&str, Duration)]) {
        let mut known = self.0.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, name)| {
            let is_kept = **of != *listener || certificates.iter().any(|(new, _)| **new == **name);
            if !is_kept {
                // An error would mean that it is not there.
                self.0.certificate_expiry.remove_label_values(&[&**of, &**name]).ok();
            }
            is_kept
        });
        for (name, expiry) in certificates {
            self.0.certificate_expiry.with_label_values(&[listener, name]).set(to_gauge(expiry.as_secs()));
            known.insert((listener.into(), (*name).into()));
        }
    }

    pub fn certificate_reload_failed(&self) {
        self.0.certificate_reload_failures.inc();
    }

    /// How many revocations are in force, and how many changes a restart would lose.
    pub fn set_revocations(&self, by_file: usize, by_api: usize, unsaved: usize) {
        self.0.revocations.with_label_values(&["file"]).set(to_gauge(by_file));
        self.0.revocations.with_label_values(&["api"]).set(to_gauge(by_api));
        self.0.revocations_unsaved.set(to_gauge(unsaved));
    }

    pub fn revocation_file_failed(&self) {
        self.0.revocation_file_failures.inc();
    }

    pub fn store_failed(&self) {
        self.0.store_errors.inc();
    }

    pub fn set_ready(&self, ready: bool) {
        self.0.ready.set(i64::from(ready));
    }

    pub(super) fn access_log_dropped(&self) -> IntCounter {
        self.0.access_log_dropped.clone()
    }

    pub(super) fn access_log_errors(&self) -> IntCounter {
        self.0.access_log_errors.clone()
    }

    /// All metrics in the text format of Prometheus, see [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.0.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics are not complete");
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that has not ended.
pub struct InFlight<'a>(&'a Sharded<Counter>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let (counter, writer) = self.0.mine();
        counter.subtract(1, writer);
    }
}

fn in_flight(registry: &Registry, threads: usize) -> Arc<Sharded<Counter>> {
    let counter = Arc::new(Sharded::<Counter>::new(threads));
    let this = Arc::clone(&counter);
    exposition::register(registry, &[&catalogue::REQUESTS_IN_FLIGHT], move || {
        let mut series = Series::new(&catalogue::REQUESTS_IN_FLIGHT);
        series.gauge(&[], this.sum(Counter::get).cast_signed());
        vec![series.finish()]
    });
    counter
}

fn to_gauge(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn counter(registry: &Registry, family: &Family) -> IntCounterVec {
    register(registry, sound(IntCounterVec::new(Opts::new(family.name, family.help), family.labels)))
}

fn single_counter(registry: &Registry, family: &Family) -> IntCounter {
    register(registry, sound(IntCounter::new(family.name, family.help)))
}

fn gauge(registry: &Registry, family: &Family) -> IntGaugeVec {
    register(registry, sound(IntGaugeVec::new(Opts::new(family.name, family.help), family.labels)))
}

fn single_gauge(registry: &Registry, family: &Family) -> IntGauge {
    register(registry, sound(IntGauge::new(family.name, family.help)))
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    sound(registry.register(Box::new(collector.clone())));
    collector
}

/// Names and labels are constants, and the tests register every one of them.
#[expect(clippy::expect_used, reason = "fails at the first start of a faulty build, or never")]
fn sound<T>(registered: prometheus::Result<T>) -> T {
    registered.expect("the catalogue holds valid, distinct names")
}
