use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::anomaly::features::COLUMNS;

const DAY: Duration = Duration::from_hours(24);
/// 2026-11-23.
const START: Duration = Duration::from_secs(1_795_392_000);

fn reservoir(capacity: usize, share: f32) -> Reservoir {
    Reservoir::new(Settings { capacity, half_life: DAY, share }, 7)
}

fn row(value: f32) -> Row {
    Row([value; COLUMNS])
}

fn by_caller(reservoir: &Reservoir) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    reservoir.rows().iter().for_each(|seen| *counts.entry(seen.caller).or_default() += 1);
    counts
}

/// Everything that is kept twice agrees, and every heap holds the rows of its caller, the lowest first.
fn assert_sound(reservoir: &Reservoir) {
    let counts = by_caller(reservoir);
    assert_eq!(counts.values().sum::<usize>(), reservoir.len());
    assert!(reservoir.len() <= reservoir.settings.capacity);
    assert_eq!(counts.len(), reservoir.callers.len());
    let lowest = |id: Option<u64>| {
        let keys = reservoir.slots.iter().filter(|slot| !slot.is_released());
        let keys = keys.filter(|slot| id.is_none_or(|id| slot.seen.caller == id)).map(|slot| slot.key);
        keys.fold(f64::INFINITY, f64::min)
    };
    for (id, count) in &counts {
        let caller = reservoir.callers.get(*id).unwrap();
        assert_eq!((caller.rows, caller.key), (*count, lowest(Some(*id))));
    }
    assert_eq!(reservoir.callers.first().map_or(f64::INFINITY, |first| first.key), lowest(None));
}

proptest! {
    #[test]
    fn it_never_holds_more_than_its_capacity_nor_a_caller_more_than_its_cap(
        capacity in 0_usize..40,
        share in 0.01_f32..1.0,
        offers in prop::collection::vec((0_u64..9, 0_u64..200_000), 0..400),
    ) {
        let mut reservoir = reservoir(capacity, share);
        let (mut at, mut most) = (START, BTreeMap::<u64, usize>::new());
        for (caller, later) in offers {
            at += Duration::from_secs(later);
            reservoir.offer(caller, at, &row(1.0));
            assert_sound(&reservoir);
            let (cap, now) = (reservoir.cap(), by_caller(&reservoir));
            for (caller, count) in &now {
                let before = most.get(caller).copied().unwrap_or_default();
                prop_assert!(*count <= cap.max(before), "{count} rows, the cap is {cap}, and it had {before}");
            }
            most = now;
        }
    }

    #[test]
    fn the_same_offers_and_seed_give_the_same_sample(callers in prop::collection::vec(0_u64..5, 0..300)) {
        let of = || {
            let mut reservoir = reservoir(20, 0.3);
            for (at, caller) in callers.iter().enumerate() {
                reservoir.offer(*caller, START + Duration::from_secs(at as u64), &row(at as f32));
            }
            reservoir
        };
        prop_assert_eq!(of().offered(), callers.len() as u64);
        prop_assert_eq!(of().rows(), of().rows());
    }
}

/// Rows of two ages, both many times what is kept.
#[test]
fn a_row_counts_half_as_much_after_a_half_life() {
    for (half_lives, expected) in [(0, 1.0), (1, 0.5), (2, 0.25), (4, 0.0625)] {
        let (mut old, mut new) = (0_u32, 0_u32);
        for seed in 0..20 {
            let mut reservoir = Reservoir::new(Settings { capacity: 200, half_life: DAY, share: 1.0 }, seed);
            for age in [half_lives, 0] {
                for _ in 0..10_000 {
                    reservoir.offer(1, START + DAY * (half_lives - age), &row(age as f32));
                }
            }
            old += reservoir.rows().iter().filter(|seen| seen.at == START).count() as u32;
            new += reservoir.rows().iter().filter(|seen| seen.row.0[0] == 0.0).count() as u32;
        }
        let ratio = if half_lives == 0 { 1.0 } else { f64::from(old) / f64::from(new) };
        assert!((ratio - expected).abs() < 0.05, "{ratio} after {half_lives}, {expected} expected");
    }
}

#[test]
fn one_caller_alone_fills_it_and_gives_way_to_others() {
    let mut reservoir = reservoir(1_000, 0.1);
    let second = |at: u64| START + Duration::from_secs(at);
    (0..5_000).for_each(|at| reservoir.offer(1, second(at), &row(0.0)));
    assert_eq!(by_caller(&reservoir), [(1, 1_000)].into());
    // Nine of ten requests are still of the first.
    for at in 5_000..200_000 {
        reservoir.offer(if at % 10 == 0 { 2 + at / 10 % 20 } else { 1 }, second(at), &row(0.0));
    }
    let counts = by_caller(&reservoir);
    assert_eq!((reservoir.len(), counts[&1]), (1_000, 100), "{counts:?}");
}

#[test]
fn whoever_floods_it_gets_its_share_and_no_more() {
    let mut reservoir = reservoir(1_000, 0.1);
    for at in 0..50_000_u64 {
        reservoir.offer(at % 30, START + Duration::from_secs(at), &row(0.0));
    }
    for at in 50_000..400_000_u64 {
        reservoir.offer(if at % 10 < 3 { at % 30 } else { 99 }, START + Duration::from_secs(at), &row(1.0));
        assert!(reservoir.callers.get(99).is_none_or(|caller| caller.rows <= 100));
    }
    assert_eq!(by_caller(&reservoir)[&99], 100);
}

/// Those who stay have the sample to themselves after a while, though they were at their cap.
#[test]
fn callers_that_fell_silent_leave() {
    let mut reservoir = reservoir(1_000, 0.1);
    for at in 0..100_000_u64 {
        reservoir.offer(at % 10, START + Duration::from_secs(at), &row(0.0));
    }
    for at in 0..12 * 1_440 {
        reservoir.offer(1, START + DAY * 2 + Duration::from_mins(at), &row(0.0));
    }
    assert_eq!(by_caller(&reservoir), [(1, 1_000)].into());
    let oldest = reservoir.rows().iter().map(|seen| seen.at).min().unwrap();
    assert!(oldest > START + DAY * 2, "a row of {oldest:?} is left");
}

#[test]
fn many_years_and_short_half_lives_are_no_problem() {
    let settings = Settings { capacity: 50, half_life: Duration::from_secs(1), share: 1.0 };
    let mut reservoir = Reservoir::new(settings, 3);
    for hour in 0..20_000 {
        reservoir.offer(hour % 3, Duration::from_hours(hour * 100), &row(0.0));
    }
    assert_sound(&reservoir);
    let oldest = reservoir.rows().iter().map(|seen| seen.at).min().unwrap();
    assert!(oldest > Duration::from_hours(100 * (20_000 - 51)), "{oldest:?}");
    for settings in [
        Settings { half_life: Duration::ZERO, ..settings },
        Settings { half_life: Duration::MAX, ..settings },
        Settings { share: f32::NAN, ..settings },
    ] {
        let mut reservoir = Reservoir::new(settings, 3);
        (0..200).for_each(|at| reservoir.offer(at % 3, Duration::from_secs(at), &row(0.0)));
        assert_sound(&reservoir);
        assert_eq!(reservoir.len(), 50);
    }
}

#[test]
fn a_clock_that_was_far_ahead_does_not_freeze_it() {
    let mut reservoir = reservoir(100, 1.0);
    (0..200).for_each(|at| reservoir.offer(1, START + DAY * 365 + Duration::from_secs(at), &row(0.0)));
    (0..50).for_each(|at| reservoir.offer(1, START + Duration::from_secs(at), &row(1.0)));
    assert_eq!(reservoir.len(), 50);
    assert!(reservoir.rows().iter().all(|seen| seen.at < START + DAY));
}

#[test]
fn a_full_sample_takes_few() {
    let mut reservoir = reservoir(1_000, 0.1);
    (0..200_000_u64).for_each(|at| reservoir.offer(at % 100, START + Duration::from_millis(at), &row(at as f32)));
    // Half of them are of the second half.
    let late = reservoir.rows().iter().filter(|seen| seen.row.0[0] >= 100_000.0).count();
    assert!((400..600).contains(&late), "{late}");
}
