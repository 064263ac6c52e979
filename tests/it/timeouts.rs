//! An upstream that is slow is given exactly what the `timeouts` of the route say.

use std::time::Duration;

use crate::support::upstream::Unaccepting;
use crate::support::{Gate, TestGateway, Upstream, forward_with, ok};

#[tokio::test]
async fn an_upstream_that_does_not_accept_is_a_connect_timeout() {
    let upstream = Unaccepting::new();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { connect: 150ms }")).await;
    gateway.get("/").await.refused(504, "UPSTREAM_CONNECT_TIMEOUT");
    gateway.logged_reason("UPSTREAM_CONNECT_TIMEOUT").await;
}

#[tokio::test]
async fn an_upstream_that_does_not_begin_to_answer_is_a_first_byte_timeout() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { first_byte: 150ms }")).await;
    let mut client = gateway.client().await;
    client.get("/").await.refused(504, "UPSTREAM_TIMEOUT");
    gateway.logged_reason("UPSTREAM_TIMEOUT").await;
    assert_eq!(upstream.requests().len(), 1, "what was sent is not sent again after a time-out");
}

#[tokio::test]
async fn an_upstream_that_reads_nothing_is_timed_out_too() {
    let upstream = Upstream::scripted(|conn| async move {
        let _unread = conn;
        std::future::pending().await
    });
    let gateway = TestGateway::start(&forward_with(
        upstream.address(),
        "",
        "max_body: off, timeouts: { first_byte: 150ms, idle: 150ms }",
    ))
    .await;
    let body = "x".repeat(16 << 20);
    let mut client = gateway.client().await;
    let request = format!("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // The gateway may answer and close before it has taken all of it.
    let _taken = client.try_send(request).await;
    let line = gateway.access_log(1).await.swap_remove(0);
    assert_eq!(line["status"], 504, "{line}");
}

#[tokio::test]
async fn an_answer_that_stops_is_cut() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { idle: 150ms }")).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!(client.response_head().await.0, 200);
    assert_eq!(client.exactly(3).await, b"abc");
    client.closed().await;
    assert_eq!(gateway.logged_reason("UPSTREAM_IDLE").await["status"], 200);
}

#[tokio::test]
async fn a_chunked_answer_that_stops_is_cut_without_a_terminator() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { idle: 150ms }")).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!(client.response_head().await.0, 200);
    assert_eq!(client.chunk().await.unwrap(), b"abc");
    assert!(client.try_chunk().await.is_err(), "the client can tell that it is not complete");
}

/// An upstream that answers with a byte every 20 ms, so many in all.
fn trickling(count: usize) -> Upstream {
    Upstream::scripted(move |mut conn| async move {
        conn.request().await?;
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n")).await?;
        let mut steps = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..count {
            steps.tick().await;
            conn.send("x").await?;
        }
        conn.stall().await
    })
}

#[tokio::test]
async fn an_answer_that_trickles_is_not_idle() {
    let upstream = trickling(30);
    let gateway =
        TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { first_byte: 300ms, idle: 300ms }")).await;
    assert_eq!(gateway.get("/").await.body.bytes.len(), 30);
}

#[tokio::test]
async fn the_whole_request_is_bounded_before_an_answer() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { total: 200ms }")).await;
    gateway.get("/").await.refused(504, "REQUEST_TIMEOUT");
    gateway.logged_reason("REQUEST_TIMEOUT").await;
}

#[tokio::test]
async fn the_whole_request_is_bounded_within_an_answer() {
    let upstream = trickling(100_000);
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { total: 200ms }")).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!(client.response_head().await.0, 200);
    client.end().await;
    assert_eq!(gateway.logged_reason("REQUEST_TIMEOUT").await["status"], 200);
}

#[tokio::test]
async fn waiting_for_an_answer_begins_when_the_request_has_been_sent() {
    let begun = Gate::closed();
    let step = begun.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.head().await?;
            step.open();
            conn.wire.exactly(40).await?;
            conn.send(ok("all of it")).await
        }
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { first_byte: 200ms }")).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 40\r\n\r\n").await;
    begun.pass().await;
    client.drip([b'x'; 40]).await;
    assert_eq!(client.response().await.text(), "all of it");
}
