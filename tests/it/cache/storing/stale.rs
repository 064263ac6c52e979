//! What may be given stale (RFC 5861).

use crate::cache::support::{Says, Scene, Status, answer, assert_hit, good, status_of, x_cache};
use crate::support::client::Response;
use crate::support::{Gate, eventually};

/// Stale for 40 seconds, with this in `Cache-Control`.
fn stale(said: &str) -> String {
    good(&format!("ETag: \"1\"\nAge: 100\nCache-Control: max-age=60, {said}"))
}

/// A path for which a stale answer is stored.
async fn stored(scene: &Scene, said: &str) -> String {
    let path = scene.path();
    scene.origin.says(stale(said));
    assert!(status_of(&scene.get(&path, "").await).has("stored"), "{said}");
    path
}

#[track_caller]
fn assert_stale(response: &Response, case: &str) -> Status {
    assert_eq!((response.status, response.text(), x_cache(response)), (200, "good", "STALE"), "{case}");
    let age = response.field("age").and_then(|age| age.parse::<u64>().ok());
    assert!(age.is_some_and(|age| age >= 100), "{case}: {age:?}");
    let status = status_of(response);
    let ttl = status.get("ttl").and_then(|ttl| ttl.parse::<i64>().ok());
    assert!(ttl.is_some_and(|ttl| (-60..=-40).contains(&ttl)), "{case}: {status:?}");
    status
}

#[tokio::test]
async fn rfc_5861_3_one_request_fetches_it_anew_while_all_get_the_stale_one() {
    for (cache, said) in [("{}", "stale-while-revalidate=1000"), ("{ stale_while_revalidate: 1000s }", "public")] {
        let scene = Scene::start(cache).await;
        let path = stored(&scene, said).await;
        let gate = Gate::closed();
        let newer = answer("200 OK", "ETag: \"2\"\nCache-Control: max-age=60", "newer");
        scene.origin.says(Says::Halves(Vec::new(), gate.clone(), newer.into_bytes()));
        for _ in 0..5 {
            let status = assert_stale(&scene.get(&path, "").await, cache);
            assert!(status.has("hit") && status.get("fwd").is_none(), "{status:?}");
            // Before and after the one in the background is on its way.
            scene.origin.upstream.request(2).await;
        }
        assert_eq!(scene.origin.count(), 2, "one for the first, one in the background");
        assert_eq!(scene.origin.last().head.field("if-none-match"), Some("\"1\""));
        gate.open();
        let fresh = eventually("the newer answer", async || {
            let response = scene.get(&path, "").await;
            (x_cache(&response) == "HIT").then_some(response)
        })
        .await;
        assert_eq!((fresh.text(), scene.origin.count()), ("newer", 2));
    }
}

#[tokio::test]
async fn rfc_5861_3_a_304_in_the_background_makes_it_fresh() {
    let scene = Scene::start("{}").await;
    let path = stored(&scene, "stale-while-revalidate=1000").await;
    scene.origin.says(answer("304 Not Modified", "ETag: \"1\"\nCache-Control: max-age=60", ""));
    assert_stale(&scene.get(&path, "").await, "while it is asked for");
    let fresh = eventually("a fresh answer", async || {
        let response = scene.get(&path, "").await;
        (x_cache(&response) == "HIT").then_some(response)
    })
    .await;
    assert_eq!((fresh.text(), scene.origin.count()), ("good", 2));
}

#[tokio::test]
async fn rfc_5861_3_one_that_fails_in_the_background_is_tried_again() {
    let scene = Scene::start("{}").await;
    let path = stored(&scene, "stale-while-revalidate=1000").await;
    for failing in [Says::Cut(Vec::new()), answer("503 Unavailable", "Cache-Control: no-store", "bad").into()] {
        let before = scene.origin.count();
        scene.origin.says(failing);
        eventually("another try", async || {
            assert_stale(&scene.get(&path, "").await, "while it fails");
            (scene.origin.count() >= before + 4).then_some(())
        })
        .await;
    }
    scene.origin.says(good("Cache-Control: max-age=60"));
    eventually("a fresh answer", async || (x_cache(&scene.get(&path, "").await) == "HIT").then_some(())).await;
}

#[tokio::test]
async fn rfc_5861_3_not_for_longer_than_is_said() {
    let scene = Scene::start("{ stale_while_revalidate: 1000s }").await;
    for said in [
        "stale-while-revalidate=10",
        "stale-while-revalidate=0",
        "stale-while-revalidate=abc",
        "stale-while-revalidate",
    ] {
        scene.twice(stale(said), "").await.asked_again(said);
    }
    let scene = Scene::start("{ stale_while_revalidate: 10s }").await;
    scene.twice(stale("public"), "").await.asked_again("10s in the route");
}

#[tokio::test]
async fn rfc_5861_3_not_for_requests_that_want_it_newer() {
    let scene = Scene::start("{}").await;
    for asked in ["no-cache", "max-age=0", "max-age=1000", "min-fresh=1", "max-stale=10", "no-cache, max-stale"] {
        let path = stored(&scene, "stale-while-revalidate=1000").await;
        let before = scene.origin.count();
        let response = scene.get(&path, &format!("Cache-Control: {asked}")).await;
        assert_ne!(x_cache(&response), "STALE", "{asked}");
        assert_eq!(scene.origin.count() - before, 1, "{asked}");
    }
}

#[tokio::test]
async fn rfc_5861_4_an_error_of_the_upstream_is_hidden_by_what_is_stale() {
    for (cache, said, asked) in [
        ("{}", "stale-if-error=1000", ""),
        ("{ stale_if_error: 1000s }", "public", ""),
        ("{}", "public", "Cache-Control: stale-if-error=1000"),
    ] {
        let scene = Scene::start(cache).await;
        for status in [500, 502, 503, 504] {
            let path = stored(&scene, said).await;
            scene.origin.says(answer(&format!("{status} Bad"), "Cache-Control: max-age=60", "bad"));
            for count in 1..=2 {
                let before = scene.origin.count();
                let case = format!("{cache} {said} {asked} {status} {count}");
                let told = assert_stale(&scene.get(&path, asked).await, &case);
                assert!(!told.has("hit"), "{case}: {told:?}");
                assert_eq!((told.get("fwd"), scene.origin.count() - before), (Some("stale"), 1), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn rfc_5861_4_an_upstream_that_is_gone_is_hidden_by_what_is_stale() {
    let scene = Scene::start("{}").await;
    let path = stored(&scene, "stale-if-error=1000").await;
    scene.origin.says(Says::Cut(Vec::new()));
    assert_stale(&scene.get(&path, "").await, "closed without an answer");
    scene.origin.says(Says::Cut(b"HTTP/1.1 200 OK\r\nETag".to_vec()));
    assert_stale(&scene.get(&path, "").await, "closed within the head");
    scene.origin.says(Says::Whole(b"this is no HTTP\r\n\r\n".to_vec()));
    assert_stale(&scene.get(&path, "").await, "no HTTP");
    let Scene { gateway, origin, .. } = scene;
    drop(origin);
    for _ in 0..2 {
        assert_stale(&gateway.get(&path).await, "refused connections");
    }
    let refused = gateway.get("/other").await;
    refused.refused(502, "UPSTREAM_CONNECT");
}

#[tokio::test]
async fn rfc_5861_4_what_is_no_error_of_a_server_is_not_hidden() {
    let scene = Scene::start("{ stale_if_error: 1000s }").await;
    for status in [400, 403, 404, 410, 429, 501] {
        let path = stored(&scene, "stale-if-error=1000").await;
        scene.origin.says(answer(&format!("{status} Other"), "Cache-Control: no-store", "other"));
        let response = scene.get(&path, "").await;
        assert_eq!((response.status, response.text()), (status, "other"));
        assert_ne!(x_cache(&response), "STALE");
    }
}

#[tokio::test]
async fn rfc_5861_4_not_for_longer_than_is_said() {
    let scene = Scene::start("{ stale_if_error: 1000s }").await;
    for (said, asked) in [
        ("stale-if-error=10", ""),
        ("stale-if-error=0", ""),
        ("stale-if-error=abc", ""),
        ("public", "Cache-Control: stale-if-error=10"),
        ("stale-if-error=1000", "Cache-Control: stale-if-error=0"),
        ("stale-if-error=1000", "Cache-Control: no-cache"),
    ] {
        let path = stored(&scene, said).await;
        scene.origin.says(answer("503 Unavailable", "", "bad"));
        let response = scene.get(&path, asked).await;
        assert_eq!((response.status, response.text()), (503, "bad"), "{said} {asked}");
        scene.origin.says(Says::Cut(Vec::new()));
        let response = scene.get(&path, asked).await;
        assert!(matches!(response.status, 502 | 504), "{said} {asked}: {response:?}");
    }
    let scene = Scene::start("{ stale_if_error: 10s }").await;
    let path = stored(&scene, "public").await;
    scene.origin.says(answer("503 Unavailable", "", "bad"));
    assert_eq!(scene.get(&path, "").await.status, 503, "10s in the route");
}

#[tokio::test]
async fn rfc_5861_4_an_answer_that_breaks_off_in_its_body_is_broken() {
    let scene = Scene::start("{}").await;
    let path = stored(&scene, "stale-if-error=1000").await;
    scene
        .origin
        .says(Says::Cut(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nbad".to_vec()));
    let mut client = scene.gateway.client().await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
    assert!(client.try_response().await.is_err());
    scene.origin.says(Says::Cut(Vec::new()));
    assert_stale(&scene.get(&path, "").await, "what was stored is still there");
}

#[tokio::test]
async fn rfc_5861_an_upstream_that_recovers_is_asked_again() {
    let scene = Scene::start("{ stale_if_error: 1000s }").await;
    let path = stored(&scene, "public").await;
    scene.origin.says(answer("503 Unavailable", "", "bad"));
    assert_stale(&scene.get(&path, "").await, "503");
    scene.origin.says(answer("200 OK", "Cache-Control: max-age=60", "newer"));
    let response = scene.get(&path, "").await;
    assert_eq!((response.text(), x_cache(&response)), ("newer", "EXPIRED"));
    assert_hit(&scene.get(&path, "").await, "newer");
}
