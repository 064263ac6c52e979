//! The operator's listener: alive, ready, what runs, and what it counts.

use serde_json::Value;

use crate::support::client::Client;
use crate::support::gateway::{NONE, routes};
use crate::support::upstream::Refusing;
use crate::support::{TestGateway, Upstream, forward_all};

#[tokio::test]
async fn health_and_readiness_are_green_while_serving() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    assert_eq!(gateway.admin_get("/health").await.0, 200);
    assert_eq!(gateway.admin_get("/ready").await.0, 200);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_reason() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    assert_eq!(gateway.metrics_value(r#"sluice_requests_total{route="all"}"#).await, 0.0);
    for _ in 0..3 {
        assert_eq!(gateway.get("/x").await.status, 200);
    }
    gateway.metric_reaches(r#"sluice_requests_total{route="all"}"#, 3.0).await;
    drop(upstream);
    gateway.get("/x").await.refused(502, "UPSTREAM_CONNECT");
    gateway.metric_reaches(r#"sluice_requests_total{route="all"}"#, 4.0).await;
    assert_eq!(gateway.metrics_value(r#"sluice_reasons_total{reason="UPSTREAM_CONNECT"}"#).await, 1.0);
    let (_, text) = gateway.admin_get("/metrics").await;
    assert!(!text.contains("/x"), "never a path: {text}");
}

#[tokio::test]
async fn the_exposition_is_well_formed() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    gateway.get("/").await;
    let (_, text) = gateway.admin_get("/metrics").await;
    assert!(text.ends_with('\n'));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(sample.starts_with("sluice_") || sample.starts_with("process_"), "{line}");
    }
}

#[tokio::test]
async fn status_and_routes_say_what_runs() {
    let answer = |name: &str| {
        format!("{{ name: {name}, match: {{ path: /{name} }}, auth: none, respond: {{ status: 200, body: hi }} }}")
    };
    let gateway = TestGateway::start(&routes(&NONE, &[answer("first"), answer("second")])).await;
    let (code, status) = gateway.admin_get("/status").await;
    assert_eq!(code, 200);
    let before: Value = serde_json::from_str(&status).unwrap();
    let (code, listed) = gateway.admin_get("/routes").await;
    assert_eq!(code, 200);
    assert!(serde_json::from_str::<Value>(&listed).is_ok() && listed.contains("first") && listed.contains("second"));
    gateway.reload_with(&routes(&NONE, &[answer("third")])).await;
    let (_, status) = gateway.admin_get("/status").await;
    assert_ne!(before, serde_json::from_str::<Value>(&status).unwrap(), "another version serves");
    let (_, listed) = gateway.admin_get("/routes").await;
    assert!(listed.contains("third") && !listed.contains("first"), "{listed}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_reading_changes_nothing() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    assert_eq!(gateway.admin_get("/nowhere").await.0, 404);
    assert_eq!(gateway.admin_get("/reload").await.0, 405);
}

#[tokio::test]
async fn the_operators_pages_are_not_on_the_clients_listener() {
    let refusing = Refusing::new();
    let route = "{ name: only, match: { path: /only }, auth: none, upstream: app }";
    let app = crate::support::gateway::endpoint(refusing.address());
    let gateway = TestGateway::start(&routes(&[("app", app)], &[route])).await;
    let mut client = Client::connect(gateway.address()).await;
    for path in ["/health", "/ready", "/metrics", "/status", "/routes", "/reload"] {
        client.get(path).await.refused(404, "ROUTE_NOT_FOUND");
    }
}
