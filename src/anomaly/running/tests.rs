use proptest::prelude::*;

use super::*;

/// All at once.
const AT: Duration = Duration::ZERO;

/// Uniform in (0, 1].
fn rarity(random: &mut fastrand::Rng) -> f32 {
    1.0 - random.f32()
}

/// After so many usual requests, of just the surprise that they have in the mean.
fn known(requests: u32) -> Running {
    let mut running = Running::default();
    (0..requests).for_each(|_| running.note((-1.0f32).exp(), AT, 1.0));
    running
}

#[test]
fn it_is_calibrated_as_soon_as_anything_is_said() {
    const CALLERS: u32 = 50_000;
    let mut random = fastrand::Rng::with_seed(6);
    let looks = [32, 64, 300, 2_000];
    let shares = [0.1, 0.01, 0.001];
    let mut seen = [[0u32; 3]; 4];
    for _ in 0..CALLERS {
        let mut running = Running::default();
        let mut requests = 0;
        for (look, seen) in looks.iter().zip(&mut seen) {
            while requests < *look {
                running.note(rarity(&mut random), AT, 1.0);
                requests += 1;
            }
            let rarity = running.rarity(AT, 1.0);
            for (share, seen) in shares.iter().zip(seen) {
                *seen += u32::from(rarity <= *share);
            }
        }
    }
    for (look, seen) in looks.iter().zip(seen) {
        for (share, seen) in shares.iter().zip(seen) {
            // What is usual is not known better at first, and then taken for a bit more.
            let factor = f64::from(seen) / f64::from(CALLERS) / f64::from(*share);
            assert!(factor < 1.5, "after {look} requests, {share}: {factor}");
            assert!(*look < 2_000 || factor > 0.6, "{share}: {factor}");
        }
    }
}

#[test]
fn nothing_is_said_before_enough_is_known() {
    let mut running = Running::default();
    running.note(f32::NAN, AT, 1.0);
    assert_eq!(running, Running::default());
    for _ in 0..KNOWN {
        assert_eq!(running.rarity(AT, 1.0), 1.0);
        running.note(0.0, AT, 1.0);
    }
}

#[test]
fn who_is_always_a_bit_different_is_not_held_to_be_unusual() {
    let mut running = Running::default();
    (0..500).for_each(|_| running.note(0.003, AT, 1.0));
    assert!(running.rarity(AT, 1.0) > 0.3, "{}", running.rarity(AT, 1.0));
    let mut now_and_then = known(2_000);
    (0..15).for_each(|_| now_and_then.note(0.003, AT, 1.0));
    assert!(now_and_then.rarity(AT, 1.0) < 1e-4, "{}", now_and_then.rarity(AT, 1.0));
}

/// Requests of mean surprise until the running rarity is above a share.
fn until_above(share: f32, mut running: Running) -> u32 {
    let usual = (-1.0f32).exp();
    (0..)
        .take_while(|_| {
            let is_below = running.rarity(AT, 1.0) <= share;
            running.note(usual, AT, 1.0);
            is_below
        })
        .count() as u32
}

#[test]
fn it_comes_down_after_as_many_usual_requests_as_are_stated() {
    let mut row = known(2_000);
    (0..50).for_each(|_| row.note(0.0, AT, 1.0));
    assert_eq!(row.rarity(AT, 1.0), LEAST);
    let [until_1, until_5] = [0.01, 0.05].map(|share| until_above(share, row));
    assert!(until_1 <= 25 && until_5 <= 29, "{until_1} {until_5}");
    let mut single = known(2_000);
    single.note(0.0, AT, 1.0);
    assert!(until_above(0.01, single) <= 3);
}

#[test]
fn many_requests_at_once_do_not_become_usual() {
    let mut running = known(2_000);
    (0..5_000).for_each(|at| running.note(0.02, HALF_LIFE / 5_000 * at, 1.0));
    assert!(running.rarity(HALF_LIFE, 1.0) < 1e-3, "{}", running.rarity(HALF_LIFE, 1.0));
    (0..5_000).for_each(|at| running.note(0.02, HALF_LIFE + HALF_LIFE / 200 * at, 1.0));
    assert!(running.rarity(HALF_LIFE * 26, 1.0) > 0.1, "what goes on for hours does");
}

#[test]
fn what_all_callers_have_in_common_is_held_against_none() {
    let mut running = known(2_000);
    (0..50).for_each(|_| running.note(0.01, AT, 1.0));
    let excess = running.excess(AT).unwrap();
    assert!(excess > 4.0 && running.rarity(AT, 1.0) == LEAST);
    assert!(running.rarity(AT, excess) > 0.3 && running.rarity(AT, 2.0) < 0.001);
}

#[test]
fn it_comes_down_by_time_too() {
    let mut running = known(2_000);
    (0..50).for_each(|_| running.note(0.0, AT, 1.0));
    let later = |halves: u32| running.rarity(HALF_LIFE * halves, 1.0);
    assert!(later(1) < 0.001 && later(4) > 0.01 && later(7) > 0.1, "{} {} {}", later(1), later(4), later(7));
}

#[test]
fn a_row_of_somewhat_unusual_requests_is_rare_as_none_of_them_is() {
    let mut running = Running::default();
    (0..500).for_each(|_| running.note(0.4, AT, 1.0));
    assert!(running.rarity(AT, 1.0) > 0.1);
    (0..15).for_each(|_| running.note(0.05, AT, 1.0));
    assert!(running.rarity(AT, 1.0) < 0.001, "{}", running.rarity(AT, 1.0));
}

proptest! {
    #[test]
    fn it_is_a_share_whatever_is_noted(
        noted in proptest::collection::vec((proptest::num::f32::ANY, any::<u32>()), 0..100), at in any::<u32>(),
    ) {
        let mut running = Running::default();
        for (rarity, at) in noted {
            running.note(rarity, Duration::from_millis(at.into()), 1.0);
        }
        let rarity = running.rarity(Duration::from_millis(at.into()), 1.0);
        prop_assert!((LEAST..=1.0).contains(&rarity), "{rarity}");
    }

    #[test]
    fn a_rarer_request_makes_it_rarer(
        before in proptest::collection::vec(0.0f32..=1.0, 1_024..1_100), a in 0.0f32..=1.0, b in 0.0f32..=1.0,
    ) {
        let mut running = Running::default();
        before.iter().for_each(|rarity| running.note(*rarity, AT, 1.0));
        let after = |rarity| { let mut running = running; running.note(rarity, AT, 1.0); running.rarity(AT, 1.0) };
        prop_assert!(after(a.min(b)) <= after(a.max(b)));
    }
}
