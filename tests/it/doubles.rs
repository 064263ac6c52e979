//! The doubles and clients tell the truth about each other; no gateway is involved.

use crate::support::client::End;
use crate::support::h2_client::{post, response_of};
use crate::support::upstream::{Refusing, Unaccepting};
use crate::support::{Authority, Client, Gate, H2Client, H2Upstream, Upstream, eventually, ok};

#[tokio::test]
async fn the_echo_double_tells_what_it_received() {
    let upstream = Upstream::echo();
    let mut client = Client::connect(upstream.address()).await;
    let request =
        "POST /a?b HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let echo = client.request(request).await.echo();
    assert_eq!((echo.method.as_str(), echo.target.as_str(), echo.body_length), ("POST", "/a?b", 3));
    assert_eq!(echo.field("x-one"), Some("1"));
    assert_eq!(upstream.received(0), request.as_bytes());
    assert_eq!(upstream.request(1).await.body.chunks, [3]);
}

#[tokio::test]
async fn a_script_decides_every_byte() {
    let gate = Gate::closed();
    let step = gate.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.head().await?;
            conn.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            step.pass().await;
            conn.send("2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n").await?;
            step.pass().await;
            conn.reset()
        }
    });
    let mut client = Client::connect(upstream.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    gate.open();
    let response = client.response().await;
    assert_eq!((response.status, response.text(), response.informational.len()), (200, "hi", 1));
    assert_eq!(response.body.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    gate.open();
    assert_eq!(client.end().await, End::Cut);
}

#[tokio::test]
async fn a_request_that_is_not_strict_http_is_a_fault() {
    for request in
        ["GET /\r\n\r\n", "GET / HTTP/1.1\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "0\r\n\r\n"]
    {
        let upstream = Upstream::answering(ok(""));
        let mut client = Client::connect(upstream.address()).await;
        client.send(request).await;
        client.closed().await;
        let faults =
            eventually("a fault", async || Some(upstream.take_faults()).filter(|faults| !faults.is_empty())).await;
        assert_eq!(faults.len(), 1, "{request:?}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_not_an_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    ] {
        let upstream = Upstream::answering_once(answer);
        let mut client = Client::connect(upstream.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(client.try_response().await.is_err());
    }
}

#[tokio::test]
async fn a_refusing_address_refuses_and_a_full_one_keeps_waiting() {
    let refusing = Refusing::new();
    let error = tokio::net::TcpStream::connect(refusing.address()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let full = Unaccepting::new();
    let attempt = tokio::net::TcpStream::connect(full.address());
    assert!(tokio::time::timeout(std::time::Duration::from_millis(100), attempt).await.is_err());
}

#[tokio::test]
async fn tls_is_verified_by_authority_and_name() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let upstream = Upstream::echo_tls(known.issue(&["api.test"]).server(&[]));
    let mut client = Client::tls(upstream.address(), "api.test", known.client(&[])).await.unwrap();
    assert_eq!(client.get("/").await.echo().target, "/");
    assert!(Client::tls(upstream.address(), "other.test", known.client(&[])).await.is_err());
    assert!(Client::tls(upstream.address(), "api.test", unknown.client(&[])).await.is_err());
    eventually("failed handshakes", async || (upstream.handshakes_failed() == 2).then_some(())).await;
}

#[tokio::test]
async fn the_h2_doubles_agree_on_bodies_trailers_and_goaway() {
    let authority = Authority::new("known");
    let upstream = H2Upstream::echo(Some(authority.issue(&["api.test"]).server(&["h2"])));
    let mut client = H2Client::tls(upstream.address(), "api.test", authority.client(&["h2"])).await;
    let response = client.send(post("/a?b"), &[b"abc", b"de"]).await;
    assert_eq!((&response.json()["target"], &response.json()["body_length"]), (&"/a?b".into(), &5.into()));
    assert_eq!(response.trailers.unwrap()["grpc-status"], "0");
    assert_eq!(upstream.request(1).await.body, b"abcde");
    assert!(client.goaways().is_empty());
    upstream.go_away();
    eventually("GOAWAY", async || client.goaways().last().filter(|goaway| goaway.code == 0).copied()).await;
    client.ended().await.unwrap();
}

#[tokio::test]
async fn h2_streams_can_be_held_open() {
    let upstream = H2Upstream::echo(None);
    let mut client = H2Client::connect(upstream.address()).await;
    let (response, mut body) = client.open(post("/"), false).await.unwrap();
    assert_eq!(client.get("/meanwhile").await.status, 200);
    body.send_data(bytes::Bytes::from_static(b"x"), false).unwrap();
    let trailers: http::HeaderMap =
        [(http::HeaderName::from_static("x-sum"), "1".parse().unwrap())].into_iter().collect();
    body.send_trailers(trailers.clone()).unwrap();
    assert_eq!(response_of(response).await.unwrap().json()["body_length"], 1);
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.request(2).await.trailers, Some(trailers));
}
