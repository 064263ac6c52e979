//! What holds for every history of requests, and with many threads at once.

use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::key::{Class, Keyed};
use super::local::rate::{self, Rate};
use super::tests::{Caller, MORNING, concurrency, of_route, quota, rate};
use super::*;
use crate::config::checked::limits::{CalendarPeriod, LimitKey, Limits};

const ALL: &[LimitKey] = &[LimitKey::Route];
const SECOND: Duration = Duration::from_secs(1);
/// What counts as now for rates here: later than anything that the machine's clock says.
const LATER: u64 = 1 << 60;

/// What happens to a counter.
#[derive(Clone, Debug)]
enum Event {
    /// Of one of a few keys.
    Charge {
        key: u64,
        cost: u32,
    },
    /// One of the charges that can be given back still.
    GiveBack(prop::sample::Index),
    Pass(u64),
}

fn events(keys: u64, max_pause: u64) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0..keys, 1_u32..4).prop_map(|(key, cost)| Event::Charge { key, cost }),
        2 => any::<prop::sample::Index>().prop_map(Event::GiveBack),
        3 => (0..max_pause).prop_map(Event::Pass),
    ];
    vec(event, 1..120)
}

/// When which key was charged what; `None` where it was given back.
type History = Vec<(u64, u64, Option<u32>)>;

/// The charges that passed and were kept.
fn history(rate: &Rate, events: &[Event]) -> History {
    let mut now = LATER;
    let mut history = History::new();
    let mut open: Vec<(usize, rate::Charge)> = Vec::new();
    for event in events {
        match event {
            Event::Pass(time) => now += time,
            Event::Charge { key, cost } => {
                let keyed = Keyed::numbered(*key, Class::Stranger);
                if let (Ok(charge), _) = rate.charge(Some(keyed), *cost, now) {
                    open.push((history.len(), charge));
                    history.push((now, *key, Some(*cost)));
                }
            }
            Event::GiveBack(which) if !open.is_empty() => {
                let (at, charge) = open.swap_remove(which.index(open.len()));
                rate.give_back(&charge, || now);
                history[at].2 = None;
            }
            Event::GiveBack(_) => {}
        }
    }
    history
}

/// No key has more in any span of time than its burst and what comes back meanwhile.
fn within_bounds(history: &History, interval: u64, burst: u32) -> Result<(), TestCaseError> {
    for (first, &(from, key, _)) in history.iter().enumerate() {
        let mut units = 0;
        for &(to, _, cost) in history[first..].iter().filter(|(_, other, _)| *other == key) {
            units += u64::from(cost.unwrap_or(0));
            let most = u64::from(burst) * interval + (to - from);
            prop_assert!(units * interval <= most, "{units} from {from} to {to}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_more_than_burst_and_rate_pass_in_any_time(
        events in events(1, 4_000),
        permits in 1_u32..2_000_000,
        burst in 1_u32..6,
        by_key in any::<bool>(),
    ) {
        let rate = Rate::new(&rate("rate", ALL, permits, SECOND, burst), by_key);
        let interval = 1_000_000_000_u64.div_ceil(u64::from(permits));
        within_bounds(&history(&rate, &events), interval, burst)?;
    }

    /// Also for keys that share a counter for a while, and those that come and go.
    #[test]
    fn no_key_gets_more_than_its_rule_when_there_is_no_room(events in events(150, 3_000_000_000), burst in 1_u32..6) {
        let rate = Rate::new(&rate("rate", ALL, 1, SECOND, burst), true).cramped();
        within_bounds(&history(&rate, &events), 1_000_000_000, burst)?;
    }

    /// Nor less: as a bucket does that leaks all the time and refuses what would run over.
    #[test]
    fn what_fits_into_the_bucket_passes(
        requests in vec((0_u64..3_000_000, 1_u32..5), 1..200),
        burst in 1_u32..8,
    ) {
        let rate = Rate::new(&rate("rate", ALL, 1_000, SECOND, burst), false);
        let (mut now, mut level) = (LATER, 0_u64);
        for (pause, cost) in requests {
            now += pause;
            level = level.saturating_sub(pause);
            let fits = level + u64::from(cost) * 1_000_000 <= u64::from(burst) * 1_000_000;
            let (charged, seen) = rate.charge(None, cost, now);
            prop_assert_eq!(charged.is_ok(), fits);
            if fits {
                level += u64::from(cost) * 1_000_000;
            } else if let (Err(wait), true) = (charged, cost <= burst) {
                // And it would a nanosecond before the wait is over no more than now.
                let wait = u64::try_from(wait.as_nanos()).unwrap();
                prop_assert_eq!(level + u64::from(cost) * 1_000_000 - wait, u64::from(burst) * 1_000_000);
            }
            prop_assert_eq!(seen.missing, level);
        }
    }

    /// Requests that one rule refuses leave no trace in the others.
    #[test]
    fn refused_requests_are_charged_to_no_rule(
        requests in vec((0_u64..2_000, 0_usize..3, 1_u32..4), 1..150),
        bursts in (1_u32..12, 1_u32..6),
        limit in 1_u64..40,
    ) {
        let limits = Limits {
            rates: vec![
                rate("all", ALL, 1, SECOND, bursts.0),
                rate("each", &[LimitKey::Subject], 1, SECOND, bursts.1),
            ],
            quotas: vec![quota("hourly", ALL, limit, CalendarPeriod::Hour)],
            concurrencies: vec![concurrency("one", ALL, 1)],
        };
        let rules = of_route(&Ledger::default(), &limits);
        let subjects = ["ada", "bob", "cyd"];
        let (mut all, mut each, mut used) = (0_u64, [0_u64; 3], 0);
        let mut caller = Caller::new();
        for (pause, who, cost) in requests {
            caller.elapsed += Duration::from_millis(pause);
            caller.subject = Some(subjects[who]);
            caller.cost = cost;
            all = all.saturating_sub(pause);
            each.iter_mut().for_each(|level| *level = level.saturating_sub(pause));
            let units = u64::from(cost) * 1_000;
            let fits = all + units <= u64::from(bursts.0) * 1_000
                && each[who] + units <= u64::from(bursts.1) * 1_000
                && used + u64::from(cost) <= limit;
            prop_assert_eq!(caller.passes(&rules), fits);
            if fits {
                all += units;
                each[who] += units;
                used += u64::from(cost);
            }
        }
    }

    #[test]
    fn a_quota_is_exactly_what_passes_in_a_period(
        requests in vec((0_u64..900, 0_usize..3, 1_u32..4), 1..200),
        limit in 1_u64..12,
        per in prop_oneof![Just(LimitKey::Route), Just(LimitKey::Partner)],
    ) {
        let each = per == LimitKey::Partner;
        let limits = Limits { quotas: vec![quota("hourly", &[per], limit, CalendarPeriod::Hour)], ..Limits::default() };
        let rules = of_route(&Ledger::default(), &limits);
        let partners = ["acme", "bolt", "core"];
        let mut used: HashMap<(u64, usize), u64> = HashMap::new();
        let mut caller = Caller::new();
        for (pause, who, cost) in requests {
            caller.elapsed += Duration::from_secs(pause);
            caller.partner = Some(partners[who]);
            caller.cost = cost;
            let hour = (MORNING + caller.elapsed).as_secs() / 3_600;
            let used = used.entry((hour, if each { who } else { 0 })).or_default();
            let fits = *used + u64::from(cost) <= limit;
            prop_assert_eq!(caller.passes(&rules), fits);
            *used += if fits { u64::from(cost) } else { 0 };
        }
    }

    #[test]
    fn requests_in_flight_are_never_more_than_allowed(
        events in vec((0_usize..3, 0_u32..10, any::<prop::sample::Index>()), 1..200),
        limit in 1_u32..6,
        per in prop_oneof![Just(LimitKey::Route), Just(LimitKey::Partner)],
    ) {
        let each = per == LimitKey::Partner;
        let limits = Limits { concurrencies: vec![concurrency("few", &[per], limit)], ..Limits::default() };
        let rules = of_route(&Ledger::default(), &limits);
        let partners = ["acme", "bolt", "core"];
        let mut flying: Vec<(usize, Granted)> = Vec::new();
        for (who, what, which) in events {
            if what < 4 && !flying.is_empty() {
                flying.swap_remove(which.index(flying.len()));
                continue;
            }
            let caller = Caller { partner: Some(partners[who]), ..Caller::new() };
            let mut granted = Granted::default();
            let number = flying.iter().filter(|(other, _)| !each || *other == who).count();
            let passes = caller.asks(&mut granted, &rules, true).and_then(|()| caller.asks(&mut granted, &rules, false)).is_ok();
            prop_assert_eq!(passes, number < limit as usize);
            if passes {
                flying.push((who, granted));
            }
        }
    }

    /// Reloads between requests change nothing, as long as one set of rules is in use or the quota's period lasts.
    #[test]
    fn counting_goes_on_over_reloads(steps in vec((any::<bool>(), 1_u64..20), 1..60)) {
        let ledger = Ledger::default();
        let made = |limit| Limits {
            rates: vec![rate("rate", ALL, 1, SECOND, 30)],
            quotas: vec![quota("hourly", ALL, limit, CalendarPeriod::Hour)],
            ..Limits::default()
        };
        let caller = Caller::new();
        let mut rules = of_route(&ledger, &made(20));
        let (mut limit, mut used) = (20, 0);
        for (reload, next) in steps {
            if reload {
                limit = next;
                // One that is never published.
                drop(of_route(&ledger, &made(99)));
                rules = of_route(&ledger, &made(limit));
            }
            let fits = used < limit && used < 30;
            prop_assert_eq!(caller.passes(&rules), fits);
            used += u64::from(fits);
        }
    }
}

const THREADS: usize = 4;

/// In every round of frozen time all threads ask at once, and half of what passes the first rule is refused by the second and given
/// back. No more than the burst passes then, and what is left over passes afterwards: nothing was lost either.
#[test]
fn threads_that_charge_and_give_back_do_not_miscount() {
    const BURST: u32 = 200;
    const ROUNDS: u64 = 30;
    for (per, other) in [(LimitKey::Route, LimitKey::Address), (LimitKey::Partner, LimitKey::Subject)] {
        let limits = Limits {
            rates: vec![rate("all", std::slice::from_ref(&per), BURST, SECOND, BURST)],
            quotas: vec![quota("hourly", &[per], u64::from(BURST), CalendarPeriod::Hour)],
            concurrencies: vec![concurrency("none", &[other], 1)],
        };
        let rules = of_route(&Ledger::default(), &limits);
        let caller = Caller { partner: Some("acme"), ..Caller::new() };
        let (barrier, passed) = (Barrier::new(THREADS), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (rules, barrier, passed) = (&rules, &barrier, &passed);
                scope.spawn(move || {
                    let mut granted = Granted::default();
                    let name = format!("subject {}", number / 2);
                    let address = IpAddr::from([192, 0, 2, (number / 2) as u8]);
                    for round in 0..ROUNDS {
                        let elapsed = Duration::from_secs(round * 3_600);
                        let caller = Caller { subject: Some(&name), address, elapsed, ..caller };
                        barrier.wait();
                        // Two threads share a subject and an address, of which one request is let in at a time.
                        for _ in 0..BURST / 2 {
                            let before = caller.asks(&mut granted, rules, true);
                            let both = before.and_then(|()| caller.asks(&mut granted, rules, false));
                            passed.fetch_add(usize::from(both.is_ok()), Ordering::SeqCst);
                            thread::yield_now();
                            granted.clear();
                        }
                        if barrier.wait().is_leader() {
                            let rest = (0..=BURST).filter(|_| caller.passes(rules)).count();
                            assert_eq!(passed.swap(0, Ordering::SeqCst) + rest, BURST as usize, "round {round}");
                        }
                        barrier.wait();
                    }
                });
            }
        });
    }
}

#[test]
fn threads_never_have_more_in_flight_than_allowed() {
    const LIMIT: u32 = 2;
    for per in [LimitKey::Route, LimitKey::Partner] {
        let limits = Limits { concurrencies: vec![concurrency("few", &[per], LIMIT)], ..Limits::default() };
        let rules = of_route(&Ledger::default(), &limits);
        let caller = Caller { partner: Some("acme"), ..Caller::new() };
        let (flying, most, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut granted = Granted::default();
                    for _ in 0..5_000 {
                        let before = caller.asks(&mut granted, &rules, true);
                        if before.and_then(|()| caller.asks(&mut granted, &rules, false)).is_ok() {
                            most.fetch_max(flying.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            thread::yield_now();
                            flying.fetch_sub(1, Ordering::SeqCst);
                        } else {
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                        granted.clear();
                    }
                });
            }
        });
        assert!(most.into_inner() <= LIMIT as usize);
        let mut held: Vec<Granted> = (0..LIMIT).map(|_| Granted::default()).collect();
        for granted in &mut held {
            caller.asks(granted, &rules, true).and_then(|()| caller.asks(granted, &rules, false)).unwrap();
        }
        assert!(!caller.passes(&rules));
    }
}

/// Keys that move between a counter that they share and one of their own, on several threads.
#[test]
fn threads_never_pass_a_limit_by_key_when_there_is_no_room() {
    const LIMIT: u32 = 2;
    let counters = super::local::concurrency::Concurrency::new(true).cramped();
    let flying: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (counters, flying) = (&counters, &flying);
            scope.spawn(move || {
                let mut held = Vec::new();
                for step in 0..20_000_usize {
                    let key = (step * 31 + number * 17) % flying.len();
                    let keyed = Keyed::numbered(key as u64, Class::Stranger);
                    if let (Some(permit), _) = counters.enter(Some(keyed), LIMIT, step as u64 * 10_000_000) {
                        assert!(flying[key].fetch_add(1, Ordering::SeqCst) < LIMIT as usize);
                        held.push((key, permit));
                    }
                    if held.len() > 20 || (step % 3 == 0 && !held.is_empty()) {
                        let (key, permit) = held.swap_remove(step % held.len());
                        flying[key].fetch_sub(1, Ordering::SeqCst);
                        counters.give_back(permit);
                    }
                }
                for (key, permit) in held {
                    flying[key].fetch_sub(1, Ordering::SeqCst);
                    counters.give_back(permit);
                }
            });
        }
    });
    // All is given back: every key has its whole limit again.
    for key in 0..flying.len() {
        let keyed = Keyed::numbered(key as u64, Class::Stranger);
        let permits: Vec<_> = (0..=LIMIT).filter_map(|_| counters.enter(Some(keyed), LIMIT, u64::MAX / 2).0).collect();
        assert_eq!(permits.len(), LIMIT as usize);
        permits.into_iter().for_each(|permit| counters.give_back(permit));
    }
}
