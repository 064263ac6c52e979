//! The anomaly check of a route, compiled.

use std::sync::Arc;

use crate::anomaly::{Arrived, Watch};
use crate::config::checked::anomaly::AnomalyPolicy;
use crate::telemetry::metrics::AnomalyMetrics;

pub struct CompiledAnomaly {
    pub policy: Arc<AnomalyPolicy>,
    pub watch: Arc<Watch>,
    pub metrics: AnomalyMetrics,
}

impl CompiledAnomaly {
    /// Counts what was made of a request; once for each.
    pub const fn count(&self, _arrived: &Arrived) {}
}
