//! How much callers may: rates, quotas, requests in flight.
//!
//! A [`Ledger`] has the counters of the whole gateway and makes [`Rules`] of what is configured; a request keeps what it was
//! charged in [`Granted`]. Where a rule counts is a `counter::Counter`: today always in this process (`local`); limits that
//! several gateways share are to be further variants of it. What each limit promises: docs/limits.md.

mod counter;
mod fields;
mod granted;
mod key;
mod ledger;
mod local;
mod rules;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderName;

use crate::base::reason::Reason;

pub use granted::{Granted, Observed};
pub use ledger::{Ledger, QuotaCount};
pub use rules::Rules;

/// Whose limits they are: part of their identity.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    Route(&'a str),
    /// One partner's own share of a plan.
    Partner {
        partner: &'a str,
        plan: &'a str,
    },
}

/// What limits look at.
pub struct Asked<'a> {
    pub partner: Option<&'a str>,
    pub plan: Option<&'a str>,
    /// Who says that it is this subject: one of another authority is another one.
    pub authority: &'a str,
    pub subject: Option<&'a str>,
    pub address: IpAddr,
    pub header: &'a dyn Fn(&HeaderName) -> Option<&'a [u8]>,
    /// What the request counts for, towards rates and quotas.
    pub cost: u32,
    /// For rates, which a clock that is set must not touch. Taken anew for a request that was undone and is asked again: what was given
    /// back is there from then on. In the future, for trials in which no time passes.
    pub at: Instant,
    /// Since 1970 UTC, for the periods of quotas.
    pub now: Duration,
}

/// A request that is over a limit; it has been charged nothing.
#[derive(Debug)]
pub struct Refused {
    pub reason: Reason,
    /// Name of the limit.
    pub limit: Arc<str>,
    /// When it would have passed, if nothing else came; rounded up to whole seconds, at least one.
    pub retry_after: Duration,
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
