//! What `/status` tells about an issuer. Times are seconds since 1970-01-01 UTC.

use serde::Serialize;

/// One issuer as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IssuerStatus {
    pub name: String,
    /// Where its keys come from: a URL without its query, files, or `secret`.
    pub source: String,
    /// Changes with every change of keys.
    pub generation: u64,
    /// Ids of all keys that are good now; empty means that requests get 503.
    pub keys: Vec<String>,
    /// Those of them that the issuer no longer publishes.
    pub overlapping: Vec<String>,
    /// Keys of its newest set that cannot be used, and why.
    pub left_out: Vec<String>,
    /// When a good answer last came, or the files were last read; `None` until then.
    pub fetched_at: Option<u64>,
    /// When the next fetch is due, unless an unknown key causes one before; `None` for keys that are not fetched.
    pub next_at: Option<u64>,
    /// Since when every attempt has failed; `None` while they succeed.
    pub failing_since: Option<u64>,
    /// Kept after recovery.
    pub last_failure: Option<FetchFailure>,
    /// Since start.
    pub fetched: u64,
    /// Since start.
    pub failed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FetchFailure {
    pub at: u64,
    pub error: String,
}

/// Its numbers, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IssuerNumbers {
    /// Good answers, and files that were read, since start.
    pub fetched: u64,
    /// Attempts that brought nothing, since start.
    pub failed: u64,
    /// Keys that are good now.
    pub keys: usize,
    /// When a good answer last came, since 1970 UTC in seconds.
    pub fetched_at: Option<u64>,
}
