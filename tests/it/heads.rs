//! One strict reading of a request head: whatever two parsers could read in two ways is refused here.

use crate::support::{TestGateway, Upstream, forward_all};

async fn refuses(requests: &[&str], status: u16, reason: &str) {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for request in requests {
        let mut client = gateway.client().await;
        let response = client.request(request).await;
        assert_eq!(response.status, status, "{request:?}: {}", response.text());
        response.refused(status, reason);
        client.closed().await;
    }
    assert_eq!(upstream.connections(), 0, "nothing of it reaches the upstream");
}

#[tokio::test]
async fn a_request_without_one_valid_host_is_refused() {
    refuses(
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test/path\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test:99999\r\n\r\n",
            "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n",
        ],
        400,
        "HOST_INVALID",
    )
    .await;
}

#[tokio::test]
async fn a_head_that_is_not_http_is_refused() {
    refuses(
        &[
            "GET /\r\nHost: a.test\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Folded: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Nul: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Cr: a\rb\r\n\r\n",
            "GET / HTTP/1.1\nHost: a.test\n\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        ],
        400,
        "REQUEST_MALFORMED",
    )
    .await;
}

#[tokio::test]
async fn an_unknown_version_is_refused() {
    refuses(
        &["GET / HTTP/2.0\r\nHost: a.test\r\n\r\n", "GET / HTTP/3.1\r\nHost: a.test\r\n\r\n"],
        505,
        "VERSION_UNSUPPORTED",
    )
    .await;
}

#[tokio::test]
async fn a_body_whose_length_is_ambiguous_is_refused() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n0\r\n\r\n");
    let requests = [
        with("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        with("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        with("Content-Length: 5\r\nContent-Length: 6"),
        with("Content-Length: 5, 6"),
        with("Content-Length: +5"),
        with("Content-Length: -5"),
        with("Content-Length: 0x5"),
        with("Content-Length: 99999999999999999999"),
        with("Transfer-Encoding: chunked, chunked"),
        with("Transfer-Encoding: chunked, gzip"),
        with("Transfer-Encoding: xchunked"),
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        with("Transfer-Encoding: \x0bchunked").replace('\x0b', "\"chunked\","),
        with("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0"),
    ];
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    refuses(&requests, 400, "REQUEST_FRAMING").await;
}

#[tokio::test]
async fn empty_lines_before_a_request_are_tolerated() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    assert_eq!(client.request("\r\nGET /1 HTTP/1.1\r\nHost: api.test\r\n\r\n").await.echo().target, "/1");
    assert_eq!(client.get("/2").await.echo().target, "/2");
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for byte in b"GET /slow?x HTTP/1.1\r\nHost: api.test\r\n\r\n" {
        client.send([*byte]).await;
    }
    assert_eq!(client.response().await.echo().target, "/slow?x");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .set("limits", "{ head: 4KiB, fields: 20, target: 1KiB }")
        .start(&forward_all(upstream.address()))
        .await;
    let large = format!("GET / HTTP/1.1\r\nHost: api.test\r\nCookie: {}\r\n\r\n", "c".repeat(5_000));
    gateway.request(large).await.refused(431, "HEADERS_TOO_LARGE");
    let many = format!("GET / HTTP/1.1\r\nHost: api.test\r\n{}\r\n", "X-A: 1\r\n".repeat(25));
    gateway.request(many).await.refused(431, "HEADERS_TOO_LARGE");
    gateway.get(&format!("/{}", "a".repeat(1_500))).await.refused(414, "URI_TOO_LONG");
    gateway.get(&format!("/{}", "a".repeat(50_000))).await.refused(414, "URI_TOO_LONG");
    assert_eq!(upstream.connections(), 0);
    let fits =
        format!("GET /{} HTTP/1.1\r\nHost: api.test\r\nCookie: {}\r\n\r\n", "a".repeat(1_000), "c".repeat(2_000));
    assert_eq!(gateway.request(fits).await.status, 200);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let upstream = Upstream::echo();
    let gateway =
        TestGateway::build().set("limits", "{ connections: 2 }").start(&forward_all(upstream.address())).await;
    let (mut first, mut second) = (gateway.client().await, gateway.client().await);
    assert_eq!(first.get("/").await.status, 200);
    assert_eq!(second.get("/").await.status, 200);
    gateway.get("/").await.refused(503, "CONNECTION_LIMIT");
    drop(second);
    crate::support::eventually("room again", async || (gateway.get("/").await.status == 200).then_some(())).await;
    assert_eq!(first.get("/").await.status, 200);
}
