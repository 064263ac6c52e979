//! What is tried again, and what never is.

use tokio::io::AsyncWriteExt;

use crate::support::gateway::{engine_under_test, routes};
use crate::support::upstream::Refusing;
use crate::support::{Gate, TestGateway, Upstream, eventually, forward_all, forward_with, ok, within};

#[tokio::test]
async fn a_refused_connection_is_said_to_be_one() {
    let upstream = Refusing::new();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let problem = gateway.get("/").await.refused(502, "UPSTREAM_CONNECT");
    assert!(!problem.to_string().contains(&upstream.address().port().to_string()), "no internals: {problem}");
    let line = gateway.logged_reason("UPSTREAM_CONNECT").await;
    assert_eq!((&line["upstream"], &line["endpoint"]), (&"app".into(), &upstream.address().to_string().into()));
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over_whatever_the_method() {
    let (refusing, upstream) = (Refusing::new(), Upstream::echo());
    let both = format!(r#"{{ endpoints: ["{}", "{}"] }}"#, refusing.address(), upstream.address());
    let route = r#"{ name: all, match: { path: "/{rest...}" }, auth: none, upstream: app }"#;
    let gateway = TestGateway::start(&routes(&[("app", both)], &[route])).await;
    for method in ["GET", "POST"].repeat(4) {
        let request = format!("{method} / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(gateway.request(request).await.echo().body_length, 2);
    }
    let lines = gateway.access_log(8).await;
    assert!(lines.iter().any(|line| line["attempts"] == 2), "{lines:?}");
}

/// Answers one request on each connection, and ends the connection when the next one has been read.
fn closing_on_the_second_request() -> Upstream {
    Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.send(ok("answered")).await?;
        conn.request().await.map(drop)
    })
}

#[tokio::test]
async fn a_get_on_a_connection_that_had_gone_stale_is_sent_once_more() {
    let upstream = closing_on_the_second_request();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/1").await.text(), "answered");
    assert_eq!(client.get("/2").await.text(), "answered");
    let seen: Vec<_> = upstream.requests().iter().map(|request| (request.connection, request.target.clone())).collect();
    assert_eq!(seen, [(0, "/1".into()), (0, "/2".into()), (1, "/2".into())]);
    assert_eq!(gateway.access_log(2).await[1]["attempts"], 2);
}

#[tokio::test]
async fn a_put_on_a_stale_connection_is_sent_once_more_with_its_body() {
    let upstream = closing_on_the_second_request();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for (target, framed) in
        [("/1", "Content-Length: 3\r\n\r\nabc"), ("/2", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")]
    {
        assert_eq!(client.get("/before").await.text(), "answered");
        let response = client.request(format!("PUT {target} HTTP/1.1\r\nHost: api.test\r\n{framed}")).await;
        assert_eq!(response.text(), "answered");
        let sent: Vec<_> = upstream.requests().into_iter().filter(|request| request.target == target).collect();
        assert_eq!(sent.iter().map(|request| &request.body.bytes[..]).collect::<Vec<_>>(), [b"abc", b"abc"]);
        // The connection of the second try is stale in its turn: it has to end before the next round.
        client.get("/after").await;
    }
}

#[tokio::test]
async fn a_body_that_is_sent_twice_counts_once() {
    let upstream = closing_on_the_second_request();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "max_body: 4B")).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/before").await.text(), "answered");
    let response = client.request("PUT / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(response.text(), "answered");
    let line = gateway.access_log(2).await.swap_remove(1);
    assert_eq!((&line["attempts"], &line["request_bytes"]), (&2.into(), &3.into()), "{line}");
}

#[tokio::test]
async fn a_post_never_meets_a_connection_that_was_closed_before() {
    let closed = Gate::closed();
    let step = closed.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.request().await?;
            conn.send(ok("answered")).await?;
            conn.wire.stream.shutdown().await?;
            step.open();
            conn.stall().await
        }
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..10 {
        let response = client.request("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc").await;
        assert_eq!(response.text(), "answered");
        within("the upstream closes", closed.pass()).await;
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (10, 10));
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_the_pool_has_room_for() {
    let (arrived, release, closed) = (Gate::closed(), Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone(), closed.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, release, closed) = gates.clone();
        async move {
            while conn.request().await?.is_some() {
                arrived.open();
                release.pass().await;
                conn.send(ok("in the end")).await?;
            }
            closed.open();
            Ok(())
        }
    });
    let gateway =
        TestGateway::build().set("upstream_pool", "{ size: 1 }").start(&forward_all(upstream.address())).await;
    let (mut one, mut other) = (gateway.client().await, gateway.client().await);
    for client in [&mut one, &mut other] {
        client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        within("a request arrives", arrived.pass()).await;
    }
    for client in [&mut one, &mut other] {
        release.open();
        assert_eq!(client.response().await.text(), "in the end");
    }
    within("one of the two is closed", closed.pass()).await;
    release.open();
    assert_eq!(one.get("/").await.text(), "in the end");
    assert_eq!(upstream.connections(), 2, "the other one was kept");
}

#[tokio::test]
async fn a_post_whose_bytes_were_sent_is_never_sent_again() {
    let upstream = closing_on_the_second_request();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/1").await.text(), "answered");
    let response = client.request("POST /2 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc").await;
    response.refused(502, "UPSTREAM_RESET");
    assert_eq!(upstream.requests().iter().filter(|request| request.method == "POST").count(), 1);
}

#[tokio::test]
async fn a_get_on_a_fresh_connection_is_not_sent_again() {
    let upstream = Upstream::scripted(|mut conn| async move { conn.request().await.map(drop) });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    gateway.get("/").await.refused(502, "UPSTREAM_RESET");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_closes_after_each_answer_without_saying_so_costs_nothing() {
    let upstream = Upstream::answering_once(ok("answered"));
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.text(), "answered");
    }
    assert_eq!(upstream.requests().len(), 50);
}

#[tokio::test]
async fn a_connection_that_is_announced_to_close_is_not_used_again() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let response = client.get("/").await;
        assert_eq!(response.text(), "hi");
        assert_ne!(response.field("connection"), Some("close"), "that was between the two of them");
    }
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_it_has_been_idle() {
    let closed = Gate::closed();
    let step = closed.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            while conn.request().await?.is_some() {
                conn.send(ok("kept")).await?;
            }
            step.open();
            Ok(())
        }
    });
    let gateway =
        TestGateway::build().set("upstream_pool", "{ idle: 100ms }").start(&forward_all(upstream.address())).await;
    assert_eq!(gateway.get("/").await.text(), "kept");
    within("the gateway closes it", closed.pass()).await;
    assert_eq!(gateway.get("/").await.text(), "kept");
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_connection_past_its_lifetime_is_not_used_again() {
    let upstream = Upstream::answering(ok("kept"));
    let lifetime = "{ idle: 1h, lifetime: 300ms }";
    let gateway = TestGateway::build().set("upstream_pool", lifetime).start(&forward_all(upstream.address())).await;
    if engine_under_test() == "pingora" {
        // Pingora knows no lifetime.
        return assert_eq!(gateway.get("/").await.text(), "kept");
    }
    eventually("a second connection although the first is never idle", async || {
        assert_eq!(gateway.get("/").await.text(), "kept");
        (upstream.connections() > 1).then_some(())
    })
    .await;
}
