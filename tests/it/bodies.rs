//! Request bodies keep their framing on the way, whatever carried them in, and their limits.

use crate::support::h2_client::{post, response_of};
use crate::support::{H2Client, TestGateway, Upstream, forward_all, forward_with};

/// How often the end of a chunked body stands in what an upstream read.
fn terminators(received: &[u8]) -> usize {
    received.windows(7).filter(|window| window == b"\r\n0\r\n\r\n").count()
        + usize::from(received.starts_with(b"0\r\n\r\n"))
}

#[tokio::test]
async fn an_h2_upload_of_unknown_length_ends_exactly_once() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build().listener("h2c", "h2c: true").start(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for round in 1..=3 {
        let response = client.send(post("/upload"), &[b"hello, ", b"world"]).await;
        assert_eq!(response.json()["body_length"], 12);
        assert_eq!(upstream.request(2 * round - 1).await.body.bytes, b"hello, world");
        let response = client.get("/after").await;
        assert_eq!((&response.json()["target"], &response.json()["body_length"]), (&"/after".into(), &0.into()));
        assert_eq!(terminators(&upstream.received(0)), round);
    }
    assert_eq!(upstream.connections(), 1, "the pooled connection stayed in step");
}

#[tokio::test]
async fn an_h2_upload_that_turns_out_empty_ends_exactly_once() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build().listener("h2c", "h2c: true").start(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, mut body) = client.open(post("/upload"), false).await.unwrap();
    body.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(response_of(response).await.unwrap().json()["body_length"], 0);
    assert_eq!(client.get("/after").await.json()["target"], "/after");
    assert!(terminators(&upstream.received(0)) <= 1);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_h2_upload_of_known_length_keeps_it() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build().listener("h2c", "h2c: true").start(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let mut request = post("/upload");
    request.headers_mut().insert("content-length", "5".parse().unwrap());
    assert_eq!(client.send(request, &[b"hello"]).await.json()["body_length"], 5);
    assert_eq!(upstream.requests()[0].head.field("content-length"), Some("5"));
    assert_eq!(client.get("/after").await.json()["connection"], 0);
}

#[tokio::test]
async fn a_chunked_upload_ends_exactly_once() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let request = "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(client.request(format!("{request}3\r\nabc\r\n0\r\n\r\n")).await.echo().body_length, 3);
    assert_eq!(client.get("/").await.echo().connection, 0);
    assert_eq!(client.request(format!("{request}0\r\n\r\n")).await.echo().body_length, 0);
    assert_eq!(client.get("/").await.echo().connection, 0);
    assert_eq!(terminators(&upstream.received(0)), 2);
}

#[tokio::test]
async fn a_broken_chunk_is_refused_and_never_forwarded_as_a_whole_body() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for chunks in ["zz\r\nabc\r\n", "3\r\nabcd\r\n0\r\n\r\n", "-3\r\nabc\r\n", "fffffffffffffffff\r\n", "3 \n\nabc\r\n"]
    {
        let mut client = gateway.client().await;
        let head = "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.request(format!("{head}{chunks}")).await.refused(400, "REQUEST_FRAMING");
        client.closed().await;
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn an_upload_that_stops_short_is_not_forwarded_as_a_whole_body() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for start in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut client = gateway.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: api.test\r\n{start}")).await;
        client.reset();
    }
    let lines = gateway.access_log(2).await;
    assert!(lines.iter().all(|line| line["reason"] == "CLIENT_CLOSED"), "{lines:?}");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_refused_unread() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "max_body: 1KiB")).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1025\r\n\r\n").await;
    client.response().await.refused(413, "BODY_TOO_LARGE");
    assert_eq!(upstream.connections(), 0);
    let fits = format!("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1024\r\n\r\n{}", "x".repeat(1_024));
    assert_eq!(gateway.request(fits).await.echo().body_length, 1_024);
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_refused_on_the_way() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "max_body: 1KiB")).await;
    let chunk = format!("200\r\n{}\r\n", "x".repeat(0x200));
    let head = "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = gateway.client().await;
    client.request(format!("{head}{chunk}{chunk}{chunk}")).await.refused(413, "BODY_TOO_LARGE");
    client.closed().await;
    let fits = gateway.request(format!("{head}{chunk}{chunk}0\r\n\r\n")).await;
    assert_eq!(fits.echo().body_length, 1_024);
    assert_eq!(upstream.requests().len(), 1, "the large one never became a whole request");
}

#[tokio::test]
async fn an_h2_body_that_grows_too_large_is_refused_on_the_way() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .start(&forward_with(upstream.address(), "", "max_body: 1KiB"))
        .await;
    let mut client = H2Client::connect(gateway.address()).await;
    client.send(post("/"), &[&[b'x'; 800], &[b'x'; 800]]).await.refused(413, "BODY_TOO_LARGE");
    assert_eq!(client.get("/after").await.status, 200, "the other streams of the connection go on");
}
