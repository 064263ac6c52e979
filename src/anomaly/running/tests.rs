use proptest::prelude::*;

use super::*;

/// Uniform in (0, 1].
fn rarity(random: &mut fastrand::Rng) -> f32 {
    1.0 - random.f32()
}

#[test]
fn it_is_calibrated_from_the_first_request_on() {
    const CALLERS: u32 = 200_000;
    let mut random = fastrand::Rng::with_seed(6);
    let looks = [1, 2, 3, 5, 10, 20, 50];
    let shares = [0.1, 0.01, 0.001];
    let mut seen = [[0u32; 3]; 7];
    for _ in 0..CALLERS {
        let mut running = Running::default();
        let mut requests = 0;
        for (look, seen) in looks.iter().zip(&mut seen) {
            while requests < *look {
                running.note(rarity(&mut random));
                requests += 1;
            }
            let rarity = running.rarity();
            for (share, seen) in shares.iter().zip(seen) {
                *seen += u32::from(rarity <= *share);
            }
        }
    }
    for (look, seen) in looks.iter().zip(seen) {
        for (share, seen) in shares.iter().zip(seen) {
            let factor = f64::from(seen) / f64::from(CALLERS) / f64::from(*share);
            assert!((1.0 / 1.5..1.5).contains(&factor), "after {look} requests, {share}: {factor}");
        }
    }
}

#[test]
fn nothing_is_known_before_the_first_request() {
    let mut running = Running::default();
    assert_eq!(running.rarity(), 1.0);
    running.note(f32::NAN);
    assert_eq!(running, Running::default());
}

#[test]
fn the_first_request_counts_as_it_is() {
    for rarity in [0.5, 0.1, 0.01, 0.001] {
        let mut running = Running::default();
        running.note(rarity);
        assert!((0.75..1.5).contains(&(running.rarity() / rarity)), "{rarity} {}", running.rarity());
    }
}

/// Requests of mean surprise until the running rarity is above a share.
fn until_above(share: f32, mut running: Running) -> u32 {
    let usual = (-1.0f32).exp();
    (0..)
        .take_while(|_| {
            let is_below = running.rarity() <= share;
            running.note(usual);
            is_below
        })
        .count() as u32
}

#[test]
fn it_comes_down_after_as_many_usual_requests_as_are_stated() {
    let mut running = Running::default();
    (0..1_000).for_each(|_| running.note(0.0));
    assert_eq!(running.rarity(), LEAST);
    assert_eq!([0.01, 0.05].map(|share| until_above(share, running)), [25, 29]);

    let mut single = Running::default();
    (0..100).for_each(|_| single.note((-1.0f32).exp()));
    single.note(0.0);
    assert_eq!([0.001, 0.01, 0.05].map(|share| until_above(share, single)), [0, 3, 7]);
}

#[test]
fn a_row_of_somewhat_unusual_requests_is_rare_as_none_of_them_is() {
    let mut running = Running::default();
    (0..50).for_each(|_| running.note(0.4));
    assert!(running.rarity() > 0.1);
    (0..15).for_each(|_| running.note(0.05));
    assert!(running.rarity() < 0.001, "{}", running.rarity());
}

proptest! {
    #[test]
    fn it_is_a_share_whatever_is_noted(rarities in proptest::collection::vec(proptest::num::f32::ANY, 0..100)) {
        let mut running = Running::default();
        for rarity in rarities {
            running.note(rarity);
            let rarity = running.rarity();
            prop_assert!((LEAST..=1.0).contains(&rarity), "{rarity}");
        }
    }

    #[test]
    fn a_rarer_request_makes_it_rarer(
        before in proptest::collection::vec(0.0f32..=1.0, 0..40), a in 0.0f32..=1.0, b in 0.0f32..=1.0,
    ) {
        let mut running = Running::default();
        before.iter().for_each(|rarity| running.note(*rarity));
        let after = |rarity| { let mut running = running; running.note(rarity); running.rarity() };
        prop_assert!(after(a.min(b)) <= after(a.max(b)));
    }
}
