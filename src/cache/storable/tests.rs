use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{ForRequest, NotStored, Rules, judge, kept};
use crate::base::clock;
use crate::cache::Moment;
use crate::cache::directives::{RequestDirectives, ResponseDirectives, invariants};
use crate::cache::freshness::Freshness;
use crate::config::checked::cache::{CachePolicy, Ttl, TtlMode};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: Duration = Duration::from_secs(784_111_777);

fn fields(lines: &[&str]) -> HeaderMap {
    let field = |line: &&str| {
        let (name, value) = line.split_once(": ").unwrap();
        (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    lines.iter().map(field).collect()
}

fn judged(policy: &CachePolicy, request: ForRequest, status: u16, lines: &[&str]) -> Result<Rules, NotStored> {
    let (fields, status) = (fields(lines), StatusCode::from_u16(status).unwrap());
    let directives = ResponseDirectives::of(&fields);
    let moment = Moment { at: clock::now(), wall: NOW };
    let freshness = Freshness::of(status, &fields, &directives, &policy.ttl, moment, moment);
    judge(policy, &request, status, &fields, &directives, &freshness)
}

fn of(status: u16, lines: &[&str]) -> Result<(), NotStored> {
    judged(&invariants::policy(), ForRequest::default(), status, lines).map(|_| ())
}

fn rules(policy: &CachePolicy, line: &str) -> Rules {
    judged(policy, ForRequest::default(), 200, &[line, "etag: \"1\""]).unwrap()
}

fn with_ttl(mode: TtlMode) -> CachePolicy {
    let by_status =
        [(404, 0), (500, 5)].map(|(status, ttl)| (StatusCode::from_u16(status).unwrap(), Duration::from_secs(ttl)));
    let ttl = Ttl { default: Some(Duration::from_secs(60)), by_status: by_status.into(), mode };
    CachePolicy { ttl, ..invariants::policy() }
}

const AUTHENTICATED: ForRequest = ForRequest {
    directives: RequestDirectives {
        max_age: None,
        max_stale: None,
        min_fresh: None,
        no_cache: false,
        no_store: false,
        only_if_cached: false,
        stale_if_error: None,
    },
    authenticated: true,
    known: true,
};

#[test]
fn rfc_9111_3_something_has_to_allow_it() {
    for (status, lines, expected) in [
        (200, &["cache-control: max-age=60"][..], Ok(())),
        (200, &["cache-control: s-maxage=60"], Ok(())),
        (200, &["expires: Sun, 06 Nov 1994 08:50:37 GMT"], Ok(())),
        (200, &["last-modified: Sat, 05 Nov 1994 08:49:37 GMT"], Ok(())),
        (500, &["cache-control: max-age=60"], Ok(())),
        (599, &["cache-control: max-age=60"], Ok(())),
        (302, &["cache-control: public", "last-modified: Sat, 05 Nov 1994 08:49:37 GMT"], Ok(())),
        (302, &["last-modified: Sat, 05 Nov 1994 08:49:37 GMT"], Err(NotStored::Status)),
        (500, &["etag: \"1\""], Err(NotStored::Status)),
        (500, &[], Err(NotStored::Status)),
    ] {
        assert_eq!(of(status, lines), expected, "{status} {lines:?}");
    }
}

#[test]
fn rfc_9111_3_neither_interim_nor_partial_nor_not_modified() {
    for status in [100, 101, 103, 206, 304] {
        assert_eq!(of(status, &["cache-control: public, max-age=60"]), Err(NotStored::Status), "{status}");
    }
}

#[test]
fn rfc_9111_5_2_1_5_and_5_2_2_5_no_store() {
    let request =
        ForRequest { directives: RequestDirectives { no_store: true, ..Default::default() }, ..Default::default() };
    for policy in [invariants::policy(), with_ttl(TtlMode::Override)] {
        assert_eq!(judged(&policy, request, 200, &["cache-control: max-age=60"]), Err(NotStored::RequestNoStore));
    }
    for line in
        ["cache-control: no-store", "cache-control: public, max-age=60, NO-STORE", "cdn-cache-control: no-store"]
    {
        assert_eq!(of(200, &[line, "etag: \"1\""]), Err(NotStored::NoStore), "{line}");
    }
    assert_eq!(of(200, &["cache-control: no-store", "cdn-cache-control: max-age=60"]), Ok(()));
}

#[test]
fn rfc_9111_5_2_2_3_must_understand() {
    let both = "cache-control: must-understand, no-store, max-age=60";
    assert_eq!(of(200, &[both]), Ok(()));
    assert_eq!(of(404, &[both]), Ok(()));
    assert_eq!(of(599, &[both]), Err(NotStored::Status));
    assert_eq!(of(599, &["cache-control: must-understand, max-age=60"]), Err(NotStored::Status));
    assert_eq!(of(206, &[both]), Err(NotStored::Status));
}

#[test]
fn rfc_9111_5_2_2_7_private() {
    assert_eq!(of(200, &["cache-control: private, max-age=60"]), Err(NotStored::Private));
    assert_eq!(of(200, &["cache-control: private=\"\", max-age=60"]), Err(NotStored::Private));
    assert_eq!(of(200, &["cache-control: private=\"x-user\", max-age=60", "x-user: a"]), Ok(()));
}

#[test]
fn rfc_9111_3_5_what_was_made_for_somebody() {
    let of = |policy: &CachePolicy, lines: &[&str]| judged(policy, AUTHENTICATED, 200, lines).map(|_| ());
    for (line, expected) in [
        ("max-age=60", Err(NotStored::Authorization)),
        ("max-age=60, public", Ok(())),
        ("max-age=60, must-revalidate", Ok(())),
        ("s-maxage=60", Ok(())),
        ("max-age=60, proxy-revalidate", Err(NotStored::Authorization)),
        ("s-maxage=60, private", Err(NotStored::Private)),
    ] {
        assert_eq!(of(&invariants::policy(), &[&format!("cache-control: {line}")]), expected, "{line}");
    }
    // The operator allows it, for this status.
    assert_eq!(of(&with_ttl(TtlMode::Respect), &[]), Ok(()));
    assert_eq!(of(&with_ttl(TtlMode::Respect), &["cache-control: max-age=60"]), Ok(()));
    assert_eq!(of(&with_ttl(TtlMode::Respect), &["cache-control: private"]), Err(NotStored::Private));
    let elsewhere = judged(&with_ttl(TtlMode::Respect), AUTHENTICATED, 502, &["cache-control: max-age=60"]);
    assert_eq!(elsewhere, Err(NotStored::Authorization));
}

#[test]
fn a_cookie_is_for_one_client() {
    for line in ["public, max-age=60", "s-maxage=60", "no-cache, max-age=60", "private=\"x\", max-age=60"] {
        let line = format!("cache-control: {line}");
        assert_eq!(of(200, &[&line, "set-cookie: a=b", "etag: \"1\""]), Err(NotStored::SetCookie), "{line}");
    }
    let over = judged(
        &with_ttl(TtlMode::Override),
        ForRequest::default(),
        200,
        &["set-cookie: a=b", "cache-control: private"],
    );
    assert_eq!(over, Err(NotStored::SetCookie));
    for line in ["no-cache=\"set-cookie\", max-age=60", "private=\"Set-Cookie\", max-age=60"] {
        let line = format!("cache-control: {line}");
        assert_eq!(of(200, &[&line, "set-cookie: a=b"]), Ok(()), "{line}");
    }
}

#[test]
fn what_is_stale_at_once_needs_another_use() {
    for lines in [
        &[][..],
        &["cache-control: max-age=0"],
        &["cache-control: max-age=60", "age: 60"],
        &["expires: 0"],
        &["cache-control: no-cache, max-age=60"],
        &["cache-control: no-cache, stale-while-revalidate=60"],
        &["cache-control: max-age=0, must-revalidate, stale-while-revalidate=60"],
        &["cache-control: max-age=0, no-cache=\"etag\"", "etag: \"1\""],
    ] {
        assert_eq!(of(200, lines), Err(NotStored::NoLifetime), "{lines:?}");
    }
    for lines in [
        &["etag: \"1\""][..],
        &["last-modified: Sun, 06 Nov 1994 08:49:37 GMT"],
        &["cache-control: no-cache", "etag: \"1\""],
        &["cache-control: max-age=0, stale-while-revalidate=60"],
        &["cache-control: max-age=0, stale-if-error=60"],
    ] {
        assert_eq!(of(200, lines), Ok(()), "{lines:?}");
    }
}

#[test]
fn ttl_of_the_route_is_for_what_answers_do_not_say() {
    let policy = with_ttl(TtlMode::Respect);
    let of = |status, lines: &[&str]| judged(&policy, ForRequest::default(), status, lines).map(|_| ());
    assert_eq!(of(200, &[]), Ok(()));
    assert_eq!(of(500, &[]), Ok(()), "by its status");
    assert_eq!(of(502, &[]), Err(NotStored::Status), "the default is for statuses that are cacheable by default");
    assert_eq!(of(404, &["etag: \"1\""]), Err(NotStored::ZeroTtl));
    assert_eq!(of(404, &["cache-control: max-age=60"]), Ok(()));
    assert_eq!(of(200, &["cache-control: no-store"]), Err(NotStored::NoStore));
    assert_eq!(of(200, &["cache-control: max-age=0"]), Err(NotStored::NoLifetime));
}

#[test]
fn ttl_of_the_route_overrides_what_answers_say() {
    let policy = CachePolicy { stale_if_error: Duration::from_secs(9), ..with_ttl(TtlMode::Override) };
    let of = |status, line: &str| judged(&policy, ForRequest::default(), status, &[&format!("cache-control: {line}")]);
    for line in ["no-store", "private", "no-cache", "max-age=0", "s-maxage=0"] {
        let expected = Rules { stale_if_error: Duration::from_secs(9), ..Rules::default() };
        assert_eq!(of(200, line), Ok(expected), "{line}");
    }
    assert!(of(200, "must-revalidate").unwrap().never_stale);
    assert_eq!(of(404, "max-age=60"), Err(NotStored::ZeroTtl));
    assert_eq!(of(502, "no-store"), Err(NotStored::NoStore), "it has no ttl");
    assert_eq!(of(206, "public"), Err(NotStored::Status));
}

#[test]
fn rfc_9111_4_2_4_and_rfc_5861_when_it_may_be_given_stale() {
    let of_route = CachePolicy {
        stale_while_revalidate: Duration::from_secs(1),
        stale_if_error: Duration::from_secs(2),
        ..invariants::policy()
    };
    let never = Rules { never_stale: true, ..Rules::default() };
    let stale = |revalidate, error| Rules {
        stale_while_revalidate: Duration::from_secs(revalidate),
        stale_if_error: Duration::from_secs(error),
        ..Rules::default()
    };
    for (line, expected) in [
        ("max-age=60", stale(1, 2)),
        ("max-age=60, stale-while-revalidate=10", stale(10, 2)),
        ("max-age=60, stale-if-error=20", stale(1, 20)),
        ("max-age=60, stale-while-revalidate=0, stale-if-error=x", stale(0, 0)),
        ("max-age=60, must-revalidate, stale-while-revalidate=10", never),
        ("max-age=60, proxy-revalidate, stale-if-error=10", never),
        ("s-maxage=60, stale-if-error=10", never),
        ("no-cache, stale-if-error=10", Rules { always_validate: true, ..Rules::default() }),
        ("no-cache=\"x\", max-age=60", stale(1, 2)),
    ] {
        assert_eq!(rules(&of_route, &format!("cache-control: {line}")), expected, "{line}");
    }
}

#[test]
fn rfc_9111_3_1_fields_that_are_not_kept() {
    let all = fields(&[
        "date: now",
        "age: 5",
        "content-length: 5",
        "content-type: text/plain",
        "connection: close, X-Hop",
        "connection: x-other",
        "x-hop: 1",
        "x-other: 1",
        "keep-alive: 1",
        "proxy-connection: close",
        "te: trailers",
        "trailer: x",
        "transfer-encoding: chunked",
        "upgrade: h2c",
        "proxy-authenticate: Basic",
        "proxy-authentication-info: a",
        "proxy-authorization: a",
        "cache-tag: a",
        "surrogate-key: a",
        "surrogate-control: a",
        "set-cookie: a=b",
        "x-user: a",
        "x-user: b",
        "link: a",
        "link: b",
        "cache-control: private=\"x-user\", no-cache=\"set-cookie\", max-age=60",
    ]);
    let kept = kept(&all, &ResponseDirectives::of(&all));
    let names: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["date", "content-type", "link", "link", "cache-control"]);
}

#[test]
fn reasons_are_tokens_of_a_structured_field() {
    for why in [NotStored::SetCookie, NotStored::RequestNoStore, NotStored::NoLifetime, NotStored::ZeroTtl] {
        assert!(
            why.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                && why.to_string() == why.as_str()
        );
    }
}
