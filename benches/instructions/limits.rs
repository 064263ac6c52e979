//! One request against its limits: charged, told about, and over.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use http::HeaderName;
use sluice::base::clock;
use sluice::config::checked::limits::{CalendarPeriod, Concurrency, LimitFields, LimitKey, Limits, Quota, Rate};
use sluice::rate_limit::{Asked, Granted, Ledger, Rules, Scope};

use super::SAMPLES;

/// More than all rounds ask for, and no longer than limits usually are.
const MANY: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_000_000);

/// Which limits a request is asked by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The rate of the partner's plan.
    Plan,
    /// A route's rate by address, of 64 addresses that are known already.
    Address,
    /// A route's rate by partner and a header field.
    Combined,
    /// Rate, quota and requests in flight of the partner's plan.
    Whole,
    /// The same, and the answer fields that tell about it.
    Told,
}

impl Kind {
    pub fn named(name: &str) -> Self {
        match name {
            "plan" => Self::Plan,
            "address" => Self::Address,
            "combined" => Self::Combined,
            "whole" => Self::Whole,
            "told" => Self::Told,
            _ => panic!("{name} is none of the limits that are counted"),
        }
    }
}

/// `ROUNDS` times 64 requests.
pub fn pass(kind: Kind, rounds: usize) {
    let ledger = Ledger::default();
    let scope = match kind {
        Kind::Address | Kind::Combined => Scope::Route("orders-read"),
        Kind::Plan | Kind::Whole | Kind::Told => Scope::Partner { partner: "acme", plan: "standard" },
    };
    let rules = ledger.rules(scope, &limits(kind));
    let mut granted = Granted::default();
    // The first round makes the counters.
    for round in 0..=rounds {
        for sample in 0..SAMPLES {
            one(&rules, &mut granted, black_box(sample), round);
            if kind == Kind::Told {
                granted.fields(black_box(LimitFields::Both), |name, value| {
                    black_box((name, value));
                });
            }
            granted.clear();
        }
    }
}

fn one(rules: &Rules, granted: &mut Granted, sample: usize, round: usize) {
    let asked = Asked {
        authority: "main",
        partner: Some("acme"),
        plan: Some("standard"),
        subject: None,
        address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, sample as u16, 0, 0, 0, round as u16)),
        header: &|_| Some(b"tenant-17"),
        cost: 1,
        at: clock::now(),
        now: Duration::from_secs(1_795_428_000),
    };
    for strangers in [true, false] {
        assert!(granted.charge(rules, strangers, &asked).is_ok());
    }
}

fn limits(kind: Kind) -> Limits {
    let per = match kind {
        Kind::Plan | Kind::Whole | Kind::Told => vec![LimitKey::Partner],
        Kind::Address => vec![LimitKey::Address],
        Kind::Combined => vec![LimitKey::Partner, LimitKey::Header(HeaderName::from_static("x-tenant"))],
    };
    let rate = Rate {
        name: "per-second".into(),
        per: per.clone(),
        permits: MANY,
        period: Duration::from_secs(1),
        burst: MANY,
        observe: false,
    };
    let quota = Quota {
        name: "per-month".into(),
        per: per.clone(),
        limit: NonZeroU64::MIN.saturating_add(100_000_000),
        period: CalendarPeriod::Month,
        observe: false,
    };
    let concurrency = Concurrency { name: "at-once".into(), per, limit: MANY, observe: false };
    let whole = matches!(kind, Kind::Whole | Kind::Told);
    Limits {
        rates: vec![rate],
        quotas: if whole { vec![quota] } else { Vec::new() },
        concurrencies: if whole { vec![concurrency] } else { Vec::new() },
    }
}

/// Prints how long it takes to make the rules of a plan for so many partners, and once more as after a reload.
pub fn build(partners: usize) {
    let ledger = Ledger::default();
    let limits = limits(Kind::Whole);
    let names: Vec<String> = (0..partners).map(|at| format!("partner-{at:05}")).collect();
    let make = || -> Vec<Rules> {
        names.iter().map(|partner| ledger.rules(Scope::Partner { partner, plan: "standard" }, &limits)).collect()
    };
    let start = clock::now();
    let first = black_box(make());
    let made = clock::now();
    let again = black_box(make());
    let end = clock::now();
    println!("{} partners: rules {:?}, after a reload {:?}", first.len().max(again.len()), made - start, end - made);
}

/// As many callers as `strangers`, each with an address of its own.
pub fn flood(strangers: usize) {
    let ledger = Ledger::default();
    let rules = ledger.rules(Scope::Route("orders-read"), &limits(Kind::Address));
    let mut granted = Granted::default();
    for stranger in (0..=u32::MAX).take(strangers) {
        let asked = Asked {
            authority: "main",
            partner: None,
            plan: None,
            subject: None,
            address: IpAddr::V4(Ipv4Addr::from_bits(stranger)),
            header: &|_| None,
            cost: 900_000,
            at: clock::now(),
            now: Duration::from_secs(1_795_428_000),
        };
        black_box(granted.charge(&rules, true, &asked)).ok();
        granted.clear();
    }
}
