//! The operator's listener: alive, ready, what runs, and what it counts.

use serde_json::Value;

use crate::support::client::Client;
use crate::support::gateway::{NONE, forward_with, routes};
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
async fn the_cache_is_shown_and_nothing_is_purged_by_mistake() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let (code, numbers) = gateway.admin_get("/cache").await;
    let numbers: Value = serde_json::from_str(&numbers).unwrap();
    assert_eq!((code, &numbers["entries"], &numbers["purged"]), (200, &0.into(), &0.into()));
    let (_, status) = gateway.admin_get("/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["cache"]["budget"], numbers["budget"]);
    assert_eq!(gateway.metrics_value("sluice_cache_entries").await, 0.0);

    let (code, found) = gateway.admin_get("/cache/look-up?url=https://a.test/x&partner=acme").await;
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!((code, found), (200, serde_json::json!({ "count": 0, "entries": [] })));
    for path in ["/cache/look-up", "/cache/look-up?url=/x", "/cache/look-up?uri=https://a.test/"] {
        assert_eq!(gateway.admin_get(path).await.0, 400, "{path}");
    }
    assert_eq!(gateway.admin_get("/cache/purge").await.0, 405);

    let json = "Content-Type: application/json\r\n";
    let purge = async |fields: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST /cache/purge HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        );
        let response = gateway.admin_request(request).await;
        (response.status, response.text().to_owned())
    };
    let (code, purged) = purge(json, r#"{"all": true}"#).await;
    let purged: Value = serde_json::from_str(&purged).unwrap();
    assert_eq!((code, purged), (200, serde_json::json!({ "purged": 0, "warnings": [] })));
    for body in [
        "",
        "{}",
        r#"{"all": false}"#,
        r#"{"tags": "a"}"#,
        r#"{"tag": "a", "route": "b"}"#,
        r#"{"tag": "a", "tag": "b"}"#,
        r#"{"url": "a.test"}"#,
    ] {
        let (code, text) = purge(json, body).await;
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert!(code == 400 && problem["detail"].as_str().unwrap().ends_with('.'), "{body}: {code} {text}");
    }
    assert_eq!(purge("", r#"{"all": true}"#).await.0, 415);
    assert_eq!(purge(&format!("Origin: http://a.test\r\n{json}"), r#"{"all": true}"#).await.0, 403);
}

#[tokio::test]
async fn what_routes_have_learned_is_shown_and_a_model_is_made_of_enough_only() {
    let upstream = Upstream::echo();
    let tagged = forward_with(upstream.address(), "", "anomaly: { action: tag, contamination: 0.5% }");
    let gateway = TestGateway::build().set("anomaly", "{ folder: models, callers: 100 }").start(&tagged).await;
    let (code, shown) = gateway.admin_get("/anomaly").await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(code, 200);
    let route = &shown["routes"][0];
    assert_eq!((&route["route"], &route["state"]), (&"all".into(), &"not enough data: 0 of 2000".into()));
    let rung = serde_json::json!({ "action": "tag", "share": 0.005, "score": null, "reachable": null });
    assert_eq!((&route["rungs"][0], &route["expected_rate"], &route["model"]), (&rung, &0.005.into(), &Value::Null));
    let (code, models) = gateway.admin_get("/anomaly/models").await;
    let models: Value = serde_json::from_str(&models).unwrap();
    assert_eq!((code, models), (200, serde_json::json!({ "count": 0, "models": [] })));
    let (_, status) = gateway.admin_get("/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["anomaly"]["routes"], &status["anomaly"]["with_a_model"]), (&1.into(), &0.into()));
    assert_eq!(gateway.metrics_value(r#"sluice_anomaly_warm_up_ratio{route="all"}"#).await, 0.0);

    for (query, expected) in
        [("", 200), ("?route=all", 409), ("?route=other", 404), ("?route=", 400), ("?rout=all", 400)]
    {
        let (code, text) = gateway.admin_send("POST", &format!("/anomaly/train{query}"), "").await;
        assert_eq!(code, expected, "{query}: {text}");
    }
    assert_eq!(gateway.admin_get("/anomaly/train").await.0, 405);
    let page = "POST /anomaly/train HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.test\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(gateway.admin_request(page).await.status, 403);

    gateway.reload_with(&forward_all(upstream.address())).await;
    let (_, shown) = gateway.admin_get("/anomaly").await;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["routes"], serde_json::json!([]));
    assert!(!gateway.admin_get("/metrics").await.1.contains("sluice_anomaly_requests_total{"), "its series are gone");
}

#[tokio::test]
async fn a_route_whose_pinned_model_is_not_there_is_closed() {
    let upstream = Upstream::echo();
    let pinned = forward_with(upstream.address(), "", "anomaly: { model: 20261123T140000Z-1a2b3c4d }");
    let complaint = TestGateway::build().try_start(&pinned).await.err().unwrap();
    assert!(complaint.contains("anomaly.model") && complaint.contains("20261123T140000Z-1a2b3c4d"), "{complaint}");

    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    assert_eq!(gateway.get("/x").await.status, 200);
    gateway.reload_with(&pinned).await;
    gateway.get("/x").await.refused(503, "ROUTE_FAULTY");
    assert!(gateway.admin_get("/status").await.1.contains("there is no model `20261123T140000Z-1a2b3c4d`"));
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
