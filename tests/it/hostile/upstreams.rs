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
async fn a_body_where_none_may_be_never_reaches_another_request() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (request, answer) in [
        ("HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{evil}", evil.len())),
        ("GET", format!("HTTP/1.1 204 No Content\r\n\r\n{evil}")),
        ("GET", format!("HTTP/1.1 204 No Content\r\nContent-Length: {}\r\n\r\n{evil}", evil.len())),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\nContent-Length: {}\r\n\r\n{evil}", evil.len())),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n{evil}")),
        ("GET", format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{evil}")),
    ] {
        let upstream = Upstream::odd(answer);
        let gateway = TestGateway::start(&forward_all(upstream.address())).await;
        let mut client = gateway.client().await;
        for _ in 0..3 {
            let odd = client.request(format!("{request} /odd HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
            assert!(odd.status < 400 && odd.body.bytes.is_empty(), "{request} {}", odd.status);
            assert_eq!(client.get("/good").await.text(), "good");
        }
    }
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
async fn lengths_that_mean_two_things_are_never_passed_on() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 7",
        "Content-Length: 5, 7",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length:",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
    ] {
        let upstream = Upstream::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
        let gateway = TestGateway::start(&forward_all(upstream.address())).await;
        let mut client = gateway.client().await;
        client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        // Cut, refused, or with one framing that the strict reader of this test knows.
        if let Ok(response) = client.try_response().await {
            let framing = (response.field("content-length"), response.field("transfer-encoding"));
            assert!(
                response.status == 502 || matches!(framing, (Some("5"), None) | (None, Some("chunked"))),
                "{fields}: {} {framing:?} {:?}",
                response.status,
                response.framing
            );
        }
    }
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
async fn a_client_of_http_1_0_gets_no_interim_answer() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.send(format!("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n{}", ok("page"))).await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.request("GET / HTTP/1.0\r\nHost: api.test\r\n\r\n").await;
    assert_eq!(response.informational.len(), 0, "RFC 9110 section 15.2");
    assert_eq!((response.status, response.text()), (200, "page"));
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
async fn a_bundle_that_changed_on_disk_counts_from_the_next_reload() {
    let (known, other) = (Authority::new("known"), Authority::new("other"));
    let upstream = Upstream::echo_tls(known.issue(&["inner.test"]).server(&[]));
    let builder = TestGateway::build();
    let ca = builder.file("ca.pem", &known.bundle());
    let app = format!(
        r#"{{ endpoints: ["{}"], tls: {{ server_name: inner.test, ca: "{}" }} }}"#,
        upstream.address(),
        ca.display()
    );
    let file = routes(&[("app", app)], &[r#"{ name: all, match: { path: "/" }, auth: none, upstream: app }"#]);
    let gateway = builder.start(&file).await;
    assert_eq!(gateway.get("/").await.status, 200);
    crate::support::gateway::replace_file(&ca, &other.bundle());
    assert_eq!(gateway.reload().await.0, 200);
    gateway.get("/").await.refused(502, "UPSTREAM_TLS");
    crate::support::gateway::replace_file(&ca, &known.bundle());
    assert_eq!(gateway.reload().await.0, 200);
    assert_eq!(gateway.get("/").await.status, 200);
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
