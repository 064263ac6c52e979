use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use proptest::prelude::*;

use super::{Reuse, VALIDATED_WITHIN, judge, on_error, useful_for};
use crate::base::clock;
use crate::cache::Moment;
use crate::cache::directives::RequestDirectives;
use crate::cache::freshness::Freshness;
use crate::cache::key::Key;
use crate::cache::storable::Rules;
use crate::cache::stored::{Body, Groups, Head, Stored, StoredFields};
use crate::cache::validation;

const FRESH: Reuse = Reuse::Fresh;
const STALE: Reuse = Reuse::StaleAllowed;
const WHILE: Reuse = Reuse::WhileRevalidating;
const ASKED_TO: Reuse = Reuse::Validate { no_cache: true };
const TOO_OLD: Reuse = Reuse::Validate { no_cache: false };

const NEVER_STALE: Rules = Rules {
    never_stale: true,
    always_validate: false,
    stale_while_revalidate: Duration::ZERO,
    stale_if_error: Duration::ZERO,
};
const ALWAYS: Rules = Rules { never_stale: false, always_validate: true, ..NEVER_STALE };

/// Fresh for a minute.
fn stored(rules: Rules, fields: &HeaderMap) -> Stored {
    let freshness =
        Freshness { lifetime: Duration::from_secs(60), initial_age: Duration::ZERO, received: clock::now() };
    let head = Head {
        key: Key::from(&b"key"[..]),
        status: StatusCode::OK,
        version: Version::HTTP_11,
        fields: StoredFields::new(fields),
        freshness,
        rules,
        groups: Groups::default(),
    };
    Stored::new(Arc::new(head), Body::default())
}

fn after(stored: &Stored, seconds: u64) -> Moment {
    Moment { at: stored.head.freshness.received + Duration::from_secs(seconds), wall: Duration::ZERO }
}

fn windows(stale_while_revalidate: u64, stale_if_error: u64) -> Rules {
    Rules {
        stale_while_revalidate: Duration::from_secs(stale_while_revalidate),
        stale_if_error: Duration::from_secs(stale_if_error),
        ..Rules::default()
    }
}

fn request(line: &'static str) -> RequestDirectives {
    let mut fields = HeaderMap::new();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(line));
    RequestDirectives::of(&fields)
}

fn table(rules: Rules, cases: &[(&'static str, u64, Reuse)]) {
    let stored = stored(rules, &HeaderMap::new());
    for (line, seconds, expected) in cases {
        assert_eq!(judge(&stored, &request(line), after(&stored, *seconds)), *expected, "{line:?} after {seconds} s");
    }
}

#[test]
fn rfc_9111_4_fresh_is_given_and_stale_is_asked_for() {
    table(
        Rules::default(),
        &[("", 0, FRESH), ("", 59, FRESH), ("", 60, TOO_OLD), ("", 1 << 32, TOO_OLD), ("x=1", 1, FRESH)],
    );
}

#[test]
fn rfc_9111_5_2_1_1_max_age() {
    table(
        Rules::default(),
        &[
            ("max-age=0", 0, ASKED_TO),
            ("max-age", 0, ASKED_TO),
            ("max-age=10", 10, FRESH),
            ("max-age=10", 11, ASKED_TO),
            ("max-age=1000", 61, TOO_OLD),
            ("max-age=1000, max-stale", 61, STALE),
            ("max-age=10, max-stale", 61, TOO_OLD),
        ],
    );
    table(windows(30, 0), &[("max-age=1000", 61, TOO_OLD), ("max-age=1000, max-stale=5", 61, WHILE)]);
}

#[test]
fn rfc_9111_5_2_1_2_max_stale() {
    table(
        Rules::default(),
        &[
            ("max-stale=10", 59, FRESH),
            ("max-stale=10", 70, STALE),
            ("max-stale=10", 71, TOO_OLD),
            ("max-stale=0", 60, TOO_OLD),
            ("max-stale=x", 61, TOO_OLD),
            ("max-stale", 1 << 33, STALE),
        ],
    );
    table(windows(30, 0), &[("max-stale=10", 65, WHILE), ("max-stale=10", 75, TOO_OLD), ("max-stale", 100, STALE)]);
}

#[test]
fn rfc_9111_5_2_1_3_min_fresh() {
    table(
        windows(30, 0),
        &[
            ("min-fresh=10", 50, FRESH),
            ("min-fresh=10", 51, ASKED_TO),
            ("min-fresh=61", 0, ASKED_TO),
            ("min-fresh=10", 61, TOO_OLD),
            ("min-fresh=0", 61, TOO_OLD),
            ("min-fresh=10, max-stale", 61, TOO_OLD),
        ],
    );
}

#[test]
fn rfc_9111_5_2_1_4_no_cache() {
    table(windows(30, 0), &[("no-cache", 0, ASKED_TO), ("no-cache, max-stale", 61, ASKED_TO)]);
}

#[test]
fn rfc_9111_5_2_2_4_no_cache_of_the_answer() {
    table(
        ALWAYS,
        &[("", 0, TOO_OLD), ("max-stale", 61, TOO_OLD), ("max-stale", 0, TOO_OLD), ("no-cache", 0, ASKED_TO)],
    );
}

#[test]
fn rfc_9111_4_2_4_what_the_answer_forbids_no_request_allows() {
    table(NEVER_STALE, &[("", 59, FRESH), ("", 60, TOO_OLD), ("max-stale", 61, TOO_OLD)]);
    for rules in [NEVER_STALE, ALWAYS] {
        let stored = stored(rules, &HeaderMap::new());
        assert!(!on_error(&stored, &request("stale-if-error=1000"), after(&stored, 61)));
    }
}

#[test]
fn rfc_5861_3_stale_while_revalidate() {
    table(windows(30, 0), &[("", 59, FRESH), ("", 60, WHILE), ("", 89, WHILE), ("", 90, TOO_OLD)]);
}

#[test]
fn rfc_5861_4_stale_if_error() {
    let stored = stored(windows(0, 30), &HeaderMap::new());
    for (line, seconds, expected) in [
        ("", 0, true),
        ("", 60, true),
        ("", 89, true),
        ("", 90, false),
        ("max-age=0", 61, true),
        ("no-cache", 61, false),
        ("stale-if-error=100", 100, true),
        ("stale-if-error=10", 80, false),
        ("stale-if-error=0", 61, false),
    ] {
        assert_eq!(on_error(&stored, &request(line), after(&stored, seconds)), expected, "{line:?} after {seconds} s");
    }
    let without = self::stored(Rules::default(), &HeaderMap::new());
    assert!(!on_error(&without, &request(""), after(&without, 0)));
}

#[test]
fn a_soft_purge_makes_stale_at_once() {
    for (rules, line, expected) in [
        (Rules::default(), "", TOO_OLD),
        (Rules::default(), "max-stale=1", STALE),
        (Rules::default(), "max-stale=0", TOO_OLD),
        (windows(30, 0), "", WHILE),
        (NEVER_STALE, "max-stale", TOO_OLD),
    ] {
        let stored = stored(rules, &HeaderMap::new());
        stored.marks.stale.store(true, Ordering::Relaxed);
        assert_eq!(judge(&stored, &request(line), after(&stored, 1)), expected, "{line:?}");
    }
    let stored = stored(windows(0, 30), &HeaderMap::new());
    stored.marks.stale.store(true, Ordering::Relaxed);
    assert!(on_error(&stored, &request(""), after(&stored, 1)));
}

#[test]
fn it_is_useful_as_long_as_it_can_be_given_or_validated() {
    let useful = |rules, fields: &HeaderMap| useful_for(&stored(rules, fields));
    let nothing = HeaderMap::new();
    assert_eq!(useful(Rules::default(), &nothing), Duration::ZERO);
    assert_eq!(useful(windows(30, 10), &nothing), Duration::from_secs(30));
    assert_eq!(useful(windows(30, 90), &nothing), Duration::from_secs(90));
    let mut tagged = HeaderMap::new();
    tagged.insert(header::ETAG, HeaderValue::from_static("\"1\""));
    let expected =
        if validation::has_validator(&StoredFields::new(&tagged)) { VALIDATED_WITHIN } else { Duration::ZERO };
    assert_eq!(useful(Rules::default(), &tagged), expected);
    assert_eq!(useful(windows(1 << 20, 0), &tagged), Duration::from_secs(1 << 20));
}

fn any_request() -> impl Strategy<Value = RequestDirectives> {
    let time = || prop::option::of((0_u64..200).prop_map(Duration::from_secs));
    (time(), time(), time(), any::<bool>(), time()).prop_map(
        |(max_age, max_stale, min_fresh, no_cache, stale_if_error)| RequestDirectives {
            max_age,
            max_stale,
            min_fresh,
            no_cache,
            stale_if_error,
            ..RequestDirectives::default()
        },
    )
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), any::<bool>(), 0_u64..100, 0_u64..100).prop_map(
        |(always_validate, never_stale, revalidate, error)| Rules {
            always_validate,
            never_stale,
            ..windows(revalidate, error)
        },
    )
}

proptest! {
    /// What has to be validated now has to be validated later, too.
    #[test]
    fn nothing_grows_fresher(rules in any_rules(), request in any_request(), times in (0_u64..200, 0_u64..200)) {
        let stored = stored(rules, &HeaderMap::new());
        let rank = |seconds| match judge(&stored, &request, after(&stored, seconds)) {
            Reuse::Fresh => 0,
            Reuse::WhileRevalidating => 1,
            Reuse::StaleAllowed => 2,
            Reuse::Validate { .. } => 3,
        };
        let (early, late) = (times.0.min(times.1), times.0.max(times.1));
        prop_assert!(rank(early) <= rank(late));
        prop_assert!(on_error(&stored, &request, after(&stored, early)) || !on_error(&stored, &request, after(&stored, late)));
        if rules.always_validate || (rules.never_stale && late >= 60) {
            prop_assert_eq!(rank(late), 3);
        }
    }
}
