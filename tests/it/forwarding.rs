//! What the client sent is what the upstream gets, and what the upstream answered is what the client gets.

use crate::support::client::End;
use crate::support::wire::Framing;
use crate::support::{Gate, TestGateway, Upstream, forward_all, ok};

#[tokio::test]
async fn forwards_a_get_with_its_query() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let echo = gateway.get("/orders/7?state=open&sort=%2Bdate&empty=&flag").await.echo();
    assert_eq!((echo.method.as_str(), echo.target.as_str()), ("GET", "/orders/7?state=open&sort=%2Bdate&empty=&flag"));
    assert_eq!((echo.field("host"), echo.field("content-length"), echo.body_length), (Some("api.test"), None, 0));
}

#[tokio::test]
async fn forwards_every_method_as_it_is() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        let response =
            client.request(format!("{method} /x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(response.echo().method, method);
    }
}

#[tokio::test]
async fn trace_and_connect_are_not_supported() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for target in ["TRACE /", "CONNECT api.test:443"] {
        let response = gateway.request(format!("{target} HTTP/1.1\r\nHost: api.test:443\r\n\r\n")).await;
        response.refused(501, "METHOD_UNSUPPORTED");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_target_in_absolute_form_is_forwarded_in_origin_form() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let echo = gateway.request("GET http://api.test/a?b HTTP/1.1\r\nHost: api.test\r\n\r\n").await.echo();
    assert_eq!((echo.target.as_str(), echo.field("host")), ("/a?b", Some("api.test")));
}

#[tokio::test]
async fn a_body_with_a_length_arrives_unchanged() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let body = "0123456789abcdef".repeat(65_536);
    let head = format!("POST /upload HTTP/1.1\r\nHost: api.test\r\nContent-Length: {}\r\n\r\n", body.len());
    let echo = gateway.request(head + &body).await.echo();
    assert_eq!(echo.field("content-length"), Some("1048576"));
    assert_eq!(upstream.requests()[0].body.bytes, body.as_bytes());
}

#[tokio::test]
async fn a_chunked_body_arrives_unchanged() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let head = "POST /upload HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let echo =
        gateway.request(format!("{head}5\r\nhello\r\n00b;ext=1\r\n, and more!\r\n0\r\nX-Sum: 1\r\n\r\n")).await.echo();
    assert_eq!(echo.body_length, 16);
    assert_eq!(upstream.requests().last().unwrap().body.bytes, b"hello, and more!");
}

#[tokio::test]
async fn a_large_answer_arrives_unchanged() {
    let body = "0123456789abcdef".repeat(65_536);
    let upstream = Upstream::answering(ok(&body));
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.get("/").await;
    assert_eq!((response.status, response.framing), (200, Framing::Length(1 << 20)));
    assert!(response.text() == body);
}

#[tokio::test]
async fn a_chunked_answer_is_relayed_and_the_connection_goes_on() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
    );
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let response = client.get("/").await;
        assert_eq!((response.framing, response.text()), (Framing::Chunked, "abcde"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_does_not_end_the_clients() {
    let upstream = Upstream::answering_once("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let response = client.get("/").await;
        assert_eq!((response.framing, response.text()), (Framing::Chunked, "until the end"));
    }
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_step() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            let answer = match request.target.as_str() {
                "/none" => "HTTP/1.1 204 No Content\r\nX-Kind: none\r\n\r\n",
                "/same" => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 10\r\n\r\n",
                "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            };
            conn.send(answer).await?;
        }
        Ok(())
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/none").await.field("x-kind"), Some("none"));
        assert_eq!(client.get("/same").await.field("etag"), Some("\"1\""));
        assert_eq!(client.get("/empty").await.status, 200);
        let head = client.request("HEAD /any HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn both_connections_are_kept_between_requests() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.echo().connection, 0);
    }
    assert_eq!(gateway.get("/").await.echo().connection, 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let post = "POST /2 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc";
    client
        .send(format!("GET /1 HTTP/1.1\r\nHost: api.test\r\n\r\n{post}GET /3 HTTP/1.1\r\nHost: api.test\r\n\r\n"))
        .await;
    for target in ["/1", "/2", "/3"] {
        assert_eq!(client.response().await.echo().target, target);
    }
}

#[tokio::test]
async fn a_client_that_asks_for_it_is_closed_after_its_answer() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let response = client.request("GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(response.echo().target, "/");
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(client.end().await, End::Closed(Vec::new()));
}

#[tokio::test]
async fn a_client_that_half_closes_after_its_last_request_still_gets_its_answer() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET /last HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n").await;
    client.half_close().await;
    assert_eq!(client.response().await.echo().target, "/last");
}

#[tokio::test]
async fn requests_per_connection_are_bounded() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .set("limits", "{ requests_per_connection: 2 }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = gateway.client().await;
    assert_ne!(client.get("/1").await.field("connection"), Some("close"));
    assert_eq!(client.get("/2").await.field("connection"), Some("close"));
    client.closed().await;
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks_and_is_closed() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.request("GET / HTTP/1.0\r\nHost: api.test\r\n\r\n").await;
    assert_eq!((response.status, response.framing, response.text()), (200, Framing::UntilClose, "hello"));
}

#[tokio::test]
async fn an_expectation_is_met_before_the_body_is_sent() {
    let upstream = Upstream::scripted(|mut conn| async move {
        let head = conn.head().await?.unwrap();
        if head.head.field("expect").is_some() {
            conn.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = conn.wire.exactly(5).await?;
        conn.send(ok(std::str::from_utf8(&body).unwrap())).await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.response_head().await.0, 100);
    client.send("hello").await;
    assert_eq!(client.response().await.text(), "hello");
}

#[tokio::test]
async fn an_unknown_expectation_is_refused() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.request("GET / HTTP/1.1\r\nHost: api.test\r\nExpect: 200-ok\r\n\r\n").await;
    response.refused(417, "EXPECTATION_FAILED");
}

#[tokio::test]
async fn early_hints_are_relayed_before_the_answer() {
    let gate = Gate::closed();
    let step = gate.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.request().await?;
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").await?;
            step.pass().await;
            conn.send(ok("page")).await
        }
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    let (status, hints) = client.response_head().await;
    assert_eq!((status, hints.field("link")), (103, Some("</a.css>")));
    gate.open();
    assert_eq!(client.response().await.text(), "page");
}

#[tokio::test]
async fn an_answer_may_come_before_the_upload_ends() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000\r\n\r\nonly a part").await;
    let response = client.response().await;
    assert_eq!((response.status, response.text()), (401, "no"));
    client.closed().await;
}

#[tokio::test]
async fn request_and_answer_stream_at_once() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        while let Some(chunk) = conn.wire.chunk().await? {
            conn.send(format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(&chunk))).await?;
        }
        conn.send("0\r\n\r\n").await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    assert_eq!(client.response_head().await.0, 200);
    assert_eq!(client.chunk().await.unwrap(), b"a");
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len())).await;
        assert_eq!(client.chunk().await.unwrap(), word.as_bytes());
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn a_declined_expectation_is_answered_and_ends_the_connection() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await?;
        conn.stall().await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("PUT / HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.status, response.text(), response.informational.len()), (401, "no", 0));
    client.closed().await;
    assert_eq!(gateway.access_log(1).await[0]["status"], 401);
}

#[tokio::test]
async fn a_client_that_half_closes_before_its_answer_counts_as_gone() {
    let (arrived, gone) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::silent(&arrived, &gone);
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    crate::support::within("the request arrives", arrived.pass()).await;
    client.half_close().await;
    crate::support::within("the upstream is let go", gone.pass()).await;
    assert_eq!(gateway.logged_reason("CLIENT_CLOSED").await["status"], 499);
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_and_the_upstream_is_let_go() {
    let (arrived, gone) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::silent(&arrived, &gone);
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    crate::support::within("the request arrives", arrived.pass()).await;
    client.reset();
    crate::support::within("the upstream is let go", gone.pass()).await;
    assert_eq!(gateway.logged_reason("CLIENT_CLOSED").await["path"], "/slow");
}
