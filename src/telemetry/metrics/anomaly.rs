//! What is counted of anomaly checks.

use crate::config::checked::anomaly::Action;

#[derive(Clone)]
pub struct AnomalyMetrics;

impl AnomalyMetrics {
    pub const fn scored(&self, _action: Action) {}

    pub const fn held_back(&self) {}

    pub const fn refused(&self) {}

    pub const fn compared(&self, _by_model: bool, _by_shadow: bool) {}
}
