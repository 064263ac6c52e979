//! Nothing waits for a buffer to fill: what one side says, the other hears.

use bytes::Bytes;

use crate::support::h2_client::{get, post, response_of};
use crate::support::{Gate, H2Client, TestGateway, Upstream, forward_all, ok, within};

/// Sends an event for each step that the test allows.
fn events(gate: &Gate, framing: &'static str) -> Upstream {
    let gate = gate.clone();
    Upstream::scripted(move |mut conn| {
        let gate = gate.clone();
        async move {
            conn.request().await?;
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n")).await?;
            for number in 0.. {
                gate.pass().await;
                let event = format!("data: {number}\n\n");
                let event = if framing.is_empty() { event } else { format!("{:x}\r\n{event}\r\n", event.len()) };
                conn.send(event).await?;
            }
            Ok(())
        }
    })
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    for framing in ["Transfer-Encoding: chunked\r\n", ""] {
        let gate = Gate::closed();
        let upstream = events(&gate, framing);
        let gateway = TestGateway::start(&forward_all(upstream.address())).await;
        let mut client = gateway.client().await;
        client.send("GET /events HTTP/1.1\r\nHost: api.test\r\nAccept-Encoding: gzip, br\r\n\r\n").await;
        let (status, head) = client.response_head().await;
        assert_eq!(
            (status, head.field("content-type"), head.field("content-encoding")),
            (200, Some("text/event-stream"), None)
        );
        for number in 0..5 {
            gate.open();
            assert_eq!(client.chunk().await.unwrap(), format!("data: {number}\n\n").as_bytes());
        }
    }
}

#[tokio::test]
async fn events_arrive_one_by_one_over_h2() {
    let gate = Gate::closed();
    let upstream = events(&gate, "Transfer-Encoding: chunked\r\n");
    let gateway = TestGateway::build().listener("h2c", "h2c: true").start(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, _) = client.open(get("/events"), true).await.unwrap();
    let mut body = within("the head", response).await.unwrap().into_body();
    for number in 0..5 {
        gate.open();
        let event = within("an event", body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(event.len()).unwrap();
        assert_eq!(event, format!("data: {number}\n\n"));
    }
}

/// Tells the test of every 3 bytes of the body as they come.
fn hearing(heard: &Gate) -> Upstream {
    let heard = heard.clone();
    Upstream::scripted(move |mut conn| {
        let heard = heard.clone();
        async move {
            let chunked = conn.head().await?.unwrap().head.field("transfer-encoding").is_some();
            for _ in 0..3 {
                match chunked {
                    true => drop(conn.wire.chunk().await?),
                    false => drop(conn.wire.exactly(3).await?),
                }
                heard.open();
            }
            if chunked {
                assert!(conn.wire.chunk().await?.is_none());
            }
            conn.send(ok("heard")).await
        }
    })
}

#[tokio::test]
async fn an_upload_is_forwarded_as_it_comes() {
    let heard = Gate::closed();
    let upstream = hearing(&heard);
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for (framing, part, end) in
        [("Content-Length: 9\r\n", "abc", ""), ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "0\r\n\r\n")]
    {
        let mut client = gateway.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: api.test\r\n{framing}\r\n")).await;
        for _ in 0..3 {
            client.send(part).await;
            within("it is heard", heard.pass()).await;
        }
        client.send(end).await;
        assert_eq!(client.response().await.text(), "heard");
    }
}

#[tokio::test]
async fn an_upload_over_h2_is_forwarded_as_it_comes() {
    let heard = Gate::closed();
    let upstream = hearing(&heard);
    let gateway = TestGateway::build().listener("h2c", "h2c: true").start(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, mut body) = client.open(post("/"), false).await.unwrap();
    for _ in 0..3 {
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        within("it is heard", heard.pass()).await;
    }
    body.send_data(Bytes::new(), true).unwrap();
    assert_eq!(response_of(response).await.unwrap().body, b"heard");
}

#[tokio::test]
async fn a_slow_reader_holds_back_its_upstream_and_nobody_else() {
    let stuck = Gate::closed();
    let step = stuck.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            while let Some(request) = conn.request().await? {
                if request.target != "/endless" {
                    conn.send(ok("quick")).await?;
                    continue;
                }
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await?;
                let part = vec![b'x'; 1 << 16];
                // A pause of this length on the loopback means that nobody takes it off.
                let pause = std::time::Duration::from_millis(300);
                while let Ok(sent) = tokio::time::timeout(pause, conn.send(&part)).await {
                    sent?;
                }
                step.open();
                return conn.stall().await;
            }
            Ok(())
        }
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut slow = gateway.client().await;
    slow.send("GET /endless HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the upstream is held back", stuck.pass()).await;
    assert_eq!(gateway.get("/").await.text(), "quick");
}
