//! How much callers may.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::base::location::Location;

/// What partners have agreed on; each has it for itself, over all routes.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: Arc<str>,
    /// All of them `per: partner`.
    pub limits: Limits,
    pub at: Location,
}

/// All have to allow a request, and a request that one of them refuses is charged to none.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub rates: Vec<Rate>,
    pub quotas: Vec<Quota>,
    pub concurrencies: Vec<Concurrency>,
}

/// At most `burst + permits · t / period` in any time `t` (GCRA).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Unique; appears in logs, metrics and answers.
    pub name: Arc<str>,
    pub per: Vec<LimitKey>,
    pub permits: NonZeroU32,
    pub period: Duration,
    pub burst: NonZeroU32,
    /// Count and log what would be refused, and let it pass.
    pub observe: bool,
}

/// At most `limit` in each calendar period, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    pub name: Arc<str>,
    pub per: Vec<LimitKey>,
    pub limit: NonZeroU64,
    pub period: CalendarPeriod,
    pub observe: bool,
}

/// At most `limit` at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concurrency {
    pub name: Arc<str>,
    pub per: Vec<LimitKey>,
    pub limit: NonZeroU32,
    pub observe: bool,
}

/// What has a limit of its own; several together are one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// All requests of the route together.
    Route,
    /// Callers that are no partner are told apart by subject, then by address.
    Partner,
    Plan,
    Subject,
    /// IPv6 by its /64.
    Address,
    /// The value of a request field; all requests without it together.
    Header(HeaderName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CalendarPeriod {
    Hour,
    Day,
    /// From Monday on (ISO 8601).
    Week,
    Month,
}

/// Which fields tell clients about their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitFields {
    Off,
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    #[default]
    Standard,
    /// And `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    Both,
}
