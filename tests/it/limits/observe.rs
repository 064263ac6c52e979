//! Limits that are only observed: they count as if they were enforced, and let pass.

use serde_json::json;

use super::scene::{BOTH, Caller, File, KEYED, KEYED_HERE, Partner, left, logged, members, refusals, refused_by};
use crate::support::{Gate, Upstream, within};

#[tokio::test]
async fn what_would_be_refused_passes_and_is_counted_and_logged() {
    for version in BOTH {
        let acme = Partner::new("acme");
        for (limit, reason) in [
            ("rate_limit: { per: partner, rate: 2/h, name: it, mode: observe }", "RATE_LIMITED"),
            ("rate_limit: { per: address, rate: 2/h, name: it, mode: observe }", "RATE_LIMITED"),
            ("quota: { per: partner, limit: 2/month, name: it, mode: observe }", "QUOTA_EXCEEDED"),
        ] {
            let file = File::without_upstream().partner("", &acme).route("orders", &format!("{KEYED_HERE}, {limit}"));
            let gateway = file.start().await;
            let mut caller = Caller::connect(&gateway, version).await;
            for at in 1..=5_u8 {
                let response = acme.get(&mut caller, "/orders/").await;
                assert_eq!(response.status, 200, "{}", response.text());
                for field in ["ratelimit", "ratelimit-policy", "retry-after"] {
                    assert_eq!(response.field(field), None, "nobody is told");
                }
                let line = logged(&gateway, at.into()).await;
                let over = at > 2;
                assert_eq!(line.get("observed"), over.then_some(&json!([reason])), "{line}");
                assert_eq!(line.get("limit"), over.then_some(&json!("it")), "{line}");
                assert_eq!((line.get("reason"), &line["status"]), (None, &json!(200)), "{line}");
                assert_eq!(refusals(&gateway, "it").await, f64::from(at.max(2) - 2));
            }
        }
    }
}

#[tokio::test]
async fn an_observed_limit_takes_nothing_from_one_that_is_enforced() {
    for version in BOTH {
        let acme = Partner::new("acme");
        let file = File::without_upstream()
            .plan("standard", "rate_limit: 4/h, rate_limits: [{ rate: 1/h, name: watched, mode: observe }]")
            .partner("standard", &acme)
            .route(
                "orders",
                &format!("{KEYED_HERE}, quota: {{ per: route, limit: 2/month, name: route, mode: observe }}"),
            );
        let gateway = file.start().await;
        let mut caller = Caller::connect(&gateway, version).await;
        for still in [3, 2, 1, 0] {
            let response = acme.get(&mut caller, "/orders/").await;
            assert_eq!(left(&response, "standard.rate_limit"), still);
            assert_eq!(members(&response, "ratelimit").len(), 1);
        }
        // What is enforced is what is told, and what the log names.
        refused_by(&acme.get(&mut caller, "/orders/").await, "RATE_LIMITED", "standard.rate_limit");
        let line = logged(&gateway, 5).await;
        assert_eq!(
            (&line["reason"], &line["limit"]),
            (&json!("RATE_LIMITED"), &json!("standard.rate_limit")),
            "{line}"
        );
        assert_eq!(line["observed"][0], "QUOTA_EXCEEDED", "{line}");
        let line = logged(&gateway, 4).await;
        assert_eq!((&line["limit"], &line["observed"]), (&json!("route"), &json!(["QUOTA_EXCEEDED", "RATE_LIMITED"])));
        assert_eq!(refusals(&gateway, "watched").await, 3.0);
        assert_eq!(refusals(&gateway, "standard.rate_limit").await, 1.0);
    }
}

#[tokio::test]
async fn places_are_counted_although_nobody_is_turned_away() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let acme = Partner::new("acme");
    let file = File::new(upstream.address())
        .plan("standard", "concurrency: { limit: 1, mode: observe, name: places }")
        .partner("standard", &acme)
        .route("orders", KEYED);
    let gateway = file.start().await;
    let (name, key) = acme.field();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = gateway.client().await;
        client.send(format!("GET /orders/ HTTP/1.1\r\nHost: api.test\r\n{name}: {key}\r\n\r\n")).await;
        within("a request at the upstream", arrived.pass()).await;
        clients.push(client);
    }
    assert_eq!(refusals(&gateway, "places").await, 2.0);
    for mut client in clients {
        release.open();
        assert_eq!(client.response().await.status, 200);
    }
    let lines = gateway.access_log(3).await;
    let observed = lines.iter().filter(|line| line["observed"] == json!(["CONCURRENCY_LIMITED"])).count();
    assert_eq!(observed, 2, "{lines:?}");
    // The place that was granted is free again: the next is within the limit.
    release.open();
    let mut client = gateway.client().await;
    client.send(format!("GET /orders/ HTTP/1.1\r\nHost: api.test\r\n{name}: {key}\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(logged(&gateway, 4).await.get("observed"), None);
}
