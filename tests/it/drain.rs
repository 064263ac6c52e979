//! Ending: what is in flight ends well, what is new goes elsewhere, and nobody waits for nothing.

use std::time::Duration;

use sluice::base::clock;

use crate::support::gateway::Builder;
use crate::support::h2_client::{get, response_of};
use crate::support::{Client, Gate, H2Client, TestGateway, Upstream, eventually, forward_all, within};

fn draining(delay: &str, timeout: &str) -> Builder {
    TestGateway::build().set("drain", &format!("{{ delay: {delay}, timeout: {timeout} }}"))
}

async fn refuses_connections(gateway: &TestGateway) {
    eventually("new connections are refused", async || tokio::net::TcpStream::connect(gateway.address()).await.err())
        .await;
}

#[tokio::test]
async fn without_connections_it_ends_at_once() {
    let upstream = Upstream::echo();
    let gateway = draining("0s", "30s").start(&forward_all(upstream.address())).await;
    assert_eq!(gateway.get("/").await.status, 200);
    let begun = clock::now();
    gateway.terminate();
    gateway.stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn idle_connections_are_closed_at_once() {
    let upstream = Upstream::echo();
    let gateway = draining("0s", "30s").start(&forward_all(upstream.address())).await;
    let mut fresh = gateway.client().await;
    let mut used = gateway.client().await;
    assert_eq!(used.get("/").await.status, 200);
    gateway.terminate();
    used.closed().await;
    fresh.closed().await;
    gateway.stopped().await;
}

#[tokio::test]
async fn a_request_in_flight_finishes_and_new_connections_are_refused() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let gateway = draining("0s", "30s").start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the request arrives", arrived.pass()).await;
    gateway.terminate();
    refuses_connections(&gateway).await;
    release.open();
    let response = client.response().await;
    assert_eq!((response.text(), response.field("connection")), ("in the end", Some("close")));
    client.closed().await;
    gateway.stopped().await;
    assert_eq!(gateway.access_log(1).await[0]["path"], "/slow", "the log was written to its end");
}

#[tokio::test]
async fn readiness_turns_red_first_while_requests_are_still_taken() {
    let upstream = Upstream::echo();
    let gateway = draining("30s", "30s").start(&forward_all(upstream.address())).await;
    let mut kept = gateway.client().await;
    assert_eq!((kept.get("/").await.status, gateway.admin_get("/ready").await.0), (200, 200));
    gateway.terminate();
    eventually("not ready", async || (gateway.admin_get("/ready").await.0 == 503).then_some(())).await;
    assert_eq!(gateway.admin_get("/health").await.0, 200, "it is alive");
    assert_eq!(gateway.get("/").await.status, 200, "a new connection");
    assert_eq!(kept.get("/").await.status, 200, "a kept connection");
}

#[tokio::test]
async fn accepting_ends_after_the_delay() {
    let upstream = Upstream::echo();
    let gateway = draining("200ms", "30s").start(&forward_all(upstream.address())).await;
    gateway.terminate();
    assert_eq!(gateway.get("/").await.status, 200);
    refuses_connections(&gateway).await;
    gateway.stopped().await;
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_timeout() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let gateway = draining("0s", "200ms").start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the request arrives", arrived.pass()).await;
    gateway.terminate();
    gateway.stopped().await;
    client.end().await;
}

#[tokio::test]
async fn an_interrupt_waits_for_nobody() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let gateway = draining("30s", "30s").start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the request arrives", arrived.pass()).await;
    gateway.interrupt();
    gateway.stopped().await;
    client.end().await;
}

#[tokio::test]
async fn an_interrupt_ends_a_drain() {
    let upstream = Upstream::echo();
    let gateway = draining("30s", "30s").start(&forward_all(upstream.address())).await;
    gateway.terminate();
    gateway.interrupt();
    gateway.stopped().await;
}

#[tokio::test]
async fn h2_connections_are_told_to_go_away_and_streams_in_flight_finish() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let gateway = draining("0s", "30s").listener("h2c", "h2c: true").start(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, _) = client.open(get("/slow"), true).await.unwrap();
    within("the request arrives", arrived.pass()).await;
    gateway.terminate();
    let told = eventually("GOAWAY", async || client.goaways().first().copied()).await;
    assert_eq!(told.code, 0, "NO_ERROR");
    release.open();
    assert_eq!(response_of(response).await.unwrap().body, b"in the end");
    let _ended = client.ended().await;
    gateway.stopped().await;
}

#[tokio::test]
async fn no_request_is_lost_while_traffic_moves_elsewhere() {
    let upstream = Upstream::echo();
    let gateway = draining("300ms", "30s").set("threads", "2").start(&forward_all(upstream.address())).await;
    let address = gateway.address();
    let traffic = async {
        let mut served = 0;
        // A client with connections of its own, until it is refused one, as a load balancer would send it until then.
        while let Ok(stream) = crate::support::stream::Stream::connect(address).await {
            let mut client = Client::over(stream);
            let answered = match client.try_send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await {
                Ok(()) => client.try_response().await,
                Err(error) => Err(error),
            };
            let Ok(response) = answered else {
                // The kernel completed it between our last accept and the close of the listener: it is the last one, and nobody has
                // heard of the request.
                assert!(crate::support::stream::Stream::connect(address).await.is_err(), "still listening");
                break;
            };
            assert_eq!(response.status, 200);
            served += 1;
        }
        served
    };
    let (served, ()) = tokio::join!(within("traffic ends", traffic), async {
        eventually("traffic", async || (upstream.requests().len() >= 10).then_some(())).await;
        gateway.terminate();
    });
    assert!(served >= 10);
    gateway.stopped().await;
}
