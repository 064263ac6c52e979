//! What is counted for callers: requests by partner, credentials by how they fared, refusals by limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::Registry;

use super::capped::{Capped, OTHER};
use super::catalogue;
use super::exposition::{self, Series};
use super::route::{CLASSES, class_index};
use super::sharded::{Counter, Sharded};
use crate::base::reason::Reason;

/// How a credential that came with a request fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A token that was verified before.
    TokenCached,
    TokenVerified,
    TokenRefused,
    ApiKeyAccepted,
    ApiKeyRefused,
    CertificateAccepted,
    CertificateRefused,
}

impl Credential {
    const ALL: [Self; 7] = [
        Self::TokenCached,
        Self::TokenVerified,
        Self::TokenRefused,
        Self::ApiKeyAccepted,
        Self::ApiKeyRefused,
        Self::CertificateAccepted,
        Self::CertificateRefused,
    ];

    /// `method` and `result`.
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::TokenCached => ("jwt", "cached"),
            Self::TokenVerified => ("jwt", "accepted"),
            Self::TokenRefused => ("jwt", "refused"),
            Self::ApiKeyAccepted => ("api_key", "accepted"),
            Self::ApiKeyRefused => ("api_key", "refused"),
            Self::CertificateAccepted => ("certificate", "accepted"),
            Self::CertificateRefused => ("certificate", "refused"),
        }
    }
}

/// The counters of one partner.
#[derive(Clone)]
pub struct PartnerMetrics(Arc<Sharded<[Counter; CLASSES.len()]>>);

impl PartnerMetrics {
    /// Counts a finished request.
    pub fn observe(&self, status: u16) {
        let (cells, writer) = self.0.mine();
        if let Some(requests) = cells.get(class_index(status)) {
            requests.add(1, writer);
        }
    }
}

/// What is counted when a request is decided about.
#[derive(Clone)]
pub struct DecisionMetrics(Arc<Callers>);

impl DecisionMetrics {
    pub fn credential(&self, outcome: Credential) {
        let (cells, writer) = self.0.credentials.mine();
        if let Some(counter) = cells.get(outcome as usize) {
            counter.add(1, writer);
        }
    }

    /// A limit of this name refused a request, or would have.
    pub fn limited(&self, limit: &str) {
        let known = self.0.limits.load();
        let (counter, writer) =
            known.get(limit).or_else(|| known.get(OTHER)).map_or(&self.0.lost, |counter| &**counter).mine();
        counter.add(1, writer);
    }

    /// A policy that is only observed would have refused a request.
    pub fn observed(&self, reason: Reason) {
        let (Observed(cells), writer) = self.0.observed.mine();
        if let Some(counter) = cells.get(reason as usize) {
            counter.add(1, writer);
        }
    }
}

/// By [`Reason`]'s place in [`Reason::ALL`].
struct Observed([Counter; Reason::ALL.len()]);

impl Default for Observed {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

/// Refusals by the name of the limit.
type Limits = BTreeMap<Box<str>, Arc<Sharded<Counter>>>;

/// All callers.
pub(super) struct Callers {
    threads: usize,
    partners: Capped<PartnerMetrics>,
    /// Replaced as a whole when snapshots are published, so that refusals under attack wait for nobody.
    limits: ArcSwap<Limits>,
    most_limits: usize,
    /// Of limits that no snapshot knows any more.
    lost: Sharded<Counter>,
    credentials: Sharded<[Counter; Credential::ALL.len()]>,
    observed: Sharded<Observed>,
}

impl Callers {
    /// For so many threads, at most `partners` and `limits` with series of their own.
    pub(super) fn register(registry: &Registry, threads: usize, partners: usize, limits: usize) -> Arc<Self> {
        let callers = Arc::new(Self {
            threads,
            partners: Capped::new("partners", partners),
            limits: ArcSwap::default(),
            most_limits: limits,
            lost: Sharded::new(threads),
            credentials: Sharded::new(threads),
            observed: Sharded::new(threads),
        });
        let these = Arc::clone(&callers);
        let families =
            [&catalogue::PARTNER_REQUESTS, &catalogue::LIMITED, &catalogue::CREDENTIALS, &catalogue::OBSERVED];
        exposition::register(registry, &families, move || these.fold(families.map(Series::new)));
        callers
    }

    fn fold(&self, mut series: [Series; 4]) -> Vec<prometheus::proto::MetricFamily> {
        let [requests, limited, credentials, observed] = &mut series;
        for (name, PartnerMetrics(cells)) in self.partners.all() {
            for (at, class) in CLASSES.iter().enumerate() {
                requests.counter(&[&name, class], cells.sum(|cells| cells.get(at).map_or(0, Counter::get)));
            }
        }
        let lost = self.lost.sum(Counter::get);
        for (name, counter) in self.limits.load().iter().filter(|(name, _)| ***name != *OTHER) {
            limited.counter(&[name], counter.sum(Counter::get));
        }
        let others = self.limits.load().get(OTHER).map(|counter| counter.sum(Counter::get));
        if lost > 0 || others.is_some() {
            limited.counter(&[OTHER], lost + others.unwrap_or_default());
        }
        for (at, outcome) in Credential::ALL.into_iter().enumerate() {
            let (method, result) = outcome.labels();
            let count = self.credentials.sum(|cells| cells.get(at).map_or(0, Counter::get));
            credentials.counter(&[method, result], count);
        }
        for (at, reason) in Reason::ALL.iter().enumerate() {
            let count = self.observed.sum(|Observed(cells)| cells.get(at).map_or(0, Counter::get));
            observed.counter(&[reason.as_str()], count);
        }
        series.map(Series::finish).into()
    }

    pub(super) fn decisions(self: &Arc<Self>) -> DecisionMetrics {
        DecisionMetrics(Arc::clone(self))
    }

    pub(super) fn partner(&self, name: &str) -> PartnerMetrics {
        self.partners.get(name, || PartnerMetrics(Arc::new(Sharded::new(self.threads))))
    }

    /// Makes these limits the ones that are counted; those that were there go on. Beyond the bound they share one counter.
    pub(super) fn set_limits<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let before = self.limits.load_full();
        let mut limits = Limits::new();
        for name in names {
            let name = if limits.len() < self.most_limits { name } else { OTHER };
            let new = || before.get(name).map_or_else(|| Arc::new(Sharded::new(self.threads)), Arc::clone);
            limits.entry(name.into()).or_insert_with(new);
        }
        self.limits.store(Arc::new(limits));
    }

    pub(super) fn retain_partners(&self, names: &[&str]) {
        self.partners.retain(names);
    }
}
