//! How long an answer is fresh and how old it is (RFC 9111 §4.2, §5.1, §5.3).

use crate::cache::support::{Scene, answer, assert_hit, date, good, status_of, x_cache};
use crate::support::client::Response;

const LONG_AGO: &str = "Tue, 15 Nov 1994 08:12:31 GMT";

#[track_caller]
fn number(text: Option<&str>) -> i64 {
    text.expect("a number").parse().unwrap()
}

/// Fails unless a number that may have been counted a little later is this one.
#[track_caller]
fn assert_about(found: i64, expected: i64, case: &str) {
    assert!((found - expected).abs() <= 5, "{found} instead of {expected}: {case}");
}

#[track_caller]
fn ttl(response: &Response) -> i64 {
    number(status_of(response).get("ttl"))
}

#[tokio::test]
async fn rfc_9111_4_2_1_the_lifetime_is_the_first_of_s_maxage_max_age_and_expires() {
    let scene = Scene::start("{}").await;
    let (soon, later, past) = (date(300), date(5000), date(-300));
    let now = date(0);
    for (said, lifetime) in [
        ("Cache-Control: s-maxage=1000, max-age=10".to_owned(), 1000),
        ("Cache-Control: max-age=10, s-maxage=1000".to_owned(), 1000),
        ("Cache-Control: max-age=10\nCache-Control: s-maxage=1000".to_owned(), 1000),
        (format!("Cache-Control: s-maxage=1000\nExpires: {past}"), 1000),
        (format!("Cache-Control: max-age=1000\nExpires: {past}"), 1000),
        ("Cache-Control: max-age=1000\nExpires: 0".to_owned(), 1000),
        (format!("Cache-Control: max-age=100\nExpires: {later}"), 100),
        (format!("Expires: {soon}\nDate: {now}"), 300),
        (format!("Expires: {soon}"), 300),
        (format!("Expires: {later}\nDate: {}", date(-1000)), 6000),
        ("Cache-Control: MAX-AGE=100".to_owned(), 100),
        ("Cache-Control: max-age=\"100\"".to_owned(), 100),
        ("Cache-Control: x, max-age=100, y=z, w=\"max-age=5, q\"".to_owned(), 100),
        ("Cache-Control:max-age=0100".to_owned(), 100),
    ] {
        let twice = scene.twice(good(&said), "").await;
        twice.kept(&said);
        assert_about(ttl(&twice.second) + number(twice.second.field("age")), lifetime, &said);
    }
}

#[tokio::test]
async fn rfc_9111_4_2_1_what_is_written_badly_or_twice_is_not_fresher_for_it() {
    let scene = Scene::start("{}").await;
    for said in [
        "Cache-Control: max-age=abc",
        "Cache-Control: max-age=",
        "Cache-Control: max-age",
        "Cache-Control: max-age=-100",
        "Cache-Control: max-age=+1000",
        "Cache-Control: max-age=1000s",
        "Cache-Control: max-age=1000.5",
        "Cache-Control: max-age=1 000",
        "Cache-Control: max-age=\"\"",
        "Cache-Control: s-maxage=abc, max-age=1000",
        "Cache-Control: s-maxage=0, max-age=1000",
        "Cache-Control: max-age=1000, max-age=60\nAge: 100",
        "Cache-Control: max-age=60, max-age=1000\nAge: 100",
        "Cache-Control: max-age=60\nCache-Control: max-age=1000\nAge: 100",
        "Cache-Control: max-age-x=1000",
        "Cache-Control: x-max-age=1000",
        "Cache-Control: x=max-age=1000",
        "Cache-Control: x=\"max-age=1000\"",
    ] {
        scene.twice(good(&format!("ETag: \"1\"\n{said}")), "").await.asked_again(said);
    }
}

#[tokio::test]
async fn rfc_9111_1_2_2_more_seconds_than_can_be_counted_are_at_least_68_years() {
    let scene = Scene::start("{}").await;
    for many in ["2147483647", "2147483648", "4294967296", "18446744073709551616", "99999999999999999999999999999999"] {
        let twice = scene.twice(good(&format!("Cache-Control: max-age={many}")), "").await;
        twice.kept(many);
        assert_about(ttl(&twice.second), 1 << 31, many);
        let aged = scene.twice(good(&format!("ETag: \"1\"\nCache-Control: max-age=1000\nAge: {many}")), "").await;
        assert_eq!((aged.asked, status_of(&aged.second).has("hit")), (2, false), "{many}");
    }
}

#[tokio::test]
async fn rfc_9111_5_3_an_expires_that_is_no_date_is_in_the_past() {
    let scene = Scene::start("{}").await;
    let (now, future) = (date(0), date(1000));
    let utc = future.replace("GMT", "UTC");
    let near = future.replace("GMT", "GM");
    for expires in ["0", "-1", "", "tomorrow", "1000", &now, LONG_AGO, &utc, &near, "Thu, 32 Dec 2099 08:12:31 GMT"] {
        let said = format!("ETag: \"1\"\nExpires: {expires}\nDate: {now}\nLast-Modified: {LONG_AGO}");
        scene.twice(good(&said), "").await.asked_again(expires);
    }
    let twice = format!("ETag: \"1\"\nDate: {now}\nExpires: {future}\nExpires: 0");
    scene.twice(good(&twice), "").await.asked_again("the earliest of two");
}

#[tokio::test]
async fn rfc_9110_5_6_7_dates_in_the_older_forms_are_understood() {
    let scene = Scene::start("{}").await;
    for expires in ["Friday, 15-Nov-30 08:12:31 GMT", "Fri Nov 15 08:12:31 2030", "Fri, 15 Nov 2030 08:12:31 GMT"] {
        scene.twice(good(&format!("Expires: {expires}")), "").await.kept(expires);
    }
}

#[tokio::test]
async fn rfc_9111_4_2_2_nothing_is_guessed_where_something_is_said() {
    let scene = Scene::start("{}").await;
    let old = format!("Last-Modified: {LONG_AGO}");
    for said in
        ["Cache-Control: max-age=0", "Cache-Control: s-maxage=0", "Expires: 0", "Cache-Control: max-age=60\nAge: 100"]
    {
        scene.twice(good(&format!("{old}\n{said}")), "").await.asked_again(said);
    }
    // Nor of a status that is not kept by default.
    for status in ["302 Found", "403 Forbidden", "500 Error"] {
        scene.twice(answer(status, &old, "good"), "").await.not_kept(status);
    }
}

#[tokio::test]
async fn rfc_9111_4_2_3_the_age_is_the_larger_of_what_is_said_and_what_the_date_tells() {
    let scene = Scene::start("{}").await;
    let (past, future) = (date(-100), date(1000));
    for (said, age) in [
        ("Age: 50".to_owned(), 50),
        (format!("Date: {past}"), 100),
        (format!("Date: {past}\nAge: 50"), 100),
        (format!("Date: {past}\nAge: 300"), 300),
        (format!("Date: {future}\nAge: 50"), 50),
        (format!("Date: {future}"), 0),
        ("Date: not a date".to_owned(), 0),
        (String::new(), 0),
    ] {
        let twice = scene.twice(good(&format!("Cache-Control: max-age=1000\n{said}")), "").await;
        twice.kept(&said);
        assert_about(number(twice.second.field("age")), age, &said);
        assert_about(ttl(&twice.second), 1000 - age, &said);
    }
    for said in ["Age: 1001".to_owned(), format!("Date: {}", date(-1001)), format!("Date: {past}\nAge: 1001")] {
        scene.twice(good(&format!("ETag: \"1\"\nCache-Control: max-age=1000\n{said}")), "").await.asked_again(&said);
    }
}

#[tokio::test]
async fn rfc_9111_5_1_an_age_that_is_no_number_does_not_count() {
    let scene = Scene::start("{}").await;
    for (said, age) in
        [("abc", 0), ("", 0), ("-100", 0), ("1.5", 0), ("100s", 0), ("\"100\"", 0), ("100, 500", 100), ("00100", 100)]
    {
        let twice = scene.twice(good(&format!("Cache-Control: max-age=1000\nAge: {said}")), "").await;
        twice.kept(said);
        assert_about(number(twice.second.field("age")), age, said);
    }
}

#[tokio::test]
async fn rfc_9111_5_1_what_comes_from_memory_has_one_age_and_what_comes_from_the_upstream_keeps_its_own() {
    let scene = Scene::start("{}").await;
    let twice = scene.twice(good("Cache-Control: max-age=1000\nAge: 30"), "").await;
    twice.kept("Age");
    for response in [&twice.first, &twice.second] {
        assert_about(number(response.field("age")), 30, "one Age");
    }
    let twice = scene.twice(good("Cache-Control: no-store\nAge: 30"), "").await;
    twice.not_kept("Age");
    assert_eq!((twice.first.field("age"), twice.second.field("age")), (Some("30"), Some("30")));
    // Fresh from its origin, and nobody says how old it is.
    let twice = scene.twice(good("Cache-Control: no-store"), "").await;
    assert_eq!(twice.first.field("age"), None);
}

#[tokio::test]
async fn rfc_9111_4_2_4_nothing_stale_is_given_without_permission() {
    let scene = Scene::start("{}").await;
    let stale = "Cache-Control: max-age=60\nAge: 100";
    scene.twice(good(stale), "").await.not_kept("stale from the beginning, and nothing to validate it by");
    scene.twice(good(&format!("{stale}\nETag: \"1\"")), "").await.asked_again("an entity tag");
    let twice = scene.twice(good(&format!("{stale}\nLast-Modified: {LONG_AGO}")), "").await;
    twice.asked_again("a date");
    assert_eq!(scene.origin.last().head.field("if-modified-since"), Some(LONG_AGO));
    assert_eq!(x_cache(&twice.second), "EXPIRED");
}

#[tokio::test]
async fn rfc_9111_4_2_4_an_upstream_that_is_gone_is_no_permission() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("ETag: \"1\"\nCache-Control: max-age=60\nAge: 100"));
    assert!(status_of(&scene.get("/stale", "").await).has("stored"));
    scene.origin.says(good("ETag: \"1\"\nCache-Control: max-age=60"));
    scene.get("/fresh", "").await;
    let Scene { gateway, origin, .. } = scene;
    drop(origin);
    gateway.get("/stale").await.refused(502, "UPSTREAM_CONNECT");
    assert_hit(&gateway.get("/fresh").await, "it is not asked at all");
}
