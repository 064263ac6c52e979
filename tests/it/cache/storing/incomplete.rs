//! Answers that break off (RFC 9111 §3.3, §3.4): broken for who reads them, and never kept.

use crate::cache::support::{Says, Scene, assert_hit, good, status_of, x_cache};
use crate::support::h2_client::{get, response_of};
use crate::support::{Gate, within};

const HEAD: &str = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nCache-Control: max-age=60\r\n";

/// Answers that are cut short by the end of their connection.
fn cut() -> Vec<(&'static str, String)> {
    vec![
        ("before the length", format!("{HEAD}Content-Length: 10\r\n\r\ngood")),
        ("without a byte of the body", format!("{HEAD}Content-Length: 10\r\n\r\n")),
        ("without the last chunk", format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n")),
        ("within a chunk", format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n9\r\ngood")),
        ("within the last chunk", format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n")),
        (
            "by what is no chunk",
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\nzz\r\nmore\r\n0\r\n\r\n"),
        ),
        ("before the length, several pieces", format!("{HEAD}Content-Length: 200000\r\n\r\n{}", "x".repeat(150_000))),
    ]
}

/// Fails unless the next request of the path is answered by the upstream, whole, and kept.
async fn assert_nothing_was_kept(scene: &Scene, path: &str, case: &str) {
    scene.origin.says(good("Cache-Control: max-age=60"));
    let before = scene.origin.count();
    let next = scene.get(path, "").await;
    assert_eq!((next.status, next.text(), x_cache(&next)), (200, "good", "MISS"), "{case}");
    assert_eq!(scene.origin.last().head.field("if-none-match"), None, "{case}");
    assert_eq!(scene.origin.count() - before, 1, "{case}");
    assert_hit(&scene.get(path, "").await, case);
}

#[tokio::test]
async fn rfc_9111_3_3_an_answer_that_is_cut_short_is_neither_whole_nor_kept() {
    let scene = Scene::start("{}").await;
    for (case, bytes) in cut() {
        let path = scene.path();
        scene.origin.says(Says::Cut(bytes.into_bytes()));
        let mut client = scene.gateway.client().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
        match client.try_response().await {
            Err(_) => {}
            Ok(refused) => assert!(refused.status >= 500, "cut {case}, and told as whole: {refused:?}"),
        }
        assert_nothing_was_kept(&scene, &path, case).await;
    }
}

#[tokio::test]
async fn rfc_9111_3_3_an_answer_that_is_cut_short_is_broken_over_http_2_too() {
    let scene = Scene::start("{}").await;
    let mut client = scene.h2().await;
    for (case, bytes) in cut() {
        let path = scene.path();
        scene.origin.says(Says::Cut(bytes.into_bytes()));
        let (response, _) = client.open(get(&path), true).await.unwrap();
        match response_of(response).await {
            Err(error) => assert!(error.is_reset() || error.is_library(), "{case}: {error}"),
            Ok(refused) => assert!(refused.status.is_server_error(), "cut {case}, and told as whole: {refused:?}"),
        }
        assert_nothing_was_kept(&scene, &path, case).await;
    }
}

#[tokio::test]
async fn rfc_9111_3_3_an_answer_that_is_reset_is_neither_whole_nor_kept() {
    let scene = Scene::start("{}").await;
    for (case, framing) in [
        ("with a length", "Content-Length: 10\r\n\r\ngood"),
        ("in chunks", "Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n"),
        ("until the end of its connection", "\r\ngood"),
    ] {
        let (path, reset) = (scene.path(), Gate::closed());
        scene.origin.says(Says::Reset(format!("{HEAD}{framing}").into_bytes(), reset.clone()));
        let mut client = scene.gateway.client().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
        let (status, head) = client.response_head().await;
        assert_eq!(status, 200, "{case}");
        match head.field("content-length") {
            Some(_) => assert_eq!(client.exactly(4).await, b"good"),
            None => assert_eq!(client.chunk().await.unwrap(), b"good"),
        }
        reset.open();
        let rest = within("the end", client.try_chunk()).await;
        assert!(rest.is_err(), "{case}: told as whole: {rest:?}");
        assert_nothing_was_kept(&scene, &path, case).await;
    }
}

#[tokio::test]
async fn rfc_9111_3_3_what_is_longer_than_it_says_is_not_kept_beyond_its_length() {
    let scene = Scene::start("{}").await;
    let smuggled = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nother";
    scene.origin.says(Says::Cut(format!("{}{smuggled}", good("Cache-Control: max-age=60")).into_bytes()));
    let first = scene.get("/x", "").await;
    assert_eq!(first.text(), "good");
    let second = scene.get("/x", "").await;
    assert_eq!(second.text(), "good");
    scene.origin.says(good("Cache-Control: max-age=60\nX-Asked: 1"));
    let other = scene.get("/y", "").await;
    assert_eq!((other.text(), other.field("x-asked")), ("good", Some("1")), "what nobody asked for is nobody's answer");
}

#[tokio::test]
async fn rfc_9111_3_3_a_broken_answer_leaves_what_was_stored() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("ETag: \"1\"\nCache-Control: max-age=3600\nAge: 100"));
    assert!(status_of(&scene.get("/x", "").await).has("stored"));
    // The client wants it newer, and what comes breaks off.
    scene.origin.says(Says::Cut(format!("{HEAD}Content-Length: 10\r\n\r\nbad").into_bytes()));
    let mut client = scene.gateway.client().await;
    client.send("GET /x HTTP/1.1\r\nHost: api.test\r\nCache-Control: max-age=10\r\n\r\n").await;
    assert!(client.try_response().await.is_err());
    let hit = scene.get("/x", "").await;
    assert_hit(&hit, "the older one");
    assert_eq!((hit.text(), scene.origin.count()), ("good", 2));
}
