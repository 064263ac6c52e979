//! Fields: what ends at the gateway, what the gateway says about the client, and whom it believes.

use crate::support::{TestGateway, Upstream, forward_all};

const TRUSTING: &str = r#"{ trusted_proxies: ["127.0.0.0/8"] }"#;

#[tokio::test]
async fn hop_by_hop_request_fields_end_here() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let echo = gateway
        .request(concat!(
            "GET / HTTP/1.1\r\nHost: api.test\r\n",
            "Connection: keep-alive, X-Private\r\nConnection: x-other\r\n",
            "X-Private: 1\r\nX-Other: 2\r\nX-Public: 3\r\n",
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\n",
            "TE: trailers, deflate\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        ))
        .await
        .echo();
    for gone in [
        "x-private",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(echo.field(gone), None, "{gone}");
    }
    assert_eq!(echo.field("x-public"), Some("3"));
    assert!(echo.head.all("connection").iter().all(|value| !value.to_ascii_lowercase().contains("x-")));
}

#[tokio::test]
async fn a_client_cannot_nominate_away_what_an_upstream_relies_on() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for nominated in
        ["Host", "X-Forwarded-For", "Forwarded", "Authorization", "Cookie", "X-Request-Id", "Content-Length"]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close, {nominated}\r\n\r\n");
        gateway.request(request).await.refused(400, "REQUEST_MALFORMED");
    }
    let echo = gateway.request("GET / HTTP/1.1\r\nHost: api.test\r\nConnection: Via\r\n\r\n").await.echo();
    assert!(echo.field("via").is_some(), "the gateway's own is not the client's to take off");
}

#[tokio::test]
async fn a_name_that_some_services_read_as_a_protected_one_is_refused() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for name in ["X_Forwarded_For", "x-forwarded_for", "X_Real_IP"] {
        let response =
            gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{name}: 203.0.113.7\r\n\r\n")).await;
        response.refused(400, "REQUEST_MALFORMED");
    }
}

#[tokio::test]
async fn hop_by_hop_answer_fields_end_here() {
    let upstream = Upstream::answering(concat!(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\n",
        "Proxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n",
        "X-Public: 3\r\nContent-Length: 0\r\n\r\n",
    ));
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.get("/").await;
    for gone in ["keep-alive", "x-private", "proxy-authenticate", "proxy-connection", "upgrade"] {
        assert_eq!(response.field(gone), None, "{gone}");
    }
    assert_eq!((response.status, response.field("x-public")), (200, Some("3")));
}

#[tokio::test]
async fn other_fields_arrive_in_order_and_unmerged() {
    let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Empty:\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n";
    let upstream = Upstream::answering(answer);
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let fields =
        "X-Many: 1\r\nCookie: a=1\r\nX-Many: 2\r\nX-Empty:\r\nX-Odd: \"a, b\" ;c\r\nAuthorization: Bearer x.y.z\r\n";
    let response = gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")).await;
    assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.field("x-empty"), Some(""));
    let seen = upstream.request(1).await.head;
    assert_eq!(seen.all("x-many"), ["1", "2"]);
    assert_eq!((seen.field("cookie"), seen.field("x-empty")), (Some("a=1"), Some("")));
    assert_eq!((seen.field("x-odd"), seen.field("authorization")), (Some("\"a, b\" ;c"), Some("Bearer x.y.z")));
}

#[tokio::test]
async fn the_upstream_learns_who_asked_and_how() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let echo = gateway.request("GET / HTTP/1.1\r\nHost: api.test:8080\r\n\r\n").await.echo();
    assert_eq!(echo.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(echo.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(echo.field("x-forwarded-proto"), Some("http"));
    assert_eq!(echo.field("x-forwarded-host"), Some("api.test:8080"));
    let forwarded = echo.field("forwarded").unwrap();
    assert!(forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=http"), "{forwarded}");
    assert!(echo.field("via").unwrap().starts_with("1.1 "));
}

#[tokio::test]
async fn what_a_stranger_says_about_itself_is_replaced() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let echo = gateway
        .request(concat!(
            "GET / HTTP/1.1\r\nHost: api.test\r\n",
            "X-Forwarded-For: 203.0.113.7\r\nx-forwarded-for: 203.0.113.8\r\nX-Forwarded-Proto: https\r\n",
            "X-Real-IP: 203.0.113.7\r\n",
            "X-Forwarded-Host: evil.test\r\nForwarded: for=203.0.113.7;proto=https\r\n\r\n",
        ))
        .await
        .echo();
    assert_eq!(echo.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(echo.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(echo.field("x-forwarded-proto"), Some("http"));
    assert_eq!(echo.field("x-forwarded-host"), Some("api.test"));
    for (name, value) in &echo.head.fields {
        assert!(!value.contains("203.0.113") && !value.contains("evil"), "{name}: {value}");
    }
    assert_eq!(gateway.access_log(1).await[0]["client"], "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build().set("client_address", TRUSTING).start(&forward_all(upstream.address())).await;
    let fields = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    let echo = gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")).await.echo();
    assert_eq!(echo.field("x-forwarded-for"), Some("203.0.113.7, 127.0.0.1"));
    assert_eq!(echo.field("x-real-ip"), Some("203.0.113.7"));
    assert_eq!(echo.field("x-forwarded-proto"), Some("https"));
    assert_eq!(gateway.access_log(1).await[0]["client"], "203.0.113.7");
}

#[tokio::test]
async fn behind_trusted_proxies_the_nearest_stranger_is_the_client() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build().set("client_address", TRUSTING).start(&forward_all(upstream.address())).await;
    let chain = "X-Forwarded-For: 198.51.100.1, 203.0.113.7, 127.0.0.9";
    gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{chain}\r\n\r\n")).await.echo();
    assert_eq!(gateway.access_log(1).await[0]["client"], "203.0.113.7", "what stands left of it, it may have made up");
}

#[tokio::test]
async fn via_is_appended() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let echo = gateway.request("GET / HTTP/1.1\r\nHost: api.test\r\nVia: 1.0 fred\r\n\r\n").await.echo();
    let via = echo.head.all("via").join(", ");
    assert!(via.starts_with("1.0 fred, 1.1 "), "{via}");
}

#[tokio::test]
async fn a_request_id_is_kept_or_made_and_told_to_both_sides() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let kept = gateway.request("GET / HTTP/1.1\r\nHost: api.test\r\nX-Request-Id: abc-123\r\n\r\n").await;
    assert_eq!(kept.field("x-request-id"), Some("abc-123"));
    assert_eq!(kept.echo().field("x-request-id"), Some("abc-123"));
    let (one, two) = (gateway.get("/").await, gateway.get("/").await);
    let made = one.field("x-request-id").unwrap();
    assert_eq!(one.echo().field("x-request-id"), Some(made));
    assert_ne!(two.field("x-request-id").unwrap(), made);
    let logged: Vec<_> = gateway.access_log(3).await.iter().map(|line| line["request_id"].clone()).collect();
    assert_eq!(logged[..2], ["abc-123".into(), serde_json::Value::from(made)]);
}

#[tokio::test]
async fn a_request_id_that_is_no_id_is_not_kept() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for bad in ["x".repeat(5_000), "a b".to_owned(), "\"quoted\"".to_owned(), String::new()] {
        let response =
            gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\nX-Request-Id: {bad}\r\n\r\n")).await;
        let id = response.field("x-request-id").unwrap();
        assert!(id != bad && !id.is_empty() && id.len() <= 128, "{id}");
    }
}

#[tokio::test]
async fn a_refusal_carries_the_request_id() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let response = gateway.request("GET /a%2Fb HTTP/1.1\r\nHost: api.test\r\nX-Request-Id: abc-123\r\n\r\n").await;
    assert_eq!(response.field("x-request-id"), Some("abc-123"));
    assert_eq!(response.refused(400, "PATH_INVALID")["request_id"], "abc-123");
}

#[tokio::test]
async fn a_trace_goes_on_behind_the_gateway() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let fields = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\ntracestate: vendor=x\r\n");
    let echo = gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")).await.echo();
    assert_eq!(echo.field("traceparent").unwrap().split('-').nth(1), Some(trace));
    assert_eq!(echo.field("tracestate"), Some("vendor=x"));
    assert_eq!(gateway.access_log(1).await[0]["trace_id"], trace);
}
