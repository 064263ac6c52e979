//! How much callers may: rates, quotas, requests in flight.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::base::reason::Reason;
use crate::config::checked::limits::{LimitFields, Limits};

/// The state of all limits of the gateway; long-lived. What a reload does not change goes on counting.
#[derive(Debug, Default)]
pub struct Ledger {}

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

/// The limits of a route, or of one partner.
#[derive(Debug, Default)]
pub struct Rules {}

/// What limits look at.
pub struct Asked<'a> {
    pub partner: Option<&'a str>,
    pub plan: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub address: IpAddr,
    pub header: &'a dyn Fn(&HeaderName) -> Option<&'a [u8]>,
    /// What the request counts for.
    pub cost: u32,
    /// For rates.
    pub at: std::time::Instant,
    /// Since 1970 UTC.
    pub now: Duration,
}

/// What a request has been charged, until it ends: permits in flight go back when this is dropped.
#[derive(Debug, Default)]
pub struct Granted {}

/// A limit that would have refused.
#[derive(Debug)]
pub struct Observed {
    pub reason: Reason,
    pub name: Arc<str>,
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

impl Ledger {
    /// The rules for these limits, with the state of those that were the same before.
    #[must_use]
    pub fn rules(&self, scope: Scope<'_>, limits: &Limits) -> Rules {
        let _ = (scope, limits);
        Rules {}
    }
}

impl Rules {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whether something here can be asked before anybody knows who calls: limits by route, address and field alone.
    #[must_use]
    pub fn asks_strangers(&self) -> bool {
        false
    }
}

impl Granted {
    /// Charges a request to all of these rules, or to none. `strangers` are the limits that need no identity, the
    /// others come later in a second call.
    ///
    /// # Errors
    ///
    /// The first limit that refuses; what earlier calls charged is given back.
    pub fn charge(&mut self, rules: &Rules, strangers: bool, asked: &Asked<'_>) -> Result<(), Refused> {
        let _ = (rules, strangers, asked);
        Ok(())
    }

    /// The limits that would have refused, were they not only observed.
    pub fn take_observed(&mut self) -> Vec<Observed> {
        Vec::new()
    }

    pub fn give_back(&mut self) {}

    /// The answer fields that tell about the limits that were asked; after a refusal, too.
    pub fn fields(&self, which: LimitFields, put: impl FnMut(&'static str, &str)) {
        let _ = (which, put);
    }

    /// Gives permits back and forgets everything; memory stays.
    pub fn clear(&mut self) {}
}
