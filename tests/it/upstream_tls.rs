//! TLS towards upstreams: verified by name and authority, each upstream by its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::support::gateway::{engine_under_test, routes};
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

/// Says in each answer how its connection was secured, and keeps none.
fn tells_handshake(config: Arc<ServerConfig>) -> Upstream {
    Upstream::scripted_tls(config, |mut conn| async move {
        if conn.request().await?.is_some() {
            let kind = conn.wire.stream.tls().unwrap().get_ref().1.handshake_kind();
            let body = format!("{:?}", kind.unwrap());
            let length = body.len();
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
                .await?;
        }
        Ok(())
    })
}

// Pingora makes a configuration for every connection and so forgets its sessions.
#[tokio::test]
async fn sessions_are_resumed_as_long_as_the_trust_is_the_same() {
    let resumed = if engine_under_test() == "direct" { "Resumed" } else { "Full" };
    let (known, other) = (Authority::new("known"), Authority::new("other"));
    let issued = known.issue(&["inner.test"]);
    let upstream = tells_handshake(issued.server(&[]));
    let builder = TestGateway::build();
    let ca = builder.file("ca.pem", &known.bundle());
    let both = builder.file("both.pem", &format!("{}{}", known.bundle(), other.bundle()));
    let file = |ca: &Path, more: &str| {
        let keys = over_tls(upstream.address(), "inner.test", ca);
        routes(&[("a", &keys), ("b", &keys)], &[&route("a"), &route("b"), more])
    };
    let gateway = builder.start(&file(&ca, r#"{ name: c, match: { path: /c }, auth: none, upstream: b }"#)).await;
    assert_eq!(gateway.get("/a").await.text(), "Full");
    assert_eq!(gateway.get("/a").await.text(), resumed);
    assert_eq!(gateway.get("/b").await.text(), "Full", "an upstream has sessions of its own");
    let more = r#"{ name: c, match: { path: /c }, auth: none, upstream: a }"#;
    gateway.reload_with(&file(&ca, more)).await;
    assert_eq!(gateway.get("/a").await.text(), resumed);
    gateway.reload_with(&file(&both, more)).await;
    assert_eq!(gateway.get("/a").await.text(), "Full", "verified anew by the new bundle");
}
