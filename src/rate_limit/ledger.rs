//! The counters of the whole gateway, over all reloads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::Scope;
use super::counter::Counter;
use super::key::Seeds;
use super::local::concurrency::Concurrency;
use super::local::quota::{Count, Quota};
use super::local::rate::Rate;
use super::rules::{Compiled, Measure, Rule, Rules, Set, Time};
use crate::base::clock;
use crate::config::checked::limits::{self, CalendarPeriod, LimitKey, Limits};

/// The state of all limits of the gateway; long-lived. What a reload does not change goes on counting.
#[derive(Debug)]
pub struct Ledger {
    time: Time,
    seeds: Seeds,
    pages: Mutex<Pages>,
}

/// How much of a quota is used up: what has to survive a restart.
///
/// `scope`, `rule` and `key` are its identity; a count of an earlier period is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaCount {
    /// Whose rule it is.
    pub scope: String,
    /// Period, keys and name of the rule.
    pub rule: String,
    /// Whose share it is; empty for a rule without keys, a digest where the key is long.
    pub key: String,
    /// When the period began, in seconds since 1970.
    pub period_start: u64,
    /// The first second after it: from then on the count is of no use.
    pub period_end: u64,
    pub count: u64,
}

#[derive(Debug, Default)]
struct Pages {
    by_scope: HashMap<Box<str>, Page>,
    /// By plan; several while one replaces another.
    plans: HashMap<Box<str>, Vec<Weak<Compiled>>>,
}

/// What is known of a scope.
#[derive(Debug, Default)]
struct Page {
    /// The rules that are in use, the newest last: those of a snapshot that was built and never published are among them for a while.
    sets: Vec<Weak<Set>>,
    /// Kept to the end of their period, in use or not: a faulty reload must not give a quota anew.
    quotas: Vec<(Box<str>, Arc<Quota>)>,
    /// Of rules that have not been asked for yet.
    restored: Vec<QuotaCount>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { time: Time { start: clock::now() }, seeds: Seeds::default(), pages: Mutex::default() }
    }
}

impl Ledger {
    /// The rules for these limits, with the counters of those that are the same in rules still in use.
    ///
    /// A rate is the same with equal name, keys, rate and burst; quota and requests in flight also with another limit, which then
    /// holds for what was counted already. Whether a rule is observed makes no difference.
    #[must_use]
    pub fn rules(&self, scope: Scope<'_>, limits: &Limits) -> Rules {
        if limits.rates.is_empty() && limits.quotas.is_empty() && limits.concurrencies.is_empty() {
            return Rules::default();
        }
        let mut pages = self.pages();
        let Pages { by_scope, plans } = &mut *pages;
        let page = by_scope.entry(scope_text(scope)).or_default();
        page.sets.retain(|set| set.strong_count() > 0);
        let in_use: Vec<Arc<Set>> = page.sets.iter().rev().filter_map(Weak::upgrade).collect();
        if let Some(same) = in_use.iter().find(|set| set.compiled.is_of(limits)) {
            return Rules { set: Some(Arc::clone(same)) };
        }
        let compiled = match scope {
            Scope::Route(_) => Arc::new(Compiled::new(limits, false, self.seeds.clone())),
            Scope::Partner { plan, .. } => self.compiled(plan, limits, plans),
        };
        let counters = compiled.rules.iter().map(|rule| page.counter(rule, &in_use)).collect();
        let set = Arc::new(Set { compiled, counters, time: self.time });
        // As a rule it stays the only one, for each of many partners.
        page.sets.reserve_exact(1);
        page.sets.push(Arc::downgrade(&set));
        Rules { set: Some(set) }
    }

    /// What a plan's rules are for all of its partners.
    fn compiled(
        &self,
        plan: &str,
        limits: &Limits,
        plans: &mut HashMap<Box<str>, Vec<Weak<Compiled>>>,
    ) -> Arc<Compiled> {
        let known = plans.entry(plan.into()).or_default();
        known.retain(|compiled| compiled.strong_count() > 0);
        if let Some(same) = known.iter().filter_map(Weak::upgrade).find(|compiled| compiled.is_of(limits)) {
            return same;
        }
        let compiled = Arc::new(Compiled::new(limits, true, self.seeds.clone()));
        known.push(Arc::downgrade(&compiled));
        compiled
    }

    /// The counts of quotas that have changed since the last call, to be kept. To be called every second or so with the time since
    /// 1970: this is also when counters of rules that are gone are dropped.
    #[must_use]
    pub fn changed_quotas(&self, now: Duration) -> Vec<QuotaCount> {
        let mut changed = Vec::new();
        let mut pages = self.pages();
        pages.by_scope.retain(|scope, page| {
            for (rule, quota) in &page.quotas {
                quota.changed(|Count { key, period_start, period_end, count }| {
                    let (scope, rule, key) = (String::from(&**scope), String::from(&**rule), String::from(key));
                    changed.push(QuotaCount { scope, rule, key, period_start, period_end, count });
                });
            }
            page.sets.retain(|set| set.strong_count() > 0);
            page.restored.retain(|count| now.as_secs() < count.period_end);
            page.quotas.retain(|(_, quota)| Arc::strong_count(quota) > 1 || !quota.is_over(now));
            !page.sets.is_empty() || !page.quotas.is_empty() || !page.restored.is_empty()
        });
        pages.plans.retain(|_, known| known.iter().any(|compiled| compiled.strong_count() > 0));
        changed
    }

    /// Takes up counts that were kept; before the first request, since a key that has been counted goes on from there.
    pub fn restore(&self, counts: Vec<QuotaCount>) {
        let mut pages = self.pages();
        for count in counts {
            let page = pages.by_scope.entry(count.scope.as_str().into()).or_default();
            match page.quotas.iter().find(|(rule, _)| **rule == *count.rule) {
                Some((_, quota)) => quota.restore(count.into()),
                None => page.restored.push(count),
            }
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    /// The counter of a rule: that of the same rule where there is one.
    fn counter(&mut self, rule: &Rule, in_use: &[Arc<Set>]) -> Counter {
        match &rule.measure {
            Measure::Rate(rate) => {
                let same = find(in_use, |known, counter| match (known, counter) {
                    (Measure::Rate(known), Counter::Rate(counter)) if is_same(known, rate) => Some(counter),
                    _ => None,
                });
                Counter::Rate(same.unwrap_or_else(|| Arc::new(Rate::new(rate, rule.by_key))))
            }
            Measure::Quota(quota) => Counter::Quota { limit: quota.limit.get(), quota: self.quota(quota, rule.by_key) },
            Measure::Concurrency(limit) => {
                let same = find(in_use, |known, counter| match (known, counter) {
                    (Measure::Concurrency(known), Counter::Concurrency { concurrency, .. })
                        if known.name == limit.name && known.per == limit.per =>
                    {
                        Some(concurrency)
                    }
                    _ => None,
                });
                let concurrency = same.unwrap_or_else(|| Arc::new(Concurrency::new(rule.by_key)));
                Counter::Concurrency { limit: limit.limit.get(), concurrency }
            }
        }
    }

    fn quota(&mut self, rule: &limits::Quota, by_key: bool) -> Arc<Quota> {
        let text = rule_text(rule);
        if let Some((_, quota)) = self.quotas.iter().find(|(known, _)| *known == text) {
            return Arc::clone(quota);
        }
        let quota = Arc::new(Quota::new(rule.period, by_key));
        for count in self.restored.extract_if(.., |count| *count.rule == *text) {
            quota.restore(count.into());
        }
        self.quotas.reserve_exact(1);
        self.quotas.push((text, Arc::clone(&quota)));
        quota
    }
}

/// The newest counter that `same` takes for the one that is looked for.
fn find<'a, T: 'a>(
    in_use: &'a [Arc<Set>],
    same: impl Fn(&'a Measure, &'a Counter) -> Option<&'a Arc<T>>,
) -> Option<Arc<T>> {
    let mut known = in_use.iter().flat_map(|set| set.compiled.rules.iter().zip(&set.counters));
    known.find_map(|(rule, counter)| same(&rule.measure, counter).cloned())
}

fn is_same(one: &limits::Rate, other: &limits::Rate) -> bool {
    let identity = |rate: &limits::Rate| (rate.permits, rate.period, rate.burst);
    one.name == other.name && one.per == other.per && identity(one) == identity(other)
}

/// Different scopes have different texts, whatever their names are.
fn scope_text(scope: Scope<'_>) -> Box<str> {
    match scope {
        Scope::Route(route) => format!("route {route}"),
        Scope::Partner { partner, plan } => format!("partner {}:{partner} {plan}", partner.len()),
    }
    .into()
}

/// Different quotas of a scope have different texts. Names of fields have neither comma nor space.
fn rule_text(quota: &limits::Quota) -> Box<str> {
    let period = match quota.period {
        CalendarPeriod::Hour => "hour",
        CalendarPeriod::Day => "day",
        CalendarPeriod::Week => "week",
        CalendarPeriod::Month => "month",
    };
    let mut text = period.to_owned();
    for key in &quota.per {
        text.push(if text.len() == period.len() { ' ' } else { ',' });
        match key {
            LimitKey::Route => text.push_str("route"),
            LimitKey::Partner => text.push_str("partner"),
            LimitKey::Plan => text.push_str("plan"),
            LimitKey::Subject => text.push_str("subject"),
            LimitKey::Address => text.push_str("address"),
            LimitKey::Header(name) => {
                text.push_str("header:");
                text.push_str(name.as_str());
            }
        }
    }
    text.push_str(" of ");
    text.push_str(&quota.name);
    text.into()
}

impl From<QuotaCount> for Count {
    fn from(count: QuotaCount) -> Self {
        let QuotaCount { key, period_start, period_end, count, .. } = count;
        Self { key: key.into(), period_start, period_end, count }
    }
}
