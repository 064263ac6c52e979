//! Whoever fetches: upstreams that speak HTTP/2, and both engines.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::scene::{BOTH, Caller, did, expect, kept, number_is, numbered};
use super::stampede::build;
use crate::support::h2_client::{self, response_of};
use crate::support::{Gate, H2Client, H2Upstream, TestGateway, forward_with, within};

const H2: &str = "protocol: http2";

/// Numbers its answers, lets two thirds of a body wait for the test, and confirms its `ETag`.
fn upstream(arrived: &Gate, release: &Gate) -> H2Upstream {
    let gates = (arrived.clone(), release.clone());
    H2Upstream::scripted(None, move |request, mut respond| {
        let (arrived, release) = gates.clone();
        async move {
            let head = Response::builder().header("etag", "\"a\"").header("cache-control", "max-age=600");
            if request.headers.contains_key("if-none-match") {
                return respond.send_response(head.status(StatusCode::NOT_MODIFIED).body(()).unwrap(), true).map(drop);
            }
            let mut send = respond.send_response(head.body(()).unwrap(), false)?;
            send.send_data(Bytes::from_static(b"first"), false)?;
            arrived.open();
            release.pass().await;
            send.send_data(Bytes::from_static(b"-last"), true)
        }
    })
}

#[tokio::test]
async fn answers_of_http2_upstreams_are_kept() {
    for engine in ["", "engine: pingora,"] {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let upstream = upstream(&arrived, &release);
        let gateway = build().start(&forward_with(upstream.address(), H2, &format!("{engine} cache: {{}}"))).await;
        let mut clients = super::scene::asking(&gateway, &super::scene::get("/x", ""), 1).await;
        within("the question", arrived.pass()).await;
        clients.extend(super::scene::asking(&gateway, &super::scene::get("/x", ""), 2).await);
        let mut h2 = H2Client::connect(gateway.address()).await;
        let (stream, _) = h2.open(h2_client::get("/x"), true).await.unwrap();
        number_is(&gateway, "collapsed", 3).await;
        release.open();
        for client in &mut clients {
            expect(&client.response().await, "MISS", "first-last");
        }
        assert_eq!(response_of(stream).await.unwrap().body, b"first-last");
        kept(&gateway, 1).await;
        for version in BOTH {
            let mut caller = Caller::connect(&gateway, version).await;
            expect(&caller.get("/x", &[]).await, "HIT", "first-last");
            let again = caller.get("/x", &[("cache-control", "no-cache")]).await;
            assert_eq!((again.text(), did(&again)), ("first-last", "REVALIDATED"), "{engine}");
            let part = caller.get("/x", &[("range", "bytes=1-3")]).await;
            assert_eq!((part.status, part.text()), (206, "irs"));
        }
        let head = gateway.request("HEAD /x HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert_eq!((head.status, did(&head), head.field("content-length")), (200, "HIT", Some("10")));
        assert_eq!(upstream.requests().len(), 3, "{engine}: one answer, and two times that it holds");
    }
}

#[tokio::test]
async fn an_http2_upstream_that_resets_leaves_nothing_behind() {
    for engine in ["", "engine: pingora,"] {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let gates = (arrived.clone(), release.clone());
        let upstream = H2Upstream::scripted(None, move |_, mut respond| {
            let (arrived, release) = gates.clone();
            async move {
                let head = Response::builder().header("cache-control", "max-age=600");
                let mut send = respond.send_response(head.body(()).unwrap(), false)?;
                send.send_data(Bytes::from_static(b"first"), false)?;
                arrived.open();
                release.pass().await;
                send.send_reset(h2::Reason::INTERNAL_ERROR);
                Ok(())
            }
        });
        let gateway = build().start(&forward_with(upstream.address(), H2, &format!("{engine} cache: {{}}"))).await;
        let mut clients = super::scene::asking(&gateway, &super::scene::get("/x", ""), 3).await;
        within("the question", arrived.pass()).await;
        for client in &mut clients {
            client.response_head().await;
            assert_eq!(client.chunk().await.as_deref(), Some(&b"first"[..]));
        }
        release.open();
        for client in &mut clients {
            assert!(client.try_chunk().await.is_err(), "{engine}: no last chunk");
        }
        number_is(&gateway, "in_flight", 0).await;
        assert_eq!(super::scene::number(&gateway, "entries").await, 0);
    }
}

#[tokio::test]
async fn each_engine_keeps_answers() {
    for engine in ["direct", "pingora"] {
        let upstream = numbered(
            "Cache-Control: max-age=600\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Own: 2\r\n",
        );
        let gateway: TestGateway =
            build().start(&forward_with(upstream.address(), "", &format!("engine: {engine}, cache: {{}}"))).await;
        for (at, version) in BOTH.into_iter().enumerate() {
            let mut caller = Caller::connect(&gateway, version).await;
            for outcome in ["MISS", "HIT", "HIT"] {
                let response = caller.get(&format!("/{version:?}"), &[]).await;
                expect(&response, outcome, &format!("{} -/-", at + 1));
                assert_eq!((response.field("x-own"), response.field("x-hop")), (Some("2"), None), "{engine}");
                assert_eq!(response.head.all("via").len(), 1, "{engine}: {:?}", response.head.fields);
            }
        }
        assert_eq!(upstream.requests().len(), 2);
    }
}
