//! What is fetched while nobody waits: stale answers that are given meanwhile, popular ones before they expire, and what becomes of both when
//! the upstream fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::scene::{BOTH, Caller, Version, answer, asking, did, expect, get, kept, number_is};
use super::stampede::build;
use crate::support::{Gate, TestGateway, Upstream, eventually, forward_with, within};

/// The first answer is this one; every further request has to be let through, and is answered with the next of `then`, the last of them
/// again and again.
fn in_turn(first: String, then: Vec<String>, arrived: &Gate, release: &Gate) -> Upstream {
    let (gates, count) = ((arrived.clone(), release.clone()), Arc::new(AtomicUsize::new(0)));
    Upstream::scripted(move |mut conn| {
        let ((arrived, release), count, first, then) = (gates.clone(), Arc::clone(&count), first.clone(), then.clone());
        async move {
            while conn.request().await?.is_some() {
                let at = count.fetch_add(1, Ordering::SeqCst);
                if at == 0 {
                    conn.send(&first).await?;
                    continue;
                }
                arrived.open();
                release.pass().await;
                let next = then.get(at - 1).or(then.last()).unwrap();
                if next.is_empty() {
                    return conn.reset();
                }
                conn.send(next).await?;
            }
            Ok(())
        }
    })
}

const STALE: &str = "Cache-Control: max-age=60, stale-while-revalidate=1000\r\nAge: 100\r\n";

#[tokio::test]
async fn many_who_get_a_stale_answer_cause_one_fetch() {
    for threads in ["1", "2"] {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let new = answer("Cache-Control: max-age=600\r\n", "new");
        let upstream = in_turn(answer(STALE, "old"), vec![new], &arrived, &release);
        let gateway = build().set("threads", threads).start(&forward_with(upstream.address(), "", "cache: {}")).await;
        expect(&gateway.get("/x").await, "MISS", "old");
        kept(&gateway, 1).await;
        for mut client in asking(&gateway, &get("/x", ""), 20).await {
            let response = client.response().await;
            expect(&response, "STALE", "old");
            assert!(response.field("cache-status").unwrap().contains("ttl=-"), "{:?}", response.head.fields);
        }
        within("a fetch", arrived.pass()).await;
        for version in BOTH {
            expect(&Caller::connect(&gateway, version).await.get("/x", &[]).await, "STALE", "old");
        }
        assert_eq!(upstream.requests().len(), 2);
        release.open();
        number_is(&gateway, "in_flight", 0).await;
        expect(&gateway.get("/x").await, "HIT", "new");
        assert_eq!(upstream.requests().len(), 2);
        let sample = r#"sluice_cache_background_total{why="revalidate"}"#;
        assert_eq!(gateway.metrics_value(sample).await, 1.0);
    }
}

#[tokio::test]
async fn a_fetch_that_fails_leaves_the_old_one_and_the_next_request_tries_again() {
    let failures = [
        String::new(),
        "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=600\r\n\r\nfirst".to_owned(),
    ];
    for (at, failure) in failures.into_iter().enumerate() {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let cut = at == 2;
        let count = Arc::new(AtomicUsize::new(0));
        let stale = answer(&STALE.replace("=1000", "=1000, stale-if-error=1000"), "old");
        let shared = (arrived.clone(), release.clone(), count, stale);
        let upstream = Upstream::scripted(move |mut conn| {
            let ((arrived, release, count, stale), failure) = (shared.clone(), failure.clone());
            async move {
                while conn.request().await?.is_some() {
                    let at = count.fetch_add(1, Ordering::SeqCst);
                    if at == 0 {
                        conn.send(&stale).await?;
                        continue;
                    }
                    arrived.open();
                    release.pass().await;
                    conn.send(&failure).await?;
                    if cut || failure.is_empty() {
                        return conn.reset();
                    }
                }
                Ok(())
            }
        });
        let gateway = TestGateway::start(&forward_with(upstream.address(), "", "cache: {}")).await;
        let mut client = gateway.client().await;
        expect(&client.get("/x").await, "MISS", "old");
        kept(&gateway, 1).await;
        for round in 0..3 {
            expect(&client.get("/x").await, "STALE", "old");
            within("a fetch", arrived.pass()).await;
            // One that fails before its head may be repeated at once.
            (0..4).for_each(|_| release.open());
            number_is(&gateway, "in_flight", 0).await;
            kept(&gateway, 1).await;
            let asked = upstream.requests().len();
            assert!(asked > round + 1);
            // Permits and arrivals of repetitions are not for the next round.
            drain(&release).await;
            drain(&arrived).await;
        }
    }
}

/// Takes what is left in a gate.
async fn drain(gate: &Gate) {
    while tokio::time::timeout(std::time::Duration::ZERO, gate.pass()).await.is_ok() {}
}

#[tokio::test]
async fn an_old_answer_stands_in_for_an_error_as_long_as_it_may() {
    for (fields, stands_in) in [
        ("Cache-Control: max-age=60, stale-if-error=1000\r\nAge: 100\r\n", true),
        ("Cache-Control: max-age=60, stale-if-error=1000\r\nAge: 1100\r\nETag: \"a\"\r\n", false),
        ("Cache-Control: max-age=60, stale-if-error=1000, must-revalidate\r\nAge: 100\r\nETag: \"a\"\r\n", false),
        ("Cache-Control: s-maxage=60, stale-if-error=1000\r\nAge: 100\r\nETag: \"a\"\r\n", false),
        ("Cache-Control: no-cache, stale-if-error=1000\r\nETag: \"a\"\r\n", false),
    ] {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let upstream = in_turn(answer(fields, "old"), vec![String::new()], &arrived, &release);
        let gateway = TestGateway::start(&forward_with(upstream.address(), "", "cache: {}")).await;
        expect(&gateway.get("/x").await, "MISS", "old");
        kept(&gateway, 1).await;
        let mut clients = asking(&gateway, &get("/x", ""), 4).await;
        within("a question", arrived.pass()).await;
        (0..40).for_each(|_| release.open());
        for client in &mut clients {
            let response = client.response().await;
            if stands_in {
                expect(&response, "STALE", "old");
                assert!(response.field("cache-status").unwrap().contains("fwd=stale"), "{:?}", response.head.fields);
            } else {
                assert_eq!(response.status, 502, "{fields}: {}", response.text());
            }
        }
    }
}

#[tokio::test]
async fn a_popular_answer_is_fetched_before_it_expires_and_nobody_waits() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone());
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::scripted(move |mut conn| {
        let ((arrived, release), count) = (gates.clone(), Arc::clone(&count));
        async move {
            while let Some(request) = conn.request().await? {
                if request.target != "/popular" {
                    conn.send(answer("Cache-Control: max-age=600\r\n", "other")).await?;
                    continue;
                }
                let at = count.fetch_add(1, Ordering::SeqCst) + 1;
                if at > 1 {
                    arrived.open();
                    release.pass().await;
                }
                // Half of the lifetime is over at the first, nothing at the others.
                let age = if at == 1 { "Age: 300\r\n" } else { "" };
                conn.send(answer(&format!("Cache-Control: max-age=600\r\n{age}"), &at.to_string())).await?;
            }
            Ok(())
        }
    });
    let route = "cache: { refresh_ahead: 60% }";
    let gateway =
        TestGateway::build().listener("http", "h2c: true").start(&forward_with(upstream.address(), "", route)).await;
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    expect(&caller.get("/popular", &[]).await, "MISS", "1");
    // Fetches ahead are earned by those that somebody waited for.
    for at in 0..8 {
        assert_eq!(did(&caller.get(&format!("/other/{at}"), &[]).await), "MISS");
    }
    // Nobody knows how often it has to be asked for; each of them gets it at once.
    eventually("a fetch ahead", async || {
        expect(&caller.get("/popular", &[]).await, "HIT", "1");
        (upstream.requests().iter().filter(|request| request.target == "/popular").count() == 2).then_some(())
    })
    .await;
    within("the fetch", arrived.pass()).await;
    for _ in 0..20 {
        expect(&caller.get("/popular", &[]).await, "HIT", "1");
    }
    release.open();
    number_is(&gateway, "in_flight", 0).await;
    expect(&caller.get("/popular", &[]).await, "HIT", "2");
    assert_eq!(upstream.requests().iter().filter(|request| request.target == "/popular").count(), 2);
}

#[tokio::test]
async fn nothing_is_fetched_ahead_where_that_is_off_or_not_earned() {
    for (route, others) in [("cache: { refresh_ahead: off }", 8), ("cache: { refresh_ahead: 60% }", 0)] {
        let upstream = super::scene::numbered("Cache-Control: max-age=600\r\nAge: 300\r\n");
        let gateway = TestGateway::start(&forward_with(upstream.address(), "", route)).await;
        let mut client = gateway.client().await;
        expect(&client.get("/popular").await, "MISS", "1 -/-");
        for at in 0..others {
            client.get(&format!("/other/{at}")).await;
        }
        for _ in 0..50 {
            expect(&client.get("/popular").await, "HIT", "1 -/-");
        }
        assert_eq!(upstream.requests().len(), 1 + others);
    }
}
