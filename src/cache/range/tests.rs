use std::sync::Arc;
use std::time::Duration;

use http::header::{DATE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::clock;
use crate::cache::freshness::Freshness;
use crate::cache::key::Key;
use crate::cache::storable::Rules;
use crate::cache::stored::Groups;

const CHANGED: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
const MADE: &str = "Wed, 16 Nov 1994 08:00:00 GMT";

type Lines<'a> = &'a [(HeaderName, &'a str)];

fn map(lines: Lines<'_>) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
}

fn head(status: u16, lines: Lines<'_>) -> Arc<Head> {
    Arc::new(Head {
        key: Key::from(&b"key"[..]),
        status: StatusCode::from_u16(status).unwrap(),
        version: Version::HTTP_11,
        fields: StoredFields::new(&map(lines)),
        freshness: Freshness { lifetime: Duration::ZERO, initial_age: Duration::ZERO, received: clock::now() },
        rules: Rules::default(),
        groups: Groups::default(),
    })
}

fn of(range: &str, length: u64) -> Selected {
    select(&map(&[(RANGE, range)]), &head(200, &[]), length)
}

fn many(parts: &[(u64, u64)]) -> Selected {
    Selected::Many(parts.into())
}

#[test]
fn rfc_9110_14_1_2_byte_ranges() {
    for (range, expected) in [
        ("bytes=0-499", Selected::One(0, 500)),
        ("bytes=500-999", Selected::One(500, 1000)),
        ("bytes=-500", Selected::One(9500, 10000)),
        ("bytes=9500-", Selected::One(9500, 10000)),
        ("bytes=0-", Selected::One(0, 10000)),
        ("bytes=0-0", Selected::One(0, 1)),
        ("bytes=9999-", Selected::One(9999, 10000)),
        ("bytes=0-99999999999999999999999999", Selected::One(0, 10000)),
        ("bytes=-99999999999999999999999999", Selected::One(0, 10000)),
        ("BYTES=0-0", Selected::One(0, 1)),
        ("bytes=0-0,-1", many(&[(0, 1), (9999, 10000)])),
        ("bytes= 0-999, 4500-5499, -1000", many(&[(0, 1000), (4500, 5500), (9000, 10000)])),
        ("bytes=,5-6 ,\t, 1-2,", many(&[(5, 7), (1, 3)])),
        ("bytes=500-600,601-999", Selected::One(500, 1000)),
        ("bytes=500-700,601-999", Selected::One(500, 1000)),
        ("bytes=20-29,0-9,25-34,5-14", many(&[(20, 35), (0, 15)])),
        ("bytes=0-1,8-9,4-5,2-3,6-7", Selected::One(0, 10)),
        ("bytes=0-1,10000-", Selected::One(0, 2)),
        // Nothing of it is there.
        ("bytes=10000-", Selected::Nothing),
        ("bytes=10000-10001, 20000-", Selected::Nothing),
        ("bytes=-0", Selected::Nothing),
        ("bytes=99999999999999999999999999-", Selected::Nothing),
        // Other units, and what is no range of bytes.
        ("lines=0-1", Selected::Whole),
        ("bytes", Selected::Whole),
        ("bytes=", Selected::Whole),
        ("bytes=,", Selected::Whole),
        ("bytes=-", Selected::Whole),
        ("bytes=5", Selected::Whole),
        ("bytes=6-5", Selected::Whole),
        ("bytes=0-1,6-5", Selected::Whole),
        ("bytes=0-1,x", Selected::Whole),
        ("bytes=0 - 1", Selected::Whole),
        ("bytes=0-1-2", Selected::Whole),
        ("bytes=+0-1", Selected::Whole),
        ("bytes =0-1", Selected::Whole),
        ("0-1", Selected::Whole),
        ("", Selected::Whole),
        // More than is sensible.
        ("bytes=0-,0-0", Selected::Whole),
        ("bytes=0-5000,0-5000", Selected::Whole),
        ("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", Selected::Whole),
        ("bytes=0-0,99999-,99999-,99999-,99999-,99999-,99999-,99999-,99999-", Selected::Whole),
    ] {
        assert_eq!(of(range, 10000), expected, "{range}");
    }
    assert_eq!(
        of("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14", 100),
        many(&[(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11), (12, 13), (14, 15)])
    );
    for range in ["bytes=0-", "bytes=-1", "bytes=5-6"] {
        assert_eq!(of(range, 0), Selected::Whole, "an empty body has no parts");
    }
}

#[test]
fn rfc_9110_14_2_range_is_about_200_and_stands_once() {
    let range = (RANGE, "bytes=0-1");
    assert_eq!(select(&map(&[range.clone(), range.clone()]), &head(200, &[]), 9), Selected::Whole);
    for status in [203, 204, 206, 301, 404, 500] {
        assert_eq!(select(&map(std::slice::from_ref(&range)), &head(status, &[]), 9), Selected::Whole, "{status}");
    }
    assert_eq!(select(&HeaderMap::new(), &head(200, &[]), 9), Selected::Whole);
}

#[test]
fn rfc_9110_13_1_5_if_range() {
    for (condition, stored, holds) in [
        ("\"a\"", &[(ETAG, "\"a\"")][..], true),
        ("\"a\"", &[(ETAG, "\"b\"")], false),
        ("\"a\"", &[], false),
        // Strong comparison.
        ("W/\"a\"", &[(ETAG, "W/\"a\"")], false),
        ("W/\"a\"", &[(ETAG, "\"a\"")], false),
        ("\"a\"", &[(ETAG, "W/\"a\"")], false),
        // A date that is strong: made at least a second later than changed.
        (CHANGED, &[(LAST_MODIFIED, CHANGED), (DATE, MADE)], true),
        (CHANGED, &[(LAST_MODIFIED, CHANGED), (DATE, "Tue, 15 Nov 1994 12:45:27 GMT")], true),
        (CHANGED, &[(LAST_MODIFIED, CHANGED), (DATE, CHANGED)], false),
        (MADE, &[(LAST_MODIFIED, MADE), (DATE, CHANGED)], false),
        (CHANGED, &[(LAST_MODIFIED, CHANGED)], false),
        // The same date exactly, not a later one, and not Date.
        (MADE, &[(LAST_MODIFIED, CHANGED), (DATE, MADE)], false),
        ("Tuesday, 15-Nov-94 12:45:26 GMT", &[(LAST_MODIFIED, CHANGED), (DATE, MADE)], false),
        (MADE, &[(DATE, MADE)], false),
        // Neither of both.
        ("", &[(LAST_MODIFIED, CHANGED), (DATE, MADE)], false),
        ("a", &[(ETAG, "a"), (LAST_MODIFIED, "a"), (DATE, MADE)], false),
        ("*", &[(ETAG, "\"a\"")], false),
        ("\"a\", \"b\"", &[(ETAG, "\"a\"")], false),
    ] {
        let request = [(RANGE, "bytes=0-1"), (IF_RANGE, condition)];
        let expected = if holds { Selected::One(0, 2) } else { Selected::Whole };
        assert_eq!(select(&map(&request), &head(200, stored), 9), expected, "{condition} {stored:?}");
        // What is not there at all is only said when it holds.
        let request = [(RANGE, "bytes=9-"), (IF_RANGE, condition)];
        let expected = if holds { Selected::Nothing } else { Selected::Whole };
        assert_eq!(select(&map(&request), &head(200, stored), 9), expected, "{condition} {stored:?}");
    }
    let twice = [(RANGE, "bytes=0-1"), (IF_RANGE, "\"a\""), (IF_RANGE, "\"a\"")];
    assert_eq!(select(&map(&twice), &head(200, &[(ETAG, "\"a\"")]), 9), Selected::Whole);
}

proptest! {
    #[test]
    fn parts_are_those_asked_for(asked in vec((0_u64..40, 0_u64..12), 1..8), length in 1_u64..40) {
        let specs: Vec<String> = asked.iter().map(|(from, more)| format!("{from}-{}", from + more)).collect();
        let is_wanted = |at: u64| asked.iter().any(|(from, more)| (*from..=from + more).contains(&at));
        let parts = match of(&format!("bytes={}", specs.join(",")), length) {
            Selected::Whole => {
                let sum: u64 = asked.iter().map(|(from, more)| (from + more + 1).min(length).saturating_sub(*from)).sum();
                prop_assert!(sum > length);
                return Ok(());
            }
            Selected::One(from, to) => vec![(from, to)],
            Selected::Many(parts) => {
                prop_assert!(parts.len() > 1);
                parts.into_vec()
            }
            Selected::Nothing => Vec::new(),
        };
        let count = |at: u64| parts.iter().filter(|(from, to)| (*from..*to).contains(&at)).count();
        for at in 0..length + 60 {
            prop_assert_eq!(count(at), usize::from(is_wanted(at) && at < length), "{}", at);
        }
        // Apart from each other, and in the order in which they were first asked for.
        let mut sorted = parts.clone();
        sorted.sort_unstable();
        prop_assert!(sorted.windows(2).all(|pair| pair[0].1 < pair[1].0));
        let first_asked = |part: &(u64, u64)| asked.iter().position(|(from, _)| (part.0..part.1).contains(from));
        prop_assert!(parts.is_sorted_by_key(first_asked));
    }

    #[test]
    fn any_value_is_read(range in "(bytes=)?[0-9, =-]{0,30}", condition in "\\PC{0,9}", length in any::<u64>()) {
        let request = map(&[(RANGE, &range), (IF_RANGE, &condition)]);
        let stored = head(200, &[(ETAG, &condition), (LAST_MODIFIED, CHANGED), (DATE, MADE)]);
        for selected in [select(&request, &stored, length), of(&range, length)] {
            match selected {
                Selected::One(from, to) => prop_assert!(from < to && to <= length),
                Selected::Many(parts) => prop_assert!(parts.len() <= MAX_PARTS && parts.iter().all(|(_, to)| *to <= length)),
                Selected::Whole | Selected::Nothing => {}
            }
        }
    }
}
