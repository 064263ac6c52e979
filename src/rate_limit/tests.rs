//! What each limit does, one request after the other.

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Instant;

use super::*;
use crate::base::clock;
use crate::config::checked::limits::{CalendarPeriod, Concurrency, LimitKey, Limits, Quota, Rate};

/// Monday, 2026-11-23 10:00:00 UTC.
const MORNING: Duration = Duration::from_secs(1_795_428_000);

pub(super) fn rate(name: &str, per: &[LimitKey], permits: u32, period: Duration, burst: u32) -> Rate {
    Rate {
        name: name.into(),
        per: per.into(),
        permits: NonZeroU32::new(permits).unwrap(),
        period,
        burst: NonZeroU32::new(burst).unwrap(),
        observe: false,
    }
}

pub(super) fn quota(name: &str, per: &[LimitKey], limit: u64, period: CalendarPeriod) -> Quota {
    Quota { name: name.into(), per: per.into(), limit: NonZeroU64::new(limit).unwrap(), period, observe: false }
}

pub(super) fn concurrency(name: &str, per: &[LimitKey], limit: u32) -> Concurrency {
    Concurrency { name: name.into(), per: per.into(), limit: NonZeroU32::new(limit).unwrap(), observe: false }
}

/// A caller at a time that the test sets.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) partner: Option<&'a str>,
    pub(super) plan: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) address: IpAddr,
    pub(super) header: Option<&'a [u8]>,
    pub(super) cost: u32,
    pub(super) start: Instant,
    pub(super) elapsed: Duration,
    pub(super) now: Duration,
}

impl<'a> Caller<'a> {
    pub(super) fn new() -> Self {
        Self {
            partner: None,
            plan: None,
            subject: None,
            address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
            header: None,
            cost: 1,
            // Nothing of what the test does is before what the clock says.
            start: clock::now() + Duration::from_secs(3_600),
            elapsed: Duration::ZERO,
            now: MORNING,
        }
    }

    pub(super) fn asks(&self, granted: &mut Granted, rules: &Rules, strangers: bool) -> Result<(), Refused> {
        let header = self.header;
        let asked = Asked {
            partner: self.partner,
            plan: self.plan,
            subject: self.subject,
            address: self.address,
            header: &|_| header,
            cost: self.cost,
            at: self.start + self.elapsed,
            now: self.now + self.elapsed,
        };
        granted.charge(rules, strangers, &asked)
    }

    /// Whether a request passes both phases; it is over at once.
    pub(super) fn passes(&self, rules: &Rules) -> bool {
        self.outcome(rules).is_ok()
    }

    pub(super) fn outcome(&self, rules: &Rules) -> Result<(), Refused> {
        let mut granted = Granted::default();
        self.asks(&mut granted, rules, true)?;
        self.asks(&mut granted, rules, false)
    }

    fn passing(&self, rules: &Rules, requests: usize) -> usize {
        (0..requests).filter(|_| self.passes(rules)).count()
    }
}

pub(super) fn of_route(ledger: &Ledger, limits: &Limits) -> Rules {
    ledger.rules(Scope::Route("orders"), limits)
}

fn rates(rates: &[Rate]) -> Limits {
    Limits { rates: rates.to_vec(), ..Limits::default() }
}

fn quotas(quotas: &[Quota]) -> Limits {
    Limits { quotas: quotas.to_vec(), ..Limits::default() }
}

fn concurrencies(concurrencies: &[Concurrency]) -> Limits {
    Limits { concurrencies: concurrencies.to_vec(), ..Limits::default() }
}

const SECOND: Duration = Duration::from_secs(1);
const ALL: &[LimitKey] = &[LimitKey::Route];

#[test]
fn without_limits_everything_passes() {
    let rules = of_route(&Ledger::default(), &Limits::default());
    assert!(rules.is_empty() && !rules.asks_strangers());
    assert_eq!(Caller::new().passing(&rules, 1_000), 1_000);
}

#[test]
fn a_rate_lets_its_burst_through_and_then_one_by_one() {
    let rules = of_route(&Ledger::default(), &rates(&[rate("all", ALL, 10, SECOND, 5)]));
    let mut caller = Caller::new();
    assert_eq!(caller.passing(&rules, 100), 5);
    let refused = caller.outcome(&rules).unwrap_err();
    assert_eq!((refused.reason, &*refused.limit, refused.retry_after), (Reason::RateLimited, "all", SECOND));
    caller.elapsed = Duration::from_nanos(99_999_999);
    assert_eq!(caller.passing(&rules, 100), 0);
    caller.elapsed = Duration::from_millis(100);
    assert_eq!(caller.passing(&rules, 100), 1);
    caller.elapsed = Duration::from_secs(3_600);
    assert_eq!(caller.passing(&rules, 100), 5);
}

#[test]
fn retry_after_is_exact_for_what_the_request_costs() {
    let rules = of_route(&Ledger::default(), &rates(&[rate("all", ALL, 1, Duration::from_secs(7), 4)]));
    let mut caller = Caller::new();
    assert_eq!(caller.passing(&rules, 9), 4);
    for cost in 1..=4 {
        caller.cost = cost;
        let retry_after = caller.outcome(&rules).unwrap_err().retry_after;
        assert_eq!(retry_after, Duration::from_secs(7 * u64::from(cost)));
    }
    caller.elapsed = Duration::from_secs(28) - Duration::from_nanos(1);
    assert!(!caller.passes(&rules));
    caller.elapsed = Duration::from_secs(28);
    assert!(caller.passes(&rules));
}

#[test]
fn what_costs_more_than_a_burst_never_passes_and_is_charged_nothing() {
    let rules = of_route(&Ledger::default(), &rates(&[rate("all", ALL, 10, SECOND, 5)]));
    let mut caller = Caller::new();
    caller.cost = 6;
    assert_eq!(caller.outcome(&rules).unwrap_err().retry_after, SECOND);
    caller.cost = 5;
    assert!(caller.passes(&rules));
    caller.cost = 0;
    assert!(caller.passes(&rules));
    caller.cost = 1;
    assert!(!caller.passes(&rules));
}

#[test]
fn a_quota_begins_anew_exactly_with_its_period() {
    for (period, left) in [
        (CalendarPeriod::Hour, 3_600),
        (CalendarPeriod::Day, 14 * 3_600),
        (CalendarPeriod::Week, (6 * 24 + 14) * 3_600),
        (CalendarPeriod::Month, (7 * 24 + 14) * 3_600),
    ] {
        let rules = of_route(&Ledger::default(), &quotas(&[quota("all", ALL, 3, period)]));
        let mut caller = Caller::new();
        assert_eq!(caller.passing(&rules, 9), 3, "{period:?}");
        let refused = caller.outcome(&rules).unwrap_err();
        assert_eq!((refused.reason, refused.retry_after.as_secs()), (Reason::QuotaExceeded, left), "{period:?}");
        caller.elapsed = Duration::from_secs(left) - Duration::from_nanos(1);
        assert_eq!(caller.outcome(&rules).unwrap_err().retry_after, SECOND);
        caller.elapsed = Duration::from_secs(left);
        assert_eq!(caller.passing(&rules, 9), 3, "{period:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_gives_no_quota_anew() {
    let rules = of_route(&Ledger::default(), &quotas(&[quota("all", ALL, 3, CalendarPeriod::Hour)]));
    let mut caller = Caller::new();
    assert_eq!(caller.passing(&rules, 2), 2);
    let later = [3_600, 3_599, 3_600, 0, 3_599];
    let passed = later.map(|elapsed| {
        caller.now = MORNING + Duration::from_secs(elapsed);
        caller.passing(&rules, 2)
    });
    assert_eq!(passed, [2, 1, 0, 0, 0]);
    // Far back: counted on, in the period that is now.
    caller.now = MORNING - Duration::from_secs(86_400);
    assert_eq!(caller.passing(&rules, 2), 0);
    caller.now += Duration::from_secs(3_600);
    assert_eq!(caller.passing(&rules, 9), 3);
}

#[test]
fn requests_in_flight_are_counted_until_their_end() {
    let ledger = Ledger::default();
    let rules = of_route(&ledger, &concurrencies(&[concurrency("few", ALL, 2)]));
    let caller = Caller::new();
    let (mut one, mut other, mut third) = (Granted::default(), Granted::default(), Granted::default());
    caller.asks(&mut one, &rules, false).unwrap();
    caller.asks(&mut other, &rules, false).unwrap();
    let refused = caller.asks(&mut third, &rules, false).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (Reason::ConcurrencyLimited, SECOND));
    drop(third);
    assert!(!caller.passes(&rules));
    one.clear();
    one.clear();
    assert!(caller.passes(&rules));
    caller.asks(&mut one, &rules, false).unwrap();
    assert!(!caller.passes(&rules));
    drop((one, other));
    assert!(caller.passes(&rules));
}

#[test]
fn a_request_that_one_rule_refuses_is_charged_to_none() {
    let ledger = Ledger::default();
    let limits = Limits {
        rates: vec![rate("fast", ALL, 1, SECOND, 10), rate("slow", &[LimitKey::Subject], 1, SECOND, 4)],
        quotas: vec![quota("hourly", ALL, 10, CalendarPeriod::Hour)],
        concurrencies: vec![concurrency("few", ALL, 10)],
    };
    let rules = of_route(&ledger, &limits);
    let mut caller = Caller { subject: Some("ada"), ..Caller::new() };
    assert_eq!(caller.passing(&rules, 100), 4);
    caller.subject = Some("bob");
    assert_eq!(caller.passing(&rules, 100), 4);
    caller.subject = Some("cyd");
    assert_eq!(caller.passing(&rules, 100), 2);
}

#[test]
fn observed_rules_let_pass_and_tell_what_they_would_not() {
    let ledger = Ledger::default();
    let limits = Limits {
        rates: vec![Rate { observe: true, ..rate("shy", ALL, 1, SECOND, 2) }, rate("loud", ALL, 1, SECOND, 4)],
        ..Limits::default()
    };
    let rules = of_route(&ledger, &limits);
    let mut granted = Granted::default();
    let observed: Vec<Vec<String>> = (0..4)
        .map(|_| {
            granted.clear();
            Caller::new().asks(&mut granted, &rules, false).unwrap();
            granted.observed().iter().map(|observed| observed.limit.to_string()).collect()
        })
        .collect();
    assert_eq!(observed, [vec![], vec![], vec!["shy"], vec!["shy"]]);
    assert!(!Caller::new().passes(&rules));
}
