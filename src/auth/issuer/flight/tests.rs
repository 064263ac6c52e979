use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const COOL_DOWN: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);

/// A flight whose first fetch has ended, and the time by which a test goes.
fn fetched() -> (Flight, Instant) {
    let flight = Flight::new(COOL_DOWN, LONGEST);
    let now = Instant::now();
    fly(&flight, now);
    (flight, now)
}

/// The task, from the beginning of a fetch to its end.
fn fly(flight: &Flight, end: Instant) -> u64 {
    let number = flight.begin();
    flight.finish(number, end);
    number
}

fn is_asked(flight: &Flight) -> bool {
    flight.lock().asked
}

#[test]
fn all_unknown_keys_wait_for_one_fetch() {
    let (flight, now) = fetched();
    assert_eq!(flight.await_key(Some("a"), now), Some(2));
    assert_eq!(flight.await_key(Some("a"), now), Some(2));
    assert_eq!(flight.await_key(Some("b"), now), Some(2));
    assert_eq!(flight.begin(), 2);
    assert!(!is_asked(&flight));
    assert_eq!(flight.await_key(None, now), Some(2), "while it is under way, too");
    assert!(!is_asked(&flight));
}

#[test]
fn whoever_has_waited_is_answered_for_good() {
    let (flight, mut now) = fetched();
    for key in ["a", "b"] {
        assert_eq!(flight.await_key(Some(key), now), Some(2));
    }
    now += Duration::from_secs(5);
    fly(&flight, now);
    now += COOL_DOWN - Duration::from_millis(1);
    for key in ["a", "b", "c"] {
        assert_eq!(flight.await_key(Some(key), now), None, "{key}");
    }
    assert!(!is_asked(&flight));
}

#[test]
fn a_cool_down_follows_a_fetch_that_an_unknown_key_waits_for_and_no_other() {
    let (flight, now) = fetched();
    fly(&flight, now);
    assert_eq!(flight.await_key(Some("a"), now), Some(3), "none after a fetch by the clock");
    fly(&flight, now);
    assert_eq!(flight.await_key(Some("b"), now), None);
    let later = now + COOL_DOWN + Duration::from_millis(1);
    assert_eq!(flight.begin(), 4);
    assert_eq!(flight.await_key(Some("b"), later), Some(4), "joins one by the clock");
    flight.finish(4, later);
    assert_eq!(flight.await_key(Some("c"), later), None, "which is then its own");
}

#[test]
fn a_key_that_never_comes_causes_fetches_that_get_rarer() {
    let (flight, start) = fetched();
    let mut now = start;
    let mut fetches = Vec::new();
    while now < start + Duration::from_secs(400) {
        if flight.await_key(Some("never"), now).is_some() {
            fetches.push((now - start).as_secs());
            fly(&flight, now);
        }
        now += Duration::from_secs(1);
    }
    assert_eq!(fetches, [0, 20, 60, 120, 180, 240, 300, 360]);
    assert_eq!(flight.await_key(Some("other"), now), Some(10), "another key has not to wait for its turn");
}

#[test]
fn nobody_begins_to_wait_for_a_fetch_that_is_late() {
    let (flight, now) = fetched();
    assert_eq!(flight.await_key(Some("a"), now), Some(2));
    assert_eq!(flight.begin(), 2);
    flight.gave_up(2);
    for key in ["a", "b"] {
        assert_eq!(flight.await_key(Some(key), now), None, "{key}");
    }
    flight.finish(2, now);
    flight.gave_up(2);
    let later = now + COOL_DOWN + Duration::from_millis(1);
    assert_eq!(flight.await_key(Some("b"), later), Some(3), "the next one is another matter");
}

#[test]
fn without_any_key_only_the_first_fetch_is_waited_for_and_later_ones_are_asked_for() {
    let flight = Flight::new(COOL_DOWN, LONGEST);
    let now = Instant::now();
    assert_eq!(flight.await_first(now), Some(1), "before it has begun");
    assert_eq!(flight.begin(), 1);
    assert_eq!(flight.await_first(now), Some(1));
    flight.finish(1, now);
    assert_eq!(flight.await_first(now), None);
    assert!(is_asked(&flight));
    fly(&flight, now);
    assert_eq!(flight.await_first(now), None);
    assert!(!is_asked(&flight), "not again within the cool-down");
    assert_eq!(flight.await_first(now + COOL_DOWN), None);
    assert!(is_asked(&flight));
}

#[test]
fn a_first_fetch_that_is_late_is_not_waited_for_again() {
    let flight = Flight::new(COOL_DOWN, LONGEST);
    let now = Instant::now();
    assert_eq!(flight.await_first(now), Some(1));
    flight.begin();
    flight.gave_up(1);
    assert_eq!(flight.await_first(now), None);
    assert!(!is_asked(&flight));
}

#[test]
fn an_order_is_a_fetch_that_begins_later_whatever_is_under_way() {
    let (flight, now) = fetched();
    assert_eq!(flight.begin(), 2);
    assert_eq!(flight.order(), 3);
    assert_eq!(flight.order(), 3);
    flight.finish(2, now);
    assert!(is_asked(&flight));
    assert_eq!(flight.begin(), 3);
}

#[tokio::test]
async fn a_question_wakes_the_task_once() {
    let (flight, now) = fetched();
    flight.await_key(Some("a"), now);
    flight.asked().await;
    flight.begin();
    assert!(futures_util::FutureExt::now_or_never(flight.asked()).is_none());
    flight.order();
    flight.asked().await;
}

#[test]
fn invented_keys_take_no_more_memory_than_there_is_for_them() {
    let (flight, now) = fetched();
    for number in 0..10 * MAX_ABSENT {
        assert_eq!(flight.await_key(Some(&number.to_string()), now), Some(2));
    }
    assert_eq!(flight.remembered(), MAX_ABSENT);
    fly(&flight, now);
    let later = now + LONGEST * 3;
    assert_eq!(flight.await_key(Some("one more"), later), Some(3));
    assert_eq!(flight.remembered(), 1, "what is over makes room");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(u8),
    Begin,
    Finish,
    Refresh,
    Wait(u64),
}

proptest! {
    /// However requests, fetches and time follow each other.
    #[test]
    fn unknown_keys_cause_one_fetch_for_each_cool_down_and_each_waits_once_for_each_fetch(
        steps in prop::collection::vec(prop_oneof![
            6 => any::<u8>().prop_map(Step::Ask),
            2 => Just(Step::Begin),
            2 => Just(Step::Finish),
            1 => Just(Step::Refresh),
            2 => (0_u64..15_000).prop_map(Step::Wait),
        ], 0..300),
    ) {
        let (flight, mut now) = fetched();
        let (mut begun, mut under_way, mut caused_at) = (1, false, None::<Instant>);
        let mut waited: HashMap<(u8, u64), ()> = HashMap::new();
        for step in steps {
            match step {
                Step::Ask(key) => {
                    let before = is_asked(&flight);
                    if let Some(fetch) = flight.await_key(Some(&key.to_string()), now) {
                        prop_assert!(fetch == begun + 1 || (under_way && fetch == begun));
                        prop_assert!(fetch > *flight.finished().borrow());
                        waited.insert((key, fetch), ());
                    }
                    if !before && is_asked(&flight) {
                        if let Some(last) = caused_at {
                            prop_assert!(now - last >= COOL_DOWN, "{:?}", now - last);
                        }
                        caused_at = Some(now);
                    }
                }
                Step::Begin if !under_way => {
                    begun = flight.begin();
                    under_way = true;
                }
                Step::Finish if under_way => {
                    flight.finish(begun, now);
                    under_way = false;
                    for key in waited.keys().filter(|(_, fetch)| *fetch == begun).map(|(key, _)| *key) {
                        prop_assert_eq!(flight.await_key(Some(&key.to_string()), now), None);
                    }
                }
                Step::Refresh => drop(flight.order()),
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Begin | Step::Finish => {}
            }
        }
    }
}
