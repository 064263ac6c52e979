//! The anomaly check of a route, compiled.

use std::sync::Arc;

use crate::anomaly::Watch;
use crate::config::checked::anomaly::AnomalyPolicy;

pub struct CompiledAnomaly {
    pub policy: Arc<AnomalyPolicy>,
    pub watch: Arc<Watch>,
}
