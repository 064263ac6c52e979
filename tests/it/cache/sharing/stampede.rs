//! Many who ask for the same at the same time: one question, and one answer for all of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::scene::{BOTH, Caller, answer, asking, did, expect, get, kept, number, number_is};
use crate::support::client::Response;
use crate::support::gateway::Builder;
use crate::support::h2_client::{self, response_of};
use crate::support::{Gate, H2Client, TestGateway, Upstream, forward_with, within};

const FRESH: &str = "Cache-Control: max-age=600\r\n";

pub fn build() -> Builder {
    TestGateway::build().listener("http", "h2c: true")
}

/// Answers each request so when the test allows it; `arrived` opens when one has come.
fn held(fields: &'static str, arrived: &Gate, release: &Gate) -> Upstream {
    let gates = (arrived.clone(), release.clone());
    Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while conn.request().await?.is_some() {
                arrived.open();
                release.pass().await;
                conn.send(answer(fields, "in the end")).await?;
            }
            Ok(())
        }
    })
}

#[tokio::test]
async fn fifty_who_miss_at_the_same_time_are_one_request_to_the_upstream() {
    for threads in ["1", "2"] {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let upstream = held(FRESH, &arrived, &release);
        let gateway = build().set("threads", threads).start(&forward_with(upstream.address(), "", "cache: {}")).await;
        let mut first = asking(&gateway, &get("/x", ""), 1).await.swap_remove(0);
        within("the question", arrived.pass()).await;
        let others = asking(&gateway, &get("/x", ""), 24).await;
        let mut streams = Vec::new();
        let mut connections = Vec::new();
        for _ in 0..5 {
            let mut connection = H2Client::connect(gateway.address()).await;
            for _ in 0..5 {
                streams.push(connection.open(h2_client::get("/x"), true).await.unwrap().0);
            }
            connections.push(connection);
        }
        number_is(&gateway, "collapsed", 49).await;
        assert_eq!((number(&gateway, "in_flight").await, upstream.requests().len()), (1, 1));
        release.open();
        let leader = first.response().await;
        expect(&leader, "MISS", "in the end");
        assert!(!leader.field("cache-status").unwrap().contains("collapsed"));
        for mut client in others {
            let response = client.response().await;
            expect(&response, "MISS", "in the end");
            assert!(response.field("cache-status").unwrap().contains("collapsed"), "{:?}", response.head.fields);
        }
        for stream in streams {
            let response = response_of(stream).await.unwrap();
            assert_eq!((response.status.as_u16(), response.body.as_slice()), (200, &b"in the end"[..]));
        }
        kept(&gateway, 1).await;
        expect(&gateway.get("/x").await, "HIT", "in the end");
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn who_asks_for_something_else_does_not_wait() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = held(FRESH, &arrived, &release);
    let gateway = build().start(&forward_with(upstream.address(), "", "cache: { headers: [X-Tenant] }")).await;
    let mut waiting = Vec::new();
    for request in [
        get("/x", ""),
        get("/x?", ""),
        get("/x?a=1", ""),
        get("/x/", ""),
        get("/x", "X-Tenant: a\r\n"),
        get("/x", "").replace("api.test", "other.test"),
    ] {
        waiting.extend(asking(&gateway, &request, 1).await);
        within("a question of its own", arrived.pass()).await;
    }
    assert_eq!(number(&gateway, "collapsed").await, 0);
    for mut client in waiting {
        release.open();
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn an_answer_for_one_only_makes_nobody_wait_for_its_body() {
    const WAITING: usize = 6;
    for refused in ["Cache-Control: no-store\r\n", "Set-Cookie: a=1\r\n", "Vary: *\r\n", "Cache-Control: private\r\n"] {
        let (arrived, head, body) = (Gate::closed(), Gate::closed(), Gate::closed());
        let gates = (arrived.clone(), head.clone(), body.clone());
        let count = Arc::new(AtomicUsize::new(0));
        let upstream = Upstream::scripted(move |mut conn| {
            let ((arrived, head, body), count) = (gates.clone(), Arc::clone(&count));
            async move {
                while conn.request().await?.is_some() {
                    let at = count.fetch_add(1, Ordering::SeqCst);
                    arrived.open();
                    head.pass().await;
                    conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{refused}\r\n")).await?;
                    body.pass().await;
                    conn.send(format!("{at:02}")).await?;
                }
                Ok(())
            }
        });
        let gateway = build().start(&forward_with(upstream.address(), "", "cache: 60s")).await;
        let mut clients = asking(&gateway, &get("/x", ""), 1).await;
        within("the first question", arrived.pass()).await;
        clients.extend(asking(&gateway, &get("/x", ""), WAITING).await);
        number_is(&gateway, "collapsed", WAITING as u64).await;
        // It turns out to be for the first; nobody has a body yet when all the others have asked for themselves.
        head.open();
        for _ in 0..WAITING {
            within("a question of one that waited", arrived.pass()).await;
        }
        // Later ones have learnt it, and do not even wait for a head.
        clients.extend(asking(&gateway, &get("/x", ""), WAITING).await);
        for _ in 0..WAITING {
            within("a question of one that came later", arrived.pass()).await;
        }
        assert_eq!(number(&gateway, "collapsed").await, WAITING as u64);
        (0..2 * WAITING).for_each(|_| head.open());
        (0..=2 * WAITING).for_each(|_| body.open());
        let mut bodies: Vec<String> = Vec::new();
        for client in &mut clients {
            let response = client.response().await;
            assert_eq!(response.status, 200);
            bodies.push(response.text().to_owned());
        }
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 2 * WAITING + 1, "{refused}: each has an answer of its own");
        assert_eq!(number(&gateway, "entries").await, 0);
    }
}

/// Says in which form the answer is, and stalls in its middle.
fn negotiating(arrived: &Gate, release: &Gate) -> Upstream {
    let gates = (arrived.clone(), release.clone());
    Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while let Some(request) = conn.request().await? {
                let coding = request.head.field("accept-encoding").unwrap_or("identity").to_owned();
                arrived.open();
                let body = format!("coded as {coding}");
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nVary: Accept-Encoding\r\n{FRESH}\r\ncoded",
                    body.len()
                );
                conn.send(head).await?;
                release.pass().await;
                conn.send(&body[5..]).await?;
            }
            Ok::<(), io::Error>(())
        }
    })
}

#[tokio::test]
async fn who_takes_another_form_gets_its_own() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = negotiating(&arrived, &release);
    let gateway = build().start(&forward_with(upstream.address(), "", "cache: {}")).await;
    let request = |coding: &str| get("/x", &format!("Accept-Encoding: {coding}\r\n"));
    let mut clients = asking(&gateway, &request("gzip"), 2).await;
    within("the first question", arrived.pass()).await;
    clients.extend(asking(&gateway, &request("br"), 2).await);
    clients.extend(asking(&gateway, &request("gzip"), 2).await);
    // Whoever takes another form does not wait for the end of this one.
    within("a question for the other form", arrived.pass()).await;
    (0..6).for_each(|_| release.open());
    for (at, client) in clients.iter_mut().enumerate() {
        let coding = if (2..4).contains(&at) { "br" } else { "gzip" };
        assert_eq!(client.response().await.text(), format!("coded as {coding}"));
    }
    number_is(&gateway, "in_flight", 0).await;
    (0..6).for_each(|_| release.open());
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for coding in ["gzip", "br", "gzip"] {
            let response: Response = caller.get("/x", &[("accept-encoding", coding)]).await;
            assert_eq!(response.text(), format!("coded as {coding}"));
        }
        assert_eq!(did(&caller.get("/x", &[("accept-encoding", "gzip")]).await), "HIT");
        assert_eq!(did(&caller.get("/x", &[("accept-encoding", "br")]).await), "HIT");
    }
}
