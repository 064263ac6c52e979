//! Quotas: so many in a period of the calendar, and over a restart.

use std::path::Path;

use rusqlite::Connection;
use sluice::base::clock;

use super::scene::{
    BOTH, Caller, File, KEYED_HERE, OPEN, Partner, Version, behind_proxy, build, left, logged, member, refusals,
    refused_by,
};
use crate::cli::process::{Place, Process, bootstrap};
use crate::support::gateway::Folder;
use crate::support::{Client, TestGateway, eventually};

const DAY: u64 = 86_400;

/// Seconds of now within a period that has the same length every time.
fn into(period: u64, first: u64) -> u64 {
    (clock::since_epoch().as_secs() - first) % period
}

#[tokio::test]
async fn a_period_of_the_calendar_has_so_many_and_ends_when_it_was_told() {
    // Monday, 5 January 1970.
    for (text, name, length, first) in [
        ("hour", "hourly", 3_600, 0),
        ("day", "daily", DAY, 0),
        ("week", "weekly", 7 * DAY, 4 * DAY),
        ("month", "monthly", 31 * DAY, 0),
    ] {
        let acme = Partner::new("acme");
        let file = File::without_upstream()
            .plan("standard", &format!("quotas: [{{ limit: 3/{text}, name: {name} }}]"))
            .partner("standard", &acme)
            .route("orders", KEYED_HERE);
        // Not just before the end of a period, which would make two of one.
        if text != "month" {
            let inside = async || (into(length, first) + 5 < length).then_some(());
            tokio::time::timeout(std::time::Duration::from_secs(8), eventually("a period", inside)).await.unwrap();
        }
        let gateway = file.start().await;
        for still in [2, 1, 0] {
            let mut caller = Caller::connect(&gateway, BOTH[still % 2]).await;
            let response = acme.get(&mut caller, "/orders/").await;
            assert_eq!(response.head.all("ratelimit-policy"), [format!(r#""{name}";q=3;w={length}"#)]);
            let told = member(&response, "ratelimit", name);
            assert_eq!(told.number("r"), still as u64);
            let ends_in = told.number("t");
            if text == "month" {
                assert!((1..=length).contains(&ends_in));
            } else {
                let expected = length - into(length, first);
                assert!((expected..=expected + 5).contains(&ends_in), "{ends_in} of {expected}");
            }
        }
        for version in BOTH {
            let mut caller = Caller::connect(&gateway, version).await;
            let response = acme.get(&mut caller, "/orders/").await;
            let wait = refused_by(&response, "QUOTA_EXCEEDED", name);
            assert_eq!(response.head.all("ratelimit"), [format!(r#""{name}";r=0;t={wait}"#)]);
        }
        let line = logged(&gateway, 4).await;
        assert_eq!((&line["reason"], &line["limit"]), (&"QUOTA_EXCEEDED".into(), &name.into()), "{line}");
        assert_eq!(refusals(&gateway, name).await, 2.0);
    }
}

/// Quotas of all kinds, and a rate beside them.
fn all_kinds(acme: &Partner, globex: &Partner) -> File {
    File::without_upstream()
        .plan("standard", "rate_limit: 2/h, burst: 20, quota: 5/month")
        .partner("standard", acme)
        .partner("standard", globex)
        .route("orders", KEYED_HERE)
        .route("strangers", &format!("{OPEN}, quota: {{ per: [address, {{header: X-Tenant}}], limit: 3/month }}"))
        .route("whole", &format!("{OPEN}, quota: {{ per: route, limit: 4/month, name: whole }}"))
}

async fn start(file: &File, store: Option<&Path>) -> TestGateway {
    let store = store.map_or_else(|| "\"off\"".to_owned(), |store| format!("{{ file: \"{}\" }}", store.display()));
    behind_proxy(build()).set("store", &store).start(&file.to_string()).await
}

async fn stop(gateway: TestGateway, by_terminate: bool) {
    if by_terminate {
        gateway.terminate();
    } else {
        gateway.interrupt();
    }
    gateway.stopped().await;
}

#[tokio::test]
async fn with_a_store_counts_go_on_over_a_restart() {
    let (acme, globex) = (Partner::new("acme"), Partner::new("globex"));
    let folder = Folder::new();
    let store = folder.path().join("state/sluice.db");
    let file = all_kinds(&acme, &globex);
    let long = "x".repeat(300);
    let strangers = [("203.0.113.7", "a"), ("203.0.113.7", "b"), ("2001:db8::7", long.as_str())];
    let stranger = |at: usize| [("x-forwarded-for", strangers[at].0), ("x-tenant", strangers[at].1)];

    let gateway = start(&file, Some(&store)).await;
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    assert_eq!(acme.gets(&mut caller, "/orders/", 3).await, [200; 3]);
    assert_eq!(globex.gets(&mut caller, "/orders/", 6).await, [200, 200, 200, 200, 200, 429]);
    for (at, used) in [1, 2, 3].into_iter().enumerate() {
        for _ in 0..used {
            assert_eq!(caller.get("/strangers/", &stranger(at)).await.status, 200);
        }
    }
    assert_eq!(caller.get("/whole/", &[]).await.status, 200);
    drop(caller);
    stop(gateway, true).await;

    let gateway = start(&file, Some(&store)).await;
    let mut caller = Caller::connect(&gateway, Version::One).await;
    let response = acme.get(&mut caller, "/orders/").await;
    assert_eq!(
        (left(&response, "standard.quota"), left(&response, "standard.rate_limit")),
        (1, 19),
        "rates begin anew"
    );
    refused_by(&globex.get(&mut caller, "/orders/").await, "QUOTA_EXCEEDED", "standard.quota");
    for (at, still) in [Some(1), Some(0), None].into_iter().enumerate() {
        let response = caller.get("/strangers/", &stranger(at)).await;
        match still {
            Some(still) => assert_eq!(left(&response, "strangers.quota"), still),
            None => drop(refused_by(&response, "QUOTA_EXCEEDED", "strangers.quota")),
        }
    }
    assert_eq!(left(&caller.get("/whole/", &[]).await, "whole"), 2);
    drop(caller);
    stop(gateway, false).await;

    // Nobody asks for them this time; and the file has another limit now.
    let gateway = start(&file, Some(&store)).await;
    stop(gateway, false).await;
    let gateway = start(&file.clone().plan("standard", "quota: 6/month"), Some(&store)).await;
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    assert_eq!(acme.gets(&mut caller, "/orders/", 3).await, [200, 200, 429]);
    assert_eq!(globex.gets(&mut caller, "/orders/", 2).await, [200, 429]);
    assert_eq!(left(&caller.get("/whole/", &[]).await, "whole"), 1);
}

#[tokio::test]
async fn without_a_store_counts_begin_anew() {
    let (acme, globex) = (Partner::new("acme"), Partner::new("globex"));
    let file = all_kinds(&acme, &globex);
    for _ in 0..2 {
        let gateway = start(&file, None).await;
        let mut caller = Caller::connect(&gateway, Version::One).await;
        assert_eq!(acme.gets(&mut caller, "/orders/", 6).await, [200, 200, 200, 200, 200, 429]);
        stop(gateway, false).await;
    }
}

/// The program with a store beside its files.
async fn run(place: &Place) -> (Process, Client) {
    let process = place.start(&["run", "--format", "json"]);
    let client = Client::connect(process.started().await.listener("http")).await;
    (process, client)
}

/// What the store has counted in all.
fn kept(file: &Path) -> u64 {
    let sum = Connection::open(file).and_then(|store| {
        store.query_row("SELECT coalesce(sum(count), 0) FROM quotas", [], |row| row.get::<_, i64>(0))
    });
    // Before the first second is over, there may be nothing.
    sum.map_or(0, i64::unsigned_abs)
}

#[tokio::test]
async fn a_crash_loses_no_more_than_the_last_second() {
    let file = File::without_upstream().route("orders", &format!("{OPEN}, quota: {{ per: address, limit: 10/month }}"));
    let place = Place::serving(&file.to_string());
    let store = place.path("state/sluice.db");
    place.write("config/gateway.yaml", bootstrap(&format!("store: {{ file: \"{}\" }}\n", store.display())));
    let mut used = 0;
    for _ in 0..3 {
        let (mut process, mut client) = run(&place).await;
        for _ in 0..2 {
            let response = client.get("/orders/").await;
            used += 1;
            assert_eq!((response.status, left(&response, "orders.quota")), (200, 10 - used));
        }
        // No request, and no end: the count is kept all the same.
        eventually("it is in the store", async || (kept(&store) == used).then_some(())).await;
        process.signal("KILL");
        process.ended().await;
    }
    // Killed at once after a request: what was kept before is not lost, and nothing is counted twice.
    let (mut process, mut client) = run(&place).await;
    assert_eq!(left(&client.get("/orders/").await, "orders.quota"), 3);
    process.signal("KILL");
    process.ended().await;
    let (_process, mut client) = run(&place).await;
    let still = left(&client.get("/orders/").await, "orders.quota");
    assert!(still == 2 || still == 3, "{still}");
}

#[tokio::test]
async fn what_is_refused_is_not_kept_as_used() {
    let acme = Partner::new("acme");
    let folder = Folder::new();
    let store = folder.path().join("sluice.db");
    let file = File::without_upstream()
        .plan("standard", "quota: 9/month")
        .partner("standard", &acme)
        .route("orders", &format!("{KEYED_HERE}, quota: {{ per: partner, limit: 1/month, name: tight }}"))
        .route("late", &format!("{KEYED_HERE}, rate_limit: {{ per: partner, rate: 1/h }}"));
    let gateway = start(&file, Some(&store)).await;
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    assert_eq!(acme.gets(&mut caller, "/orders/", 4).await, [200, 429, 429, 429]);
    assert_eq!(acme.gets(&mut caller, "/late/", 4).await, [200, 429, 429, 429]);
    drop(caller);
    stop(gateway, false).await;
    assert_eq!(kept(&store), 3, "one of the route, two of the plan");
    let gateway = start(&file, Some(&store)).await;
    let mut caller = Caller::connect(&gateway, Version::One).await;
    assert_eq!(left(&acme.get(&mut caller, "/late/").await, "standard.quota"), 6);
}
