//! Upgrades: a 101 is relayed, and from then on both sides talk freely, bound by `timeouts.idle` alone.

use crate::support::{Client, Gate, TestGateway, Upstream, forward_all, forward_with, ok, within};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches, and then says everything back in upper case.
fn shouting() -> Upstream {
    Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.send(SWITCHING).await?;
        while let Ok(byte) = conn.wire.exactly(1).await {
            conn.send(byte.to_ascii_uppercase()).await?;
        }
        Ok(())
    })
}

async fn upgraded(gateway: &TestGateway) -> Client {
    let mut client = gateway.client().await;
    client.send(UPGRADE).await;
    let (status, head) = client.response_head().await;
    assert_eq!((status, head.field("upgrade")), (101, Some("websocket")));
    assert!(head.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client
}

#[tokio::test]
async fn an_upgrade_is_relayed_and_bytes_go_both_ways() {
    let upstream = shouting();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = upgraded(&gateway).await;
    for _ in 0..3 {
        client.send("hello\r\n").await;
        assert_eq!(client.exactly(7).await, b"HELLO\r\n");
    }
    drop(client);
    let line = gateway.access_log(1).await.swap_remove(0);
    assert_eq!(line["status"], 101, "{line}");
    assert!(line.get("reason").is_none(), "an ordinary end: {line}");
}

#[tokio::test]
async fn the_upstream_sees_the_upgrade() {
    let upstream = Upstream::scripted(|mut conn| async move {
        let request = conn.request().await?.unwrap();
        assert_eq!(request.head.field("upgrade"), Some("websocket"));
        assert!(request.head.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
        assert_eq!(request.head.field("sec-websocket-version"), Some("13"));
        conn.send(SWITCHING).await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    upgraded(&gateway).await;
}

#[tokio::test]
async fn what_the_upstream_says_at_once_after_its_101_is_not_lost() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.send(format!("{SWITCHING}first")).await?;
        let said = conn.wire.exactly(6).await?;
        conn.send(said).await?;
        conn.stall().await
    });
    let gateway = TestGateway::build().set("threads", "2").start(&forward_all(upstream.address())).await;
    let mut waiting: Vec<Client> = Vec::new();
    for _ in 0..50 {
        let mut client = gateway.client().await;
        client.send(UPGRADE).await;
        waiting.push(client);
    }
    for mut client in waiting {
        assert_eq!(client.response_head().await.0, 101);
        assert_eq!(client.exactly(5).await, b"first");
        client.send("second").await;
        assert_eq!(client.exactly(6).await, b"second");
    }
}

#[tokio::test]
async fn many_upgrades_against_an_instant_101_all_hold() {
    let upstream = shouting();
    let gateway = TestGateway::build().set("threads", "2").start(&forward_all(upstream.address())).await;
    for _ in 0..300 {
        let mut client = upgraded(&gateway).await;
        client.send("x").await;
        assert_eq!(client.exactly(1).await, b"X");
    }
}

#[tokio::test]
async fn an_idle_upgrade_outlives_the_deadlines_of_requests() {
    let upstream = shouting();
    let gateway = TestGateway::build()
        .set("deadlines", "{ head: 100ms, keep_alive: 100ms, body: 100ms, handshake: 100ms }")
        .set("upstream_pool", "{ idle: 100ms }")
        .start(&forward_with(upstream.address(), "", "timeouts: { first_byte: 100ms, idle: 30s }"))
        .await;
    let mut client = upgraded(&gateway).await;
    // Each of these runs into a deadline, one after the other: the upgrade has been idle for longer than any.
    for _ in 0..3 {
        gateway.client().await.closed().await;
    }
    client.send("still here").await;
    assert_eq!(client.exactly(10).await, b"STILL HERE");
}

#[tokio::test]
async fn an_idle_upgrade_is_closed_by_the_routes_idle_timeout() {
    let upstream = shouting();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { idle: 150ms }")).await;
    let mut client = upgraded(&gateway).await;
    client.send("x").await;
    assert_eq!(client.exactly(1).await, b"X");
    client.closed().await;
}

#[tokio::test]
async fn an_upgrade_is_not_bound_by_the_time_of_a_whole_request() {
    let upstream = shouting();
    let gateway = TestGateway::build()
        .set("deadlines", "{ head: 200ms }")
        .start(&forward_with(upstream.address(), "", "timeouts: { total: 150ms, idle: 30s }"))
        .await;
    let mut client = upgraded(&gateway).await;
    gateway.client().await.closed().await;
    gateway.client().await.closed().await;
    client.send("x").await;
    assert_eq!(client.exactly(1).await, b"X");
}

#[tokio::test]
async fn an_upstream_may_decline() {
    let upstream = Upstream::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let response = client.request(UPGRADE).await;
        assert_eq!((response.status, response.text()), (403, "no"));
    }
}

#[tokio::test]
async fn an_upgrade_to_anything_else_is_not_asked_for() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let request = "GET / HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let echo = gateway.request(request).await.echo();
    assert_eq!((echo.field("upgrade"), echo.field("http2-settings")), (None, None));
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_a_protocol_error() {
    let upstream = Upstream::answering(SWITCHING);
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    gateway.get("/").await.refused(502, "UPSTREAM_PROTOCOL");
}

#[tokio::test]
async fn either_end_ends_both() {
    let gone = Gate::closed();
    let step = gone.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.head().await?;
            conn.send(SWITCHING).await?;
            if conn.index == 0 {
                return Ok(());
            }
            let ended = conn.stall().await;
            step.open();
            ended
        }
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    upgraded(&gateway).await.closed().await;
    drop(upgraded(&gateway).await);
    within("the upstream is let go", gone.pass()).await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_refusal() {
    let upstream = Upstream::answering(ok(""));
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    gateway.request(UPGRADE.replace("/ws", "/a%2Fb")).await.refused(400, "PATH_INVALID");
}
