//! What `/status` tells about a cluster. Times are seconds since 1970-01-01 UTC.

use std::net::SocketAddr;

use serde::Serialize;

/// One cluster as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterStatus {
    pub name: String,
    /// Usable now, sorted; empty means that requests get 503.
    pub endpoints: Vec<SocketAddr>,
    /// When `endpoints` last changed.
    pub since: u64,
    /// Failed resolutions since start, over all names.
    pub resolve_failures: u64,
    pub names: Vec<NameStatus>,
}

/// One name that is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameStatus {
    pub host: String,
    pub port: u16,
    /// The last good answer, also while resolving fails.
    pub addresses: Vec<SocketAddr>,
    /// When the last good answer came; `None` until the first one.
    pub resolved_at: Option<u64>,
    /// Since when every attempt has failed; `None` while resolving works.
    pub failing_since: Option<u64>,
    /// Kept after recovery.
    pub last_failure: Option<ResolveFailure>,
    /// Failed attempts since start.
    pub failures: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResolveFailure {
    pub at: u64,
    pub error: String,
}
