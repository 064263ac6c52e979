//! Hundreds of thousands of keys that strangers make up: memory has an end, and who is known is served.

use std::fmt::Write;
use std::net::SocketAddr;

use super::scene::{File, KEYED_HERE, OPEN, Partner, left, refused_by};
use crate::cli::process::{Place, bootstrap};
use crate::support::Client;

/// Strangers, each with an address and a field value of its own.
const STRANGERS: usize = 200_000;

/// Requests that are written at once.
const BATCH: usize = 200;

const MIB: f64 = 1024.0 * 1024.0;

/// Two rates and a quota by keys of strangers, as docs/limits.md has them, and room that an allocator has not given back.
const BUDGET: f64 = (2.0 * 3.3 + 13.0 + 16.0) * MIB;

fn get(target: &str, from: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {from}\r\n{fields}\r\n")
}

/// Each stranger asks once; how many were answered 200 and 429.
async fn flood(address: SocketAddr, strangers: std::ops::Range<usize>) -> [usize; 2] {
    let mut found = [0; 2];
    let mut client = Client::connect(address).await;
    let all: Vec<usize> = strangers.collect();
    for (at, batch) in all.chunks(BATCH).enumerate() {
        // A connection has an end after so many requests.
        if at % 40 == 39 {
            client = Client::connect(address).await;
        }
        let mut requests = String::new();
        for stranger in batch {
            let from = format!("2001:db8:{:x}:{:x}::{:x}", stranger >> 16, stranger & 0xffff, stranger % 7 + 1);
            write!(requests, "{}", get("/open/", &from, &format!("X-Tenant: tenant-{stranger}\r\n"))).unwrap();
        }
        client.send(requests).await;
        for _ in batch {
            match client.response().await.status {
                200 => found[0] += 1,
                429 => found[1] += 1,
                other => panic!("{other}"),
            }
        }
    }
    found
}

async fn resident(admin: SocketAddr) -> f64 {
    let text = Client::connect(admin).await.request("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let line = text.text().lines().find(|line| line.starts_with("process_resident_memory_bytes")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn strangers_without_number_take_a_bounded_room_and_nobodys_place() {
    let acme = Partner::new("acme");
    let file = File::without_upstream()
        .plan("standard", "rate_limit: 1000/h")
        .partner("standard", &acme)
        .route(
            "open",
            &format!(
                "{OPEN}, rate_limit: [{{ per: address, rate: 20/h, name: by-address }}, \
                 {{ per: {{ header: X-Tenant }}, rate: 20/h, name: by-tenant }}], \
                 quota: {{ per: {{ header: X-Tenant }}, limit: 20/month, name: monthly }}"
            ),
        )
        .route(
            "known",
            &format!("{KEYED_HERE}, rate_limit: {{ per: [partner, {{ header: X-Tenant }}], rate: 3/h, name: own }}"),
        );
    let place = Place::serving(&file.to_string());
    let settings = "client_address: { trusted_proxies: [\"127.0.0.0/8\"] }\naccess_log: { target: \"off\" }";
    place.write("config/gateway.yaml", bootstrap(settings));
    let process = place.start(&["run", "--format", "json"]);
    let addresses = process.started().await;
    let (http, admin) = (addresses.listener("http"), addresses.admin());

    // One of the first, who comes again later.
    let mut early = Client::connect(http).await;
    let mine = get("/open/", "2001:db8:ffff::1", "X-Tenant: early\r\n");
    for still in [19, 18] {
        let response = early.request(&mine).await;
        assert_eq!((response.status, left(&response, "by-address")), (200, still));
    }
    flood(http, 0..BATCH).await;
    let before = resident(admin).await;
    let first = flood(http, BATCH..STRANGERS / 2).await;
    let half = resident(admin).await;
    let second = flood(http, STRANGERS / 2..STRANGERS).await;
    let after = resident(admin).await;
    eprintln!(
        "{STRANGERS} strangers: {:.1} MiB for the first half, {:.1} MiB for the second; 200 and 429: {first:?}, {second:?}",
        (half - before) / MIB,
        (after - half) / MIB,
    );
    assert!(after - before <= BUDGET, "{:.1} MiB", (after - before) / MIB);
    assert!(after - half <= 8.0 * MIB, "the second half finds no more room: {:.1} MiB", (after - half) / MIB);
    assert!(first[0] >= 50_000, "there is a counter for each of these: {first:?}");
    assert!(second[1] > 0, "what has no counter of its own shares one: {second:?}");

    // Who was there before has kept the counters, and each of the limits still holds.
    let mut early = Client::connect(http).await;
    for still in [17, 16] {
        let response = early.request(&mine).await;
        assert_eq!((response.status, left(&response, "by-address")), (200, still), "{}", response.text());
        assert_eq!(left(&response, "monthly"), still);
    }
    // Who is known has room of their own, also for field values that nobody has sent before.
    let (name, key) = acme.field();
    for tenant in 0..50 {
        let request = get("/known/", "2001:db8:fffe::1", &format!("{name}: {key}\r\nX-Tenant: new-{tenant}\r\n"));
        for still in [2, 1, 0] {
            let response = early.request(&request).await;
            assert_eq!((response.status, left(&response, "own")), (200, still), "{}", response.text());
        }
        refused_by(&early.request(&request).await, "RATE_LIMITED", "own");
    }
    drop(process);
}
