use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::{Freshness, LONGEST, date};
use crate::base::clock;
use crate::cache::Moment;
use crate::cache::directives::ResponseDirectives;
use crate::config::checked::cache::{Ttl, TtlMode};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const DATE: Duration = Duration::from_secs(784_111_777);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fields(lines: &[&str]) -> HeaderMap {
    let field = |line: &&str| {
        let (name, value) = line.split_once(": ").unwrap();
        (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    lines.iter().map(field).collect()
}

/// Of an answer that came at once, when its `Date` says.
fn of(status: u16, lines: &[&str], ttl: &Ttl) -> Freshness {
    let moment = Moment { at: clock::now(), wall: DATE };
    arrived(status, lines, ttl, moment, moment)
}

fn arrived(status: u16, lines: &[&str], ttl: &Ttl, asked: Moment, received: Moment) -> Freshness {
    let fields = fields(lines);
    let directives = ResponseDirectives::of(&fields);
    Freshness::of(StatusCode::from_u16(status).unwrap(), &fields, &directives, ttl, asked, received)
}

fn lifetime(lines: &[&str]) -> u64 {
    of(200, lines, &Ttl::default()).lifetime.as_secs()
}

#[test]
fn rfc_9111_4_2_1_lifetime_is_that_of_the_first_that_applies() {
    const DATE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT";
    const EXPIRES: &str = "expires: Sun, 06 Nov 1994 08:50:37 GMT";
    for (lines, expected) in [
        (&["cache-control: max-age=5, s-maxage=7", DATE, EXPIRES][..], 7),
        (&["cache-control: max-age=5", DATE, EXPIRES], 5),
        (&["cache-control: max-age=x", DATE, EXPIRES], 0),
        (&["cache-control: s-maxage=x, max-age=5", DATE, EXPIRES], 0),
        (&["cache-control: public", DATE, EXPIRES], 60),
        (&[DATE, EXPIRES], 60),
        (&[EXPIRES], 60),
        (&["date: yesterday", EXPIRES], 60),
        (&["date: Sun, 06 Nov 1994 08:49:07 GMT", EXPIRES], 90),
        (&["date: Sun, 06 Nov 1994 09:00:00 GMT", EXPIRES], 0),
        (&[DATE], 0),
        (&["cdn-cache-control: max-age=9", "cache-control: max-age=5", DATE, EXPIRES], 9),
        (&["cdn-cache-control: public", "cache-control: max-age=5", DATE, EXPIRES], 0),
        (&["cdn-cache-control: Public", "cache-control: max-age=5", DATE, EXPIRES], 5),
    ] {
        assert_eq!(lifetime(lines), expected, "{lines:?}");
    }
}

#[test]
fn rfc_9111_5_3_expires_that_is_no_date_is_past_and_the_earliest_of_several_counts() {
    for value in [
        "0",
        "-1",
        "",
        "now",
        "Sun, 06 Nov 1994 08:50:37 UTC",
        "Sun, 06 Nov 1994 08:50:37 +0000",
        "784111837",
        "Mon, 06 Nov 1994 08:50:37 GMT",
    ] {
        assert_eq!(
            lifetime(&[&format!("expires: {value}"), "last-modified: Tue, 06 Nov 1984 08:49:37 GMT"]),
            0,
            "{value}"
        );
    }
    let (minute, hour) = ("expires: Sun, 06 Nov 1994 08:50:37 GMT", "expires: Sun, 06 Nov 1994 09:49:37 GMT");
    assert_eq!(lifetime(&[hour, minute]), 60);
    assert_eq!(lifetime(&[minute, "expires: 0"]), 0);
    assert_eq!(lifetime(&["expires: Fri, 31 Dec 9999 23:59:59 GMT"]), LONGEST.as_secs());
}

#[test]
fn rfc_9111_4_2_2_heuristics_are_a_tenth_and_a_day_at_most() {
    let day_before = "last-modified: Sat, 05 Nov 1994 08:49:37 GMT";
    let of = |status, lines: &[&str]| of(status, lines, &Ttl::default()).lifetime.as_secs();
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(of(status, &[day_before]), 8640, "{status}");
    }
    for status in [201, 302, 307, 400, 401, 403, 500, 502, 503, 504] {
        assert_eq!(of(status, &[day_before]), 0, "{status}");
        assert_eq!(of(status, &[day_before, "cache-control: public"]), 8640, "{status}");
    }
    assert_eq!(of(200, &["last-modified: Tue, 06 Nov 1984 08:49:37 GMT"]), 86400);
    assert_eq!(of(200, &["last-modified: Mon, 06 Nov 1995 08:49:37 GMT"]), 0);
    assert_eq!(of(200, &["last-modified: once"]), 0);
    assert_eq!(of(200, &[day_before, "cache-control: max-age=0"]), 0);
    assert_eq!(of(200, &[day_before, "date: Sat, 05 Nov 1994 08:50:37 GMT"]), 6);
}

#[test]
fn ttl_of_the_route_goes_before_heuristics_or_before_everything() {
    let ttl = |mode| Ttl {
        default: Some(seconds(100)),
        by_status: vec![(StatusCode::NOT_FOUND, seconds(10)), (StatusCode::FORBIDDEN, seconds(20))],
        mode,
    };
    let heuristic = "last-modified: Tue, 06 Nov 1984 08:49:37 GMT";
    for (status, lines, respect, over) in [
        (200, &[][..], 100, 100),
        (200, &[heuristic], 100, 100),
        (404, &[heuristic], 10, 10),
        (403, &[], 20, 20),
        (500, &[], 0, 0),
        (500, &["cache-control: max-age=5"], 5, 5),
        (200, &["cache-control: max-age=5"], 5, 100),
        (200, &["cache-control: max-age=x"], 0, 100),
        (200, &["expires: 0"], 0, 100),
        (200, &["cache-control: no-cache"], 100, 100),
        (200, &["cdn-cache-control: public", "expires: 0"], 100, 100),
    ] {
        assert_eq!(of(status, lines, &ttl(TtlMode::Respect)).lifetime, seconds(respect), "{status} {lines:?}");
        assert_eq!(of(status, lines, &ttl(TtlMode::Override)).lifetime, seconds(over), "{status} {lines:?}");
    }
    let aged = of(200, &["age: 1000"], &ttl(TtlMode::Respect));
    assert_eq!((aged.age(aged.received), aged.left(aged.received)), (seconds(1000), seconds(100)));
}

#[test]
fn rfc_9111_4_2_3_age_is_the_larger_of_what_clocks_and_caches_say() {
    let at = clock::now();
    let asked = Moment { at, wall: DATE };
    // Three seconds by one clock, a jump of a minute by the other.
    let received = Moment { at: at + seconds(3), wall: DATE + seconds(60) + Duration::from_millis(900) };
    for (lines, expected) in [
        (&["date: Sun, 06 Nov 1994 08:49:37 GMT"][..], 60),
        (&["date: Sun, 06 Nov 1994 08:49:37 GMT", "age: 50"], 60),
        (&["date: Sun, 06 Nov 1994 08:49:37 GMT", "age: 70"], 73),
        (&["date: Sun, 06 Nov 1994 09:49:37 GMT", "age: 1"], 4),
        (&["date: Sun, 06 Nov 1994 09:49:37 GMT"], 3),
        (&["date: whenever"], 3),
        (&["age: 5"], 8),
        (&[], 3),
    ] {
        let fresh = arrived(200, lines, &Ttl::default(), asked, received);
        assert_eq!(fresh.initial_age, seconds(expected), "{lines:?}");
        assert_eq!(fresh.age(received.at + seconds(10)), seconds(expected + 10), "{lines:?}");
        assert_eq!(fresh.age(at), seconds(expected), "before it had come: {lines:?}");
    }
}

#[test]
fn rfc_9111_5_1_the_first_age_counts_if_it_is_a_number() {
    for (lines, expected) in [
        (&["age: 30"][..], seconds(30)),
        (&["age: 30, 60"], seconds(30)),
        (&["age: 30", "age: 60"], seconds(30)),
        (&["age:  030 "], seconds(30)),
        (&["age: x, 60"], seconds(0)),
        (&["age: -5"], seconds(0)),
        (&["age: 1.5"], seconds(0)),
        (&["age: \"30\""], seconds(0)),
        (&["age: "], seconds(0)),
        (&["age: 2147483649"], LONGEST),
        (&["age: 99999999999999999999999999"], LONGEST),
    ] {
        assert_eq!(of(200, lines, &Ttl::default()).initial_age, expected, "{lines:?}");
    }
}

#[test]
fn rfc_9111_4_2_fresh_is_what_lives_longer_than_it_is_old() {
    let fresh = of(200, &["cache-control: max-age=10", "age: 4"], &Ttl::default());
    let at = |after| fresh.received + seconds(after);
    assert_eq!((fresh.left(at(5)), fresh.stale_for(at(5))), (seconds(1), None));
    assert_eq!((fresh.left(at(6)), fresh.stale_for(at(6))), (seconds(0), Some(seconds(0))));
    assert_eq!((fresh.left(at(9)), fresh.stale_for(at(9))), (seconds(0), Some(seconds(3))));
}

#[test]
fn rfc_9110_5_6_7_dates_in_all_their_forms() {
    let now = seconds(1_795_000_000); // 2026
    for text in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " sun, 06 nov 1994 08:49:37 gmt ",
        "SUNDAY, 06-NOV-94 08:49:37 GMT",
        "sun nov  6 08:49:37 1994",
    ] {
        assert_eq!(date::parse(text.as_bytes(), now), Some(DATE), "{text}");
    }
    assert_eq!(date::parse(b"Sat, 31 Dec 2016 23:59:60 GMT", now), date::parse(b"Sat, 31 Dec 2016 23:59:59 GMT", now));
    assert!(date::parse(b"Sat, 31 Dec 2016 23:59:60 GMT", now).is_some());
    for text in [
        "",
        "0",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "1994-11-06T08:49:37Z",
        "Someday, 06-Nov-94 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Tue, 06 Nov 1934 08:49:37 GMT",
        "Sun, 06 \u{e4}ov 1994 08:49:37 GMT",
    ] {
        assert_eq!(date::parse(text.as_bytes(), now), None, "{text}");
    }
}

#[test]
fn rfc_9110_5_6_7_a_year_of_two_digits_is_at_most_fifty_years_ahead() {
    let parse = |text: &str, now: &str| {
        let now = date::parse(now.as_bytes(), Duration::ZERO).unwrap();
        date::parse(text.as_bytes(), now)
    };
    let exact = |text: &str| date::parse(text.as_bytes(), Duration::ZERO).unwrap();
    let now = "Mon, 23 Nov 2026 12:00:00 GMT";
    assert_eq!(parse("Thursday, 31-Dec-70 00:00:00 GMT", now), Some(exact("Thu, 31 Dec 1970 00:00:00 GMT")));
    assert_eq!(parse("Wednesday, 31-Dec-70 00:00:00 GMT", now), Some(exact("Wed, 31 Dec 2070 00:00:00 GMT")));
    assert_eq!(
        parse("Thursday, 31-Dec-76 00:00:00 GMT", now),
        None,
        "more than fifty years ahead, and no such day before"
    );
    assert_eq!(parse("Monday, 31-Dec-29 00:00:00 GMT", now), Some(exact("Mon, 31 Dec 2029 00:00:00 GMT")));
    assert_eq!(
        parse("Tuesday, 01-Jan-02 00:00:00 GMT", "Mon, 01 Jan 2080 00:00:00 GMT"),
        Some(exact("Tue, 01 Jan 2002 00:00:00 GMT"))
    );
    assert_eq!(
        parse("Sunday, 01-Jan-02 00:00:00 GMT", "Mon, 01 Jan 2080 00:00:00 GMT"),
        Some(exact("Sun, 01 Jan 2102 00:00:00 GMT"))
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_date_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40), now in any::<u32>()) {
        let _ = date::parse(&bytes, seconds(now.into()));
    }

    #[test]
    fn a_date_is_read_as_it_was_written(at in 0_u64..253_402_300_799, now in any::<u32>()) {
        let text = httpdate::fmt_http_date(std::time::UNIX_EPOCH + seconds(at));
        prop_assert_eq!(date::parse(text.to_lowercase().as_bytes(), seconds(now.into())), Some(seconds(at)));
    }
}
