use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::clock;
use crate::cache::store::tests::answer;

const LIFETIME: Duration = Duration::from_secs(100);

/// An answer that came `seconds` ago and was given so often since.
fn kept(seconds: u64, hits: u32) -> (Arc<Stored>, Moment) {
    let stored = answer("key", 10, LIFETIME);
    stored.marks.hits.store(hits, Ordering::Relaxed);
    let at = stored.head.freshness.received + Duration::from_secs(seconds);
    (stored, Moment { at, wall: clock::since_epoch() })
}

fn rich() -> Budget {
    Budget { credit: AtomicU32::new(SAVED) }
}

#[test]
fn only_the_last_part_of_a_lifetime_counts() {
    let granted = |seconds, part| {
        let (stored, now) = kept(seconds, 1_000);
        rich().grants(&stored, part, now)
    };
    assert!(!granted(89, 10));
    assert!(granted(90, 10) && granted(99, 10));
    assert!(!granted(100, 10) && !granted(1_000, 10));
    assert!(!granted(99, 0));
    assert!(granted(0, 100));
}

#[test]
fn only_what_will_be_asked_for_again_is_fetched() {
    let granted = |hits| {
        let (stored, now) = kept(95, hits);
        rich().grants(&stored, 10, now)
    };
    assert!(!granted(0) && !granted(2));
    assert!(granted(3));
}

#[test]
fn an_answer_is_granted_once() {
    let budget = rich();
    let (stored, now) = kept(95, 50);
    assert!(budget.grants(&stored, 10, now));
    assert!(!budget.grants(&stored, 10, now));
    stored.marks.refreshing.store(false, Ordering::Relaxed);
    assert!(budget.grants(&stored, 10, now));
}

#[test]
fn without_credit_an_answer_stays_unmarked() {
    let (stored, now) = kept(95, 50);
    assert!(!Budget::default().grants(&stored, 10, now));
    assert!(!stored.marks.refreshing.load(Ordering::Relaxed));
}

proptest! {
    /// Never more than what was earned, and what is saved has an end.
    #[test]
    fn refreshes_are_a_bounded_share(steps in prop::collection::vec(any::<bool>(), 0..3_000)) {
        let budget = Budget::default();
        let (mut earned, mut granted, mut model) = (0_u32, 0_u32, 0_u32);
        for earns in steps {
            if earns {
                budget.earn();
                earned += 1;
                model = (model + 1).min(SAVED);
            } else {
                let (stored, now) = kept(95, 50);
                let grants = budget.grants(&stored, 10, now);
                prop_assert_eq!(grants, model >= PRICE);
                granted += u32::from(grants);
                model -= if grants { PRICE } else { 0 };
            }
            prop_assert!(granted * PRICE <= earned);
        }
    }
}

#[test]
fn threads_do_not_overdraw() {
    const EACH: u32 = 2_000;
    let budget = Budget::default();
    let granted: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let grant = |_| {
                        budget.earn();
                        let (stored, now) = kept(95, 50);
                        u32::from(budget.grants(&stored, 10, now))
                    };
                    (0..EACH).map(grant).sum::<u32>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(granted * PRICE <= 4 * EACH, "{granted}");
    assert!(granted > EACH / 2, "{granted}");
}
