//! Connections of clients that get answers from memory: older clients, last requests, requests sent ahead (RFC 9112 section 9).

use super::super::support::{Says, Scene, assert_hit, good, x_cache};
use super::{FRESH, page, store};
use crate::support::client::End;
use crate::support::wire::Framing;
use crate::support::{Gate, TestGateway, Upstream, eventually, forward_with, ok};

const GET: &str = "GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n";

fn chunked(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
}

#[tokio::test]
async fn an_http_1_0_client_gets_what_is_stored_and_the_end_of_the_connection() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", chunked("body")).await;
    let mut client = scene.gateway.client().await;
    let response = client.request("GET /a HTTP/1.0\r\nHost: api.test\r\n\r\n").await;
    assert_hit(&response, "HTTP/1.0");
    assert_eq!((response.status, response.framing, response.text()), (200, Framing::Length(4), "body"));
    assert_eq!(response.field("transfer-encoding"), None);
    assert_eq!(client.end().await, End::Closed(Vec::new()));
}

#[tokio::test]
async fn an_http_1_0_client_that_misses_gets_no_chunks() {
    let scene = Scene::start("{}").await;
    scene.origin.says(chunked("body"));
    let response = scene.gateway.request("GET /a HTTP/1.0\r\nHost: api.test\r\n\r\n").await;
    assert_eq!((response.status, response.framing, response.text()), (200, Framing::UntilClose, "body"));
    let response = scene.get("/a", "").await;
    assert_hit(&response, "it was stored whole");
    assert_eq!(response.framing, Framing::Length(4), "its length is known now");
}

#[tokio::test]
async fn an_http_1_0_client_that_misses_learns_of_a_broken_answer() {
    let scene = Scene::start("{}").await;
    scene
        .origin
        .says(Says::Cut(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nbo").into()));
    let mut client = scene.gateway.client().await;
    client.send("GET /a HTTP/1.0\r\nHost: api.test\r\n\r\n").await;
    // It may be too late for a status; then the connection has no orderly end.
    assert!(client.try_response().await.is_err(), "half of an answer looks like the whole");
    scene.origin.says(page(FRESH, "anew"));
    assert_eq!(scene.get("/a", "").await.text(), "anew");
}

#[tokio::test]
async fn a_client_that_asks_for_it_is_closed_behind_a_hit_and_behind_a_miss() {
    let scene = Scene::start("{}").await;
    scene.origin.says(chunked("body"));
    for kind in ["MISS", "HIT"] {
        let mut client = scene.gateway.client().await;
        let response = client.request("GET /a HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n").await;
        assert_eq!((x_cache(&response), response.text(), response.field("connection")), (kind, "body", Some("close")));
        assert_eq!(client.end().await, End::Closed(Vec::new()));
    }
}

#[tokio::test]
async fn a_client_that_half_closes_behind_its_last_request_gets_its_answer() {
    let scene = Scene::start("{}").await;
    scene.origin.says(chunked("body"));
    for kind in ["MISS", "HIT"] {
        let mut client = scene.gateway.client().await;
        client.send("GET /a HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n").await;
        client.half_close().await;
        let response = client.response().await;
        assert_eq!((x_cache(&response), response.text()), (kind, "body"));
    }
}

#[tokio::test]
async fn a_connection_goes_on_behind_hits_and_misses() {
    let scene = Scene::start("{}").await;
    let mut client = scene.gateway.client().await;
    for at in 0..5 {
        let path = scene.path();
        scene.origin.says(if at % 2 == 0 { chunked("body") } else { page(FRESH, "body") });
        for kind in ["MISS", "HIT", "HIT"] {
            let response = client.get(&path).await;
            assert_eq!((x_cache(&response), response.text()), (kind, "body"));
        }
    }
}

#[tokio::test]
async fn requests_behind_a_hit_are_answered_in_order() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", page(FRESH, "hit")).await;
    scene.origin.says(page("Cache-Control: no-store", "posted"));
    let mut client = scene.gateway.client().await;
    let head = "HEAD /a HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let part = "GET /a HTTP/1.1\r\nHost: api.test\r\nRange: bytes=1-\r\n\r\n";
    let post = "POST /b HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc";
    client.send(format!("{GET}{GET}{head}{part}{post}{GET}")).await;
    assert_eq!(client.response().await.text(), "hit");
    assert_eq!(client.response().await.text(), "hit");
    assert_eq!(client.response_to("HEAD").await.status, 200);
    assert_eq!(client.response().await.text(), "it");
    assert_eq!(client.response().await.text(), "posted");
    let last = client.response().await;
    assert_hit(&last, "the last");
    assert_eq!(last.text(), "hit");
    assert_eq!(scene.origin.last().body.bytes, b"abc");
}

#[tokio::test]
async fn requests_behind_a_miss_that_is_coming_are_answered_in_order() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", page(FRESH, "hit")).await;
    let gate = Gate::closed();
    let whole = page(FRESH, "streamed");
    let (begin, rest) = whole.split_at(whole.len() - 4);
    scene.origin.says(page(FRESH, "another miss"));
    scene.origin.says_next(Says::Halves(begin.into(), gate.clone(), rest.into()));
    let mut client = scene.gateway.client().await;
    let miss = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    client.send(format!("{}{GET}{}", miss("/b"), miss("/c"))).await;
    let (status, _) = client.response_head().await;
    assert_eq!((status, client.exactly(4).await.as_slice()), (200, &b"stre"[..]));
    // Behind what has come so far.
    client.send(miss("/b")).await;
    gate.open();
    assert_eq!(client.exactly(4).await, b"amed");
    for (kind, body) in [("HIT", "hit"), ("MISS", "another miss"), ("HIT", "streamed")] {
        let response = client.response().await;
        assert_eq!((x_cache(&response), response.text()), (kind, body));
    }
}

#[tokio::test]
async fn a_request_with_a_body_is_neither_answered_from_memory_nor_kept() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", page(FRESH, "stored")).await;
    scene.origin.says(page(FRESH, "for a body"));
    let head = "GET /a HTTP/1.1\r\nHost: api.test\r\n";
    for request in [
        format!("{head}Content-Length: 3\r\n\r\nabc"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let response = scene.gateway.request(request).await;
        assert_eq!((x_cache(&response), response.text()), ("BYPASS", "for a body"));
        assert_eq!(scene.origin.last().body.bytes, b"abc");
    }
    let response = scene.get("/a", "").await;
    assert_hit(&response, "without a body");
    assert_eq!(response.text(), "stored");
}

#[tokio::test]
async fn an_expectation_is_met_by_the_upstream() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(head) = conn.head().await? {
            if head.head.field("expect").is_none() {
                conn.send(good(FRESH)).await?;
                continue;
            }
            conn.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
            let body = conn.wire.exactly(5).await?;
            conn.send(ok(std::str::from_utf8(&body).unwrap())).await?;
        }
        Ok(())
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "cache: {}")).await;
    gateway.get("/a").await;
    assert_hit(&gateway.get("/a").await, "stored");
    let mut client = gateway.client().await;
    client.send("GET /a HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.response_head().await.0, 100);
    client.send("hello").await;
    let response = client.response().await;
    assert_eq!((response.text(), x_cache(&response)), ("hello", "BYPASS"));
    if response.field("connection") != Some("close") {
        assert_hit(&client.get("/a").await, "the connection goes on");
    }
}

#[tokio::test]
async fn an_expectation_without_a_body_holds_up_nobody() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good(FRESH));
    let mut client = scene.gateway.client().await;
    for _ in 0..2 {
        let request = "GET /a HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\n\r\n";
        let response = client.request(request).await;
        assert_eq!((response.status, response.text()), (200, "good"));
    }
    assert_eq!(client.get("/a").await.text(), "good");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_take_the_answer_along() {
    let scene = Scene::start("{}").await;
    let gate = Gate::closed();
    let whole = page(FRESH, "streamed");
    let (begin, rest) = whole.split_at(whole.len() - 4);
    scene.origin.says(Says::Halves(begin.into(), gate.clone(), rest.into()));
    let mut client = scene.gateway.client().await;
    client.send(GET).await;
    assert_eq!(client.response_head().await.0, 200);
    client.reset();
    eventually("the client is known to be gone", async || {
        let lines = scene.gateway.access_log(1).await;
        (lines[0]["reason"] == "CLIENT_CLOSED").then_some(())
    })
    .await;
    gate.open();
    assert_eq!(scene.get("/a", "").await.text(), "streamed");
    assert_eq!(scene.origin.count(), 1);
}
