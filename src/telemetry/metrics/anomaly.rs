//! What anomaly checks made of requests.

use super::RouteMetrics;

impl RouteMetrics {
    /// A request that was checked: what was done, whether less than what was wanted, and whether the shadow agrees.
    pub const fn anomaly(&self, _action: &'static str, _held_back: bool, _shadow_agrees: Option<bool>) {}
}
