//! Upstreams that fail while many wait: all of them learn it, nothing is kept of it, and the next request asks again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::scene::{answer, asking, expect, get, number, number_is};
use super::stampede::build;
use crate::support::h2_client::{self, response_of};
use crate::support::upstream::{Conn, Refusing};
use crate::support::{Gate, H2Client, TestGateway, Upstream, forward_with, within};

const FRESH: &str = "Cache-Control: max-age=600\r\n";

#[derive(Clone, Copy, Debug)]
enum Failure {
    ResetBeforeHead,
    CloseBeforeHead,
    ResetInBody,
    CloseInBody,
    CloseInChunks,
    NonsenseInChunks,
}

impl Failure {
    const ALL: [Self; 6] = [
        Self::ResetBeforeHead,
        Self::CloseBeforeHead,
        Self::ResetInBody,
        Self::CloseInBody,
        Self::CloseInChunks,
        Self::NonsenseInChunks,
    ];

    fn is_before_head(self) -> bool {
        matches!(self, Self::ResetBeforeHead | Self::CloseBeforeHead)
    }

    async fn happen(self, mut conn: Conn, release: &Gate) -> io::Result<()> {
        match self {
            Self::ResetBeforeHead | Self::CloseBeforeHead => {}
            Self::ResetInBody | Self::CloseInBody => {
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n{FRESH}\r\nfirst")).await?;
            }
            Self::CloseInChunks | Self::NonsenseInChunks => {
                conn.send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{FRESH}\r\n5\r\nfirst\r\n"))
                    .await?;
            }
        }
        release.pass().await;
        match self {
            Self::ResetBeforeHead | Self::ResetInBody => conn.reset(),
            Self::NonsenseInChunks => conn.send("no size\r\n").await,
            _ => Ok(()),
        }
    }
}

/// Fails, as long as `fails`, when the test allows it.
fn failing(failure: Failure, arrived: &Gate, release: &Gate, fails: &Arc<AtomicBool>) -> Upstream {
    let shared = (arrived.clone(), release.clone(), Arc::clone(fails));
    Upstream::scripted(move |mut conn| {
        let (arrived, release, fails) = shared.clone();
        async move {
            while conn.request().await?.is_some() {
                if fails.load(Ordering::SeqCst) {
                    arrived.open();
                    return failure.happen(conn, &release).await;
                }
                conn.send(answer(FRESH, "good again")).await?;
            }
            Ok(())
        }
    })
}

#[tokio::test]
async fn all_learn_that_it_failed_and_nobody_takes_a_part_for_the_whole() {
    for failure in Failure::ALL {
        let (arrived, release, fails) = (Gate::closed(), Gate::closed(), Arc::new(AtomicBool::new(true)));
        let upstream = failing(failure, &arrived, &release, &fails);
        let gateway = build().start(&forward_with(upstream.address(), "", "cache: {}")).await;
        let mut clients = asking(&gateway, &get("/x", ""), 1).await;
        within("the question", arrived.pass()).await;
        clients.extend(asking(&gateway, &get("/x", ""), 4).await);
        let mut h2 = H2Client::connect(gateway.address()).await;
        let (stream, _) = h2.open(h2_client::get("/x"), true).await.unwrap();
        number_is(&gateway, "collapsed", 5).await;
        if !failure.is_before_head() {
            for client in &mut clients {
                assert_eq!(client.response_head().await.0, 200, "{failure:?}");
            }
        }
        // A request that may be repeated may be tried again.
        (0..20).for_each(|_| release.open());
        for client in &mut clients {
            if failure.is_before_head() {
                let response = client.response().await;
                assert_eq!(response.status, 502, "{failure:?}: {}", response.text());
                assert_eq!(response.field("content-type"), Some("application/problem+json"));
                continue;
            }
            let chunked = matches!(failure, Failure::CloseInChunks | Failure::NonsenseInChunks);
            if chunked {
                assert_eq!(client.chunk().await.as_deref(), Some(&b"first"[..]));
                assert!(client.try_chunk().await.is_err(), "{failure:?}: no last chunk");
            } else {
                assert_eq!(client.exactly(5).await, b"first");
                client.closed().await;
            }
        }
        let response = response_of(stream).await;
        if failure.is_before_head() {
            assert_eq!(response.unwrap().status, 502, "{failure:?}");
        } else {
            assert!(response.is_err(), "{failure:?}: the stream is reset");
        }
        number_is(&gateway, "in_flight", 0).await;
        assert_eq!(number(&gateway, "entries").await, 0, "{failure:?}");
        fails.store(false, Ordering::SeqCst);
        expect(&gateway.get("/x").await, "MISS", "good again");
        upstream.take_faults();
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_asked_again() {
    let refusing = Refusing::new();
    let gateway = build().start(&forward_with(refusing.address(), "", "cache: {}")).await;
    let mut clients = asking(&gateway, &get("/x", ""), 5).await;
    for client in &mut clients {
        client.response().await.refused(502, "UPSTREAM_CONNECT");
    }
    number_is(&gateway, "in_flight", 0).await;
    assert_eq!(number(&gateway, "entries").await, 0);
    let upstream = super::scene::numbered(FRESH);
    gateway.reload_with(&forward_with(upstream.address(), "", "cache: {}")).await;
    expect(&clients[0].get("/x").await, "MISS", "1 -/-");
    expect(&clients[1].get("/x").await, "HIT", "1 -/-");
}

#[tokio::test]
async fn all_who_wait_for_a_first_byte_are_told_in_time() {
    let (arrived, gone) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::silent(&arrived, &gone);
    let gateway =
        build().start(&forward_with(upstream.address(), "", "timeouts: { first_byte: 300ms }, cache: {}")).await;
    let mut clients = asking(&gateway, &get("/x", ""), 6).await;
    let mut h2 = H2Client::connect(gateway.address()).await;
    let answer = h2.get("/x").await;
    answer.refused(504, "UPSTREAM_TIMEOUT");
    for client in &mut clients {
        client.response().await.refused(504, "UPSTREAM_TIMEOUT");
    }
    within("the upstream is left", gone.pass()).await;
    number_is(&gateway, "in_flight", 0).await;
    assert_eq!(number(&gateway, "entries").await, 0);
    let asked = upstream.requests().len();
    clients[0].get("/x").await.refused(504, "UPSTREAM_TIMEOUT");
    assert!(upstream.requests().len() > asked, "the next one asks again");
}

#[tokio::test]
async fn an_upstream_that_stops_in_the_middle_is_left_and_all_learn_it() {
    let arrived = Gate::closed();
    let opens = arrived.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let arrived = opens.clone();
        async move {
            conn.request().await?;
            arrived.open();
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n{FRESH}\r\nfirst")).await?;
            conn.stall().await
        }
    });
    let gateway =
        TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { idle: 300ms }, cache: {}")).await;
    let mut clients = asking(&gateway, &get("/x", ""), 4).await;
    within("the question", arrived.pass()).await;
    for client in &mut clients {
        assert_eq!(client.response_head().await.0, 200);
        assert_eq!(client.exactly(5).await, b"first");
    }
    for client in &mut clients {
        client.closed().await;
    }
    number_is(&gateway, "in_flight", 0).await;
    assert_eq!(number(&gateway, "entries").await, 0);
    gateway.metric_reaches(r#"sluice_reasons_total{reason="UPSTREAM_IDLE"}"#, 4.0).await;
}
