//! Upstreams whose answers are not what they should be: no byte of one may end up in the answer to another request.

use crate::support::gateway::routes;
use crate::support::wire::Framing;
use crate::support::{Authority, Gate, TestGateway, Upstream, forward_all, ok, within};

#[tokio::test]
async fn an_upstream_connection_with_an_unfinished_upload_is_not_used_again() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.head().await? {
            if request.method == "POST" {
                // Says nothing about closing, and would take whatever comes for the rest of the body.
                conn.send(ok("early")).await?;
                return conn.stall().await;
            }
            conn.send(ok("next")).await?;
        }
        Ok(())
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut uploading = gateway.client().await;
    uploading.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 100000\r\n\r\npart").await;
    assert_eq!(uploading.response().await.text(), "early");
    assert_eq!(gateway.get("/").await.text(), "next");
    uploading.closed().await;
    assert_eq!(gateway.get("/").await.text(), "next");
    let first = upstream.received(0);
    assert!(!String::from_utf8_lossy(&first).contains("GET"), "another request went into the body");
}

#[tokio::test]
async fn what_an_upstream_says_unasked_is_no_answer() {
    let said = Gate::closed();
    let step = said.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.request().await?;
            conn.send(ok("asked")).await?;
            if conn.index == 0 {
                // The connection is back in the pool once the client has its answer.
                step.pass().await;
                conn.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil").await?;
                step.open();
            }
            conn.stall().await
        }
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/").await.text(), "asked");
    said.open();
    tokio::task::yield_now().await;
    within("the unasked answer", said.pass()).await;
    let second = client.get("/").await;
    assert_ne!(second.status, 408, "{}", second.text());
}

#[tokio::test]
async fn fields_of_an_answer_that_are_for_one_connection_are_taken_off_however_they_are_written() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-private,\tX-OTHER , keep-alive\r\nX-Private: 1\r\n\
         x-other: 2\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nProxy-Connection: x\r\n\
         X-Stays: 3\r\n\r\nok",
    );
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.get("/").await;
    for name in ["x-private", "x-other", "keep-alive", "upgrade", "proxy-authenticate", "proxy-connection"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("x-stays"), Some("3"));
}

#[tokio::test]
async fn an_upload_too_long_to_keep_is_never_sent_twice() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.send(ok("first")).await?;
        // The connection looks alive until the second request has begun.
        conn.head().await?;
        conn.wire.exactly(100_000).await?;
        conn.reset()
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/").await.text(), "first");
    let body = "x".repeat(200_000);
    client.try_send(format!("PUT / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 200000\r\n\r\n{body}")).await.ok();
    client.response().await.refused(502, "UPSTREAM_RESET");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn bytes_beyond_a_close_delimited_answer_do_not_exist() {
    let upstream = Upstream::answering_once("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nall of it");
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let response = client.get("/").await;
        assert_eq!((response.framing, response.text()), (Framing::Chunked, "all of it"));
    }
}
