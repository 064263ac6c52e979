//! Requests that count for more than one.

use super::scene::{BOTH, Caller, File, KEYED_HERE, Partner, left, refused_by};

#[tokio::test]
async fn a_cost_is_taken_as_a_whole_or_not_at_all() {
    for version in BOTH {
        let acme = Partner::new("acme");
        let file = File::without_upstream()
            .plan("standard", "rate_limit: 10/h, quota: 9/month, concurrency: 1")
            .partner("standard", &acme)
            .route("dear", &format!("{KEYED_HERE}, cost: 4"))
            .route("cheap", KEYED_HERE);
        let gateway = file.start().await;
        let mut caller = Caller::connect(&gateway, version).await;
        for (target, rate, quota) in [("/dear/", 6, 5), ("/dear/", 2, 1)] {
            let response = acme.get(&mut caller, target).await;
            let told =
                ["rate_limit", "quota", "concurrency"].map(|limit| left(&response, &format!("standard.{limit}")));
            assert_eq!(told, [rate, quota, 0], "at once, each is one");
        }
        // Two are left and four are needed: two more at six minutes each.
        let wait = refused_by(&acme.get(&mut caller, "/dear/").await, "RATE_LIMITED", "standard.rate_limit");
        assert!((660..=720).contains(&wait), "{wait}");
        assert_eq!(acme.gets(&mut caller, "/cheap/", 1).await, [200], "what does not fit leaves room for what does");
        refused_by(&acme.get(&mut caller, "/cheap/").await, "QUOTA_EXCEEDED", "standard.quota");
        let response = acme.get(&mut caller, "/dear/").await;
        refused_by(&response, "RATE_LIMITED", "standard.rate_limit");
        assert_eq!(left(&response, "standard.rate_limit"), 1);
    }
}

#[tokio::test]
async fn a_cost_that_just_fits_passes_and_one_that_never_could_is_a_mistake() {
    let acme = Partner::new("acme");
    let with_cost = |cost: u32| {
        File::without_upstream()
            .partner("", &acme)
            .route(
                "orders",
                &format!("{KEYED_HERE}, cost: {cost}, rate_limit: {{ per: partner, rate: 1/h, burst: 5 }}"),
            )
            .route("others", KEYED_HERE)
    };
    let gateway = with_cost(5).start().await;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        let response = acme.get(&mut caller, "/orders/").await;
        if version == BOTH[0] {
            assert_eq!(left(&response, "orders.rate_limit"), 0);
        } else {
            let wait = refused_by(&response, "RATE_LIMITED", "orders.rate_limit");
            assert!((5 * 3_600 - 60..=5 * 3_600).contains(&wait), "{wait}");
        }
    }
    gateway.write_routes(&with_cost(6).to_string());
    gateway.reload().await;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        acme.get(&mut caller, "/orders/").await.refused(503, "ROUTE_FAULTY");
        assert_eq!(acme.get(&mut caller, "/others/").await.status, 200);
    }
}

#[tokio::test]
async fn a_changed_cost_counts_on() {
    let acme = Partner::new("acme");
    let with_cost = |cost: u32| {
        File::without_upstream()
            .plan("standard", "rate_limit: 10/h")
            .partner("standard", &acme)
            .route("orders", &format!("{KEYED_HERE}, cost: {cost}"))
    };
    let gateway = with_cost(1).start().await;
    let mut caller = Caller::connect(&gateway, BOTH[1]).await;
    assert_eq!(left(&acme.get(&mut caller, "/orders/").await, "standard.rate_limit"), 9);
    gateway.reload_with(&with_cost(9).to_string()).await;
    assert_eq!(left(&acme.get(&mut caller, "/orders/").await, "standard.rate_limit"), 0);
}
