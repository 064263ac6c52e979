//! The limits of a route or of a partner, compiled.

use std::sync::Arc;
use std::time::Instant;

use super::counter::Counter;
use super::fields::Texts;
use super::key::Seeds;
use crate::config::checked::limits::{self, LimitKey, Limits};

/// The limits of a route, or of one partner.
#[derive(Debug, Default)]
pub struct Rules {
    /// `None` when there are none.
    pub(super) set: Option<Arc<Set>>,
}

/// Rules with their counters.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) compiled: Arc<Compiled>,
    /// As the rules.
    pub(super) counters: Box<[Counter]>,
    pub(super) time: Time,
}

/// All that the partners of a plan have in common.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) limits: Limits,
    /// Those that strangers are asked by come first.
    pub(super) rules: Box<[Rule]>,
    /// How many these are.
    pub(super) by_strangers: usize,
    pub(super) texts: Texts,
    pub(super) seeds: Seeds,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) measure: Measure,
    /// Whether it counts by key, and not all requests of its scope together.
    pub(super) by_key: bool,
    /// Whether its keys are those of the rule before it.
    pub(super) same_keys: bool,
}

/// One of the limits, as it was configured.
#[derive(Debug)]
pub(super) enum Measure {
    Rate(limits::Rate),
    Quota(limits::Quota),
    Concurrency(limits::Concurrency),
}

/// The time of a ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) start: Instant,
}

impl Time {
    /// Nanoseconds since the ledger was opened.
    pub(super) fn nanos(self, at: Instant) -> u64 {
        // Within 146 years, so that sums with what buckets miss do not overflow.
        u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX).min(1 << 62)
    }
}

impl Rules {
    /// The names of the limits.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let rules = self.set.iter().flat_map(|set| &set.compiled.rules);
        rules.map(|rule| &**rule.measure.name())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_none()
    }

    /// Whether something here can be asked before anybody knows who calls: limits by address and field alone.
    #[must_use]
    pub fn asks_strangers(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.compiled.by_strangers > 0)
    }
}

impl Set {
    /// Rules and counters of one phase, and the number of the first.
    pub(super) fn phase(&self, strangers: bool) -> (usize, &[Rule], &[Counter]) {
        let (rules, counters, first) = (&*self.compiled.rules, &*self.counters, self.compiled.by_strangers);
        let (from, to) = if strangers { (0, first) } else { (first, rules.len()) };
        (from, rules.get(from..to).unwrap_or_default(), counters.get(from..to).unwrap_or_default())
    }
}

impl Compiled {
    /// Rules of a route, or with `one_partner` of somebody who is one and the same in all requests.
    pub(super) fn new(limits: &Limits, one_partner: bool, seeds: Seeds) -> Self {
        let Limits { rates, quotas, concurrencies } = limits;
        let measures = rates.iter().cloned().map(Measure::Rate);
        let measures = measures.chain(quotas.iter().cloned().map(Measure::Quota));
        let measures = measures.chain(concurrencies.iter().cloned().map(Measure::Concurrency));
        let for_strangers = |measure: &Measure| !one_partner && is_for_strangers(measure.per());
        let (mut measures, callers): (Vec<_>, Vec<_>) = measures.partition(for_strangers);
        let by_strangers = measures.len();
        measures.extend(callers);

        let mut rules: Vec<Rule> = Vec::with_capacity(measures.len());
        for measure in measures {
            let by_key = measure.per().iter().any(|key| tells_apart(key, one_partner));
            let same_keys = rules.last().is_some_and(|rule| rule.measure.per() == measure.per());
            rules.push(Rule { measure, by_key, same_keys });
        }
        let texts = Texts::new(&rules, by_strangers);
        Self { limits: limits.clone(), rules: rules.into(), by_strangers, texts, seeds }
    }

    pub(super) fn is_of(&self, limits: &Limits) -> bool {
        let Limits { rates, quotas, concurrencies } = &self.limits;
        *rates == limits.rates && *quotas == limits.quotas && *concurrencies == limits.concurrencies
    }
}

impl Measure {
    pub(super) fn name(&self) -> &Arc<str> {
        match self {
            Self::Rate(rate) => &rate.name,
            Self::Quota(quota) => &quota.name,
            Self::Concurrency(concurrency) => &concurrency.name,
        }
    }

    pub(super) fn per(&self) -> &[LimitKey] {
        match self {
            Self::Rate(rate) => &rate.per,
            Self::Quota(quota) => &quota.per,
            Self::Concurrency(concurrency) => &concurrency.per,
        }
    }

    pub(super) fn observe(&self) -> bool {
        match self {
            Self::Rate(rate) => rate.observe,
            Self::Quota(quota) => quota.observe,
            Self::Concurrency(concurrency) => concurrency.observe,
        }
    }
}

/// Whether requests of one scope can differ in it.
fn tells_apart(key: &LimitKey, one_partner: bool) -> bool {
    match key {
        LimitKey::Route => false,
        LimitKey::Partner | LimitKey::Plan => !one_partner,
        LimitKey::Subject | LimitKey::Address | LimitKey::Header(_) => true,
    }
}

/// Whether a rule by these keys is asked before anybody knows who calls. One for the whole route is not: strangers could use it up.
fn is_for_strangers(per: &[LimitKey]) -> bool {
    let needs_identity = |key: &LimitKey| matches!(key, LimitKey::Partner | LimitKey::Plan | LimitKey::Subject);
    let tells_strangers_apart = |key: &LimitKey| matches!(key, LimitKey::Address | LimitKey::Header(_));
    !per.iter().any(needs_identity) && per.iter().any(tells_strangers_apart)
}
