//! What issuers have counted themselves: fetches of their keys, and what came of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus::Registry;

use super::capped::Capped;
use super::exposition::{self, Series};
use super::{catalogue, to_gauge};

/// The series of one issuer. Counted by the issuer, which knows nothing of metrics; housekeeping brings them up to date.
#[derive(Clone, Debug)]
pub struct IssuerMetrics(Arc<OfIssuer>);

#[derive(Debug, Default)]
struct OfIssuer {
    fetched: AtomicU64,
    failed: AtomicU64,
    keys: AtomicI64,
    last_success: AtomicI64,
}

impl IssuerMetrics {
    /// Since the issuer was started, which is when its configuration last changed.
    pub fn set_fetches(&self, good: u64, failed: u64) {
        self.0.fetched.store(good, Ordering::Relaxed);
        self.0.failed.store(failed, Ordering::Relaxed);
    }

    pub fn set_keys(&self, number: usize) {
        self.0.keys.store(to_gauge(number), Ordering::Relaxed);
    }

    /// Seconds since 1970 UTC.
    pub fn set_last_success(&self, at: u64) {
        self.0.last_success.store(to_gauge(at), Ordering::Relaxed);
    }
}

/// All issuers that have series now.
pub(super) struct Issuers {
    named: Capped<IssuerMetrics>,
}

impl Issuers {
    /// For at most `limit` issuers.
    pub(super) fn register(registry: &Registry, limit: usize) -> Arc<Self> {
        let issuers = Arc::new(Self { named: Capped::new("issuers", limit) });
        let families = [&catalogue::ISSUER_FETCHES, &catalogue::ISSUER_KEYS, &catalogue::ISSUER_LAST_SUCCESS];
        let these = Arc::clone(&issuers);
        exposition::register(registry, &families, move || {
            let mut series = families.map(Series::new);
            for (name, IssuerMetrics(issuer)) in these.named.all() {
                let [fetches, keys, last_success] = &mut series;
                fetches.counter(&[&name, "success"], issuer.fetched.load(Ordering::Relaxed));
                fetches.counter(&[&name, "failure"], issuer.failed.load(Ordering::Relaxed));
                keys.gauge(&[&name], issuer.keys.load(Ordering::Relaxed));
                last_success.gauge(&[&name], issuer.last_success.load(Ordering::Relaxed));
            }
            series.map(Series::finish).into()
        });
        issuers
    }

    pub(super) fn get(&self, name: &str) -> IssuerMetrics {
        self.named.get(name, || IssuerMetrics(Arc::default()))
    }

    pub(super) fn retain(&self, names: &[&str]) {
        self.named.retain(names);
    }
}
