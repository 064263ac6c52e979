//! The anomaly check of a route, compiled.

use std::sync::Arc;

use crate::anomaly::Watch;
use crate::config::checked::anomaly::AnomalyPolicy;
use crate::telemetry::metrics::AnomalyMetrics;

pub struct CompiledAnomaly {
    pub policy: Arc<AnomalyPolicy>,
    pub watch: Arc<Watch>,
    pub metrics: AnomalyMetrics,
}
