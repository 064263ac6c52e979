//! What is told of the cache (RFC 9211).

use crate::cache::support::{Says, Scene, Status, answer, good, status_of, x_cache};
use crate::support::TestGateway;
use crate::support::client::Response;
use crate::support::forward_with;
use crate::support::upstream::Refusing;

const REASONS: [&str; 8] = ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"];

/// Fails unless the member is one as RFC 9211 §2 has it.
#[track_caller]
fn assert_valid(response: &Response) -> Status {
    let status = status_of(response);
    for (name, value) in &status.0 {
        let value = value.as_deref();
        let whole =
            |digits: &str| !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let valid = match name.as_str() {
            "hit" | "stored" | "collapsed" => value.is_none(),
            "fwd" => value.is_some_and(|why| REASONS.contains(&why)),
            "fwd-status" => value.is_some_and(|code| code.len() == 3 && whole(code)),
            "ttl" => value.is_some_and(|ttl| whole(ttl.strip_prefix('-').unwrap_or(ttl))),
            "detail" => value.is_some_and(|why| why.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')),
            _ => false,
        };
        assert!(valid, "{name}={value:?} in {status:?}");
    }
    assert_ne!(status.has("hit"), status.get("fwd").is_some(), "`hit` and `fwd` exclude each other: {status:?}");
    let mut names: Vec<_> = status.0.iter().map(|(name, _)| name).collect();
    names.dedup();
    assert_eq!(names.len(), status.0.len(), "{status:?}");
    status
}

/// What stands in the member, without its times.
#[track_caller]
fn said(response: &Response) -> String {
    let status = assert_valid(response);
    let parameters = status.0.iter().filter(|(name, _)| name != "ttl");
    let shown = parameters.map(|(name, value)| value.as_ref().map_or(name.clone(), |value| format!("{name}={value}")));
    shown.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn rfc_9211_2_says_what_was_done_and_why() {
    let scene = Scene::start("{ bypass: [{ header: X-By }] }").await;
    scene.origin.says(good("Cache-Control: max-age=60"));
    assert_eq!(said(&scene.get("/x", "").await), "fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(said(&scene.get("/x", "").await), "hit");
    assert_eq!(said(&scene.get("/x", "X-By: 1").await).split("; ").next(), Some("fwd=bypass"));
    assert_eq!(said(&scene.send("POST", "/y", "Content-Length: 0").await).split("; ").next(), Some("fwd=method"));

    scene.origin.says(answer("404 Not Found", "Cache-Control: no-store", ""));
    assert_eq!(said(&scene.get("/no", "").await), "fwd=uri-miss; fwd-status=404; detail=no_store");

    scene.origin.says(good("Cache-Control: max-age=60\nVary: x-kind"));
    assert_eq!(said(&scene.get("/vary", "X-Kind: 1").await), "fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(said(&scene.get("/vary", "X-Kind: 2").await), "fwd=vary-miss; fwd-status=200; stored");
}

#[tokio::test]
async fn rfc_9211_2_2_says_what_a_validation_came_to() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("ETag: \"1\"\nCache-Control: max-age=60\nAge: 100"));
    assert_eq!(said(&scene.get("/x", "").await), "fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(said(&scene.get("/x", "").await), "fwd=stale; fwd-status=200; stored");
    scene.origin.says(answer("304 Not Modified", "ETag: \"1\"\nCache-Control: max-age=60", ""));
    let response = scene.get("/x", "").await;
    let status = assert_valid(&response);
    assert_eq!((x_cache(&response), response.status), ("REVALIDATED", 200));
    assert_eq!((status.get("fwd"), status.get("fwd-status")), (Some("stale"), Some("304")));
}

#[tokio::test]
async fn rfc_9211_2_2_a_request_that_wanted_it_newer_is_the_reason() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("ETag: \"1\"\nCache-Control: max-age=60"));
    scene.get("/x", "").await;
    let status = assert_valid(&scene.get("/x", "Cache-Control: no-cache").await);
    assert_eq!((status.get("fwd"), status.get("fwd-status")), (Some("request"), Some("200")));
    assert!(status.has("stored"));
}

#[tokio::test]
async fn rfc_9211_2_stands_behind_the_caches_before_us() {
    let scene = Scene::start("{}").await;
    let behind = "OriginCache; hit; ttl=1100, \"CDN, Inc\"; fwd=uri-miss";
    let twice =
        scene.twice(good(&format!("Cache-Control: max-age=60\nCache-Status: {behind}\nX-Cache: theirs")), "").await;
    twice.kept("members of others");
    for response in [&twice.first, &twice.second] {
        let whole = response.head.all("cache-status").join(", ");
        assert!(whole.starts_with(&format!("{behind}, sluice")), "{whole}");
        assert_eq!(whole.matches("sluice").count(), 1, "{whole}");
        assert_valid(response);
    }
}

#[tokio::test]
async fn rfc_9211_2_what_is_no_answer_of_an_upstream_says_nothing_of_the_cache() {
    let scene = Scene::start("{}").await;
    let response = scene.get("/x", "Cache-Control: only-if-cached").await;
    assert_eq!((response.status, response.field("cache-status"), response.field("x-cache")), (504, None, None));
    scene.origin.says(Says::Cut(Vec::new()));
    let response = scene.get("/x", "").await;
    assert_eq!((response.status, response.field("cache-status"), response.field("x-cache")), (502, None, None));

    let refusing = Refusing::new();
    let gateway = TestGateway::start(&forward_with(refusing.address(), "", "cache: {}")).await;
    let response = gateway.get("/").await;
    assert_eq!((response.status, response.field("cache-status")), (502, None));
}

#[tokio::test]
async fn rfc_9211_a_route_without_a_cache_passes_on_what_others_say() {
    let scene = Scene::with_route("auth: none").await;
    scene.origin.says(good("Cache-Control: max-age=60\nCache-Status: OriginCache; hit\nX-Cache: theirs\nAge: 5"));
    for count in 1..=2 {
        let response = scene.get("/x", "").await;
        assert_eq!(response.field("cache-status"), Some("OriginCache; hit"));
        assert_eq!((response.field("x-cache"), response.field("age")), (Some("theirs"), Some("5")));
        assert_eq!(scene.origin.count(), count);
    }
}
