//! HTTP/2 clients that keep to no manners: frames are written by hand.

use bytes::Bytes;
use http::Request;

use std::time::Duration;

use crate::support::client::End;
use crate::support::gateway::{NONE, routes};
use crate::support::h2_client::{get, post, response_of};
use crate::support::{
    Client, Gate, H2Client, H2Upstream, TestGateway, Upstream, eventually, forward_all, forward_with, ok, within,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a GET of `/` at `api.test` in HPACK (RFC 7541).
fn head() -> Vec<u8> {
    [&[0x82, 0x86, 0x84, 0x41, 8][..], b"api.test"].concat()
}

/// The preface with these settings, each an identifier and its value.
fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &payload)].concat()
}

/// The error code of the last GOAWAY in what a server sent.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    let mut code = None;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (payload, after) = rest.split_at_checked(length)?;
        if *kind == 7 {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = after;
    }
    code
}

async fn h2c(routes: &str) -> TestGateway {
    TestGateway::build().listener("h2c", "h2c: true").start(routes).await
}

#[tokio::test]
async fn an_answer_of_ours_that_is_never_read_ends_with_its_deadline() {
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .set("deadlines", "{ body: 150ms, keep_alive: 150ms }")
        .start(&routes(
            &NONE,
            &[r#"{ name: a, match: { path: "/" }, auth: none, respond: { status: 200, body: long } }"#],
        ))
        .await;
    let mut client = gateway.client().await;
    // No byte of a body may be sent (SETTINGS_INITIAL_WINDOW_SIZE).
    client.send([preface(&[(4, 0)]), frame(HEADERS, END_STREAM | END_HEADERS, 1, &head())].concat()).await;
    gateway.logged_reason("CLIENT_CLOSED").await;
    client.end().await;
    gateway.metric_reaches("sluice_connections_open", 0.0).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_hold_up_the_end() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .set("drain", "{ delay: 0s, timeout: 60s }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut silent = gateway.client().await;
    silent.send(preface(&[])).await;
    // The server's own preface; its PING behind GOAWAY will not be answered.
    silent.exactly(9).await;
    gateway.terminate();
    gateway.stopped().await;
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let upstream = Upstream::answering(ok(""));
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let mut flood = preface(&[]);
    for stream in (1..4_000).step_by(2) {
        flood.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head()));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    client.try_send(flood).await.ok();
    if let End::Closed(said) = client.end().await {
        assert_eq!(goaway(&said), Some(11), "ENHANCE_YOUR_CALM");
    }
    assert!(upstream.requests().len() < 100, "{}", upstream.requests().len());
}

#[tokio::test]
async fn streams_that_are_given_up_one_after_the_other_end_the_connection_too() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.stall().await
    });
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send(preface(&[])).await;
    let mut served = 0;
    for stream in (1..400).step_by(2) {
        client.try_send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head())).await.ok();
        // Given up only when it has cost something.
        let arrives = upstream.request(served + 1);
        if tokio::time::timeout(Duration::from_secs(1), arrives).await.is_err() {
            break;
        }
        served += 1;
        client.try_send(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await.ok();
    }
    assert!((100..150).contains(&served), "{served}");
    if let End::Closed(said) = client.end().await {
        assert_eq!(goaway(&said), Some(11), "ENHANCE_YOUR_CALM");
    }
}

#[tokio::test]
async fn a_head_that_goes_on_in_continuation_frames_without_end_is_cut_off() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send([preface(&[]), frame(HEADERS, END_STREAM, 1, &head())].concat()).await;
    // A literal field that is not indexed, 1 KiB long.
    let field = [&[0_u8, 1, b'x', 0x7f, 0x81, 0x07][..], &[b'y'; 1_024]].concat();
    let more = frame(CONTINUATION, 0, 1, &field);
    let mut sent = 0;
    while sent < 20_000 && client.try_send(&more).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 20_000, "20 MB of one head were taken");
    client.end().await;
}

#[tokio::test]
async fn a_name_that_some_services_read_as_a_protected_one_is_refused_over_h2_too() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for name in ["x_forwarded_for", "content_length", "transfer_encoding", "x_real-ip"] {
        let mut request = get("/");
        request.headers_mut().insert(name, "1".parse().unwrap());
        client.send(request, &[]).await.refused(400, "REQUEST_MALFORMED");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn methods_and_expectations_are_held_to_the_same_rules_over_h2() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for method in ["TRACE", "connect", "Trace"] {
        let request = Request::builder().method(method).uri("http://api.test/").body(()).unwrap();
        client.send(request, &[]).await.refused(501, "METHOD_UNSUPPORTED");
    }
    let mut request = get("/");
    request.headers_mut().insert("expect", "200-ok".parse().unwrap());
    client.send(request, &[]).await.refused(417, "EXPECTATION_FAILED");
}

#[tokio::test]
async fn credentials_for_a_proxy_end_here_whatever_the_upstream_speaks() {
    let (old, new) = (Upstream::echo(), H2Upstream::echo(None));
    let gateway = h2c(&forward_all(old.address())).await;
    let mut request = get("/");
    request.headers_mut().insert("proxy-authorization", "Basic c2VjcmV0".parse().unwrap());
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let mut client = H2Client::connect(gateway.address()).await;
    client.send(request.clone(), &[]).await;
    assert_eq!(old.requests()[0].head.field("proxy-authorization"), None);
    gateway.reload_with(&forward_with(new.address(), "protocol: http2", "")).await;
    client.send(request, &[]).await;
    let seen = new.requests().swap_remove(0).headers;
    assert_eq!(
        (seen.get("proxy-authorization"), seen.get("te").map(|te| te.as_bytes())),
        (None, Some(&b"trailers"[..]))
    );
}

#[tokio::test]
async fn lengths_that_contradict_each_other_never_reach_an_upstream() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for lengths in [&["3", "5"][..], &["5", "3"], &["3, 5"], &["+3"], &["3", ""], &["3", "3"], &["3, 3"]] {
        let mut request = post("/");
        for length in lengths {
            request.headers_mut().append("content-length", length.parse().unwrap());
        }
        let (response, mut body) = client.open(request, false).await.unwrap();
        body.send_data(Bytes::from_static(b"abc"), true).ok();
        if let Ok(response) = response_of(response).await {
            assert_eq!(response.status, 400, "{lengths:?}");
        }
        client = H2Client::connect(gateway.address()).await;
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_body_longer_or_shorter_than_announced_is_never_a_whole_one() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    for body in [&b"ab"[..], b"abcdef"] {
        let mut client = gateway.client().await;
        let head = [head(), [&[0x0f, 0x0d, 1][..], b"3"].concat()].concat();
        let head = [&[0x83][..], &head[1..]].concat();
        client
            .send([preface(&[]), frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, END_STREAM, 1, body)].concat())
            .await;
        let line = gateway.access_log(1).await;
        assert!(line.iter().all(|line| line["status"] != 200), "{line:?}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn answers_of_ours_without_a_body_have_none_over_h2() {
    let gateway = h2c(&routes(
        &NONE,
        &[
            r#"{ name: empty, match: { path: "/none" }, auth: none, respond: { status: 204 } }"#,
            r#"{ name: some, match: { path: "/some" }, auth: none, respond: { status: 200, body: some } }"#,
        ],
    ))
    .await;
    let mut client = H2Client::connect(gateway.address()).await;
    let none = client.get("/none").await;
    assert_eq!((none.status.as_u16(), none.field("content-length")), (204, None), "RFC 9110 section 8.6");
    let head = client.send(Request::head("http://api.test/some").body(()).unwrap(), &[]).await;
    assert_eq!((head.field("content-length"), head.body.len()), (Some("4"), 0));
    let lines = gateway.access_log(2).await;
    assert_eq!((&lines[0]["response_bytes"], &lines[1]["response_bytes"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn a_failure_of_the_upstream_is_answered_to_a_head_without_a_body() {
    let upstream = Upstream::answering_once("HTTP/1.1 nonsense\r\n\r\n");
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let response = client.send(Request::head("http://api.test/").body(()).unwrap(), &[]).await;
    assert_eq!((response.status.as_u16(), response.body.len()), (502, 0));
    let refused = client.get("/").await;
    refused.refused(502, "UPSTREAM_PROTOCOL");
    let lines = gateway.access_log(2).await;
    assert_eq!((&lines[0]["response_bytes"], &lines[1]["response_bytes"]), (&0.into(), &refused.body.len().into()));
}

#[tokio::test]
async fn a_connection_with_a_stream_is_not_idle() {
    let (arrived, gate) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), gate.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, gate) = gates.clone();
        async move {
            while conn.request().await?.is_some() {
                arrived.open();
                gate.pass().await;
                conn.send(ok("late")).await?;
            }
            Ok(())
        }
    });
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .set("deadlines", "{ keep_alive: 100ms, head: 100ms }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = H2Client::connect(gateway.address()).await;
    let first = client.open(get("/1"), true).await.unwrap().0;
    let second = client.open(get("/2"), true).await.unwrap().0;
    within("the first", arrived.pass()).await;
    within("the second", arrived.pass()).await;
    gate.open();
    // Each of these outlasts the deadline for idle connections.
    for _ in 0..3 {
        Client::connect(gateway.address()).await.closed().await;
    }
    gate.open();
    for response in [first, second] {
        assert_eq!(response_of(response).await.unwrap().body, b"late");
    }
}

#[tokio::test]
async fn what_would_end_a_line_of_http_1_never_reaches_an_upstream() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let literal = |name: &[u8], value: &[u8]| {
        [&[0, u8::try_from(name.len()).unwrap()][..], name, &[u8::try_from(value.len()).unwrap()], value].concat()
    };
    // `:path` is the second name of the static table that stands for one; without indexing.
    let path = |value: &[u8]| [&[0x04, u8::try_from(value.len()).unwrap()][..], value].concat();
    let mut heads = Vec::new();
    for bad in ["a\r\nx: 1", "a\nb", "a\rb", "a\0b"] {
        heads.push([head(), literal(b"x-bad", bad.as_bytes())].concat());
        heads.push([head(), literal(format!("x{bad}").as_bytes(), b"1")].concat());
    }
    for bad in ["/a b", "/a\r\nx: 1", "/a\0", "/\x7f", "/\"", "/a#b", "a", "http://b.test/"] {
        heads.push([&[0x82, 0x86][..], &path(bad.as_bytes()), &head()[3..]].concat());
    }
    let good = [&[0x82, 0x86][..], &path(b"/good"), &head()[3..]].concat();
    let goods = || upstream.requests().iter().filter(|request| request.target == "/good").count();
    let mut outlived = 0;
    for bad in heads {
        let mut client = gateway.client().await;
        let before = goods();
        let both = [(1, bad), (3, good.clone())].map(|(id, head)| frame(HEADERS, END_STREAM | END_HEADERS, id, &head));
        client.send([preface(&[]), both.concat()].concat()).await;
        // Where the library takes it for a fault of the stream alone, what comes behind it is served.
        tokio::select! {
            _ = client.end() => {}
            () = eventually("the good one", async || (goods() > before).then_some(())) => outlived += 1,
        }
    }
    assert!(outlived >= 4, "{outlived}");
    for seen in upstream.requests() {
        // A fragment is cut off by the library.
        assert!(["/good", "/a"].contains(&&*seen.target), "{seen:?}");
    }
}
