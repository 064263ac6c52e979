//! What a request asks of caches (RFC 9111 §5.2.1, §5.4).

use crate::cache::support::{Scene, assert_hit, good, status_of, x_cache};

/// 100 seconds old, for an hour.
const FRESH: &str = "ETag: \"1\"\nCache-Control: max-age=3600\nAge: 100";
/// For a minute, which is over for 40 seconds.
const STALE: &str = "ETag: \"1\"\nCache-Control: max-age=60\nAge: 100";

/// What `X-Cache` says of a GET with these fields after one that brought this, and whether the upstream was asked.
async fn after(scene: &Scene, stored: &str, asked: &str) -> (String, bool) {
    let path = scene.path();
    scene.origin.says(good(stored));
    assert!(status_of(&scene.get(&path, "").await).has("stored"), "{stored}");
    let before = scene.origin.count();
    let response = scene.get(&path, asked).await;
    assert_eq!((response.status, response.text()), (200, "good"), "{asked}");
    let x_cache = x_cache(&response).to_owned();
    if x_cache == "HIT" {
        assert_hit(&response, asked);
    }
    (x_cache, scene.origin.count() > before)
}

#[tokio::test]
async fn rfc_9111_5_2_1_a_request_may_ask_for_what_is_newer() {
    let scene = Scene::start("{}").await;
    for asked in [
        "Cache-Control: max-age=0",
        "Cache-Control: max-age=10",
        "Cache-Control: max-age=99",
        "Cache-Control: max-age=\"10\"",
        "Cache-Control: max-age=1000, max-age=10",
        "Cache-Control: max-age=abc",
        "Cache-Control: max-age",
        "Cache-Control: MAX-AGE=10",
        "Cache-Control: min-fresh=3600",
        "Cache-Control: min-fresh=99999999999999999999",
        "Cache-Control: min-fresh=abc",
        "Cache-Control: no-cache",
        "Cache-Control: No-Cache, max-stale=1000",
        "Cache-Control: x, no-cache",
        "Cache-Control: max-age=1000\nCache-Control: no-cache",
        "Cache-Control: max-age=10, max-stale=1000",
    ] {
        let (x_cache, was_asked) = after(&scene, FRESH, asked).await;
        assert!(was_asked && x_cache != "HIT", "{asked}: {x_cache}");
    }
}

#[tokio::test]
async fn rfc_9111_5_2_1_what_is_new_enough_is_given() {
    let scene = Scene::start("{}").await;
    for asked in [
        "",
        "Cache-Control: max-age=1000",
        "Cache-Control: min-fresh=1000",
        "Cache-Control: max-age=1000, min-fresh=1000",
        "Cache-Control: max-stale=10",
        "Cache-Control: only-if-cached",
        "Cache-Control: no-transform",
        "Cache-Control: s-maxage=0, must-revalidate, private",
        "Cache-Control: unknown, other=1, \"",
        "Cache-Control: ",
        "Cache-Control: x=\"no-cache\"",
        "Expires: 0",
    ] {
        assert_eq!(after(&scene, FRESH, asked).await, ("HIT".to_owned(), false), "{asked}");
    }
}

#[tokio::test]
async fn rfc_9111_5_2_1_2_max_stale_takes_what_is_so_stale() {
    let scene = Scene::start("{}").await;
    for asked in ["max-stale", "max-stale=1000", "max-stale=99999999999999999999", "max-age=1000, max-stale=1000"] {
        let path = scene.path();
        scene.origin.says(good(STALE));
        scene.get(&path, "").await;
        let before = scene.origin.count();
        let response = scene.get(&path, &format!("Cache-Control: {asked}")).await;
        assert_eq!((x_cache(&response), scene.origin.count() - before), ("STALE", 0), "{asked}");
        let status = status_of(&response);
        assert!(status.has("hit") && status.get("fwd").is_none(), "{asked}: {status:?}");
        let ttl: i64 = status.get("ttl").unwrap().parse().unwrap();
        assert!((-50..=-39).contains(&ttl), "{asked}: {ttl}");
        assert!(response.field("age").unwrap().parse::<u64>().unwrap() >= 100, "{asked}");
    }
    for asked in [
        "max-stale=0",
        "max-stale=10",
        "max-stale=abc",
        "max-stale=",
        "max-stale=1000, max-stale=10",
        "min-fresh=0",
        "max-age=200",
    ] {
        let (x_cache, was_asked) = after(&scene, STALE, &format!("Cache-Control: {asked}")).await;
        assert!(was_asked, "{asked}: {x_cache}");
    }
}

#[tokio::test]
async fn rfc_9111_4_2_4_max_stale_does_not_count_where_the_answer_forbids_it() {
    let scene = Scene::start("{}").await;
    for said in [
        "max-age=60, must-revalidate",
        "max-age=60, proxy-revalidate",
        "s-maxage=60",
        "max-age=60, no-cache",
        "max-age=60, must-revalidate, stale-while-revalidate=1000, stale-if-error=1000",
    ] {
        let (x_cache, was_asked) =
            after(&scene, &format!("ETag: \"1\"\nAge: 100\nCache-Control: {said}"), "Cache-Control: max-stale").await;
        assert!(was_asked, "{said}: {x_cache}");
    }
}

#[tokio::test]
async fn rfc_9111_5_2_1_5_no_store_of_a_request_leaves_what_is_stored() {
    let scene = Scene::start("{}").await;
    let path = scene.path();
    scene.origin.says(good(STALE));
    scene.get(&path, "").await;
    scene.origin.says(good("ETag: \"2\"\nX-Newer: 1\nCache-Control: max-age=1000"));
    let response = scene.get(&path, "Cache-Control: no-store").await;
    assert_eq!((response.field("x-newer"), scene.origin.count()), (Some("1"), 2));
    assert!(!status_of(&response).has("stored"));
    // Its answer was not stored.
    let response = scene.get(&path, "Cache-Control: max-stale").await;
    assert_eq!((x_cache(&response), response.field("x-newer"), scene.origin.count()), ("STALE", None, 2));
}

#[tokio::test]
async fn rfc_9111_5_2_1_7_only_if_cached_is_answered_from_memory_or_504() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good(FRESH));
    scene.get("/fresh", "").await;
    scene.origin.says(good(STALE));
    scene.get("/stale", "").await;
    scene.origin.says(good("Cache-Control: max-age=60\nVary: accept-language"));
    scene.get("/vary", "accept-language: de").await;
    let before = scene.origin.count();
    for (path, asked) in [
        ("/nothing", "only-if-cached"),
        ("/stale", "only-if-cached"),
        ("/stale", "only-if-cached, max-stale=10"),
        ("/fresh", "only-if-cached, no-cache"),
        ("/fresh", "only-if-cached, max-age=10"),
        ("/fresh", "Only-If-Cached, min-fresh=3600"),
        ("/vary", "only-if-cached"),
    ] {
        let response = scene.get(path, &format!("Cache-Control: {asked}")).await;
        assert_eq!(response.status, 504, "{path} {asked}");
        response.refused(504, "ONLY_IF_CACHED");
    }
    for method in ["GET", "HEAD"] {
        let response = scene.send(method, "/fresh", "Cache-Control: only-if-cached").await;
        assert_hit(&response, method);
    }
    let response = scene.get("/stale", "Cache-Control: only-if-cached, max-stale").await;
    assert_eq!((response.status, x_cache(&response)), (200, "STALE"));
    assert_eq!(scene.origin.count(), before, "the upstream was never asked");
}

#[tokio::test]
async fn rfc_9111_5_4_pragma_counts_where_there_is_no_cache_control() {
    let scene = Scene::start("{}").await;
    for asked in ["Pragma: no-cache", "Pragma: NO-CACHE", "Pragma: x, no-cache", "Pragma: a\nPragma: no-cache"] {
        let (x_cache, was_asked) = after(&scene, FRESH, asked).await;
        assert!(was_asked, "{asked}: {x_cache}");
    }
    for asked in
        ["Pragma: no-cache\nCache-Control: max-age=1000", "Cache-Control: x\nPragma: no-cache", "Pragma: other"]
    {
        assert_eq!(after(&scene, FRESH, asked).await, ("HIT".to_owned(), false), "{asked}");
    }
    scene.twice(good("Pragma: no-cache\nCache-Control: max-age=60"), "").await.kept("Pragma of an answer says nothing");
}

#[tokio::test]
async fn what_a_request_says_of_caches_reaches_the_upstream() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good(FRESH));
    scene.get("/x", "").await;
    scene.get("/x", "Cache-Control: no-cache").await;
    let asked = scene.origin.last();
    assert_eq!(asked.head.field("cache-control"), Some("no-cache"));
}
