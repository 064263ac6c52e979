//! Several limits at once: a request that one of them refuses is charged to none.

use super::scene::{BOTH, Caller, File, KEYED_HERE, Partner, Version, left, refusals, refused_by};
use crate::support::client::Response;

/// Rate, quota and places of the plan, as the answer tells them.
#[track_caller]
fn of_plan(response: &Response) -> [u64; 3] {
    ["standard.rate_limit", "standard.quota", "standard.concurrency"].map(|limit| left(response, limit))
}

#[tokio::test]
async fn what_a_limit_of_the_route_refuses_is_not_charged_to_the_plan() {
    for version in BOTH {
        let acme = Partner::new("acme");
        let file = File::without_upstream()
            .plan("standard", "rate_limit: 4/h, quota: 10/month, concurrency: 1")
            .partner("standard", &acme)
            .route("tight", &format!("{KEYED_HERE}, rate_limit: {{ per: partner, rate: 1/h }}"))
            .route("small", &format!("{KEYED_HERE}, quota: {{ per: partner, limit: 1/month }}"))
            .route("wide", KEYED_HERE);
        let gateway = file.start().await;
        let mut caller = Caller::connect(&gateway, version).await;
        assert_eq!(of_plan(&acme.get(&mut caller, "/tight/").await), [3, 9, 0]);
        for _ in 0..5 {
            refused_by(&acme.get(&mut caller, "/tight/").await, "RATE_LIMITED", "tight.rate_limit");
        }
        assert_eq!(of_plan(&acme.get(&mut caller, "/small/").await), [2, 8, 0]);
        for _ in 0..5 {
            refused_by(&acme.get(&mut caller, "/small/").await, "QUOTA_EXCEEDED", "small.quota");
        }
        assert_eq!(of_plan(&acme.get(&mut caller, "/wide/").await), [1, 7, 0]);
        assert_eq!(of_plan(&acme.get(&mut caller, "/wide/").await), [0, 6, 0]);
        refused_by(&acme.get(&mut caller, "/wide/").await, "RATE_LIMITED", "standard.rate_limit");
        assert_eq!(refusals(&gateway, "tight.rate_limit").await, 5.0);
        assert_eq!(refusals(&gateway, "small.quota").await, 5.0);
        assert_eq!(refusals(&gateway, "standard.rate_limit").await, 1.0, "a refusal has one limit to its name");
    }
}

#[tokio::test]
async fn what_the_plan_refuses_is_not_charged_to_the_route() {
    for version in BOTH {
        let (acme, globex) = (Partner::new("acme"), Partner::new("globex"));
        let limits = "rate_limit: [{ per: route, rate: 5/h, name: all }, { per: address, rate: 6/h, name: here }], \
                      quota: { per: route, limit: 5/month, name: monthly }, \
                      concurrency: [{ per: route, limit: 1, name: busy }, { per: address, limit: 1, name: busy-here }]";
        let file = File::without_upstream()
            .plan("standard", "rate_limit: 2/h")
            .plan("wide", "rate_limit: 100/h")
            .partner("standard", &acme)
            .partner("wide", &globex)
            .route("orders", &format!("{KEYED_HERE}, {limits}"));
        let gateway = file.start().await;
        let mut caller = Caller::connect(&gateway, version).await;
        let of_route =
            |response: &Response| ["here", "busy-here", "all", "monthly", "busy"].map(|name| left(response, name));
        assert_eq!(of_route(&acme.get(&mut caller, "/orders/").await), [5, 0, 4, 4, 0]);
        assert_eq!(of_route(&acme.get(&mut caller, "/orders/").await), [4, 0, 3, 3, 0]);
        for _ in 0..8 {
            let response = acme.get(&mut caller, "/orders/").await;
            refused_by(&response, "RATE_LIMITED", "standard.rate_limit");
            assert_eq!(of_route(&response), [4, 1, 3, 3, 1], "and it says so: what is given back is there");
        }
        assert_eq!(of_route(&globex.get(&mut caller, "/orders/").await), [3, 0, 2, 2, 0]);
        assert_eq!(globex.gets(&mut caller, "/orders/", 3).await, [200, 200, 429]);
    }
}

#[tokio::test]
async fn each_kind_gives_back_to_those_before_it() {
    let acme = Partner::new("acme");
    // In the order in which they are asked, the last refuses.
    for (plan, refusing, reason) in [
        ("rate_limit: 9/h, rate_limits: [{ rate: 1/h, name: last }]", "last", "RATE_LIMITED"),
        ("rate_limit: 9/h, quota: 1/month", "standard.quota", "QUOTA_EXCEEDED"),
        ("rate_limit: 9/h, quota: 9/month, quotas: [{ limit: 1/month, name: last }]", "last", "QUOTA_EXCEEDED"),
    ] {
        let file = File::without_upstream()
            .plan("standard", plan)
            .partner("standard", &acme)
            .route("orders", &format!("{KEYED_HERE}, rate_limit: {{ per: partner, rate: 7/h, name: route }}"));
        let gateway = file.start().await;
        let mut caller = Caller::connect(&gateway, Version::Two).await;
        let response = acme.get(&mut caller, "/orders/").await;
        assert_eq!((left(&response, "standard.rate_limit"), left(&response, "route")), (8, 6));
        for _ in 0..20 {
            let response = acme.get(&mut caller, "/orders/").await;
            refused_by(&response, reason, refusing);
            assert_eq!((left(&response, "standard.rate_limit"), left(&response, "route")), (8, 6), "{plan}");
        }
    }
}

#[tokio::test]
async fn a_refusal_later_in_the_same_request_is_no_refusal_of_a_limit() {
    let acme = Partner::new("acme");
    let file = File::without_upstream()
        .plan("standard", "rate_limit: 4/h")
        .partner("standard", &acme)
        .route("orders", &format!("{KEYED_HERE}, max_body: 1B"));
    let gateway = file.start().await;
    let (name, key) = acme.field();
    let post = format!("POST /orders/ HTTP/1.1\r\nHost: api.test\r\n{name}: {key}\r\nContent-Length: 2\r\n\r\nxx");
    gateway.request(post).await.refused(413, "BODY_TOO_LARGE");
    let mut caller = Caller::connect(&gateway, Version::One).await;
    // It passed the limits, and was a request.
    assert_eq!(left(&acme.get(&mut caller, "/orders/").await, "standard.rate_limit"), 2);
}
