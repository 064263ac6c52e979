//! What becomes of the connection, and of what the client was sending, when a request is refused.

use super::scene::{BOTH, Caller, File, OPEN, Version, left, refused_by};
use crate::support::h2_client::post;
use crate::support::{Client, H2Client, TestGateway, Upstream};

/// The first request to `/orders` uses all of its limit up.
async fn used_up(upstream: &Upstream) -> TestGateway {
    let limit = "rate_limit: { per: address, rate: 1/h }";
    let gateway = File::new(upstream.address())
        .route("orders", &format!("auth: none, upstream: app, {limit}"))
        .route("free", "auth: none, upstream: app")
        .start()
        .await;
    assert_eq!(gateway.get("/orders/").await.status, 200);
    gateway
}

async fn goes_on(client: &mut Client) {
    let echo = client.get("/free/after").await.echo();
    assert_eq!((&*echo.method, &*echo.target, echo.body_length), ("GET", "/free/after", 0));
}

#[tokio::test]
async fn a_refusal_keeps_the_connection() {
    let upstream = Upstream::echo();
    let gateway = used_up(&upstream).await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        let response = client.get("/orders/").await;
        refused_by(&response, "RATE_LIMITED", "orders.rate_limit");
        assert_eq!(response.field("connection"), None);
    }
    goes_on(&mut client).await;
    // Pipelined, in order.
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    client.send(request("/orders/") + &request("/free/1") + &request("/orders/") + &request("/free/2")).await;
    for expected in [429, 200, 429, 200] {
        assert_eq!(client.response().await.status, expected);
    }
    // A client that says that it closes is closed.
    client.send("GET /orders/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.response().await.status, 429);
    client.closed().await;
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_no_request() {
    let upstream = Upstream::echo();
    let gateway = used_up(&upstream).await;
    let mut client = gateway.client().await;
    let smuggled = "GET /orders/smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let length = smuggled.len();
    let head = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\n";
    for body in [
        format!("Content-Length: {length}\r\n\r\n{smuggled}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\nX-Trailer: 1\r\n\r\n"),
        "Content-Length: 0\r\n\r\n".to_owned(),
        format!("Content-Length: 20000\r\n\r\n{}", "x".repeat(20_000)),
    ] {
        refused_by(&client.request(format!("{head}{body}")).await, "RATE_LIMITED", "orders.rate_limit");
        goes_on(&mut client).await;
    }
    // The answer does not wait for the body.
    client.send(format!("{head}Content-Length: 5\r\n\r\n")).await;
    refused_by(&client.response().await, "RATE_LIMITED", "orders.rate_limit");
    client.send("12345").await;
    goes_on(&mut client).await;
    assert!(upstream.requests().iter().all(|request| !request.target.contains("smuggled")));
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_no() {
    let upstream = Upstream::echo();
    let gateway = used_up(&upstream).await;
    let mut client = gateway.client().await;
    let head = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let response = client.request(head).await;
    refused_by(&response, "RATE_LIMITED", "orders.rate_limit");
    assert!(response.informational.is_empty());
    // Whether the body comes now nobody knows.
    client.closed().await;
}

#[tokio::test]
async fn an_endless_body_does_not_hold_the_refusal() {
    let upstream = Upstream::echo();
    let gateway = used_up(&upstream).await;
    let mut client = gateway.client().await;
    client.send("POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000000\r\n\r\n").await;
    refused_by(&client.response().await, "RATE_LIMITED", "orders.rate_limit");
    // It is not read for ever, either.
    let part = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while client.try_send(&part).await.is_ok() {
        sent += part.len();
        assert!(sent <= 256 << 20, "{sent}");
    }
}

#[tokio::test]
async fn a_refused_head_and_a_refused_upgrade_are_ordinary_answers() {
    let upstream = Upstream::echo();
    let gateway = used_up(&upstream).await;
    let mut client = gateway.client().await;
    let response = client.request("HEAD /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!((response.status, response.body.bytes.len()), (429, 0));
    assert!(response.field("retry-after").is_some());
    assert_eq!(left(&response, "orders.rate_limit"), 0);
    let upgrade = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    refused_by(&client.request(upgrade).await, "RATE_LIMITED", "orders.rate_limit");
    goes_on(&mut client).await;
    let response = client.request("GET /orders/ HTTP/1.1\r\nHost: api.test\r\nAccept: text/plain\r\n\r\n").await;
    assert_eq!(response.text(), "RATE_LIMITED: Too many requests. Limit: orders.rate_limit.\n");
}

#[tokio::test]
async fn a_refused_stream_leaves_the_others_alone() {
    let upstream = Upstream::echo();
    let gateway = used_up(&upstream).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let large = vec![b'x'; 30_000];
    for parts in [vec![], vec![&b"abc"[..]], vec![&large[..], &large]] {
        // A body may be cut off behind the answer (RFC 9113 section 8.1), which comes whole.
        let (response, mut body) = client.open(post("/orders/"), parts.is_empty()).await.unwrap();
        for part in parts {
            if body.send_data(bytes::Bytes::copy_from_slice(part), false).is_err() {
                break;
            }
        }
        crate::support::h2_client::response_of(response).await.unwrap().refused(429, "RATE_LIMITED");
        assert_eq!(client.get("/free/after").await.status, 200);
    }
    assert_eq!(client.goaways(), []);
}

#[tokio::test]
async fn who_is_refused_is_served_elsewhere_at_once() {
    let file = File::without_upstream()
        .route("first", &format!("{OPEN}, rate_limit: {{ per: address, rate: 1/h }}"))
        .route("second", &format!("{OPEN}, rate_limit: {{ per: address, rate: 1/h }}"));
    let gateway = file.start().await;
    let mut callers = [Caller::connect(&gateway, Version::One).await, Caller::connect(&gateway, BOTH[1]).await];
    let mut found = Vec::new();
    for target in ["/first/", "/first/", "/second/", "/second/"] {
        for caller in &mut callers {
            found.push(caller.get(target, &[]).await.status);
        }
    }
    assert_eq!(found, [200, 429, 429, 429, 200, 429, 429, 429]);
}
