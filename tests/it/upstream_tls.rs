//! TLS towards upstreams: verified by name and authority, each upstream by its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::HandshakeKind;

use crate::support::gateway::routes;
use crate::support::{Authority, TestGateway, Upstream};

/// A route `/<name>` to an upstream of the same name.
fn route(name: &str) -> String {
    format!(r#"{{ name: {name}, match: {{ path: /{name} }}, auth: none, upstream: {name} }}"#)
}

fn over_tls(address: SocketAddr, server_name: &str, ca: &std::path::Path) -> String {
    format!(r#"{{ endpoints: ["{address}"], tls: {{ server_name: {server_name}, ca: "{}" }} }}"#, ca.display())
}

#[tokio::test]
async fn the_right_name_and_authority_are_served() {
    let authority = Authority::new("known");
    let upstream = Upstream::echo_tls(authority.issue(&["inner.test"]).server(&[]));
    let builder = TestGateway::build();
    let ca = builder.file("ca.pem", &authority.bundle());
    let gateway =
        builder.start(&routes(&[("a", over_tls(upstream.address(), "inner.test", &ca))], &[route("a")])).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let echo = client.get("/a").await.echo();
        assert_eq!((echo.field("host"), echo.connection), (Some("api.test"), 0));
    }
}

#[tokio::test]
async fn a_wrong_name_is_refused() {
    let authority = Authority::new("known");
    let upstream = Upstream::echo_tls(authority.issue(&["other.test"]).server(&[]));
    let builder = TestGateway::build();
    let ca = builder.file("ca.pem", &authority.bundle());
    let gateway =
        builder.start(&routes(&[("a", over_tls(upstream.address(), "inner.test", &ca))], &[route("a")])).await;
    gateway.get("/a").await.refused(502, "UPSTREAM_TLS");
    gateway.logged_reason("UPSTREAM_TLS").await;
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let upstream = Upstream::echo_tls(unknown.issue(&["inner.test"]).server(&[]));
    let builder = TestGateway::build();
    let ca = builder.file("ca.pem", &known.bundle());
    let gateway =
        builder.start(&routes(&[("a", over_tls(upstream.address(), "inner.test", &ca))], &[route("a")])).await;
    gateway.get("/a").await.refused(502, "UPSTREAM_TLS");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn without_a_bundle_the_systems_authorities_decide() {
    let unknown = Authority::new("unknown");
    let upstream = Upstream::echo_tls(unknown.issue(&["inner.test"]).server(&[]));
    let keys = format!(r#"{{ endpoints: ["{}"], tls: {{ server_name: inner.test }} }}"#, upstream.address());
    let gateway = TestGateway::start(&routes(&[("a", keys)], &[route("a")])).await;
    gateway.get("/a").await.refused(502, "UPSTREAM_TLS");
}

#[tokio::test]
async fn an_upstream_without_tls_is_a_tls_failure() {
    let authority = Authority::new("known");
    let upstream = Upstream::scripted(|mut conn| async move { conn.send("220 hello, this is not TLS\r\n").await });
    let builder = TestGateway::build();
    let ca = builder.file("ca.pem", &authority.bundle());
    let gateway =
        builder.start(&routes(&[("a", over_tls(upstream.address(), "inner.test", &ca))], &[route("a")])).await;
    gateway.get("/a").await.refused(502, "UPSTREAM_TLS");
}

#[tokio::test]
async fn upstreams_that_trust_differently_never_share_a_connection() {
    let (known, other) = (Authority::new("known"), Authority::new("other"));
    let upstream = Upstream::echo_tls(known.issue(&["inner.test"]).server(&[]));
    let builder = TestGateway::build();
    let (ca, other_ca) = (builder.file("ca.pem", &known.bundle()), builder.file("other.pem", &other.bundle()));
    let upstreams = [
        ("trusting", over_tls(upstream.address(), "inner.test", &ca)),
        ("doubting", over_tls(upstream.address(), "inner.test", &other_ca)),
        ("mistaken", over_tls(upstream.address(), "else.test", &ca)),
    ];
    let gateway = builder.start(&routes(&upstreams, &["trusting", "doubting", "mistaken"].map(route))).await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/trusting").await.status, 200);
        client.get("/doubting").await.refused(502, "UPSTREAM_TLS");
        client.get("/mistaken").await.refused(502, "UPSTREAM_TLS");
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn a_bundle_that_changes_with_a_reload_counts_for_new_connections() {
    let (known, other) = (Authority::new("known"), Authority::new("other"));
    let upstream = Upstream::echo_tls(known.issue(&["inner.test"]).server(&[]));
    let builder = TestGateway::build();
    let (ca, other_ca) = (builder.file("ca.pem", &known.bundle()), builder.file("other.pem", &other.bundle()));
    let gateway =
        builder.start(&routes(&[("a", over_tls(upstream.address(), "inner.test", &ca))], &[route("a")])).await;
    assert_eq!(gateway.get("/a").await.status, 200);
    gateway.reload_with(&routes(&[("a", over_tls(upstream.address(), "inner.test", &other_ca))], &[route("a")])).await;
    gateway.get("/a").await.refused(502, "UPSTREAM_TLS");
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let authority = Authority::new("known");
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds);
    let upstream = Upstream::scripted_tls(authority.issue(&["inner.test"]).server(&[]), move |mut conn| {
        let seen = Arc::clone(&seen);
        async move {
            conn.request().await?;
            let (_, session) = conn.wire.stream.tls().unwrap().get_ref();
            seen.lock().unwrap().push(session.handshake_kind());
            conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await
        }
    });
    let builder = TestGateway::build();
    let ca = builder.file("ca.pem", &authority.bundle());
    let gateway =
        builder.start(&routes(&[("a", over_tls(upstream.address(), "inner.test", &ca))], &[route("a")])).await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/a").await.text(), "ok");
    }
    let (full, resumed) = (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed));
    let kinds = kinds.lock().unwrap();
    // Pingora forgets sessions.
    assert!([[full, resumed, resumed], [full; 3]].contains(&[kinds[0], kinds[1], kinds[2]]), "{kinds:?}");
}
