//! `Cache-Control` of requests and answers (RFC 9111 §5.2), `Pragma` (§5.4) and `CDN-Cache-Control` (RFC 9213).

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::Fields;

/// What a request asks of caches (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    pub max_age: Option<Duration>,
    /// How stale an answer may be; the longest time for any staleness.
    pub max_stale: Option<Duration>,
    pub min_fresh: Option<Duration>,
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
    /// RFC 5861 §4.
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    /// `Pragma: no-cache` counts when there is no `Cache-Control`.
    #[must_use]
    pub fn of(_fields: &dyn Fields) -> Self {
        Self::default()
    }
}

/// A directive that may be about some fields only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// Not there.
    #[default]
    Nothing,
    /// The whole answer.
    Everything,
    /// These fields of it.
    Fields(Box<[HeaderName]>),
}

/// What an answer allows caches (RFC 9111 §5.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    pub max_age: Option<Duration>,
    pub s_maxage: Option<Duration>,
    pub no_cache: About,
    pub private: About,
    pub no_store: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    /// RFC 5861 §3.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 §4.
    pub stale_if_error: Option<Duration>,
    /// They came from `CDN-Cache-Control`: `Cache-Control` and `Expires` do not count (RFC 9213 §2.1).
    pub targeted: bool,
}

impl ResponseDirectives {
    #[must_use]
    pub fn of(_fields: &HeaderMap) -> Self {
        Self { no_store: true, ..Self::default() }
    }
}
