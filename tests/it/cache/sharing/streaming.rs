//! An answer on its way: everybody has what has come, nobody holds up anybody, and nobody is needed to bring it home.

use super::scene::{asking, did, expect, get, kept, number, number_is};
use super::stampede::build;
use crate::support::client::End;
use crate::support::h2_client;
use crate::support::wire::Framing;
use crate::support::{Client, Gate, H2Client, TestGateway, Upstream, eventually, forward_with, within};

/// Sends the first half at once and the second when the test allows it.
fn halves(arrived: &Gate, release: &Gate, framing: Framing) -> Upstream {
    let gates = (arrived.clone(), release.clone());
    Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while conn.request().await?.is_some() {
                arrived.open();
                let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nCache-Tag: half\r\n";
                match framing {
                    Framing::Length(_) => {
                        conn.send(format!("{head}Content-Length: 10\r\n\r\nfirst")).await?;
                        release.pass().await;
                        conn.send("-last").await?;
                    }
                    Framing::Chunked => {
                        conn.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")).await?;
                        release.pass().await;
                        conn.send("5\r\n-last\r\n0\r\n\r\n").await?;
                    }
                    _ => {
                        conn.send(format!("{head}\r\nfirst")).await?;
                        release.pass().await;
                        conn.send("-last").await?;
                        return Ok(());
                    }
                }
            }
            Ok(())
        }
    })
}

/// Reads so much of a body whose head was read, however it is framed.
async fn read(client: &mut Client, is_chunked: bool, length: usize) -> Vec<u8> {
    if !is_chunked {
        return client.exactly(length).await;
    }
    let mut read = Vec::new();
    while read.len() < length {
        read.extend(client.chunk().await.expect("more of the body"));
    }
    read
}

#[tokio::test]
async fn all_who_wait_have_what_has_come() {
    for framing in [Framing::Length(10), Framing::Chunked, Framing::UntilClose] {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let upstream = halves(&arrived, &release, framing);
        let gateway = build().start(&forward_with(upstream.address(), "", "cache: {}")).await;
        let mut clients = asking(&gateway, &get("/x", ""), 1).await;
        within("the question", arrived.pass()).await;
        clients.extend(asking(&gateway, &get("/x", ""), 5).await);
        let mut h2 = H2Client::connect(gateway.address()).await;
        let (response, _) = h2.open(h2_client::get("/x"), true).await.unwrap();
        let mut body = within("a head", response).await.unwrap().into_body();
        assert_eq!(within("a part", body.data()).await.unwrap().unwrap(), "first");
        let is_chunked = framing != Framing::Length(10);
        for client in &mut clients {
            let (status, head) = client.response_head().await;
            assert_eq!((status, head.field("x-cache")), (200, Some("MISS")));
            assert_eq!(head.field("transfer-encoding").is_some(), is_chunked, "{head:?}");
            assert_eq!(read(client, is_chunked, 5).await, b"first");
        }
        // One who comes in the middle begins at the beginning.
        let mut late = asking(&gateway, &get("/x", ""), 1).await.swap_remove(0);
        late.response_head().await;
        assert_eq!(read(&mut late, is_chunked, 5).await, b"first");
        clients.push(late);
        assert_eq!(upstream.requests().len(), 1);
        release.open();
        for client in &mut clients {
            assert_eq!(read(client, is_chunked, 5).await, b"-last");
        }
        assert_eq!(within("a part", body.data()).await.unwrap().unwrap(), "-last");
        kept(&gateway, 1).await;
        expect(&gateway.get("/x").await, "HIT", "first-last");
    }
}

#[tokio::test]
async fn who_asked_first_may_leave() {
    for (late, stays) in [(false, false), (false, true), (true, false), (true, true)] {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let upstream = halves(&arrived, &release, Framing::Length(10));
        let gateway = build().start(&forward_with(upstream.address(), "", "cache: {}")).await;
        let mut first = asking(&gateway, &get("/x", ""), 1).await.swap_remove(0);
        within("the question", arrived.pass()).await;
        let mut others = if stays { asking(&gateway, &get("/x", ""), 3).await } else { Vec::new() };
        if stays {
            number_is(&gateway, "collapsed", 3).await;
        }
        if late {
            first.response_head().await;
        }
        first.reset();
        let reason = r#"sluice_reasons_total{reason="CLIENT_CLOSED"}"#;
        gateway.metric_reaches(reason, 1.0).await;
        release.open();
        for client in &mut others {
            expect(&client.response().await, "MISS", "first-last");
        }
        kept(&gateway, 1).await;
        expect(&gateway.get("/x").await, "HIT", "first-last");
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn who_asked_first_may_leave_before_there_is_a_head() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while conn.request().await?.is_some() {
                arrived.open();
                release.pass().await;
                conn.send(super::scene::answer("Cache-Control: max-age=600\r\n", "whole")).await?;
            }
            Ok(())
        }
    });
    let gateway = build().start(&forward_with(upstream.address(), "", "cache: {}")).await;
    let first = asking(&gateway, &get("/x", ""), 1).await.swap_remove(0);
    within("the question", arrived.pass()).await;
    let mut others = asking(&gateway, &get("/x", ""), 3).await;
    number_is(&gateway, "collapsed", 3).await;
    first.reset();
    let mut h2 = H2Client::connect(gateway.address()).await;
    let (response, stream) = h2.open(h2_client::get("/x"), true).await.unwrap();
    number_is(&gateway, "collapsed", 4).await;
    drop((response, stream));
    release.open();
    for client in &mut others {
        expect(&client.response().await, "MISS", "whole");
    }
    kept(&gateway, 1).await;
    assert_eq!(upstream.requests().len(), 1);
}

/// A body of 4 MiB, in which every place can be told.
fn large() -> Vec<u8> {
    (0..4_u32 << 20).map(|at| ((at / 7) ^ (at / 65_521)) as u8).collect()
}

#[tokio::test]
async fn one_that_does_not_read_holds_up_nobody() {
    let body = large();
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nCache-Control: max-age=600\r\n\r\n", body.len());
    let mut whole = std::mem::take(&mut bytes).into_bytes();
    whole.extend_from_slice(&body);
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone(), whole);
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, release, whole) = gates.clone();
        async move {
            while conn.request().await?.is_some() {
                arrived.open();
                release.pass().await;
                conn.send(&whole).await?;
            }
            Ok(())
        }
    });
    for stalls_first in [true, false] {
        let gateway = build().start(&forward_with(upstream.address(), "", "cache: { max_object: 8MiB }")).await;
        let mut clients = asking(&gateway, &get("/x", ""), 1).await;
        within("the question", arrived.pass()).await;
        clients.extend(asking(&gateway, &get("/x", ""), 3).await);
        number_is(&gateway, "collapsed", 3).await;
        let mut stalls = clients.remove(if stalls_first { 0 } else { 2 });
        release.open();
        for client in &mut clients {
            let response = client.response().await;
            assert!(response.body.bytes == body && did(&response) == "MISS");
        }
        kept(&gateway, 1).await;
        let hit = gateway.get("/x").await;
        assert!(hit.body.bytes == body && did(&hit) == "HIT");
        // All of it is still there for the one that was slow.
        assert!(stalls.response().await.body.bytes == body);
    }
}

#[tokio::test]
async fn what_grows_too_long_is_not_kept_and_reaches_all_who_waited() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone());
    let body = large();
    let sent = body.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let ((arrived, release), body) = (gates.clone(), sent.clone());
        async move {
            while conn.request().await?.is_some() {
                arrived.open();
                conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=600\r\n\r\n")
                    .await?;
                conn.send("5\r\nfirst\r\n").await?;
                release.pass().await;
                for piece in body.chunks(1 << 16) {
                    conn.send(format!("{:x}\r\n", piece.len())).await?;
                    conn.send(piece).await?;
                    conn.send("\r\n").await?;
                }
                conn.send("0\r\n\r\n").await?;
            }
            Ok(())
        }
    });
    let gateway = build().start(&forward_with(upstream.address(), "", "cache: { max_object: 1MiB }")).await;
    let mut clients = asking(&gateway, &get("/x", ""), 1).await;
    within("the question", arrived.pass()).await;
    clients.extend(asking(&gateway, &get("/x", ""), 2).await);
    number_is(&gateway, "collapsed", 2).await;
    release.open();
    let read = clients.iter_mut().map(async |client| client.response().await);
    for response in futures_util::future::join_all(read).await {
        assert!(response.body.bytes[..5] == *b"first" && response.body.bytes[5..] == body);
    }
    number_is(&gateway, "in_flight", 0).await;
    assert_eq!(number(&gateway, "entries").await, 0);
}

#[tokio::test]
async fn a_fill_in_flight_does_not_keep_the_gateway_from_ending() {
    // With somebody who waits, it ends well.
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = halves(&arrived, &release, Framing::Length(10));
    let start = async || {
        TestGateway::build()
            .set("drain", "{ delay: 0s, timeout: 30s }")
            .start(&forward_with(upstream.address(), "", "cache: {}"))
            .await
    };
    let gateway = start().await;
    let mut clients = asking(&gateway, &get("/x", ""), 1).await;
    within("the question", arrived.pass()).await;
    clients.extend(asking(&gateway, &get("/x", ""), 2).await);
    number_is(&gateway, "collapsed", 2).await;
    for client in &mut clients {
        client.response_head().await;
    }
    gateway.terminate();
    eventually("new connections are refused", async || tokio::net::TcpStream::connect(gateway.address()).await.err())
        .await;
    release.open();
    for client in &mut clients {
        assert_eq!(client.exactly(10).await, b"first-last");
        assert_eq!(client.end().await, End::Closed(Vec::new()));
    }
    gateway.stopped().await;

    // With nobody, nothing is waited for.
    let gateway = start().await;
    let mut client = asking(&gateway, &get("/x", ""), 1).await.swap_remove(0);
    within("the question", arrived.pass()).await;
    client.response_head().await;
    client.reset();
    gateway.metric_reaches(r#"sluice_reasons_total{reason="CLIENT_CLOSED"}"#, 1.0).await;
    assert_eq!(number(&gateway, "in_flight").await, 1);
    gateway.terminate();
    gateway.stopped().await;
}
