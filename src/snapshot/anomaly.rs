//! The anomaly checks of a route, compiled.

use std::sync::Arc;

use crate::anomaly::model::Judgement;
use crate::anomaly::registry::{Numbers, Pins, Registry};
use crate::anomaly::watch::Witnesses;
use crate::anomaly::{Arrived, Watch};
use crate::config::checked::anomaly::AnomalyPolicy;
use crate::telemetry::metrics::{AnomalyMetrics, AnomalyNumbers};

pub struct CompiledAnomaly {
    pub policy: Arc<AnomalyPolicy>,
    /// What the route has learned; the same for every snapshot that has a route of this name.
    pub watch: Arc<Watch>,
    /// Judge once the snapshot is published.
    pub pins: Pins,
    pub metrics: AnomalyMetrics,
}

impl CompiledAnomaly {
    /// # Errors
    ///
    /// A model that the policy pins is not there.
    pub fn compile(
        route: &Arc<str>,
        policy: &Arc<AnomalyPolicy>,
        registry: &Registry,
        metrics: AnomalyMetrics,
    ) -> Result<Self, String> {
        let (watch, pins) = registry.find(route, policy)?;
        Ok(Self { policy: Arc::clone(policy), watch, pins, metrics })
    }

    /// Counts what was made of a request; once for each.
    pub fn count(&self, arrived: &Arrived) {
        let verdict = &arrived.verdict;
        if arrived.held_back.is_some() {
            self.metrics.held_back();
        } else if arrived.judged.is_some() {
            self.metrics.scored(verdict.action);
        }
        let mildest = self.policy.ladder.rungs.first().map(|(_, share)| *share);
        if arrived.judged.is_some() && mildest.is_some_and(|share| verdict.rarity <= share) {
            self.metrics.unusual();
        }
        if verdict.refuses() {
            self.metrics.refused();
        }
        if let (Some(model), Some(shadow), Some(share)) = (&arrived.judged, &arrived.shadow, mildest) {
            let is_unusual = |judged: &Judgement| Witnesses::arrival(judged.rarity).rarity().all <= share;
            self.metrics.compared(is_unusual(model), is_unusual(shadow));
        }
    }

    /// Brings gauges up to what is known now.
    pub fn refresh_gauges(&self, registry: &Registry) {
        let Numbers { seen, needed, drift, .. } = registry.numbers(&self.watch);
        let model = self.watch.model.load();
        self.metrics.set(&AnomalyNumbers {
            model: model.as_ref().map(|model| (model.made_at, model.rows)),
            warm_up: (seen as f64 / needed.max(1) as f64).min(1.0),
            drift: drift.map(f64::from),
        });
    }
}

#[cfg(test)]
mod tests;
