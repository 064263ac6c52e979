//! Where one request ends and the next begins, seen from a client that would like the gateway to be wrong about it.

use crate::support::gateway::{NONE, endpoint, routes};
use crate::support::{Gate, TestGateway, Upstream, forward_all, ok, within};

/// A route that the gateway answers itself beside one that is forwarded.
fn half_ours(upstream: &Upstream) -> String {
    routes(
        &[("app", endpoint(upstream.address()))],
        &[
            r#"{ name: ours, match: { path: "/ours" }, auth: none, respond: { status: 200, body: ours } }"#,
            r#"{ name: all, match: { path: "/{rest...}" }, auth: none, upstream: app }"#,
        ],
    )
}

#[tokio::test]
async fn the_body_of_a_request_that_is_answered_unread_is_never_a_request() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&half_ours(&upstream)).await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let mut client = gateway.client().await;
    let length = inner.len();
    client.send(format!("POST /ours HTTP/1.1\r\nHost: api.test\r\nContent-Length: {length}\r\n\r\n")).await;
    assert_eq!(client.response().await.text(), "ours");
    client.send(format!("{inner}GET /next HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
    assert_eq!(client.response().await.echo().target, "/next");
    let chunked = format!(
        "POST /ours HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"
    );
    client.send(format!("{chunked}GET /last HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
    assert_eq!(client.response().await.text(), "ours");
    assert_eq!(client.response().await.echo().target, "/last");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_client_that_waited_for_100_continue_is_closed_after_another_answer() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&half_ours(&upstream)).await;
    let mut client = gateway.client().await;
    client.send("POST /ours HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text(), response.field("connection")), ("ours", Some("close")));
    client.try_send("GET /smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n").await.ok();
    client.closed().await;
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_chunked_body_may_come_byte_by_byte_with_everything_that_chunks_may_have() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for last in ["X-Sum: 1\r\nX-More: 2\r\n", ""] {
        client.send("POST /up HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let body = format!("0000000000000005;a=\"b\tc\";d\r\nhello\r\n1 \t;x\r\n!\r\n000;end\r\n{last}\r\n");
        for byte in body.bytes() {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.response().await.echo().body_length, 6);
        assert_eq!(upstream.requests().last().unwrap().body.bytes, b"hello!");
        assert_eq!(client.get("/next").await.echo().target, "/next", "still in step");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn long_extensions_and_trailers_pass_or_are_refused_whole() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for (extension, trailer, passes) in [(4_000, 8_000, true), (4_200, 0, false), (0, 8_300, false)] {
        let mut client = gateway.client().await;
        let (extension, trailer) = ("e".repeat(extension), "t".repeat(trailer));
        client.send("POST /up HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.try_send(format!("5;{extension}\r\nhello\r\n0\r\nX-T: {trailer}\r\n\r\n")).await.ok();
        let response = client.response().await;
        if passes {
            assert_eq!(response.echo().body_length, 5);
            assert_eq!(client.get("/next").await.echo().target, "/next");
        } else {
            assert!(matches!(response.status, 400 | 431), "{}", response.status);
            client.closed().await;
        }
    }
    drop(upstream.take_faults());
}

#[tokio::test]
async fn more_than_a_buffer_of_requests_may_wait_behind_a_slow_one() {
    let (arrived, gate) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), gate.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, gate) = gates.clone();
        async move {
            while let Some(request) = conn.request().await? {
                if request.target == "/slow" {
                    arrived.open();
                    gate.pass().await;
                }
                conn.send(ok(&request.target)).await?;
            }
            Ok(())
        }
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the slow one arrives", arrived.pass()).await;
    let filler = "x".repeat(1_000);
    let behind: String =
        (0..60).map(|i| format!("GET /{i} HTTP/1.1\r\nHost: api.test\r\nX-Fill: {filler}\r\n\r\n")).collect();
    client.send(behind).await;
    gate.open();
    assert_eq!(client.response().await.text(), "/slow");
    for index in 0..60 {
        assert_eq!(client.response().await.text(), format!("/{index}"));
    }
}

#[tokio::test]
async fn what_comes_behind_a_last_request_is_not_served() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client
        .send(concat!(
            "GET /last HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n",
            "GET /more HTTP/1.1\r\nHost: api.test\r\n\r\n"
        ))
        .await;
    assert_eq!(client.response().await.echo().target, "/last");
    client.closed().await;
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_client_of_http_1_0_that_stays_is_never_left_with_a_body_without_end() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let upstream = Upstream::answering(chunked);
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.request("GET / HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!((response.status, response.text()), (200, "hello"));
    let sized = Upstream::answering(ok("hello"));
    gateway.reload_with(&forward_all(sized.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let response = client.request("GET / HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!((response.status, response.text()), (200, "hello"));
    }
}

#[tokio::test]
async fn the_largest_head_that_is_allowed_can_be_forwarded() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .set("limits", "{ head: 64KiB, fields: 200, target: 32KiB }")
        .start(&forward_all(upstream.address()))
        .await;
    let fields: String = (0..199).map(|i| format!("X-F{i}: {i}\r\n")).collect();
    let target = format!("/{}", "t".repeat(32_000));
    let echo = gateway.request(format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")).await.echo();
    assert_eq!((echo.target.as_str(), echo.field("x-f198")), (target.as_str(), Some("198")));
}

#[tokio::test]
async fn odd_but_valid_heads_arrive_as_they_were_sent() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let query = "q".repeat(8_000);
    let odd = "!#$%&'*+-.^_`|~09";
    let fields = format!(
        "{odd}: x\r\nX_Under_Score: 1\r\nX-Twice: a, b\r\nX-Twice: c\r\nX-High: \u{e9}\u{1F980}\r\nX-Empty:\r\n"
    );
    let echo = gateway
        .request(format!("GET /?{query}[]{{}}|\\^` HTTP/1.1\r\nHost: a_b.api.test.:8080\r\n{fields}\r\n"))
        .await
        .echo();
    assert_eq!(echo.target, format!("/?{query}[]{{}}|\\^`"));
    assert_eq!(echo.field("host"), Some("a_b.api.test.:8080"));
    assert_eq!((echo.field(odd), echo.field("x_under_score")), (Some("x"), Some("1")));
    assert_eq!(echo.head.all("x-twice"), ["a, b", "c"]);
    assert_eq!((echo.field("x-high"), echo.field("x-empty")), (Some("\u{e9}\u{1F980}"), Some("")));
}

#[tokio::test]
async fn hosts_in_every_valid_form_reach_the_upstream() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for host in ["[::1]:8080", "[2001:db8::1]", "127.0.0.1:1", "a-.b", "A.B", "x:0"] {
        let echo = gateway.request(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.echo();
        assert_eq!(echo.field("host"), Some(host));
    }
}

#[tokio::test]
async fn options_of_everything_is_answered_or_refused_in_order() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let response = client.request("OPTIONS * HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert!(response.status < 500, "{}", response.text());
    assert_eq!(client.get("/next").await.echo().target, "/next");
}

#[tokio::test]
async fn a_redirect_never_leads_where_the_request_points() {
    let gateway = TestGateway::start(&routes(
        &NONE,
        &[r#"{ name: old, match: { path: "/old/{rest...}" }, auth: none, redirect: { location: "/{rest...}" } }"#],
    ))
    .await;
    for target in ["/old//evil.test", "/old/\\evil.test", "/old/%5Cevil.test", "/old/%2Fevil.test", "/old/%0d%0aX:y"] {
        let response = gateway.get(target).await;
        if let Some(location) = response.field("location") {
            let mut path = location.chars();
            assert_eq!(path.next(), Some('/'), "{target}: {location}");
            assert!(!matches!(path.next(), Some('/' | '\\')), "{target}: {location}");
            assert!(!location.contains(['\r', '\n']), "{target}: {location}");
        } else {
            assert_eq!(response.status, 400, "{target}");
        }
    }
}

#[tokio::test]
async fn a_post_may_begin_with_one_byte_where_http2_is_expected_too() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build().listener("h2c", "h2c: true").start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("P").await;
    // The gateway has taken what is also the beginning of the HTTP/2 preface once it counts a request or has closed.
    gateway.metric_reaches("sluice_connections_open", 1.0).await;
    client.send("OST /x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.echo().method, "POST");
}
