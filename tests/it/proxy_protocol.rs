//! The PROXY protocol: who may speak it, and what it says about the client.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::support::client::End;
use crate::support::{Authority, Client, TestGateway, Upstream, forward_all};

const TRUSTED: &str = r#"proxy_protocol: { from: ["127.0.0.1/32"] }"#;
const V1: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\xc6\x33\x64\x01\x9c\x40\x01\xbb";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
const V2_V6: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x9c\x40\x01\xbb";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n";

async fn start(upstream: &Upstream) -> (TestGateway, Authority) {
    let authority = Authority::new("known");
    let gateway = TestGateway::build()
        .listener("http", TRUSTED)
        .tls_listener("https", &[&authority.issue(&["api.test"])], "", TRUSTED)
        .listener("strict", "")
        .set("deadlines", "{ handshake: 200ms, head: 200ms }")
        .start(&forward_all(upstream.address()))
        .await;
    (gateway, authority)
}

#[tokio::test]
async fn the_client_is_whom_the_header_names() {
    let upstream = Upstream::echo();
    let (gateway, _) = start(&upstream).await;
    for (header, client) in [
        (V1, "203.0.113.9"),
        (V2, "203.0.113.9"),
        (V2_V6, "2001:db8::9"),
        (V2_LOCAL, "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 40000 443\r\n", "2001:db8::9"),
    ] {
        let echo = gateway.request([header, GET].concat()).await.echo();
        assert_eq!(echo.field("x-forwarded-for"), Some(client), "{header:?}");
    }
    let clients: Vec<_> = gateway.access_log(6).await.iter().map(|line| line["client"].clone()).collect();
    assert_eq!(clients[..2], ["203.0.113.9", "203.0.113.9"]);
}

#[tokio::test]
async fn the_header_comes_before_the_handshake_on_a_tls_listener() {
    let upstream = Upstream::echo();
    let (gateway, authority) = start(&upstream).await;
    for header in [V1, V2] {
        let mut client = Client::connect(gateway.listener("https")).await;
        client.send(header).await;
        let mut client = client.upgrade_to_tls("api.test", authority.client(&[])).await.unwrap();
        assert_eq!(client.get("/").await.echo().field("x-forwarded-for"), Some("203.0.113.9"));
    }
}

#[tokio::test]
async fn a_header_may_come_in_pieces() {
    let upstream = Upstream::echo();
    let (gateway, _) = start(&upstream).await;
    for header in [V1, V2] {
        let mut client = gateway.client().await;
        for byte in header {
            client.send([*byte]).await;
        }
        let echo = client.request(GET).await.echo();
        assert_eq!(echo.field("x-forwarded-for"), Some("203.0.113.9"));
        assert_eq!(client.get("/again").await.echo().field("x-forwarded-for"), Some("203.0.113.9"));
    }
}

#[tokio::test]
async fn a_proxy_without_a_header_is_closed_unanswered() {
    let upstream = Upstream::echo();
    let (gateway, authority) = start(&upstream).await;
    for opening in [
        GET,
        b"PROXY TCP4 203.0.113.9 198.51.100.1 40000\r\n",
        b"PROXY TCP4 300.0.113.9 198.51.100.1 40000 443\r\n",
        b"proxy TCP4 203.0.113.9 198.51.100.1 40000 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xcb\0\x71\x09\xc6\x33\x64\x01\x9c\x40\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x02\xcb\0",
    ] {
        let mut client = gateway.client().await;
        client.send([opening, GET].concat()).await;
        client.closed().await;
    }
    assert!(Client::tls(gateway.listener("https"), "api.test", authority.client(&[])).await.is_err());
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_header_that_does_not_end_is_cut() {
    let upstream = Upstream::echo();
    let (gateway, _) = start(&upstream).await;
    for start in [&b"PROXY TCP4 "[..], b"\r\n\r\n\0\r\nQUIT", b""] {
        let mut client = gateway.client().await;
        client.send(start).await;
        client.closed().await;
    }
}

#[tokio::test]
async fn a_stranger_cannot_forge_a_header() {
    let upstream = Upstream::echo();
    let (gateway, authority) = start(&upstream).await;
    let stranger = Ipv4Addr::new(127, 0, 0, 2).into();
    for header in [V1, V2] {
        let mut client = Client::connect_from(stranger, gateway.address()).await;
        client.send([header, GET].concat()).await;
        let end = client.end().await;
        assert!(!matches!(&end, End::Closed(bytes) if bytes.starts_with(b"HTTP/1.1 200")), "{end:?}");
        let mut client = Client::connect_from(stranger, gateway.listener("https")).await;
        client.send(header).await;
        assert!(client.upgrade_to_tls("api.test", Arc::clone(&authority.client(&[]))).await.is_err());
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_stranger_is_not_served_past_the_load_balancers() {
    let upstream = Upstream::echo();
    let (gateway, _) = start(&upstream).await;
    let mut client = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), gateway.address()).await;
    client.send(GET).await;
    client.closed().await;
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_listener_that_expects_no_header_takes_none() {
    let upstream = Upstream::echo();
    let (gateway, _) = start(&upstream).await;
    for header in [V1, V2] {
        let mut client = Client::connect(gateway.listener("strict")).await;
        client.send([header, GET].concat()).await;
        let end = client.end().await;
        assert!(!matches!(&end, End::Closed(bytes) if bytes.starts_with(b"HTTP/1.1 200")), "{end:?}");
    }
    assert_eq!(upstream.connections(), 0);
}
