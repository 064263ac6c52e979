//! A client that is slow, silent or gone holds nothing for longer than `deadlines` allows.

use crate::support::client::End;
use crate::support::{Authority, Client, Gate, TestGateway, Upstream, forward_all, ok, within};

const LONG: &str = "handshake: 30s, head: 30s, keep_alive: 30s, body: 30s";

/// A gateway on which one deadline is short and the others are out of reach.
async fn with_deadline(deadline: &str, upstream: &Upstream) -> TestGateway {
    let (name, _) = deadline.split_once(':').unwrap();
    let others = LONG.split(", ").filter(|other| !other.starts_with(name));
    let all: Vec<&str> = others.chain([deadline]).collect();
    let deadlines = format!("{{ {} }}", all.join(", "));
    TestGateway::build().set("deadlines", &deadlines).start(&forward_all(upstream.address())).await
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_keep_alive() {
    let upstream = Upstream::echo();
    let gateway = with_deadline("keep_alive: 150ms", &upstream).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/1").await.status, 200);
    assert_eq!(client.get("/2").await.status, 200);
    assert_eq!(client.end().await, End::Closed(Vec::new()), "closed in silence");
}

#[tokio::test]
async fn a_connection_that_never_sends_a_byte_is_closed() {
    let upstream = Upstream::echo();
    let gateway = with_deadline("head: 150ms", &upstream).await;
    assert_eq!(gateway.client().await.end().await, End::Closed(Vec::new()));
}

#[tokio::test]
async fn a_head_that_drips_is_answered_408_and_closed() {
    let upstream = Upstream::echo();
    let gateway = with_deadline("head: 200ms", &upstream).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\nX-Drip: ").await;
    client.drip(std::iter::repeat(b'a')).await;
    client.response().await.refused(408, "HEAD_TIMEOUT");
    client.closed().await;
    gateway.logged_reason("HEAD_TIMEOUT").await;
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_second_head_that_drips_is_answered_408_too() {
    let upstream = Upstream::echo();
    let gateway = with_deadline("head: 200ms", &upstream).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/").await.status, 200);
    client.send("GET /second HTTP/1.1\r\n").await;
    client.drip(std::iter::empty()).await;
    client.response().await.refused(408, "HEAD_TIMEOUT");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let gateway = TestGateway::build()
        .tls_listener("https", &[&authority.issue(&["api.test"])], "", "")
        .set("deadlines", "{ handshake: 150ms, head: 30s }")
        .start(&forward_all(upstream.address()))
        .await;
    gateway.client().await.closed().await;
    let mut begun = gateway.client().await;
    begun.send([0x16, 0x03, 0x01]).await;
    begun.closed().await;
    let mut client = Client::tls(gateway.address(), "api.test", authority.client(&[])).await.unwrap();
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_answered_408() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.stall().await
    });
    let gateway = with_deadline("body: 200ms", &upstream).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\nabc").await;
    client.response().await.refused(408, "BODY_TIMEOUT");
    client.closed().await;
    gateway.logged_reason("BODY_TIMEOUT").await;
}

#[tokio::test]
async fn a_body_that_keeps_coming_is_not_cut() {
    let upstream = Upstream::echo();
    let gateway = with_deadline("body: 400ms", &upstream).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 60\r\n\r\n").await;
    client.drip([b'x'; 60]).await;
    assert_eq!(client.response().await.echo().body_length, 60);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let cut = Gate::closed();
    let step = cut.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.request().await?;
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            while conn.send(&chunk).await.is_ok() {}
            step.open();
            Ok(())
        }
    });
    let gateway = with_deadline("body: 200ms", &upstream).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the upstream is let go", cut.pass()).await;
    assert_eq!(gateway.access_log(1).await[0]["status"], 200);
}

#[tokio::test]
async fn an_answer_that_takes_long_is_none_of_the_clients_deadlines() {
    let (gate, arrived) = (Gate::closed(), Gate::closed());
    let gates = (gate.clone(), arrived.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (gate, arrived) = gates.clone();
        async move {
            conn.request().await?;
            arrived.open();
            gate.pass().await;
            conn.send(ok("late")).await
        }
    });
    let gateway = TestGateway::build()
        .set("deadlines", "{ head: 150ms, keep_alive: 150ms, body: 150ms }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut waiting = gateway.client().await;
    waiting.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    arrived.pass().await;
    // Two connections one after the other run into the deadline: that much time has passed for the waiting one.
    gateway.client().await.closed().await;
    gateway.client().await.closed().await;
    gate.open();
    assert_eq!(waiting.response().await.text(), "late");
}

#[tokio::test]
async fn a_pausing_answer_is_not_the_clients_fault_although_it_still_sends() {
    let (paused, go_on) = (Gate::closed(), Gate::closed());
    let gates = (paused.clone(), go_on.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (paused, go_on) = gates.clone();
        async move {
            if conn.head().await?.unwrap().target == "/stalls" {
                return conn.stall().await;
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").await?;
            paused.open();
            go_on.pass().await;
            conn.send("def").await
        }
    });
    let gateway = with_deadline("body: 150ms", &upstream).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000\r\n\r\nonly a part").await;
    within("the answer begins", paused.pass()).await;
    // Longer than the client's own deadline: another connection meets it meanwhile.
    let mut other = gateway.client().await;
    other.send("POST /stalls HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\nab").await;
    gateway.logged_reason("BODY_TIMEOUT").await;
    go_on.open();
    assert_eq!(client.response().await.text(), "abcdef");
}
