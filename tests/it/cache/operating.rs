//! What operators see of the cache: log lines, metrics, the admin API.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::identity::scene::{BOTH, Caller, File, Version, build, claims, claims_with, provider};
use crate::support::gateway::forward_with;
use crate::support::{Client, Gate, TestGateway, Upstream, eventually};

const KEEPS: &str = "cache: { ttl: 60s, bypass: [{ header: X-No-Cache }], tags: [all, \"of:{rest...}\"] }";

fn keeping(upstream: SocketAddr) -> String {
    forward_with(upstream, "", KEEPS)
}

fn told(status: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n{fields}\r\n12345")
}

/// Answers as the first segment of the path says; what is about to be asked for again says that it is too old already.
fn various() -> Upstream {
    Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            let again = request.head.field("if-none-match").is_some();
            let answer = match (request.target.split('/').nth(1).unwrap_or_default(), again) {
                ("confirmed", true) => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned(),
                ("confirmed" | "changed", _) => {
                    told("200 OK", "ETag: \"a\"\r\nCache-Control: max-age=60\r\nAge: 100\r\n")
                }
                ("fails", true) => told("503 Service Unavailable", ""),
                ("fails", _) => {
                    told("200 OK", "ETag: \"a\"\r\nCache-Control: max-age=60, stale-if-error=600\r\nAge: 100\r\n")
                }
                ("while", _) => told("200 OK", "Cache-Control: max-age=60, stale-while-revalidate=600\r\nAge: 100\r\n"),
                ("late", _) => told("200 OK", "Cache-Control: max-age=10000\r\nAge: 9500\r\n"),
                ("varies", _) => told("200 OK", "Vary: Accept-Language\r\n"),
                _ => told("200 OK", ""),
            };
            conn.send(answer).await?;
        }
        Ok(())
    })
}

/// A target, the fields of its request, and what the cache does with it.
type Step = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// What is asked, with which fields, and what the cache makes of it.
const HISTORY: [Step; 15] = [
    ("/fresh", &[], "miss"),
    ("/fresh", &[], "hit"),
    ("/fresh", &[("cache-control", "no-cache")], "refetch"),
    ("/fresh", &[("x-no-cache", "1")], "bypass"),
    ("/fresh", &[("if-unmodified-since", "Thu, 01 Jan 2026 00:00:00 GMT")], "bypass"),
    ("/while", &[], "miss"),
    ("/while", &[], "stale"),
    ("/confirmed", &[], "miss"),
    ("/confirmed", &[], "revalidated"),
    ("/changed", &[], "miss"),
    ("/changed", &[], "expired"),
    ("/fails", &[], "miss"),
    ("/fails", &[], "stale_error"),
    ("/varies", &[("accept-language", "de")], "miss"),
    ("/varies", &[("accept-language", "en")], "vary_miss"),
];

#[tokio::test]
async fn every_request_leaves_what_the_cache_did_in_its_line_its_answer_and_the_metrics() {
    for version in BOTH {
        let upstream = various();
        let gateway = build().start(&keeping(upstream.address())).await;
        let mut caller = Caller::connect(&gateway, version).await;
        for (target, fields, result) in HISTORY {
            let answer = caller.get(target, fields).await;
            assert_eq!((answer.status, answer.text()), (200, "12345"), "{target}");
            let x_cache = match result {
                "stale_error" => "STALE".to_owned(),
                "vary_miss" => "MISS".to_owned(),
                "refetch" => "BYPASS".to_owned(),
                result => result.to_uppercase(),
            };
            assert_eq!(answer.field("x-cache"), Some(&*x_cache), "{target}");
        }
        let post = "POST /fresh HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(gateway.client().await.request(post).await.field("x-cache"), Some("BYPASS"));

        let lines = gateway.access_log(HISTORY.len() + 1).await;
        let logged: Vec<_> = lines.iter().map(|line| line["cache"].as_str().unwrap()).collect();
        let done: Vec<_> = HISTORY.iter().map(|(_, _, result)| *result).chain(["method"]).collect();
        assert_eq!(logged, done);
        for line in &lines {
            let from_memory = ["hit", "stale"].contains(&line["cache"].as_str().unwrap());
            for key in ["upstream", "endpoint", "first_byte_us"] {
                assert_eq!(line.get(key).is_none(), from_memory, "{key} in {line}");
            }
            assert_eq!((&line["status"], &line["response_bytes"]), (&200.into(), &5.into()), "{line}");
        }
        for result in done.iter().copied() {
            let count = done.iter().filter(|other| **other == result).count();
            gateway.metric_reaches(&results("all", result), count as f64).await;
        }
        // Of what came from memory: one hit without an age, one stale answer.
        let ages = |bound| format!("sluice_cache_age_seconds_bucket{{le=\"{bound}\"}}");
        for (sample, value) in [
            (ages("60"), 1.0),
            (ages("300"), 2.0),
            ("sluice_cache_age_seconds_count".to_owned(), 2.0),
            ("sluice_upstream_first_byte_seconds_count{route=\"all\"}".to_owned(), (lines.len() - 2) as f64),
            ("sluice_cache_background_total{why=\"revalidate\"}".to_owned(), 1.0),
            ("sluice_cache_background_total{why=\"refresh_ahead\"}".to_owned(), 0.0),
        ] {
            gateway.metric_reaches(&sample, value).await;
        }
    }
}

fn results(route: &str, result: &str) -> String {
    format!("sluice_cache_requests_total{{route=\"{route}\",result=\"{result}\"}}")
}

#[tokio::test]
async fn without_a_cache_nothing_is_said_of_one() {
    let upstream = various();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "")).await;
    let answer = gateway.get("/fresh").await;
    assert_eq!((answer.field("x-cache"), answer.field("cache-status"), answer.field("age")), (None, None, None));
    let line = gateway.access_log(1).await.swap_remove(0);
    assert!(line.get("cache").is_none(), "{line}");
    let (_, text) = gateway.admin_get("/metrics").await;
    assert!(!text.contains("sluice_cache_requests_total{"), "{text}");
}

#[tokio::test]
async fn requests_that_waited_for_one_answer_are_counted() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let gateway = TestGateway::start(&keeping(upstream.address())).await;
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..3 {
        let mut client = gateway.client().await;
        client.send("GET /x HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        clients.push(client);
        match number {
            0 => arrived.pass().await,
            waiting => gateway.metric_reaches("sluice_cache_collapsed_total", f64::from(waiting)).await,
        }
    }
    assert_eq!(numbers(&gateway).await["in_flight"], 1);
    release.open();
    let mut told = Vec::new();
    for mut client in clients {
        told.push(client.response().await.field("cache-status").unwrap().to_owned());
    }
    assert_eq!(told[0], "sluice; fwd=uri-miss; fwd-status=200; stored");
    assert!(told[1..].iter().all(|told| told.ends_with("; collapsed")), "{told:?}");
    assert_eq!(upstream.requests().len(), 1);
    gateway.metric_reaches(&results("all", "miss"), 3.0).await;
    eventually("nothing in flight", async || (numbers(&gateway).await["in_flight"] == 0).then_some(())).await;
    assert_eq!(numbers(&gateway).await["collapsed"], 2);
}

#[tokio::test]
async fn a_popular_answer_is_fetched_before_it_expires_and_that_is_counted() {
    let upstream = various();
    let gateway = TestGateway::start(&keeping(upstream.address())).await;
    let mut client = gateway.client().await;
    // Answers that somebody waited for pay for one that nobody did.
    for target in ["/late/1", "/late/2", "/late/3", "/late/4"] {
        assert_eq!(client.get(target).await.field("x-cache"), Some("MISS"));
    }
    for _ in 0..3 {
        let answer = client.get("/late/1").await;
        assert_eq!(answer.field("x-cache"), Some("HIT"));
    }
    assert_eq!(upstream.request(5).await.target, "/late/1");
    gateway.metric_reaches("sluice_cache_background_total{why=\"refresh_ahead\"}", 1.0).await;
    assert_eq!(gateway.access_log(7).await.len(), 7, "nobody's request has no line");
    gateway.metric_reaches("sluice_cache_age_seconds_bucket{le=\"21600\"}", 3.0).await;
}

/// `GET /cache`.
async fn numbers(gateway: &TestGateway) -> Value {
    let (status, text) = gateway.admin_get("/cache").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// What is stored for a path of `http://api.test`, with further parameters of the look-up behind `&`.
async fn found(gateway: &TestGateway, asked: &str) -> Value {
    found_at(gateway, &format!("http://api.test{asked}")).await
}

async fn found_at(gateway: &TestGateway, url: &str) -> Value {
    let (status, text) = gateway.admin_get(&format!("/cache/look-up?url={url}")).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn purge(gateway: &TestGateway, what: &Value) -> Value {
    let (status, text) = gateway.admin_send("POST", "/cache/purge", &what.to_string()).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn what_is_stored_is_counted_looked_up_and_purged() {
    let upstream = various();
    let gateway = TestGateway::build().set("cache", "{ memory: 2MiB }").start(&keeping(upstream.address())).await;
    let mut client = gateway.client().await;
    for target in ["/a", "/a", "/a?x=1", "/b", "/b/c"] {
        client.get(target).await;
    }
    let now = numbers(&gateway).await;
    assert_eq!((&now["entries"], &now["budget"]), (&4.into(), &(2 << 20).into()), "{now}");
    let bytes = now["bytes"].as_u64().unwrap();
    assert!((4 * 5..2 << 20).contains(&bytes), "{now}");
    let (_, status) = gateway.admin_get("/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["cache"], json!({ "entries": 4, "bytes": bytes, "budget": 2 << 20 }));
    gateway.metric_reaches("sluice_cache_entries", 4.0).await;
    gateway.metric_reaches("sluice_cache_bytes", bytes as f64).await;
    gateway.metric_reaches("sluice_cache_budget_bytes", f64::from(2 << 20)).await;

    let found_there = found(&gateway, "/a").await;
    assert_eq!(found_there["count"], 2, "with every query: {found_there}");
    let of = |key: &str| found_there["entries"].as_array().unwrap().iter().find(|entry| entry["key"] == key).cloned();
    assert!(of("http://api.test/a?x=1 for the public").is_some(), "{found_there}");
    let entry = of("http://api.test/a for the public").expect("an entry of that key");
    for (key, value) in [
        ("route", json!("all")),
        ("partner", Value::Null),
        ("tags", json!(["all", "of:a"])),
        ("status", json!(200)),
        ("stale", json!(false)),
        ("body_bytes", json!(5)),
        ("hits", json!(1)),
    ] {
        assert_eq!(entry[key], value, "{key} in {entry}");
    }
    assert!(entry["fresh_for"].as_u64().unwrap() <= 60 && entry["age"].as_u64().unwrap() < 60, "{entry}");
    assert_eq!(found(&gateway, "/a?x=1").await["count"], 1);
    assert_eq!(found_at(&gateway, "https://api.test/a").await["count"], 0, "another scheme is another resource");

    assert_eq!(purge(&gateway, &json!({ "tag": "of:a" })).await, json!({ "purged": 2, "warnings": [] }));
    assert_eq!(client.get("/a").await.field("x-cache"), Some("MISS"));
    assert_eq!(client.get("/b").await.field("x-cache"), Some("HIT"));
    assert_eq!(purge(&gateway, &json!({ "url": "http://api.test/b" })).await["purged"], 1);
    assert_eq!(client.get("/b").await.field("x-cache"), Some("MISS"));
    assert_eq!(client.get("/b/c").await.field("x-cache"), Some("HIT"), "below it is something else");
    assert_eq!(purge(&gateway, &json!({ "route": "all" })).await["purged"], 3);
    let strangers = purge(&gateway, &json!({ "route": "none" })).await;
    assert_eq!((&strangers["purged"], strangers["warnings"].as_array().unwrap().len()), (&0.into(), 1));
    let now = numbers(&gateway).await;
    assert_eq!((&now["entries"], &now["bytes"], &now["purged"]), (&0.into(), &0.into(), &6.into()), "{now}");
    gateway.metric_reaches("sluice_cache_purged_total", 6.0).await;
    gateway.metric_reaches("sluice_cache_entries", 0.0).await;
}

#[tokio::test]
async fn a_soft_purge_leaves_what_can_be_confirmed() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            let again = request.head.field("if-none-match").is_some();
            let fields = "ETag: \"a\"\r\nCache-Control: max-age=60\r\n";
            conn.send(if again {
                format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")
            } else {
                told("200 OK", fields)
            })
            .await?;
        }
        Ok(())
    });
    let gateway = TestGateway::start(&keeping(upstream.address())).await;
    let mut client = gateway.client().await;
    client.get("/a").await;
    assert_eq!(purge(&gateway, &json!({ "all": true, "soft": true })).await["purged"], 1);
    assert_eq!(found(&gateway, "/a").await["entries"][0]["stale"], true);
    let answer = client.get("/a").await;
    assert_eq!((answer.field("x-cache"), answer.text()), (Some("REVALIDATED"), "12345"));
    assert_eq!(client.get("/a").await.field("x-cache"), Some("HIT"));
}

#[tokio::test]
async fn answers_are_looked_up_and_purged_by_who_gets_them_without_a_credential_being_shown() {
    let (key, provider) = provider();
    let upstream = various();
    let file = File::usual(&upstream, &provider)
        .partner("globex", "clients: [globex-app]")
        .route("own", "issuer: main", "cache: { ttl: 60s, headers: [X-Api-Secret, X-Tenant] }")
        .route("theirs", "issuer: main", "cache: { ttl: 60s, per: partner }");
    let gateway = build().start(&file.to_string()).await;
    let mut caller = Caller::connect(&gateway, Version::One).await;
    let ann = key.sign(&claims());
    let bob = key.sign(&claims_with(json!({ "sub": "bob" })));
    let zoe = key.sign(&claims_with(json!({ "sub": "zoe", "azp": "globex-app" })));
    for token in [&ann, &bob, &zoe] {
        for target in ["/own", "/theirs"] {
            let authorization = format!("Bearer {token}");
            let fields = [("authorization", &*authorization), ("x-api-secret", "hush"), ("x-tenant", "7")];
            assert_eq!(caller.get(target, &fields).await.status, 200);
        }
    }
    let logged: Vec<_> = gateway.access_log(6).await.iter().map(|line| line["cache"].clone()).collect();
    assert_eq!(logged, ["miss", "miss", "miss", "hit", "miss", "miss"], "per subject, and per partner");

    let shown = found(&gateway, "/own").await;
    assert_eq!(shown["count"], 3, "{shown}");
    assert!(!shown.to_string().contains("hush") && !shown.to_string().contains("eyJ"), "{shown}");
    let ids: std::collections::BTreeSet<_> =
        shown["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3, "{shown}");
    let of = found(&gateway, "/own&partner=acme&subject=ann").await;
    assert_eq!(of["count"], 1, "{of}");
    assert_eq!(
        of["entries"][0]["key"],
        "http://api.test/own for partner acme, subject ann (main), with scope: orders:read, with x-api-secret, with x-tenant: 7"
    );
    assert_eq!(found(&gateway, "/theirs&partner=globex").await["count"], 1);
    assert_eq!(purge(&gateway, &json!({ "partner": "acme" })).await["purged"], 3);
    assert_eq!(found(&gateway, "/own").await["count"], 1);
    assert_eq!(numbers(&gateway).await["entries"], 2);
}

#[tokio::test]
async fn where_there_is_no_memory_nothing_is_kept_and_nothing_said_of_a_cache() {
    let upstream = various();
    let gateway = TestGateway::build().set("cache", "{ memory: off }").start(&keeping(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let answer = client.get("/a").await;
        assert_eq!((answer.field("x-cache"), answer.field("cache-status")), (None, None));
    }
    assert_eq!(upstream.requests().len(), 2);
    assert!(gateway.access_log(2).await.iter().all(|line| line.get("cache").is_none()));
    let now = numbers(&gateway).await;
    assert_eq!((&now["entries"], &now["bytes"], &now["budget"]), (&0.into(), &0.into(), &0.into()), "{now}");
}
