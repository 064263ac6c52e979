//! Peers that stop in the worst place: who is told what, and who is blamed.

use crate::support::gateway::{endpoint, routes};
use crate::support::upstream::Refusing;
use crate::support::{Gate, TestGateway, Upstream, forward_all, forward_with, ok, within};

#[tokio::test]
async fn an_upstream_that_only_ever_says_continue_is_a_timeout_with_an_answer() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { first_byte: 200ms }")).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.response_head().await.0, 100);
    client.send("hello").await;
    client.response().await.refused(504, "UPSTREAM_TIMEOUT");
}

#[tokio::test]
async fn an_upstream_that_dies_after_early_hints_is_a_failure_with_an_answer() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let response = client.get("/").await;
    assert_eq!(response.informational.len(), 1);
    response.refused(502, "UPSTREAM_RESET");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_blamed_on_the_upstream() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while conn.send(&chunk).await.is_ok() {}
        Ok(())
    });
    let gateway = TestGateway::build()
        .set("deadlines", "{ body: 600ms }")
        .start(&forward_with(upstream.address(), "", "timeouts: { idle: 150ms }"))
        .await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    gateway.logged_reason("CLIENT_CLOSED").await;
}

#[tokio::test]
async fn an_upstream_slower_than_the_clients_pause_is_waited_for() {
    let (arrived, gate) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), gate.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, gate) = gates.clone();
        async move {
            conn.request().await?;
            arrived.open();
            gate.pass().await;
            conn.send(ok("slow")).await
        }
    });
    let gateway = TestGateway::build()
        .set("deadlines", "{ body: 100ms, head: 100ms, keep_alive: 100ms }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\nhello").await;
    within("the request arrives", arrived.pass()).await;
    for _ in 0..3 {
        gateway.client().await.closed().await;
    }
    gate.open();
    assert_eq!(client.response().await.text(), "slow");
}

#[tokio::test]
async fn an_upgrade_tries_no_more_endpoints_than_any_request() {
    let refusing: Vec<Refusing> = (0..8).map(|_| Refusing::new()).collect();
    let endpoints: Vec<String> = refusing.iter().map(|one| format!(r#""{}""#, one.address())).collect();
    let app = format!("{{ endpoints: [{}] }}", endpoints.join(", "));
    let gateway = TestGateway::start(&routes(
        &[("app", app)],
        &[r#"{ name: all, match: { path: "/{rest...}" }, auth: none, upstream: app }"#],
    ))
    .await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n";
    for fields in ["", upgrade] {
        gateway
            .request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n"))
            .await
            .refused(502, "UPSTREAM_CONNECT");
    }
    let lines = gateway.access_log(2).await;
    assert_eq!((&lines[0]["attempts"], &lines[1]["attempts"]), (&3.into(), &3.into()));
}

#[tokio::test]
async fn only_a_get_is_an_upgrade() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    let gateway = TestGateway::start(&routes(
        &[("app", endpoint(upstream.address()))],
        &[r#"{ name: all, match: { path: "/{rest...}" }, auth: none, upstream: app }"#],
    ))
    .await;
    let mut client = gateway.client().await;
    let head = "HEAD / HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let response = client.request(head).await;
    assert_eq!((response.status, response.body.bytes.len()), (200, 0));
    assert_eq!(upstream.requests()[0].head.field("upgrade"), None);
}

#[tokio::test]
async fn what_a_client_says_before_its_upgrade_is_declined_is_its_next_request() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            conn.send(ok(&request.target)).await?;
        }
        Ok(())
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.send(format!("{upgrade}GET /next HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
    assert_eq!(client.response().await.text(), "/ws");
    assert_eq!(client.response().await.text(), "/next");
    client.send(format!("{upgrade}\x01\x02\x03\x04")).await;
    assert_eq!(client.response().await.text(), "/ws");
    assert_eq!(client.response().await.status, 400);
}
