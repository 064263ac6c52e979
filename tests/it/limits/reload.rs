//! What goes on counting over a change of the file, on connections that are open, and what begins anew.

use super::scene::{BOTH, Caller, File, KEYED, KEYED_HERE, Partner, Version, left, logged, members, refused_by};
use crate::support::{Client, Gate, TestGateway, Upstream, within};

async fn callers(gateway: &TestGateway) -> [Caller; 2] {
    [Caller::connect(gateway, Version::One).await, Caller::connect(gateway, Version::Two).await]
}

/// A file with this plan for `acme`, and this limit on its route.
fn file(acme: &Partner, plan: &str, route: &str) -> File {
    File::without_upstream()
        .plan("standard", plan)
        .plan("other", plan)
        .partner("standard", acme)
        .route("orders", &format!("{KEYED_HERE}, {route}"))
        .route("plain", KEYED_HERE)
}

#[tokio::test]
async fn what_is_the_same_counts_on() {
    let acme = Partner::new("acme");
    let plan = "rate_limit: 10/h, quota: 10/month";
    let of_route = "rate_limit: { per: [partner, address], rate: 8/h, name: mine }, quota: { per: route, limit: 9/day, name: all }";
    let same = file(&acme, plan, of_route);
    let gateway = same.start().await;
    let mut callers = callers(&gateway).await;
    let counts = async |caller: &mut Caller| {
        let response = acme.get(caller, "/orders/").await;
        ["standard.rate_limit", "standard.quota", "mine", "all"].map(|limit| left(&response, limit))
    };
    assert_eq!(counts(&mut callers[0]).await, [9, 9, 7, 8]);
    assert_eq!(counts(&mut callers[1]).await, [8, 8, 6, 7]);
    let second = Partner::new("globex");
    for (changed, expected) in [
        (same.clone().route("more", KEYED_HERE), [7, 7, 5, 6]),
        (same.clone().partner("standard", &second), [5, 5, 3, 4]),
        (file(&acme, plan, &format!("{of_route}, cost: 1, rate_limit_fields: both")), [3, 3, 1, 2]),
    ] {
        gateway.reload_with(&changed.to_string()).await;
        assert_eq!(counts(&mut callers[0]).await, expected);
        assert_eq!(counts(&mut callers[1]).await, expected.map(|left| left - 1));
    }
    // The state of one limit has nothing to do with that of its neighbours.
    gateway.reload_with(&file(&acme, plan, "concurrency: { per: route, limit: 4 }").to_string()).await;
    let response = acme.get(&mut callers[1], "/orders/").await;
    let names: Vec<_> = members(&response, "ratelimit").into_iter().map(|member| member.name).collect();
    assert_eq!(names, ["orders.concurrency", "standard.rate_limit", "standard.quota"]);
    assert_eq!(left(&response, "standard.rate_limit"), 1);
}

#[tokio::test]
async fn a_changed_rate_begins_anew_and_a_changed_quota_goes_on() {
    let acme = Partner::new("acme");
    let gateway = file(&acme, "rate_limit: 3/h, quota: 100/month", "").start().await;
    let mut callers = callers(&gateway).await;
    assert_eq!(acme.gets(&mut callers[0], "/orders/", 4).await, [200, 200, 200, 429]);
    let mut used = 3;
    for (rate, burst) in [("4/h", 4), ("4/h, burst: 2", 2), ("5/h", 5), ("4/30min, burst: 2", 2)] {
        gateway.reload_with(&file(&acme, &format!("rate_limit: {rate}, quota: 100/month"), "").to_string()).await;
        for caller in &mut callers {
            let response = acme.get(caller, "/orders/").await;
            used += 1;
            assert_eq!(left(&response, "standard.quota"), 100 - used, "{rate}");
        }
        for _ in 2..burst {
            assert_eq!(acme.get(&mut callers[0], "/orders/").await.status, 200, "{rate}");
            used += 1;
        }
        refused_by(&acme.get(&mut callers[1], "/orders/").await, "RATE_LIMITED", "standard.rate_limit");
    }
    let with_quota = |quota: &str| file(&acme, &format!("quota: {quota}"), "").to_string();
    for (quota, still) in
        [("20/month", Some(3)), ("17/month", Some(0)), ("17/month", None), ("16/month", None), ("19/month", Some(1))]
    {
        gateway.reload_with(&with_quota(quota)).await;
        let response = acme.get(&mut callers[1], "/orders/").await;
        match still {
            Some(still) => assert_eq!(left(&response, "standard.quota"), still, "{quota}"),
            None => drop(refused_by(&response, "QUOTA_EXCEEDED", "standard.quota")),
        }
    }
    gateway.reload_with(&with_quota("19/week")).await;
    assert_eq!(
        left(&acme.get(&mut callers[0], "/orders/").await, "standard.quota"),
        18,
        "another period is another quota"
    );
}

#[tokio::test]
async fn a_limit_that_is_gone_is_gone_and_a_quota_is_remembered() {
    let acme = Partner::new("acme");
    let with = |limits: [&str; 2]| {
        file(&acme, "concurrency: 5", limits[0]).route("rated", &format!("{KEYED_HERE}, {}", limits[1])).to_string()
    };
    let limits =
        ["quota: { per: partner, limit: 5/month, name: q }", "rate_limit: { per: partner, rate: 2/h, name: r }"];
    let gateway = super::scene::build().start(&with(limits)).await;
    let mut callers = callers(&gateway).await;
    assert_eq!(acme.gets(&mut callers[0], "/orders/", 2).await, [200; 2]);
    assert_eq!(acme.gets(&mut callers[0], "/rated/", 3).await, [200, 200, 429]);
    gateway.reload_with(&with(["", ""])).await;
    for caller in &mut callers {
        assert_eq!(acme.gets(caller, "/orders/", 4).await, [200; 4]);
        assert_eq!(acme.gets(caller, "/rated/", 4).await, [200; 4]);
    }
    gateway.reload_with(&with(limits)).await;
    assert_eq!(left(&acme.get(&mut callers[1], "/orders/").await, "q"), 2);
    // A rate goes on or begins anew, with its burst and no more.
    let statuses = acme.gets(&mut callers[1], "/rated/", 4).await;
    assert!(matches!(statuses[..], [200, 200, 429, 429] | [429, 429, 429, 429]), "{statuses:?}");
    // The same of a route that was away.
    gateway.reload_with(&file(&acme, "", "").without_route("orders").to_string()).await;
    assert_eq!(acme.get(&mut callers[0], "/orders/").await.status, 404);
    gateway.reload_with(&with(limits)).await;
    assert_eq!(left(&acme.get(&mut callers[0], "/orders/").await, "q"), 1);
}

#[tokio::test]
async fn a_faulty_file_gives_nobody_a_second_quota() {
    let acme = Partner::new("acme");
    let good = file(&acme, "quota: 5/month", "quota: { per: route, limit: 7/month, name: q }");
    let gateway = good.start().await;
    let mut callers = callers(&gateway).await;
    assert_eq!(acme.gets(&mut callers[0], "/orders/", 2).await, [200; 2]);
    let bad_plan = file(&acme, "quota: 5/fortnight", "quota: { per: route, limit: 7/month, name: q }");
    let bad_route = file(&acme, "quota: 5/month", "quota: { per: rout, limit: 7/month, name: q }");
    for (bad, still) in [(bad_plan, (2, 4)), (bad_route, (1, 3))] {
        gateway.write_routes(&bad.to_string());
        gateway.reload().await;
        for caller in &mut callers {
            acme.get(caller, "/orders/").await.refused(503, "ROUTE_FAULTY");
        }
        gateway.reload_with(&good.to_string()).await;
        let response = acme.get(&mut callers[1], "/orders/").await;
        assert_eq!((left(&response, "standard.quota"), left(&response, "q")), still);
    }
}

#[tokio::test]
async fn from_observing_to_enforcing_it_counts_on() {
    let acme = Partner::new("acme");
    let with = |mode: &str| {
        file(
            &acme,
            "concurrency: 9",
            &format!("rate_limit: {{ per: partner, rate: 3/h, name: r, mode: {mode} }}, quota: {{ per: route, limit: 4/month, name: q, mode: {mode} }}"),
        )
        .to_string()
    };
    let gateway = super::scene::build().start(&with("observe")).await;
    let mut callers = callers(&gateway).await;
    assert_eq!(acme.gets(&mut callers[0], "/orders/", 2).await, [200; 2]);
    gateway.reload_with(&with("enforce")).await;
    let response = acme.get(&mut callers[1], "/orders/").await;
    assert_eq!((left(&response, "r"), left(&response, "q")), (0, 1));
    refused_by(&acme.get(&mut callers[0], "/orders/").await, "RATE_LIMITED", "r");
    gateway.reload_with(&with("observe")).await;
    assert_eq!(acme.gets(&mut callers[1], "/orders/", 3).await, [200; 3]);
    let line = logged(&gateway, 7).await;
    assert_eq!(
        (&line["limit"], &line["observed"]),
        (&"r".into(), &serde_json::json!(["RATE_LIMITED", "QUOTA_EXCEEDED"]))
    );
}

#[tokio::test]
async fn another_plan_is_another_limit() {
    let acme = Partner::new("acme");
    let on_plan = |plan: &str| file(&acme, "rate_limit: 20/h, quota: 3/month", "").partner(plan, &acme).to_string();
    let gateway = super::scene::build().start(&on_plan("standard")).await;
    let mut callers = callers(&gateway).await;
    assert_eq!(acme.gets(&mut callers[0], "/orders/", 4).await, [200, 200, 200, 429]);
    gateway.reload_with(&on_plan("other")).await;
    assert_eq!(acme.gets(&mut callers[1], "/orders/", 4).await, [200, 200, 200, 429]);
    gateway.reload_with(&on_plan("standard")).await;
    // To and fro gives no second quota.
    refused_by(&acme.get(&mut callers[1], "/orders/").await, "QUOTA_EXCEEDED", "standard.quota");
}

#[tokio::test]
async fn requests_on_their_way_count_for_the_limit_of_after() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let acme = Partner::new("acme");
    let with = |limit: u32, more: &str| {
        File::new(upstream.address())
            .plan("standard", &format!("concurrency: {limit}"))
            .partner("standard", &acme)
            .route("orders", &format!("{KEYED}, {more}"))
            .to_string()
    };
    let gateway = super::scene::build().start(&with(1, "")).await;
    let (name, key) = acme.field();
    let begun = async || -> Client {
        let mut client = gateway.client().await;
        client.send(format!("GET /orders/ HTTP/1.1\r\nHost: api.test\r\n{name}: {key}\r\n\r\n")).await;
        within("a request at the upstream", arrived.pass()).await;
        client
    };
    let mut on_their_way = vec![begun().await];
    let refused = async || {
        for version in BOTH {
            let response = acme.get(&mut Caller::connect(&gateway, version).await, "/orders/").await;
            refused_by(&response, "CONCURRENCY_LIMITED", "standard.concurrency");
        }
    };
    refused().await;
    gateway.reload_with(&with(2, "")).await;
    on_their_way.push(begun().await);
    refused().await;
    gateway.reload_with(&with(3, "cost: 2")).await;
    on_their_way.push(begun().await);
    refused().await;
    gateway.reload_with(&with(1, "")).await;
    refused().await;
    for mut client in on_their_way {
        release.open();
        assert_eq!(client.response().await.status, 200);
    }
}
