use proptest::prelude::*;

use super::trim::{SUSPICIOUS, trim};
use super::*;
use crate::anomaly::features::{COLUMNS, Row};
use crate::anomaly::model::Tails;
use crate::anomaly::reservoir::{Reservoir, Settings};

const HOUR: Duration = Duration::from_hours(1);
/// 2026-11-23.
const START: Duration = Duration::from_secs(1_795_392_000);

fn row(value: f32) -> Row {
    Row([value; COLUMNS])
}

fn seen(caller: u64, value: f32) -> Seen {
    Seen { caller, at: START, row: row(value) }
}

/// The rarity that a test has given to a row.
fn given(seen: &Seen) -> f32 {
    seen.row.0[0]
}

#[test]
fn a_model_is_due_after_the_warm_up_and_then_regularly() {
    let schedule = Schedule { warm_up: 2_000, every: HOUR };
    let due = |seen, new, last, now| schedule.is_due(Requests { seen, new }, last, now, false);
    assert!(!due(1_999, 1_999, None, START));
    assert!(due(2_000, 2_000, None, START));
    assert!(!due(2_000, 9, Some(START), START + HOUR - Duration::from_nanos(1)));
    assert!(due(2_000, 1, Some(START), START + HOUR));
    assert!(!due(2_000, 0, Some(START), START + 9 * HOUR), "nothing is new");
    assert!(due(2_000, 1, Some(START + HOUR), START), "the clock was set back");
    assert!(
        !due(1_999, 1_999, Some(START), START + HOUR),
        "a model of many is not replaced by one of few after a restart"
    );
}

#[test]
fn as_long_as_the_sample_grows_one_is_due_whenever_it_has_doubled() {
    let schedule = Schedule { warm_up: 2_000, every: HOUR };
    let due = |seen, of_last| schedule.is_due(Requests { seen, new: seen - of_last }, Some(START), START, false);
    assert!(!due(3_999, 2_000) && due(4_000, 2_000));
    assert!(due(32_766, 16_383) && !due(32_768, 16_384), "the sample is full");
    assert!(!due(4_000, 0), "of what was before a restart nobody knows how many there were");
}

#[test]
fn drift_makes_it_due_sooner_but_not_all_the_time() {
    let schedule = Schedule { warm_up: 2_000, every: HOUR };
    let due = |now| schedule.is_due(Requests { seen: 2_000, new: 1 }, Some(START), now, true);
    assert!(!due(START + HOUR / 4 - Duration::from_nanos(1)));
    assert!(due(START + HOUR / 4));
    assert!(!schedule.is_due(Requests { seen: 1_999, new: 1_999 }, None, START, true));
}

#[test]
fn usual_rows_are_hardly_ever_left_out() {
    let mut random = fastrand::Rng::with_seed(1);
    for callers in [1, 3, 20, 1_000] {
        let mut rows: Vec<Seen> = (0..20_000).map(|at| seen(at % callers, random.f32())).collect();
        trim(&mut rows, SUSPICIOUS, given);
        assert!(rows.len() >= 19_980, "{} of {callers} callers are left", rows.len());
    }
}

#[test]
fn who_stands_out_keeps_what_is_usual_and_the_share_that_is_expected() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut rows: Vec<Seen> = (0..9_000).map(|at| seen(at % 9, 0.01 + random.f32())).collect();
    rows.extend((0_u8..200).map(|at| seen(77, SUSPICIOUS * f32::from(at) / 200.0)));
    rows.extend((0..800).map(|_| seen(77, 0.5)));
    trim(&mut rows, SUSPICIOUS, given);
    assert_eq!(rows.len(), 9_000 + 800 + 5);
    let stayed = rows.iter().filter(|seen| seen.caller == 77 && given(seen) < 0.01);
    assert!(stayed.clone().all(|seen| given(seen) > SUSPICIOUS * 0.97), "the rarest stayed");
    assert_eq!(stayed.count(), 5);
}

#[test]
fn what_the_whole_route_does_from_now_on_is_learned() {
    // All of it, or a bit more of it with every request; by all callers, or by the only one.
    for (share, callers) in [(1.0, 10), (0.5, 10), (0.03, 10), (0.03, 200), (1.0, 1), (0.3, 1)] {
        let mut random = fastrand::Rng::with_seed(3);
        let mut rows: Vec<Seen> =
            (0..10_000).map(|at| seen(at % callers, if random.f32() < share { 0.0 } else { 0.5 })).collect();
        trim(&mut rows, SUSPICIOUS, given);
        assert!(rows.len() >= 9_950, "{} of {share} by {callers}", rows.len());
    }
}

proptest! {
    #[test]
    fn at_most_half_of_the_rows_are_left_out_and_none_that_is_usual(
        rows in prop::collection::vec((0_u64..12, prop_oneof![Just(0.0_f32), 0.0_f32..0.01, 0.0_f32..1.0]), 0..600),
    ) {
        let all: Vec<Seen> = rows.iter().map(|(caller, rarity)| seen(*caller, *rarity)).collect();
        let mut left = all.clone();
        trim(&mut left, SUSPICIOUS, given);
        prop_assert!(left.len() * 2 >= all.len());
        let usual = |rows: &[Seen]| rows.iter().filter(|seen| given(seen) > SUSPICIOUS).count();
        prop_assert_eq!(usual(&left), usual(&all));
    }

    #[test]
    fn any_rarities_have_an_index(rarities in prop::collection::vec(any::<f32>(), 0..1_000)) {
        let mut drift = Drift::default();
        rarities.iter().for_each(|rarity| drift.note(*rarity));
        prop_assert_eq!(drift.index().is_some(), rarities.len() >= 500);
        prop_assert!(drift.index().is_none_or(|index| index.is_finite() && index >= 0.0));
    }
}

/// The index after so many requests.
fn index(mut drift: Drift, requests: usize, mut rarity: impl FnMut(&mut fastrand::Rng) -> f32) -> f32 {
    let mut random = fastrand::Rng::with_seed(4);
    (0..requests).for_each(|_| drift.note(rarity(&mut random)));
    drift.index().unwrap()
}

#[test]
fn even_rarities_are_no_drift_and_shifted_ones_are() {
    let even = |random: &mut fastrand::Rng| random.f32();
    for requests in [500, 1_000, 3_000, 50_000] {
        assert!(index(Drift::default(), requests, even) < 0.05, "{requests}");
    }
    assert!(index(Drift::default(), 3_000, |random| random.f32().powi(3)) > 0.25, "rarer than before");
    assert!(index(Drift::default(), 3_000, |random| random.f32().sqrt().sqrt()) > 0.25, "less rare than before");
    // An alarm that comes and goes.
    let mut drift = Drift::default();
    let mut random = fastrand::Rng::with_seed(5);
    for (requests, shape, alarm) in [(400, 1, false), (2_000, 1, false), (1_500, 4, true), (6_000, 1, false)] {
        (0..requests).for_each(|_| drift.note(random.f32().powi(shape)));
        assert_eq!(drift.is_alarming(), alarm, "{:?}", drift.index());
    }
}

/// Of a route whose requests are alike, many have the same score.
#[test]
fn what_was_uneven_from_the_start_is_no_drift() {
    let score = |random: &mut fastrand::Rng| if random.f32() < 0.7 { 0.4 } else { 0.4 + 0.1 * random.f32() };
    let mut random = fastrand::Rng::with_seed(6);
    let mut scores: Vec<f32> = (0..5_000).map(|_| score(&mut random)).collect();
    let tails = Tails::of(&mut scores);
    assert!(index(Drift::of(&tails), 3_000, |random| tails.rarity(score(random))) < 0.05);
    assert!(index(Drift::default(), 3_000, |random| tails.rarity(score(random))) > 0.25);
}

const ATTACK: f32 = 50.0;
const RETRAININGS: u32 = 24;

/// Twenty partners, and one caller with three tenths of all requests whose every one is an attack; a model each hour for a day.
/// `judge` gives the rarity of a row by what was learned; `learn` learns. The greatest rarity that the attack ever had.
fn poisoned<M>(learn: impl Fn(Vec<Seen>, Option<&M>) -> M, judge: impl Fn(&M, &Row) -> f32) -> f32 {
    let settings = Settings { capacity: 3_000, half_life: 24 * HOUR, share: 0.1 };
    let mut reservoir = Reservoir::new(settings, 8);
    let mut random = fastrand::Rng::with_seed(9);
    let usual = |random: &mut fastrand::Rng| Row(std::array::from_fn(|_| (0..4).map(|_| random.f32()).sum()));
    for at in 0..10_000_u32 {
        reservoir.offer(u64::from(at % 20), START + Duration::from_secs(at.into()), &usual(&mut random));
    }
    let mut model = learn(reservoir.rows(), None);
    let mut greatest = 0.0_f32;
    for hour in 0..RETRAININGS {
        for request in 0..4_000_u32 {
            let at = START + HOUR * (3 + hour) + Duration::from_millis(900 * u64::from(request));
            if request % 10 < 3 {
                // Like each other, but not the same.
                let attack = Row([ATTACK + random.f32(); COLUMNS]);
                reservoir.offer(99, at, &attack);
            } else {
                reservoir.offer(random.u64(0..20), at, &usual(&mut random));
            }
        }
        model = learn(reservoir.rows(), Some(&model));
        for _ in 0..50 {
            greatest = greatest.max(judge(&model, &Row([ATTACK + random.f32(); COLUMNS])));
        }
    }
    let rows = reservoir.rows();
    let attack = rows.iter().filter(|seen| seen.caller == 99).count();
    assert_eq!(attack, 300, "the flood has its share of the sample, and no more");
    greatest
}

/// With a score that is easy to follow, the distance from the middle: what is tested is the sample and what is left out of it.
#[test]
fn an_attack_that_is_repeated_stays_rare() {
    let score = |row: &Row| (row.0[0] - 2.0).abs() / 100.0;
    let learn = |trims: bool| {
        move |mut rows: Vec<Seen>, before: Option<&Tails>| {
            if let (Some(before), true) = (before, trims) {
                trim(&mut rows, SUSPICIOUS, |seen| before.rarity(score(&seen.row)));
            }
            Tails::of(&mut rows.iter().map(|seen| score(&seen.row)).collect::<Vec<f32>>())
        }
    };
    let judge = |tails: &Tails, row: &Row| tails.rarity(score(row));
    assert!(poisoned(learn(true), judge) < 0.005);
    assert!(poisoned(learn(false), judge) > 0.08, "without trimming it is learned, and the test tests something");
}

#[test]
fn an_attack_that_is_repeated_stays_rare_for_forests() {
    let learn = |rows, before: Option<&Model>| train(None, rows, before, START).unwrap();
    let worst = poisoned(learn, |model: &Model, row| model.arrival.judge(row.arrival()).rarity);
    assert!(worst < 0.05, "a rarity of {worst}");
}
