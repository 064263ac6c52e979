//! What a rule counts with, wherever that is.
//!
//! Limits that several gateways share will be further variants here: a rule does not know where it is counted. A counter answers
//! without waiting, so a shared one has to hold a stock of its own that is filled up in the background.

use std::sync::Arc;
use std::time::Duration;

use super::key::Keyed;
use super::local::{concurrency, quota, rate};
use crate::base::reason::Reason;

/// The counters of one rule; shared by all snapshots that have the rule.
#[derive(Clone, Debug)]
pub(super) enum Counter {
    Rate(Arc<rate::Rate>),
    Quota { limit: u64, quota: Arc<quota::Quota> },
    Concurrency { limit: u32, concurrency: Arc<concurrency::Concurrency> },
}

/// A request to a counter.
pub(super) struct Question<'a> {
    /// For rules that count by key.
    pub(super) key: Option<Keyed>,
    /// The same key for people and for keeping; asked for once for a new key.
    pub(super) text: &'a dyn Fn() -> Box<str>,
    pub(super) cost: u32,
    /// Nanoseconds of the ledger.
    pub(super) at: u64,
    /// Since 1970 UTC.
    pub(super) now: Duration,
}

/// What a counter has taken from somebody.
#[derive(Debug)]
pub(super) enum Charge {
    Rate(rate::Charge),
    Quota(quota::Charge),
    Concurrency(concurrency::Permit),
}

/// How a counter is after it was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Level {
    Rate(rate::Level),
    Quota(quota::Level),
    Concurrency(concurrency::Level),
}

impl Counter {
    /// Charges a request, or nothing and tells how long to wait.
    pub(super) fn charge(&self, question: &Question<'_>) -> (Result<Charge, Duration>, Level) {
        let Question { key, text, cost, at, now } = *question;
        match self {
            Self::Rate(rate) => {
                let (charged, level) = rate.charge(key, cost, at);
                (charged.map(Charge::Rate), Level::Rate(level))
            }
            Self::Quota { limit, quota } => {
                let (charged, level) = quota.charge(key, text, (cost, *limit), at, now);
                (charged.map(Charge::Quota), Level::Quota(level))
            }
            Self::Concurrency { limit, concurrency } => {
                let (permit, level) = concurrency.enter(key, *limit, at);
                // Nobody knows when another request ends.
                (permit.map(Charge::Concurrency).ok_or(Duration::ZERO), Level::Concurrency(level))
            }
        }
    }

    /// Takes a charge back; `now` in nanoseconds of the ledger.
    pub(super) fn give_back(&self, charge: Charge, now: impl Fn() -> u64) {
        match (self, charge) {
            (Self::Rate(rate), Charge::Rate(charge)) => rate.give_back(&charge, now),
            (Self::Quota { quota, .. }, Charge::Quota(charge)) => quota.give_back(&charge),
            (Self::Concurrency { concurrency, .. }, Charge::Concurrency(permit)) => concurrency.give_back(permit),
            // A charge is given back to the counter that it is from.
            _ => {}
        }
    }

    /// Why a request does not pass here.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Rate(_) => Reason::RateLimited,
            Self::Quota { .. } => Reason::QuotaExceeded,
            Self::Concurrency { .. } => Reason::ConcurrencyLimited,
        }
    }
}

impl Level {
    /// After so much has been given back.
    pub(super) fn rise(&mut self, cost: u32) {
        match self {
            Self::Rate(level) => {
                level.missing = level.missing.saturating_sub(level.interval.saturating_mul(u64::from(cost)));
            }
            Self::Quota(level) => level.left = level.left.saturating_add(u64::from(cost)).min(level.limit),
            Self::Concurrency(level) => level.left = level.left.saturating_add(1),
        }
    }
}
