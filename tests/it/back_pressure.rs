//! Who sends faster than the other side reads is held back; the gateway keeps a bounded part and no more.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::stream::Stream;
use crate::support::{Gate, TestGateway, Upstream, forward_all, forward_with, within};

/// What one request may hold in the gateway, both directions together.
const BOUND: u64 = 1 << 20;
/// A pause of this length on the loopback means that nobody takes it off.
const PAUSE: Duration = Duration::from_millis(300);

/// Writes a part again and again until nothing more is taken, and counts what was.
async fn fill(stream: &mut Stream, taken: &AtomicU64, part: &[u8]) -> io::Result<()> {
    let mut from = 0;
    while let Ok(written) = tokio::time::timeout(PAUSE, stream.write(&part[from..])).await {
        let written = written?;
        from = (from + written) % part.len();
        taken.fetch_add(written as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Bytes that the kernel holds for the connection between these two, both ways.
fn in_the_kernel(one: SocketAddr, other: SocketAddr) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |address: &str| u16::from_str_radix(address.split(':').nth(1).unwrap(), 16).unwrap();
    let queued = |line: &str| -> Option<u64> {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let ends = (port(columns.get(1)?), port(columns.get(2)?));
        let ours = ends == (one.port(), other.port()) || ends == (other.port(), one.port());
        let (sent, received) = columns.get(4)?.split_once(':')?;
        let bytes = |hex| u64::from_str_radix(hex, 16).unwrap();
        ours.then(|| bytes(sent) + bytes(received))
    };
    table.lines().skip(1).filter_map(queued).sum()
}

fn ends(stream: &Stream) -> (SocketAddr, SocketAddr) {
    (stream.tcp().local_addr().unwrap(), stream.tcp().peer_addr().unwrap())
}

/// Fails unless the gateway itself holds little of what it has been given.
fn assert_bounded(taken: u64, connections: [(SocketAddr, SocketAddr); 2]) {
    let kernel: u64 = connections.into_iter().map(|(one, other)| in_the_kernel(one, other)).sum();
    let held = taken.saturating_sub(kernel);
    assert!(held <= BOUND, "{held} bytes are held: {taken} were taken, {kernel} wait in sockets");
}

async fn an_unread_answer(head: &'static str, part: Vec<u8>) {
    let (stuck, taken) = (Gate::closed(), Arc::new(AtomicU64::new(0)));
    let upstream_ends = Arc::new(std::sync::Mutex::new(None));
    let upstream = {
        let (stuck, taken, ends_of, part) =
            (stuck.clone(), Arc::clone(&taken), Arc::clone(&upstream_ends), Arc::new(part));
        Upstream::scripted(move |mut conn| {
            let (stuck, taken, ends_of, part) =
                (stuck.clone(), Arc::clone(&taken), Arc::clone(&ends_of), Arc::clone(&part));
            async move {
                conn.request().await?;
                conn.send(head).await?;
                *ends_of.lock().unwrap() = Some(ends(&conn.wire.stream));
                fill(&mut conn.wire.stream, &taken, &part).await?;
                stuck.open();
                conn.stall().await
            }
        })
    };
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the upstream is held back", stuck.pass()).await;
    let upstream_ends = upstream_ends.lock().unwrap().unwrap();
    assert_bounded(taken.load(Ordering::Relaxed), [upstream_ends, ends(client.stream())]);
}

#[tokio::test]
async fn an_answer_of_known_length_is_taken_no_faster_than_it_is_read() {
    an_unread_answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", vec![b'x'; 1 << 16]).await;
}

#[tokio::test]
async fn a_chunked_answer_is_taken_no_faster_than_it_is_read() {
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
    an_unread_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk).await;
}

#[tokio::test]
async fn an_answer_without_a_length_is_taken_no_faster_than_it_is_read() {
    an_unread_answer("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 1 << 16]).await;
}

async fn an_unread_upload(framing: &str, part: &[u8]) {
    let (arrived, go_on) = (Gate::closed(), Gate::closed());
    let upstream_ends = Arc::new(std::sync::Mutex::new(None));
    let upstream = {
        let (arrived, go_on, ends_of) = (arrived.clone(), go_on.clone(), Arc::clone(&upstream_ends));
        Upstream::scripted(move |mut conn| {
            let (arrived, go_on, ends_of) = (arrived.clone(), go_on.clone(), Arc::clone(&ends_of));
            async move {
                conn.head().await?;
                *ends_of.lock().unwrap() = Some(ends(&conn.wire.stream));
                arrived.open();
                go_on.pass().await;
                Ok(())
            }
        })
    };
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "max_body: off")).await;
    let mut stream = Stream::connect(gateway.address()).await.unwrap();
    stream.write_all(format!("POST / HTTP/1.1\r\nHost: api.test\r\n{framing}\r\n\r\n").as_bytes()).await.unwrap();
    within("the head arrives", arrived.pass()).await;
    let taken = AtomicU64::new(0);
    within("the client is held back", fill(&mut stream, &taken, part)).await.unwrap();
    let upstream_ends = upstream_ends.lock().unwrap().unwrap();
    assert_bounded(taken.into_inner(), [upstream_ends, ends(&stream)]);
    go_on.open();
}

#[tokio::test]
async fn an_upload_of_known_length_is_taken_no_faster_than_it_is_read() {
    an_unread_upload("Content-Length: 1000000000", &vec![b'x'; 1 << 16]).await;
}

#[tokio::test]
async fn a_chunked_upload_is_taken_no_faster_than_it_is_read() {
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
    an_unread_upload("Transfer-Encoding: chunked", &chunk).await;
}
