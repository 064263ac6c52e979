//! HEAD: answered from what a GET has brought, and what its own answers say about that (RFC 9111 sections 4 and 4.3.5).

use super::super::support::{Scene, answer, assert_hit, good, x_cache};
use super::{FRESH, STALE, ask, head_of, page, store};
use crate::identity::scene::BOTH;

#[tokio::test]
async fn section_4_head_is_answered_from_a_stored_get() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", page(&format!("{FRESH}\nETag: \"v1\"\nX-Own: own"), "body")).await;
    for version in BOTH {
        let response = ask(&scene, version, "HEAD", "/a", "").await;
        assert_hit(&response, "HEAD");
        assert_eq!((response.status, response.text()), (200, ""));
        assert_eq!((response.field("content-length"), response.field("x-own")), (Some("4"), Some("own")));
        assert_eq!(response.field("etag"), Some("\"v1\""));
    }
    assert_eq!(scene.origin.count(), 1);
}

#[tokio::test]
async fn section_4_head_from_memory_leaves_the_connection_in_step() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    let mut client = scene.gateway.client().await;
    for _ in 0..2 {
        let head = client.request("HEAD /a HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert_eq!((head.status, head.field("content-length")), (200, Some("4")));
        assert_eq!(client.get("/a").await.text(), "good");
    }
}

#[tokio::test]
async fn section_14_2_a_range_does_not_count_for_head() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    for version in BOTH {
        for range in ["bytes=0-1", "bytes=99-", "bytes=0-0,2-2"] {
            let response = ask(&scene, version, "HEAD", "/a", &format!("Range: {range}")).await;
            assert_eq!((response.status, response.field("content-length")), (200, Some("4")), "{range}");
            assert_eq!(response.field("content-range"), None);
        }
    }
}

#[tokio::test]
async fn section_4_head_that_misses_is_head_at_the_upstream_and_stores_nothing() {
    let scene = Scene::start("{ ttl: 60s }").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(head_of(FRESH, 4));
        let response = ask(&scene, version, "HEAD", &path, "").await;
        assert_eq!((response.status, response.field("content-length"), x_cache(&response)), (200, Some("4"), "MISS"));
        assert_eq!(scene.origin.last().method, "HEAD");
        scene.origin.says(good(FRESH));
        let response = ask(&scene, version, "GET", &path, "").await;
        assert_eq!((response.text(), x_cache(&response)), ("good", "MISS"));
    }
}

#[tokio::test]
async fn section_4_head_can_be_left_to_the_upstream() {
    let scene = Scene::start("{ methods: GET }").await;
    store(&scene, "/a", good(FRESH)).await;
    scene.origin.says(head_of("X-By: upstream", 4));
    for version in BOTH {
        let response = ask(&scene, version, "HEAD", "/a", "").await;
        assert_eq!((response.field("x-by"), x_cache(&response)), (Some("upstream"), "BYPASS"));
    }
}

#[tokio::test]
async fn section_4_3_5_head_that_agrees_updates_what_is_stored() {
    let scene = Scene::start("{}").await;
    let modified = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
    for version in BOTH {
        for (stored, told) in [
            (STALE.to_owned(), "ETag: \"v1\"".to_owned()),
            (format!("{STALE}\n{modified}"), format!("ETag: \"v1\"\n{modified}")),
            (format!("{STALE}\n{modified}"), modified.to_owned()),
            (STALE.to_owned(), String::new()),
        ] {
            let path = scene.path();
            scene.origin.says(page(&stored, "body"));
            ask(&scene, version, "GET", &path, "").await;
            scene.origin.says(head_of(&format!("Cache-Control: max-age=600\nX-New: new\n{told}"), 4));
            let head = ask(&scene, version, "HEAD", &path, "").await;
            assert_eq!((head.status, head.field("x-new")), (200, Some("new")));
            let response = ask(&scene, version, "GET", &path, "").await;
            assert_hit(&response, &told);
            assert_eq!((response.text(), response.field("x-new")), ("body", Some("new")), "{told}");
            assert_eq!(response.head.all("cache-control"), ["max-age=600"], "{told}");
        }
    }
}

#[tokio::test]
async fn section_4_3_5_head_that_does_not_agree_invalidates_what_is_stored() {
    let scene = Scene::start("{}").await;
    let stored = format!("{FRESH}\nETag: \"v1\"\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT");
    for version in BOTH {
        for (case, told) in [
            ("tag", head_of("ETag: \"v2\"", 4)),
            ("date", head_of("Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT", 4)),
            ("length", head_of("ETag: \"v1\"", 5)),
        ] {
            let path = scene.path();
            store(&scene, &path, page(&stored, "body")).await;
            scene.origin.says(told);
            ask(&scene, version, "HEAD", &path, "Cache-Control: no-cache").await;
            scene.origin.says(page(FRESH, "new one"));
            assert_eq!(ask(&scene, version, "GET", &path, "").await.text(), "new one", "{case}");
        }
    }
}

#[tokio::test]
async fn section_4_3_5_head_that_fails_says_nothing() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(&format!("{FRESH}\nETag: \"v1\""))).await;
    for version in BOTH {
        scene.origin.says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\n");
        assert_eq!(ask(&scene, version, "HEAD", "/a", "Cache-Control: no-cache").await.status, 503);
        assert_hit(&ask(&scene, version, "GET", "/a", "").await, "it is still there");
    }
}

#[tokio::test]
async fn section_4_3_5_a_cookie_of_head_is_not_stored() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(&format!("{FRESH}\nETag: \"v1\""))).await;
    scene.origin.says(head_of(&format!("{FRESH}\nETag: \"v1\"\nSet-Cookie: session=secret"), 4));
    scene.send("HEAD", "/a", "Cache-Control: no-cache").await;
    scene.origin.says(answer("200 OK", FRESH, "anew"));
    assert_eq!(scene.get("/a", "").await.field("set-cookie"), None);
}
