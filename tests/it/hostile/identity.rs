//! Who a client is, and what it may say about itself.

use crate::support::{TestGateway, Upstream, forward_all};

const CLAIMS: &str = "X-Real-IP: 203.0.113.7\r\nX-Forwarded-Port: 4430\r\nX-Forwarded-Server: evil\r\n\
    X-Forwarded-Ssl: on\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Scheme: https\r\n";

#[tokio::test]
async fn a_trusted_proxy_may_go_on_saying_what_it_knows() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .set("client_address", "{ trusted_proxies: [\"127.0.0.0/8\"] }")
        .start(&forward_all(upstream.address()))
        .await;
    let echo = gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{CLAIMS}\r\n")).await.echo();
    assert_eq!((echo.field("x-real-ip"), echo.field("x-forwarded-port")), (Some("203.0.113.7"), Some("4430")));
}

#[tokio::test]
async fn a_stranger_cannot_claim_an_address_by_any_of_the_usual_fields() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let echo = gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{CLAIMS}\r\n")).await.echo();
    for (name, value) in &echo.head.fields {
        assert!(!value.contains("203.0.113") && !value.contains("evil") && value != "4430", "{name}: {value}");
    }
    assert_eq!((echo.field("x-forwarded-ssl"), echo.field("x-forwarded-scheme")), (None, None));
}

#[tokio::test]
async fn the_size_of_an_answer_without_a_body_is_logged_as_none() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let refused = client.request("HEAD /a%2Fb HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!((refused.status, refused.body.bytes.len()), (400, 0));
    client.request("HEAD / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    for line in gateway.access_log(2).await {
        assert_eq!(line["response_bytes"], 0, "{line}");
    }
}
