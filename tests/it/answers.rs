//! An upstream that lies, breaks off or talks nonsense harms its own answer and nothing else.

use crate::support::{TestGateway, Upstream, forward_all, ok};

async fn gets(answer: &str, status: u16, reason: &str) {
    let upstream = Upstream::answering_once(answer);
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.get("/").await;
    assert_eq!(response.status, status, "{answer:.80?}");
    response.refused(status, reason);
    gateway.logged_reason(reason).await;
}

#[tokio::test]
async fn nonsense_is_a_protocol_error() {
    for answer in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 OK 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n",
    ] {
        gets(answer, 502, "UPSTREAM_PROTOCOL").await;
    }
}

#[tokio::test]
async fn a_huge_head_is_a_protocol_error() {
    let field = format!("X-Large: {}\r\n", "x".repeat(60_000));
    gets(&format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", field.repeat(40)), 502, "UPSTREAM_PROTOCOL").await;
}

#[tokio::test]
async fn a_connection_closed_before_the_head_is_a_reset() {
    gets("", 502, "UPSTREAM_RESET").await;
    gets("HTTP/1.1 200 OK\r\nContent-", 502, "UPSTREAM_RESET").await;
}

#[tokio::test]
async fn a_connection_reset_before_the_head_is_a_reset() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.reset()
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    gateway.get("/").await.refused(502, "UPSTREAM_RESET");
    gateway.logged_reason("UPSTREAM_RESET").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_be_incomplete() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\nab",
    ] {
        let upstream = Upstream::answering_once(answer);
        let gateway = TestGateway::start(&forward_all(upstream.address())).await;
        let mut client = gateway.client().await;
        client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert!(client.try_response().await.is_err(), "{answer:?}");
        let line = gateway.access_log(1).await.swap_remove(0);
        assert_eq!(line["status"], 200, "{line}");
        assert!(line["reason"] == "UPSTREAM_RESET" || line["reason"] == "UPSTREAM_PROTOCOL", "{line}");
    }
}

#[tokio::test]
async fn a_reset_within_the_body_cuts_the_answer() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await?;
        conn.reset()
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    // A reset may overtake even the head, which then never was an answer.
    if let Ok(response) = client.try_response().await {
        response.refused(502, "UPSTREAM_RESET");
    }
    gateway.logged_reason("UPSTREAM_RESET").await;
}

#[tokio::test]
async fn what_comes_after_an_answer_never_reaches_another_request() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n0\r\n\r\n",
    ] {
        let upstream = Upstream::answering(answer);
        let gateway = TestGateway::start(&forward_all(upstream.address())).await;
        let mut client = gateway.client().await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.text(), "abc");
        }
        assert_eq!(upstream.connections(), 3, "a connection out of step is not used again");
    }
}

#[tokio::test]
async fn an_answer_with_two_lengths_is_read_by_its_chunks_or_refused() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let upstream = Upstream::answering(answer);
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let response = client.get("/").await;
        match response.status {
            200 => assert_eq!(response.text(), "abc"),
            _ => drop(response.refused(502, "UPSTREAM_PROTOCOL")),
        }
    }
}

#[tokio::test]
async fn a_status_without_a_reason_phrase_is_fine() {
    let upstream = Upstream::answering("HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nhi");
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.get("/").await;
    assert_eq!((response.status, response.text()), (299, "hi"));
}

#[tokio::test]
async fn an_error_of_the_upstream_stays_the_upstreams() {
    let upstream = Upstream::answering("HTTP/1.1 503 Busy\r\nContent-Type: text/x\r\nContent-Length: 4\r\n\r\nbusy");
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.get("/").await;
    assert_eq!((response.status, response.field("content-type"), response.text()), (503, Some("text/x"), "busy"));
    let line = gateway.access_log(1).await.swap_remove(0);
    assert!(line.get("reason").is_none(), "{line}");
}

#[tokio::test]
async fn one_broken_answer_does_not_disturb_others() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            match request.target.as_str() {
                "/broken" => return conn.reset(),
                _ => conn.send(ok("fine")).await?,
            }
        }
        Ok(())
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "fine");
        assert_eq!(gateway.get("/broken").await.status, 502);
    }
}
