//! Every request leaves one line, whatever became of it.

use crate::support::{H2Client, TestGateway, Upstream, forward_all, ok};

#[tokio::test]
async fn a_forwarded_request_leaves_its_line() {
    let upstream = Upstream::answering(ok("12345"));
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let fields = "User-Agent: it/1\r\nContent-Length: 3\r\n";
    client.request(format!("POST //orders/./7?token=secret HTTP/1.1\r\nHost: API.test:80\r\n{fields}\r\nabc")).await;
    client.get("/again").await;
    let lines = gateway.access_log(2).await;
    let line = &lines[0];
    for (key, value) in [
        ("client", "127.0.0.1"),
        ("listener", "http"),
        ("protocol", "HTTP/1.1"),
        ("method", "POST"),
        ("host", "api.test"),
        ("path", "/orders/7"),
        ("route", "all"),
        ("upstream", "app"),
        ("user_agent", "it/1"),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert_eq!(line["endpoint"], upstream.address().to_string());
    for (key, value) in [("status", 200), ("attempts", 1), ("request_bytes", 3), ("response_bytes", 5)] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    for absent in ["reason", "tls"] {
        assert!(line.get(absent).is_none(), "{absent} in {line}");
    }
    assert!(line["total_us"].as_u64() >= line["first_byte_us"].as_u64(), "{line}");
    assert!(!line.to_string().contains("secret"), "never the query: {line}");
    assert_eq!((&line["upstream_reused"], &lines[1]["upstream_reused"]), (&false.into(), &true.into()));
}

#[tokio::test]
async fn a_refused_request_leaves_its_line() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    gateway.get("/a%2Fb").await;
    let line = gateway.logged_reason("PATH_INVALID").await;
    assert_eq!((&line["status"], line.get("upstream")), (&400.into(), None), "{line}");
}

#[tokio::test]
async fn bytes_that_are_no_request_leave_their_line() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    gateway.request("nonsense\r\n\r\n").await.refused(400, "REQUEST_MALFORMED");
    let line = gateway.logged_reason("REQUEST_MALFORMED").await;
    assert_eq!((&line["status"], line.get("path")), (&400.into(), None), "{line}");
}

#[tokio::test]
async fn what_a_client_wrote_cannot_forge_a_line() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let agent = "\"}{\"status\":999,\"x\":\"\\u0000\x7f\t";
    gateway.request(format!("GET /%22%0a%7b HTTP/1.1\r\nHost: api.test\r\nUser-Agent: {agent}x\r\n\r\n")).await;
    gateway.get("/").await;
    let lines = gateway.access_log(2).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line["status"] == 200 || line["reason"] == "REQUEST_MALFORMED"), "{lines:?}");
}

#[tokio::test]
async fn each_h2_stream_leaves_its_line() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build().listener("h2c", "h2c: true").start(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for target in ["/1", "/2", "/3"] {
        client.get(target).await;
    }
    let paths: Vec<_> = gateway.access_log(3).await.iter().map(|line| line["path"].clone()).collect();
    assert_eq!(paths, ["/1", "/2", "/3"]);
}
