//! What can be seen from outside: metrics, the access log, the program's own log.

pub mod access_log;
#[cfg(test)]
mod docs;
pub mod log;
pub mod metrics;
mod record;

pub use access_log::AccessLog;
pub use metrics::{Metrics, RouteMetrics};
pub use record::{REASONS_TOLD, Record, Unusual};
