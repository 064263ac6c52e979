use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
/// When the clock that never jumps showed 0.
const EPOCH: Duration = Duration::from_millis(1_800_000_000_700);

fn ladder(rungs: &[(Action, f32)]) -> Ladder {
    Ladder { rungs: rungs.to_vec(), cool_down: MINUTE, throttle: Duration::from_secs(1) }
}

fn full() -> Ladder {
    ladder(&[(Action::Tag, 0.02), (Action::Throttle, 0.005), (Action::Challenge, 0.002), (Action::Block, 0.0005)])
}

/// As rare by itself as by all.
fn both(rarity: f32) -> Rarity {
    Rarity { all: rarity, own: rarity }
}

const USUAL: f32 = 0.5;
const TAG: f32 = 0.02;
const THROTTLE: f32 = 0.005;
const CHALLENGE: f32 = 0.001;
const BLOCK: f32 = 0.0001;

/// A request: when (ms), how rare, when its token was issued (seconds after the epoch's).
type Step = (u64, f32, Option<i64>);

fn at(ms: u64) -> (Duration, Duration) {
    let at = Duration::from_millis(ms);
    (at, EPOCH + at)
}

fn issued(seconds: i64) -> Duration {
    Duration::from_secs(EPOCH.as_secs().saturating_add_signed(seconds))
}

fn run(ladder: &Ladder, steps: &[(Step, &str)]) {
    let mut standing = Standing::default();
    for ((ms, rarity, token), expected) in steps {
        let verdict = standing.judge(ladder, both(*rarity), at(*ms), token.map(issued));
        assert_eq!(verdict.rarity, *rarity);
        let mut seen = format!("{:?}", verdict.action);
        if let Some(wait) = verdict.wait {
            seen += &format!(" wait {}ms", wait.as_millis());
        }
        if let Some(since) = verdict.since {
            seen += &format!(" since {}", since.as_secs() - EPOCH.as_secs());
        }
        assert_eq!(&seen, expected, "at {ms} ms");
    }
}

#[test]
fn the_most_drastic_rung_that_is_reached_counts() {
    let ladder = full();
    for (rarity, action) in [
        (1.0, Action::Observe),
        (0.020_1, Action::Observe),
        (0.02, Action::Tag),
        (0.005_1, Action::Tag),
        (0.005, Action::Throttle),
        (0.002, Action::Challenge),
        (0.000_5, Action::Block),
        (0.0, Action::Block),
        (f32::NAN, Action::Observe),
    ] {
        let verdict = Standing::default().judge(&ladder, both(rarity), at(0), Some(issued(-60)));
        assert_eq!(verdict.action, action, "{rarity}");
    }
    let nothing = Standing::default().judge(&self::ladder(&[]), both(0.0), at(0), None);
    assert_eq!(nothing.action, Action::Observe);
}

#[test]
fn an_unusual_request_is_refused_by_itself() {
    run(
        &full(),
        &[
            ((0, TAG, None), "Tag"),
            ((1, BLOCK, None), "Block"),
            ((2, USUAL, None), "Observe"),
            ((3, BLOCK, None), "Block"),
            ((4, THROTTLE, None), "Throttle"),
            ((5, THROTTLE, None), "Throttle wait 999ms"),
            ((6, USUAL, None), "Observe"),
            ((7, CHALLENGE, Some(-5)), "Challenge since 0"),
            ((8, USUAL, Some(-5)), "Observe"),
        ],
    );
}

/// Twice as many unusual requests, of one a second, as begin a hold; and when the last one came.
fn unusual(rarity: f32, token: Option<i64>, ladder: &Ladder) -> (Standing, u64) {
    let mut standing = Standing::default();
    let begins = (0..3_600_u64).position(|second| {
        standing.judge(ladder, both(rarity), at(second * 1_000), token.map(issued));
        standing.throttle.until.max(standing.challenge.until) > Duration::ZERO
    });
    let begins = begins.unwrap() as u64;
    for second in begins + 1..=2 * begins {
        standing.judge(ladder, both(rarity), at(second * 1_000), token.map(issued));
    }
    let last = 2 * begins * 1_000;
    (standing, last)
}

#[test]
fn a_hold_begins_when_half_of_what_came_of_late_is_unusual() {
    let ladder = Ladder { cool_down: MINUTE * 5, ..full() };
    let held = |every: u64, of: u32, unusual: u32, seconds: u64| {
        let mut standing = Standing::default();
        (0..seconds * 1_000 / every)
            .position(|number| {
                let rarity = if number as u32 % of < unusual { THROTTLE } else { USUAL };
                standing.judge(&ladder, both(rarity), at(3_600_000 + number * every), None);
                !standing.throttle.until.is_zero()
            })
            .map(|number| (number as u64 * every / 1_000, number + 1))
    };
    // However many there are in one window of ten seconds, it takes longer.
    assert!(held(1, 1, 1, 60).is_some_and(|(seconds, _)| (36..46).contains(&seconds)));
    // Eleven that come slowly are enough.
    assert_eq!(held(30_000, 1, 1, 3_600).map(|(_, count)| count), Some(11));
    // So are two of three, and one of three never is.
    assert!(held(100, 3, 2, 3_600).is_some_and(|(seconds, _)| seconds < 120));
    assert_eq!(held(100, 3, 1, 3_600), None);
}

#[test]
fn one_unusual_request_after_each_pause_is_no_habit() {
    let mut standing = Standing::default();
    for minute in 1..600 {
        for number in 0..50 {
            let rarity = if number == 0 { THROTTLE } else { USUAL };
            standing.judge(&full(), both(rarity), at(minute * 60_000 + number * 2), None);
            assert!(standing.throttle.until.is_zero());
        }
    }
}

#[test]
fn whoever_is_blocked_again_and_again_is_challenged_whatever_it_asks() {
    let ladder = ladder(&[(Action::Challenge, 0.002), (Action::Block, 0.0005)]);
    let (mut standing, last) = unusual(BLOCK, Some(-5), &ladder);
    let mut judge = |token| standing.judge(&ladder, both(USUAL), at(last), Some(issued(token))).action;
    assert_eq!((judge(-5), judge(last as i64 / 1_000)), (Action::Challenge, Action::Observe));
}

#[test]
fn usual_requests_leave_nothing_behind() {
    let mut standing = Standing::default();
    standing.judge(&full(), both(TAG), at(1_000), None);
    assert_eq!(standing, Standing::default());
    standing.judge(&full(), both(THROTTLE), at(2_000), None);
    (3..200).for_each(|second| _ = standing.judge(&full(), both(USUAL), at(second * 1_000), None));
    assert_eq!(standing, Standing::default());
}

#[test]
fn a_throttled_caller_is_let_through_once_an_interval() {
    let (mut standing, last) = unusual(THROTTLE, None, &full());
    let mut judge = |ms: u64, rarity| {
        let verdict = standing.judge(&full(), both(rarity), at(last + ms), None);
        (verdict.action, verdict.wait.map(|wait| wait.as_millis()))
    };
    assert_eq!(judge(400, USUAL), (Action::Throttle, Some(600)));
    assert_eq!(judge(900, TAG), (Action::Throttle, Some(100)));
    assert_eq!(judge(1_000, USUAL), (Action::Throttle, None));
    // Renews the hold, though it has to wait itself.
    assert_eq!(judge(1_500, THROTTLE), (Action::Throttle, Some(500)));
    assert_eq!(judge(1_600, BLOCK), (Action::Block, None));
    assert_eq!(judge(61_599, USUAL), (Action::Throttle, None));
    assert_eq!(judge(61_600, USUAL), (Action::Observe, None));
    assert_eq!(judge(61_600, USUAL), (Action::Observe, None));
}

#[test]
fn a_challenge_is_met_by_a_token_issued_in_its_second_or_later() {
    run(
        &full(),
        &[
            ((0, CHALLENGE, Some(-5)), "Challenge since 0"),
            ((300, CHALLENGE, None), "Throttle"),
            // Asked again for the same, and not for a newer one.
            ((30_000, CHALLENGE, Some(-1)), "Challenge since 0"),
            ((89_000, USUAL, Some(-1)), "Observe"),
            ((89_000, CHALLENGE, Some(0)), "Throttle"),
            ((89_500, CHALLENGE, Some(10)), "Throttle wait 500ms"),
            ((149_500, CHALLENGE, Some(10)), "Challenge since 150"),
        ],
    );
    let without_throttle = ladder(&[(Action::Challenge, 0.002)]);
    run(
        &without_throttle,
        &[
            ((0, CHALLENGE, Some(-5)), "Challenge since 0"),
            ((9_000, CHALLENGE, Some(5)), "Tag"),
            ((9_001, USUAL, Some(5)), "Observe"),
            ((69_000, CHALLENGE, Some(5)), "Challenge since 69"),
        ],
    );
}

#[test]
fn a_challenged_caller_comes_with_a_new_token_whatever_it_asks() {
    let (mut standing, last) = unusual(CHALLENGE, Some(-5), &ladder(&[(Action::Challenge, 0.002)]));
    let mut judge = |ms: u64, token: Option<i64>| {
        let verdict =
            standing.judge(&ladder(&[(Action::Challenge, 0.002)]), both(USUAL), at(last + ms), token.map(issued));
        (verdict.action, verdict.wait.is_some())
    };
    assert_eq!(judge(1, Some(-1)), (Action::Challenge, false));
    assert_eq!(judge(2, Some(0)), (Action::Observe, false));
    // Which does not help the others.
    assert_eq!(judge(3, Some(-1)), (Action::Challenge, false));
    assert_eq!(judge(4, None), (Action::Throttle, false));
    assert_eq!(judge(5, None), (Action::Throttle, true));
    assert_eq!(judge(60_000, Some(-1)), (Action::Observe, false));
}

#[test]
fn callers_without_a_token_are_throttled_instead_of_challenged() {
    run(
        &ladder(&[(Action::Challenge, 0.002)]),
        &[
            ((0, CHALLENGE, None), "Throttle"),
            ((1, CHALLENGE, None), "Throttle wait 999ms"),
            ((1, USUAL, None), "Observe"),
            ((1_000, CHALLENGE, None), "Throttle"),
        ],
    );
}

#[test]
fn another_ladder_drops_what_it_does_not_have() {
    let strict = Ladder { cool_down: MINUTE * 60, throttle: MINUTE * 30, ..full() };
    let (standing, last) = unusual(CHALLENGE, Some(-5), &strict);
    let judge = |standing: &mut Standing, ladder: &Ladder, ms, token: Option<i64>| {
        standing.judge(ladder, both(USUAL), at(last + ms), token.map(issued))
    };
    let mut copy = standing;
    assert_eq!(judge(&mut copy, &strict, 1, Some(-5)).action, Action::Challenge);
    assert_eq!(judge(&mut copy, &ladder(&[(Action::Tag, 0.02)]), 2, Some(-5)).action, Action::Observe);
    // And it does not come back with the ladder.
    assert_eq!(judge(&mut copy, &strict, 3, Some(-5)).action, Action::Observe);

    // Shorter times hold at once.
    let mut copy = standing;
    assert_eq!(judge(&mut copy, &strict, 1, None).wait, None);
    let throttles = ladder(&[(Action::Throttle, 0.005)]);
    assert_eq!(judge(&mut copy, &throttles, 2, None).wait, Some(throttles.throttle));
    assert_eq!(judge(&mut copy, &throttles, 60_002, None).action, Action::Observe);
}

#[test]
fn refusals_are_told_from_what_passes() {
    let verdict = |action, wait| Verdict { action, rarity: 0.0, wait, since: None };
    for (verdict, refuses) in [
        (verdict(Action::Tag, None), false),
        (verdict(Action::Throttle, None), false),
        (verdict(Action::Throttle, Some(MINUTE)), true),
        (verdict(Action::Challenge, None), true),
        (verdict(Action::Block, None), true),
    ] {
        assert_eq!(verdict.refuses(), refuses, "{verdict:?}");
    }
}

#[test]
fn a_standing_is_small() {
    assert!(size_of::<Standing>() <= 112);
}

fn ladders() -> impl Strategy<Value = Ladder> {
    let rungs = proptest::sample::subsequence(full().rungs, 0..=4);
    (rungs, 1u64..120_000, 1u64..10_000).prop_map(|(rungs, cool_down, throttle)| Ladder {
        rungs,
        cool_down: Duration::from_millis(cool_down),
        throttle: Duration::from_millis(throttle),
    })
}

fn rarities() -> impl Strategy<Value = f32> {
    prop_oneof![Just(USUAL), Just(TAG), Just(THROTTLE), Just(CHALLENGE), Just(BLOCK), 0.0f32..=1.0]
}

/// Requests with the time since the one before.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((0u64..20_000, rarities(), proptest::option::of(-5i64..600)), 0..80)
}

proptest! {
    #[test]
    fn no_more_pass_under_a_throttle_hold_than_once_an_interval(ladder in ladders(), steps in steps()) {
        let (mut standing, mut now, mut last) = (Standing::default(), 0, None::<Duration>);
        for (after, rarity, token) in steps {
            now += after;
            let verdict = standing.judge(&ladder, both(rarity), at(now), token.map(issued));
            let at = Duration::from_millis(now);
            prop_assert!(verdict.wait.is_none_or(|wait| wait <= ladder.throttle && !wait.is_zero()));
            if verdict.action == Action::Throttle && verdict.wait.is_none() {
                // That any two are an interval apart is what `1 + t / throttle` within any `t` means.
                prop_assert!(last.is_none_or(|last| at - last >= ladder.throttle));
                last = Some(at);
            }
        }
    }

    #[test]
    fn after_the_cool_down_everything_passes(
        ladders in proptest::collection::vec(ladders(), 1..4),
        steps in steps(),
        usual in proptest::collection::vec(proptest::option::of(-5i64..600), 1..20),
    ) {
        let (mut standing, mut now) = (Standing::default(), 0);
        for (i, (after, rarity, token)) in steps.into_iter().enumerate() {
            now += after;
            standing.judge(&ladders[i % ladders.len()], both(rarity), at(now), token.map(issued));
        }
        now += ladders.iter().map(|ladder| ladder.cool_down.as_millis() as u64).max().unwrap();
        for token in usual {
            let verdict = standing.judge(&ladders[0], both(USUAL), at(now), token.map(issued));
            prop_assert_eq!(verdict.action, Action::Observe);
        }
    }

    #[test]
    fn a_rarer_request_is_never_treated_more_mildly(
        ladder in ladders(), steps in steps(), (a, b) in (rarities(), rarities()), token in proptest::option::of(-5i64..600),
    ) {
        let (mut standing, mut now) = (Standing::default(), 0);
        for (after, rarity, token) in steps {
            now += after;
            standing.judge(&ladder, both(rarity), at(now), token.map(issued));
        }
        let judge = |rarity| { let mut standing = standing; standing.judge(&ladder, both(rarity), at(now), token.map(issued)) };
        let (rarer, commoner) = (judge(a.min(b)), judge(a.max(b)));
        prop_assert!(rarer.action >= commoner.action, "{:?} {:?}", rarer, commoner);
        prop_assert!(rarer.refuses() || !commoner.refuses());
    }

    #[test]
    fn a_verdict_holds_what_its_action_needs(ladder in ladders(), steps in steps()) {
        let (mut standing, mut now) = (Standing::default(), 0);
        for (after, rarity, token) in steps {
            now += after;
            let verdict = standing.judge(&ladder, both(rarity), at(now), token.map(issued));
            prop_assert_eq!(verdict.since.is_some(), verdict.action == Action::Challenge);
            prop_assert!(verdict.wait.is_none() || verdict.action == Action::Throttle);
            prop_assert!(verdict.action != Action::Challenge || token.is_some());
            // A fresh token is always enough.
            let mut copy = standing;
            let fresh = copy.judge(&ladder, both(USUAL), at(now), Some(at(now).1));
            prop_assert!(fresh.action < Action::Challenge);
        }
    }

    #[test]
    fn no_more_is_refused_than_the_share_and_the_burst(
        shares in proptest::collection::vec((0.0f32..=1.0, 0u32..500, 0u32..100), 1..10),
    ) {
        let safety = Safety::new(1.0);
        let (mut allowed, mut refused) = (10.0, 0);
        for (share, requests, refusals) in shares {
            safety.set_share(share);
            (0..requests).for_each(|_| safety.earn());
            allowed += f64::from(share) * f64::from(requests);
            let spent = (0..refusals).filter(|_| safety.spend(1.0)).count() as u32;
            refused += spent;
            prop_assert!(f64::from(refused) <= allowed);
            // And not less than that, by more than the rounding.
            prop_assert!(spent == refusals || f64::from(refused) > allowed - 1.001);
        }
    }
}

#[test]
fn the_share_holds_whatever_threads_ask() {
    let (safety, refused) = (Safety::new(0.01), AtomicU64::new(0));
    let (threads, requests) = (8, 20_000);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..requests {
                    safety.earn();
                    if safety.spend(1.0) {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let allowed = f64::from(0.01f32) * f64::from(threads * requests) + 10.0;
    let refused = refused.into_inner() as f64;
    assert!(refused <= allowed && refused > allowed - 2.0, "{refused} of {allowed}");
}

#[test]
fn a_share_that_is_none_refuses_the_burst_only() {
    for share in [0.0, -1.0, f32::NAN] {
        let safety = Safety::new(share);
        (0..1_000).for_each(|_| safety.earn());
        assert_eq!((0..100).filter(|_| safety.spend(1.0)).count(), 10, "{share}");
    }
}

#[test]
fn a_refusal_costs_what_it_does_harm() {
    let safety = Safety::new(0.0);
    assert_eq!((0..1_000).take_while(|_| safety.spend(0.25)).count(), 40);
    for harm in [0.0, 0.01, f32::NAN] {
        let safety = Safety::new(0.0);
        assert_eq!((0..1_000).take_while(|_| safety.spend(harm)).count(), 100, "{harm}");
    }
}
