//! Rates: exactly a burst passes at once, and whoever is refused is told by what, and until when.

use std::time::Duration;

use sluice::base::clock;

use super::scene::{
    BOTH, Caller, File, KEYED, KEYED_HERE, Partner, Version, left, logged, member, members, refusals, refused_by,
};
use crate::support::{Upstream, eventually};

#[tokio::test]
async fn exactly_a_burst_passes_and_the_next_is_told_why_not() {
    for version in BOTH {
        let upstream = Upstream::echo();
        let acme = Partner::new("acme");
        let file = File::new(upstream.address())
            .plan("standard", "rate_limit: 3/h")
            .partner("standard", &acme)
            .route("orders", KEYED);
        let gateway = file.start().await;
        let mut caller = Caller::connect(&gateway, version).await;
        for still in [2_u64, 1, 0] {
            let response = acme.get(&mut caller, "/orders/1").await;
            assert_eq!(response.status, 200, "{}", response.text());
            assert_eq!(response.head.all("ratelimit-policy"), [r#""standard.rate_limit";q=3;w=3600"#]);
            let told = member(&response, "ratelimit", "standard.rate_limit");
            assert_eq!(told.number("r"), still);
            // As long as the same takes to come back; with nothing left, the next.
            let window = 1_200 * still.max(1);
            assert!((window - 60..=window).contains(&told.number("t")), "{told:?}");
            assert_eq!(members(&response, "ratelimit").len(), 1);
            assert!(response.field("retry-after").is_none() && response.field("x-ratelimit-limit").is_none());
        }
        for count in 1..=3_u8 {
            let response = acme.get(&mut caller, "/orders/1").await;
            let wait = refused_by(&response, "RATE_LIMITED", "standard.rate_limit");
            assert!((1_140..=1_200).contains(&wait), "{wait}");
            assert_eq!(response.json()["partner"], "acme");
            assert_eq!(response.head.all("ratelimit-policy"), [r#""standard.rate_limit";q=3;w=3600"#]);
            let told = format!(r#""standard.rate_limit";r=0;t={wait}"#);
            assert_eq!(response.head.all("ratelimit"), [told]);
            assert_eq!(refusals(&gateway, "standard.rate_limit").await, f64::from(count));
        }
        let lines = gateway.access_log(6).await;
        for (at, line) in lines.iter().enumerate() {
            assert_eq!((&line["partner"], &line["route"]), (&"acme".into(), &"orders".into()), "{line}");
            assert_eq!(line.get("reason"), (at >= 3).then_some(&"RATE_LIMITED".into()), "{line}");
            assert_eq!(line.get("limit"), (at >= 3).then_some(&"standard.rate_limit".into()), "{line}");
            assert!(line.get("observed").is_none(), "{line}");
        }
        let of_partner =
            |class: &str| format!(r#"sluice_partner_requests_total{{partner="acme",status_class="{class}"}}"#);
        assert_eq!(gateway.metrics_value(&of_partner("2xx")).await, 3.0);
        assert_eq!(gateway.metrics_value(&of_partner("4xx")).await, 3.0);
        assert_eq!(upstream.requests().len(), 3, "who is refused reaches nobody");
    }
}

#[tokio::test]
async fn a_burst_is_its_own_number_and_not_the_rate() {
    let (acme, globex) = (Partner::new("acme"), Partner::new("globex"));
    let file = File::without_upstream()
        .plan("wide", "rate_limit: 2/h, burst: 5")
        .plan("narrow", "rate_limit: 500/h, burst: 1")
        .partner("wide", &acme)
        .partner("narrow", &globex)
        .route("orders", KEYED_HERE);
    let gateway = file.start().await;
    let mut caller = Caller::connect(&gateway, Version::One).await;
    let first = acme.get(&mut caller, "/orders/").await;
    assert_eq!(first.head.all("ratelimit-policy"), [r#""wide.rate_limit";q=2;w=3600;sluice-burst=5"#]);
    assert_eq!(left(&first, "wide.rate_limit"), 4);
    assert_eq!(acme.gets(&mut caller, "/orders/", 5).await, [200, 200, 200, 200, 429]);
    let first = globex.get(&mut caller, "/orders/").await;
    assert_eq!(first.head.all("ratelimit-policy"), [r#""narrow.rate_limit";q=500;w=3600;sluice-burst=1"#]);
    let wait = refused_by(&globex.get(&mut caller, "/orders/").await, "RATE_LIMITED", "narrow.rate_limit");
    assert!(wait <= 8, "the next comes after 7.2 seconds: {wait}");
}

/// Both ends of a rate in time: what comes back comes back, and is waited for as long as told.
#[tokio::test]
async fn a_unit_comes_back_when_it_was_told() {
    let acme = Partner::new("acme");
    let file =
        File::without_upstream().plan("quick", "rate_limit: 1/1s").partner("quick", &acme).route("orders", KEYED_HERE);
    let gateway = file.start().await;
    let mut caller = Caller::connect(&gateway, Version::One).await;
    let started = clock::now();
    assert_eq!(acme.get(&mut caller, "/orders/").await.status, 200);
    for passed in 1..3 {
        refused_by(&acme.get(&mut caller, "/orders/").await, "RATE_LIMITED", "quick.rate_limit");
        let again = async || {
            let response = acme.get(&mut caller, "/orders/").await;
            if response.status == 429 {
                assert_eq!(refused_by(&response, "RATE_LIMITED", "quick.rate_limit"), 1);
            }
            (response.status == 200).then_some(())
        };
        eventually("the next passes", again).await;
        let elapsed = clock::now() - started;
        assert!(elapsed >= Duration::from_secs(passed), "{passed} after {elapsed:?}");
    }
}

#[tokio::test]
async fn both_protocols_and_all_connections_share_a_limit() {
    let acme = Partner::new("acme");
    let file = File::without_upstream()
        .plan("standard", "rate_limit: 6/h")
        .partner("standard", &acme)
        .route("orders", KEYED_HERE)
        .route("invoices", KEYED_HERE);
    let gateway = file.start().await;
    for target in ["/orders/", "/invoices/", "/orders/"] {
        for version in BOTH {
            let mut caller = Caller::connect(&gateway, version).await;
            assert_eq!(acme.get(&mut caller, target).await.status, 200);
        }
    }
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        refused_by(&acme.get(&mut caller, "/orders/").await, "RATE_LIMITED", "standard.rate_limit");
    }
    assert_eq!(logged(&gateway, 8).await["limit"], "standard.rate_limit");
}

#[tokio::test]
async fn many_at_once_get_exactly_the_burst() {
    const BURST: usize = 40;
    let acme = Partner::new("acme");
    let file = File::without_upstream()
        .plan("standard", &format!("rate_limit: {BURST}/h, quota: 30/month"))
        .partner("standard", &acme)
        .route("orders", KEYED_HERE)
        .route("own", &format!("{KEYED_HERE}, rate_limit: {{ per: partner, rate: 20/h }}"));
    let gateway = super::scene::build().set("threads", "2").start(&file.to_string()).await;
    for (target, expected) in [("/own/", 20), ("/orders/", 10)] {
        let mut callers = tokio::task::JoinSet::new();
        for at in 0..8 {
            let mut caller = Caller::connect(&gateway, BOTH[at % 2]).await;
            let acme = acme.clone();
            callers.spawn(async move { acme.gets(&mut caller, target, 10).await });
        }
        let statuses = callers.join_all().await.concat();
        let passed = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!((passed, statuses.len()), (expected, 80), "{target}");
    }
}
