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
