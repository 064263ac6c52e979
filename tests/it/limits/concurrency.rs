//! Requests at the same time: never more than there are places, on whatever connections they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::scene::{BOTH, Caller, File, KEYED, KEYED_HERE, Partner, Version, left, logged_at, refusals, refused_by};
use crate::support::h2_client::response_of;
use crate::support::{Gate, H2Client, TestGateway, Upstream, eventually, ok, within};

#[tokio::test]
async fn one_more_than_there_are_places_is_refused() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let (acme, globex) = (Partner::new("acme"), Partner::new("globex"));
    let file = File::new(upstream.address())
        .plan("standard", "concurrency: 3")
        .partner("standard", &acme)
        .partner("standard", &globex)
        .route("orders", KEYED)
        .route("invoices", KEYED)
        .route("probe", KEYED_HERE);
    let gateway = file.start().await;
    let (name, key) = acme.field();
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{name}: {key}\r\n\r\n");
    // Two on HTTP/1.1 and one stream, on two routes: they are all of one partner.
    let mut clients = Vec::new();
    for target in ["/orders/1", "/invoices/1"] {
        let mut client = gateway.client().await;
        client.send(request(target)).await;
        clients.push(client);
    }
    let mut h2 = H2Client::connect(gateway.address()).await;
    let with_key = |target: &str| {
        let mut request = crate::support::h2_client::get(target);
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        request
    };
    let (streamed, _) = h2.open(with_key("/orders/2"), true).await.unwrap();
    for _ in 0..3 {
        within("a request at the upstream", arrived.pass()).await;
    }
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        let target = format!("/orders/refused-{version:?}");
        let response = acme.get(&mut caller, &target).await;
        assert_eq!(refused_by(&response, "CONCURRENCY_LIMITED", "standard.concurrency"), 1);
        let told = r#""standard.concurrency";r=0"#;
        assert_eq!(response.head.all("ratelimit"), [told]);
        assert_eq!(response.head.all("ratelimit-policy"), [r#""standard.concurrency";q=3;qu="concurrent-requests""#]);
        assert_eq!(response.json()["partner"], "acme");
        let line = logged_at(&gateway, &target).await;
        assert_eq!((&line["reason"], &line["limit"]), (&"CONCURRENCY_LIMITED".into(), &"standard.concurrency".into()));
    }
    // On the connection of the stream that is on its way.
    let (refused, _) = h2.open(with_key("/orders/3"), true).await.unwrap();
    response_of(refused).await.unwrap().refused(429, "CONCURRENCY_LIMITED");
    assert_eq!(refusals(&gateway, "standard.concurrency").await, 3.0);

    // Others have places of their own.
    let mut other = gateway.client().await;
    let (name, key) = globex.field();
    other.send(format!("GET /orders/4 HTTP/1.1\r\nHost: api.test\r\n{name}: {key}\r\n\r\n")).await;
    within("a request at the upstream", arrived.pass()).await;

    (0..4).for_each(|_| release.open());
    assert_eq!(other.response().await.status, 200);
    for client in &mut clients {
        let response = client.response().await;
        assert_eq!(response.status, 200);
        assert!(left(&response, "standard.concurrency") < 3);
    }
    assert_eq!(response_of(streamed).await.unwrap().status, 200);
    all_are_free(&gateway, &acme, 3).await;
}

/// Waits until so many places are free.
async fn all_are_free(gateway: &TestGateway, acme: &Partner, places: u64) {
    let probed = async || {
        let response = acme.get(&mut Caller::connect(gateway, Version::One).await, "/probe/").await;
        (response.status == 200 && left(&response, "standard.concurrency") == places - 1).then_some(())
    };
    eventually("all places are free", probed).await;
}

#[tokio::test]
async fn never_more_at_once_than_there_are_places() {
    const PLACES: usize = 3;
    let (here, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&here), Arc::clone(&most));
    let upstream = Upstream::scripted(move |mut conn| {
        let (here, most) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
        async move {
            while conn.request().await?.is_some() {
                most.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Others get their turn.
                tokio::task::yield_now().await;
                here.fetch_sub(1, Ordering::SeqCst);
                conn.send(ok("done")).await?;
            }
            Ok(())
        }
    });
    let acme = Partner::new("acme");
    let file = File::new(upstream.address())
        .partner("", &acme)
        .route("orders", &format!("{KEYED}, concurrency: {{ per: route, limit: {PLACES} }}"));
    let gateway = super::scene::build().set("threads", "2").start(&file.to_string()).await;
    let mut callers = JoinSet::new();
    for at in 0..10 {
        let mut caller = Caller::connect(&gateway, BOTH[at % 2]).await;
        let acme = acme.clone();
        callers.spawn(async move { acme.gets(&mut caller, "/orders/", 60).await });
    }
    let statuses = callers.join_all().await.concat();
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    assert!(passed >= 60, "{passed}");
    assert!((1..=PLACES).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    let all_free = async || {
        let response = acme.get(&mut Caller::connect(&gateway, Version::Two).await, "/orders/").await;
        (response.status == 200 && left(&response, "orders.concurrency") == PLACES as u64 - 1).then_some(())
    };
    eventually("all places are free", all_free).await;
}

#[tokio::test]
async fn places_of_a_route_are_told_apart_by_key() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let file = File::new(upstream.address())
        .route("orders", "auth: none, upstream: app, concurrency: { per: { header: X-Tenant }, limit: 1 }");
    let gateway = file.start().await;
    let request = |tenant: &str| format!("GET /orders/ HTTP/1.1\r\nHost: api.test\r\nX-Tenant: {tenant}\r\n\r\n");
    let mut clients = Vec::new();
    for tenant in ["a", "b"] {
        let mut client = gateway.client().await;
        client.send(request(tenant)).await;
        within("a request at the upstream", arrived.pass()).await;
        clients.push(client);
    }
    for tenant in ["a", "b"] {
        for version in BOTH {
            let mut caller = Caller::connect(&gateway, version).await;
            let response = caller.get("/orders/", &[("x-tenant", tenant)]).await;
            refused_by(&response, "CONCURRENCY_LIMITED", "orders.concurrency");
        }
    }
    for mut client in clients {
        release.open();
        assert_eq!(client.response().await.status, 200);
    }
}
