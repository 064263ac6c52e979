//! What each limit does, one request after the other.

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Instant;

use super::*;
use crate::base::clock;
use crate::config::checked::limits::{CalendarPeriod, Concurrency, LimitFields, LimitKey, Limits, Quota, Rate};

/// Monday, 2026-11-23 10:00:00 UTC.
pub(super) const MORNING: Duration = Duration::from_secs(1_795_428_000);

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
            authority: "main",
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
const ADDRESS: &[LimitKey] = &[LimitKey::Address];

#[test]
fn without_limits_everything_passes() {
    let rules = of_route(&Ledger::default(), &Limits::default());
    assert!(rules.is_empty() && !rules.asks_strangers());
    let all = of_route(&Ledger::default(), &rates(&[rate("all", ALL, 1, SECOND, 1)]));
    assert!(!all.is_empty() && !all.asks_strangers(), "strangers could use it up");
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

#[test]
fn strangers_are_asked_only_by_rules_that_need_no_identity() {
    let header = LimitKey::Header(HeaderName::from_static("x-tenant"));
    let limits = Limits {
        rates: vec![
            rate("subject", &[LimitKey::Subject], 1, SECOND, 1),
            rate("header", &[header, LimitKey::Address], 1, SECOND, 2),
        ],
        quotas: vec![quota("partner", &[LimitKey::Partner], 1, CalendarPeriod::Day)],
        concurrencies: vec![concurrency("address", &[LimitKey::Route, LimitKey::Address], 1)],
    };
    let rules = of_route(&Ledger::default(), &limits);
    assert!(rules.asks_strangers());
    let caller = Caller::new();
    let (mut first, mut second) = (Granted::default(), Granted::default());
    caller.asks(&mut first, &rules, true).unwrap();
    assert_eq!(&*caller.asks(&mut second, &rules, true).unwrap_err().limit, "address");
    first.clear();
    caller.asks(&mut first, &rules, true).unwrap();
    first.clear();
    assert_eq!(&*caller.asks(&mut first, &rules, true).unwrap_err().limit, "header");
    caller.asks(&mut first, &rules, false).unwrap();
    assert_eq!(&*caller.asks(&mut second, &rules, false).unwrap_err().limit, "subject");

    let plan = rates(&[rate("plan", &[LimitKey::Partner], 1, SECOND, 1)]);
    let rules = Ledger::default().rules(Scope::Partner { partner: "acme", plan: "gold" }, &plan);
    assert!(!rules.asks_strangers() && !rules.is_empty());
    first.clear();
    caller.asks(&mut first, &rules, true).unwrap();
    assert!(first.asked_nothing());
}

#[test]
fn what_a_first_call_charged_goes_back_when_a_second_refuses() {
    let ledger = Ledger::default();
    let route = Limits { concurrencies: vec![concurrency("few", ALL, 1)], ..rates(&[rate("all", ALL, 1, SECOND, 3)]) };
    let route = of_route(&ledger, &route);
    let plan = quotas(&[quota("daily", &[LimitKey::Partner], 1, CalendarPeriod::Day)]);
    let plan = ledger.rules(Scope::Partner { partner: "acme", plan: "gold" }, &plan);
    let caller = Caller { partner: Some("acme"), plan: Some("gold"), ..Caller::new() };
    let mut granted = Granted::default();
    for expected in [true, false, false, false, false] {
        granted.clear();
        caller.asks(&mut granted, &route, false).unwrap();
        assert_eq!(caller.asks(&mut granted, &plan, false).is_ok(), expected);
    }
    // The permit, too, before the refused request is over.
    let mut other = Granted::default();
    caller.asks(&mut other, &route, false).unwrap();
    other.clear();
    assert_eq!(caller.passing(&route, 9), 1);
}

/// As when a request has to wait for keys, and is then decided about once more.
#[test]
fn what_is_undone_leaves_no_trace() {
    let limits = Limits {
        quotas: vec![quota("daily", ADDRESS, 1, CalendarPeriod::Day)],
        concurrencies: vec![concurrency("few", ALL, 1)],
        ..rates(&[rate("one", ALL, 1, SECOND, 1)])
    };
    let rules = of_route(&Ledger::default(), &limits);
    let mut granted = Granted::default();
    for _ in 0..3 {
        let caller = Caller { start: clock::now(), ..Caller::new() };
        caller.asks(&mut granted, &rules, true).unwrap();
        caller.asks(&mut granted, &rules, false).unwrap();
        granted.undo();
        assert!(granted.asked_nothing());
    }
    assert_eq!(Caller { start: clock::now(), ..Caller::new() }.passing(&rules, 9), 1);
}

#[test]
fn keys_have_limits_of_their_own() {
    let limits = rates(&[rate("each", &[LimitKey::Partner, LimitKey::Address], 1, SECOND, 2)]);
    let rules = of_route(&Ledger::default(), &limits);
    let caller = Caller { partner: Some("acme"), ..Caller::new() };
    assert_eq!(caller.passing(&rules, 9), 2);
    assert_eq!(Caller { partner: Some("bolt"), ..caller }.passing(&rules, 9), 2);
    assert_eq!(Caller { address: IpAddr::V4(Ipv4Addr::LOCALHOST), ..caller }.passing(&rules, 9), 2);
    assert_eq!(caller.passing(&rules, 9), 0);
}

#[test]
fn partners_of_a_plan_have_it_each_for_itself() {
    let ledger = Ledger::default();
    let plan = rates(&[rate("plan", &[LimitKey::Partner], 1, SECOND, 2)]);
    let [acme, bolt] = ["acme", "bolt"].map(|partner| ledger.rules(Scope::Partner { partner, plan: "gold" }, &plan));
    let caller = Caller::new();
    assert_eq!((caller.passing(&acme, 9), caller.passing(&bolt, 9)), (2, 2));
    // Names that run into each other are different partners.
    let [one, other] = [("a b", "c"), ("a", "b c")]
        .map(|(partner, plan_name)| ledger.rules(Scope::Partner { partner, plan: plan_name }, &plan));
    assert_eq!((caller.passing(&one, 9), caller.passing(&other, 9)), (2, 2));
}

#[test]
fn rules_in_use_go_on_counting_over_a_reload() {
    let ledger = Ledger::default();
    let kept = rate("kept", &[LimitKey::Subject], 1, SECOND, 4);
    let before = of_route(&ledger, &rates(&[rate("changed", ALL, 1, SECOND, 2), kept.clone()]));
    let caller = Caller { subject: Some("ada"), ..Caller::new() };
    assert_eq!(caller.passing(&before, 9), 2);

    let observed = Rate { observe: true, ..kept.clone() };
    let after = of_route(&ledger, &rates(&[rate("changed", ALL, 1, SECOND, 9), observed]));
    let mut granted = Granted::default();
    let observed = (0..4).map(|_| {
        granted.clear();
        caller.asks(&mut granted, &after, true).unwrap();
        caller.asks(&mut granted, &after, false).unwrap();
        granted.observed().len()
    });
    assert_eq!(observed.collect::<Vec<_>>(), [0, 0, 1, 1]);

    // Nobody has these any more.
    drop((before, after));
    granted.clear();
    let anew = of_route(&ledger, &rates(&[kept]));
    assert_eq!(caller.passing(&anew, 9), 4);
}

#[test]
fn the_same_limits_are_the_same_rules() {
    let ledger = Ledger::default();
    let limits = rates(&[rate("all", ALL, 1, SECOND, 2)]);
    let (one, other) = (of_route(&ledger, &limits), of_route(&ledger, &limits));
    assert!(Arc::ptr_eq(one.set.as_ref().unwrap(), other.set.as_ref().unwrap()));
    let plan = |partner| ledger.rules(Scope::Partner { partner, plan: "gold" }, &limits);
    let (one, other) = (plan("acme"), plan("bolt"));
    assert!(Arc::ptr_eq(&one.set.as_ref().unwrap().compiled, &other.set.as_ref().unwrap().compiled));
}

#[test]
fn a_quota_and_what_is_in_flight_count_on_when_their_limit_changes() {
    let ledger = Ledger::default();
    let made = |limit: u32| Limits {
        quotas: vec![quota("daily", ALL, u64::from(limit), CalendarPeriod::Day)],
        concurrencies: vec![concurrency("few", ALL, limit)],
        ..Limits::default()
    };
    let caller = Caller::new();
    let (mut one, mut other) = (Granted::default(), Granted::default());
    let rules = of_route(&ledger, &made(3));
    caller.asks(&mut one, &rules, false).unwrap();
    caller.asks(&mut other, &rules, false).unwrap();
    let rules = of_route(&ledger, &made(2));
    assert_eq!(caller.outcome(&rules).unwrap_err().reason, Reason::QuotaExceeded);
    let rules = of_route(&ledger, &made(4));
    one.clear();
    assert_eq!(caller.passing(&rules, 9), 2);
    drop(rules);
    // Also with nobody using it for a while: the period is not over.
    assert!(ledger.changed_quotas(MORNING).len() == 1 && ledger.changed_quotas(MORNING).is_empty());
    assert_eq!(caller.passing(&of_route(&ledger, &made(5)), 9), 1);
    // It is dropped when the period is, and when other fields of it change, it is another.
    assert!(ledger.changed_quotas(MORNING + Duration::from_secs(86_400)).len() == 1);
    let hourly = quotas(&[quota("daily", ALL, 5, CalendarPeriod::Hour)]);
    assert_eq!(caller.passing(&of_route(&ledger, &hourly), 9), 5);
}

#[test]
fn quotas_survive_a_restart() {
    let per = [LimitKey::Partner, LimitKey::Header(HeaderName::from_static("x-tenant"))];
    let route = quotas(&[quota("daily", &per, 5, CalendarPeriod::Day)]);
    let plan = quotas(&[quota("monthly", &[LimitKey::Partner], 5, CalendarPeriod::Month)]);
    let scope = Scope::Partner { partner: "acme", plan: "gold" };
    let long = [b'x'; 300];
    let callers = [Some(&b"tenant 1"[..]), Some(&long), None].map(|header| Caller {
        partner: Some("acme"),
        header,
        ..Caller::new()
    });

    let before = Ledger::default();
    let rules = (of_route(&before, &route), before.rules(scope, &plan));
    for (number, caller) in callers.iter().enumerate() {
        assert_eq!(caller.passing(&rules.0, number + 2), number + 2);
    }
    assert_eq!(callers[0].passing(&rules.1, 1), 1);
    let mut kept = before.changed_quotas(MORNING);
    kept.sort_by_key(|count| count.count);
    let day = MORNING.as_secs() / 86_400 * 86_400;
    let expected = QuotaCount {
        scope: "partner 4:acme gold".to_owned(),
        rule: "month partner of monthly".to_owned(),
        key: String::new(),
        period_start: day - 22 * 86_400,
        period_end: day + 8 * 86_400,
        count: 1,
    };
    assert_eq!(kept[0], expected);
    let expected = QuotaCount {
        scope: "route orders".to_owned(),
        rule: "day partner,header:x-tenant of daily".to_owned(),
        key: "partner=acme,header=tenant%201".to_owned(),
        period_start: day,
        period_end: day + 86_400,
        count: 2,
    };
    assert_eq!(kept[1], expected);
    assert!(kept[2].key.starts_with("sha256=") && kept[3].key == "partner=acme,no-header");
    assert!(before.changed_quotas(MORNING).is_empty());
    callers[0].passing(&rules.1, 1);
    assert_eq!(before.changed_quotas(MORNING).len(), 1);

    // Before the rules are made, or after.
    for early in [true, false] {
        let after = Ledger::default();
        let made = || (of_route(&after, &route), after.rules(scope, &plan));
        let rules = if early {
            after.restore(kept.clone());
            made()
        } else {
            let rules = made();
            after.restore(kept.clone());
            rules
        };
        assert!(after.changed_quotas(MORNING).is_empty());
        assert_eq!(callers[0].passing(&rules.1, 9), 4);
        assert_eq!([0, 1, 2].map(|which| callers[which].passing(&rules.0, 9)), [3, 2, 1]);
        let counts: Vec<u64> = after.changed_quotas(MORNING).iter().map(|count| count.count).collect();
        assert_eq!(counts, [5; 4]);
        // The next day nothing of it holds.
        let caller = Caller { now: MORNING + Duration::from_secs(86_400), ..callers[0] };
        assert_eq!(caller.passing(&rules.0, 9), 5);
    }
}

/// The fields that a request's answer gets, and what each says.
fn told(granted: &Granted, which: LimitFields) -> Vec<String> {
    let mut told = Vec::new();
    granted.fields(which, |name, value| told.push(format!("{name}: {}", std::str::from_utf8(value).unwrap())));
    told
}

#[test]
fn fields_tell_what_is_left_and_for_how_long() {
    let ledger = Ledger::default();
    let limits = Limits {
        rates: vec![
            rate("burst", ADDRESS, 100, Duration::from_secs(60), 4),
            Rate { observe: true, ..rate("shy", ADDRESS, 1, SECOND, 1) },
        ],
        quotas: vec![quota("daily", ADDRESS, 1_000, CalendarPeriod::Day)],
        concurrencies: vec![concurrency("few \"\\\u{e9}", &[LimitKey::Subject], 3)],
    };
    let rules = of_route(&ledger, &limits);
    let mut caller = Caller { subject: Some("ada"), ..Caller::new() };
    let mut granted = Granted::default();
    caller.asks(&mut granted, &rules, true).unwrap();
    caller.asks(&mut granted, &rules, false).unwrap();
    assert_eq!(told(&granted, LimitFields::Off), [""; 0]);
    let standard = [
        r#"ratelimit-policy: "burst";q=100;w=60;sluice-burst=4, "daily";q=1000;w=86400"#,
        r#"ratelimit-policy: "few \"\\?";q=3;qu="concurrent-requests""#,
        r#"ratelimit: "burst";r=3;t=2, "daily";r=999;t=50400, "few \"\\?";r=2"#,
    ];
    assert_eq!(told(&granted, LimitFields::Standard), standard);
    let older = ["x-ratelimit-limit: 4", "x-ratelimit-remaining: 3", "x-ratelimit-reset: 1"];
    assert_eq!(told(&granted, LimitFields::Both), [&standard[..], &older].concat());

    caller.cost = 3;
    assert!(caller.passes(&rules));
    granted.clear();
    caller.cost = 2;
    let refused = caller.asks(&mut granted, &rules, true).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(2));
    let after = [
        standard[0],
        r#"ratelimit: "burst";r=0;t=2"#,
        "x-ratelimit-limit: 4",
        "x-ratelimit-remaining: 0",
        "x-ratelimit-reset: 3",
    ];
    assert_eq!(told(&granted, LimitFields::Both), after);

    // What was given back is left.
    granted.clear();
    caller.elapsed = Duration::from_secs(60);
    (caller.cost, caller.now) = (4, MORNING - Duration::from_secs(60));
    let daily = quotas(&[quota("daily", ADDRESS, 3, CalendarPeriod::Day)]);
    let tight = of_route(&ledger, &Limits { rates: limits.rates, ..daily });
    caller.asks(&mut granted, &tight, true).unwrap_err();
    assert_eq!(told(&granted, LimitFields::Standard)[1], r#"ratelimit: "burst";r=4;t=3, "daily";r=0;t=50400"#);
}

#[test]
fn rates_with_odd_periods_are_told_in_whole_seconds() {
    let policy = |permits, period| {
        let rules = of_route(&Ledger::default(), &rates(&[rate("r", ALL, permits, period, 50)]));
        let mut granted = Granted::default();
        Caller::new().asks(&mut granted, &rules, false).unwrap();
        told(&granted, LimitFields::Standard).swap_remove(0)
    };
    assert_eq!(policy(5, Duration::from_millis(100)), r#"ratelimit-policy: "r";q=50;w=1"#);
    assert_eq!(policy(3, Duration::from_millis(1_500)), r#"ratelimit-policy: "r";q=4;w=2;sluice-burst=50"#);
    assert_eq!(policy(50, Duration::from_secs(3_600)), r#"ratelimit-policy: "r";q=50;w=3600"#);
}

#[test]
fn many_rules_are_told_on_several_lines() {
    let names: Vec<String> = (0..40).map(|number| format!("a-name-of-some-length-{number:02}")).collect();
    let all: Vec<Rate> = names.iter().map(|name| rate(name, ALL, u32::MAX, SECOND, u32::MAX)).collect();
    let rules = of_route(&Ledger::default(), &rates(&all));
    let mut granted = Granted::default();
    Caller::new().asks(&mut granted, &rules, false).unwrap();
    let told = told(&granted, LimitFields::Standard);
    let lines: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("ratelimit: ")).collect();
    let items: Vec<&str> = lines.iter().flat_map(|line| line.split(", ")).collect();
    assert!(lines.len() > 1);
    assert_eq!(items.len(), 40);
    for (name, item) in names.iter().zip(items) {
        assert_eq!(item, format!("\"{name}\";r=4294967294;t=5"));
    }
}

#[test]
fn the_largest_limits_that_can_be_written_overflow_nothing() {
    let limits = Limits {
        rates: vec![rate("slow", ALL, 1, Duration::MAX, u32::MAX), rate("fast", ALL, u32::MAX, SECOND, u32::MAX)],
        quotas: vec![quota("most", ALL, u64::MAX, CalendarPeriod::Month)],
        concurrencies: vec![concurrency("most", ALL, u32::MAX)],
    };
    let rules = of_route(&Ledger::default(), &limits);
    let mut caller = Caller::new();
    let mut granted = Granted::default();
    for (cost, elapsed, now) in
        [(1, 0, MORNING), (u32::MAX, 1, Duration::MAX / 2), (u32::MAX, 1 << 33, MORNING), (1, 1 << 33, MORNING)]
    {
        (caller.cost, caller.elapsed, caller.now) = (cost, Duration::from_secs(elapsed), now);
        let _ = caller.asks(&mut granted, &rules, false);
        let _ = told(&granted, LimitFields::Both);
    }
}
