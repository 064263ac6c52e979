//! Streams of HTTP/2 clients to an HTTP/1.1 upstream: bodies, trailers, interim answers, back-pressure and every early end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request};

use crate::support::h2_client::{collect, get, post, response_of};
use crate::support::upstream::Conn;
use crate::support::{Gate, H2Client, TestGateway, Upstream, eventually, forward_all, forward_with, ok, within};

async fn h2c(routes: &str) -> TestGateway {
    TestGateway::build().listener("h2c", "h2c: true").start(routes).await
}

/// For what Pingora does in another way, or not at all.
fn direct(upstream: SocketAddr) -> String {
    forward_with(upstream, "", "engine: direct")
}

fn put(target: &str) -> Request<()> {
    Request::put(format!("http://api.test{target}")).body(()).unwrap()
}

/// What a client hears when a stream is reset.
fn reset(ended: &h2::Error) -> Option<Reason> {
    ended.reason().filter(|_| ended.is_reset())
}

#[tokio::test]
async fn the_head_goes_out_as_it_came() {
    let upstream = Upstream::scripted(|mut conn| async move { conn.stall().await });
    let gateway = h2c(&direct(upstream.address())).await;
    let mut request = get("/a?b=c");
    for (name, value) in [("x-one", "1"), ("cookie", "a=1"), ("x-two", "2"), ("cookie", "b=2"), ("te", "trailers")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request.headers_mut().append("x-raw", http::HeaderValue::from_bytes(b"\xe9\t\x80").unwrap());
    let mut client = H2Client::connect(gateway.address()).await;
    let _stream = client.open(request, true).await.unwrap();
    let whole = async || Some(upstream.received(0)).filter(|received| received.ends_with(b"\r\n\r\n"));
    let received = eventually("the head", whole).await;
    let text = String::from_utf8_lossy(&received).into_owned();
    assert!(text.starts_with("GET /a?b=c HTTP/1.1\r\nHost: api.test\r\n"), "{text}");
    let lines: Vec<_> = text.lines().collect();
    for line in ["x-one: 1", "x-two: 2", "cookie: a=1; b=2", "x-forwarded-proto: http"] {
        assert_eq!(lines.iter().filter(|found| found.eq_ignore_ascii_case(line)).count(), 1, "{line} in {text}");
    }
    assert!(received.windows(12).any(|window| window == b"x-raw: \xe9\t\x80\r\n"), "{text}");
    for name in ["te:", "transfer-encoding:", "content-length:", "connection:"] {
        assert!(!lines.iter().any(|line| line.to_ascii_lowercase().starts_with(name)), "{name} in {text}");
    }
}

#[tokio::test]
async fn request_trailers_go_behind_a_chunked_body() {
    let upstream = Upstream::echo();
    let gateway = h2c(&direct(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for (length, expected) in [(None, vec![("x-checksum".to_owned(), "1".to_owned())]), (Some("3"), vec![])] {
        let mut request = post("/");
        if let Some(length) = length {
            request.headers_mut().insert("content-length", length.parse().unwrap());
        }
        let (response, mut body) = client.open(request, false).await.unwrap();
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        let mut trailers = HeaderMap::new();
        for name in ["x-checksum", "authorization", "x-forwarded-for", "content-length"] {
            trailers.insert(name, "1".parse().unwrap());
        }
        body.send_trailers(trailers).unwrap();
        assert_eq!(response_of(response).await.unwrap().status, 200);
        let seen = upstream.requests().pop().unwrap().body;
        assert_eq!((&seen.bytes[..], &seen.trailers), (&b"abc"[..], &expected), "{length:?}");
    }
}

#[tokio::test]
async fn answers_end_where_the_upstream_says() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", &b"abc"[..], Some("3")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", b"abc", None),
        ("HTTP/1.1 200 OK\r\n\r\nabc", b"abc", None),
        ("HTTP/1.0 200 OK\r\n\r\nabc", b"abc", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", Some("0")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"", None),
        ("HTTP/1.1 200 OK\r\n\r\n", b"", None),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", b"", None),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", b"", Some("3")),
    ];
    for (answer, body, length) in cases {
        let upstream = Upstream::answering_once(answer);
        let gateway = h2c(&forward_all(upstream.address())).await;
        let response = H2Client::connect(gateway.address()).await.get("/").await;
        assert_eq!((&response.body[..], response.field("content-length")), (body, length), "{answer}");
        assert!(response.field("transfer-encoding").is_none() && response.trailers.is_none(), "{answer}");
        assert_eq!(gateway.access_log(1).await[0]["response_bytes"], body.len(), "{answer}");
    }
}

#[tokio::test]
async fn a_head_request_has_the_length_and_no_body() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while conn.request().await?.is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await?;
        }
        Ok(())
    });
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for _ in 0..2 {
        let response = client.send(Request::head("http://api.test/").body(()).unwrap(), &[]).await;
        assert_eq!((response.field("content-length"), response.body.len()), (Some("10"), 0));
    }
    assert_eq!(upstream.connections(), 1, "the connection goes on");
}

#[tokio::test]
async fn trailers_of_the_answer_become_those_of_http_2() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\nx-empty:\r\n\r\n",
    );
    let gateway = h2c(&direct(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for _ in 0..2 {
        let response = client.get("/").await;
        let trailers = response.trailers.unwrap();
        assert!(response.body == b"abc" && trailers["x-sum"] == "7" && trailers["x-empty"].is_empty(), "{trailers:?}");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn trailers_that_may_not_be_sent_are_a_fault_of_the_upstream() {
    let upstream =
        Upstream::answering_once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 7\r\n\r\n");
    let gateway = h2c(&direct(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, _) = client.open(get("/"), true).await.unwrap();
    let ended = response_of(response).await.unwrap_err();
    assert_eq!(reset(&ended), Some(Reason::INTERNAL_ERROR));
    gateway.logged_reason("UPSTREAM_PROTOCOL").await;
}

#[tokio::test]
async fn the_date_of_the_upstream_stays() {
    let upstream =
        Upstream::answering("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n");
    let undated = Upstream::answering(ok(""));
    for (upstream, kept) in [(&upstream, true), (&undated, false)] {
        let gateway = h2c(&forward_all(upstream.address())).await;
        let response = H2Client::connect(gateway.address()).await.get("/").await;
        let dates: Vec<_> = response.headers.get_all("date").iter().collect();
        assert_eq!(dates.len(), 1, "RFC 9110 section 6.6.1");
        assert_eq!(dates[0] == "Sun, 06 Nov 1994 08:49:37 GMT", kept);
    }
}

#[tokio::test]
async fn interim_answers_reach_the_client() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while conn.request().await?.is_some() {
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nX: 1\r\n\r\n".repeat(40)).await?;
            conn.send(ok("final")).await?;
        }
        Ok(())
    });
    let gateway = h2c(&direct(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (mut response, _) = client.open(get("/"), true).await.unwrap();
    let hint = within("a hint", poll_fn(|cx| response.poll_informational(cx))).await.unwrap().unwrap();
    assert!(hint.status() == 103 && hint.headers()["link"] == "</a.css>", "{hint:?}");
    assert!(hint.headers().get("x").is_none(), "it was for the upstream's connection");
    let mut more = 0;
    while let Some(Ok(_)) = within("the rest", poll_fn(|cx| response.poll_informational(cx))).await {
        more += 1;
    }
    assert_eq!(more, 15, "what nobody asked for is not passed on without end");
    assert_eq!(response_of(response).await.unwrap().body, b"final");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let upstream = Upstream::scripted(|mut conn| async move {
        let head = conn.head().await?.unwrap();
        assert_eq!(head.head.field("expect"), Some("100-continue"));
        conn.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
        conn.wire.exactly(3).await?;
        conn.send(ok("thanks")).await
    });
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let mut request = post("/");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    request.headers_mut().insert("content-length", "3".parse().unwrap());
    let (mut response, mut body) = client.open(request, false).await.unwrap();
    let go_on = within("100", poll_fn(|cx| response.poll_informational(cx))).await.unwrap().unwrap();
    assert_eq!(go_on.status(), 100);
    body.send_data(Bytes::from_static(b"abc"), true).unwrap();
    assert_eq!(response_of(response).await.unwrap().body, b"thanks");
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_refused() {
    let upstream = Upstream::answering_once(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    );
    let gateway = h2c(&forward_all(upstream.address())).await;
    H2Client::connect(gateway.address()).await.get("/").await.refused(502, "UPSTREAM_PROTOCOL");
}

#[tokio::test]
async fn an_answer_in_the_middle_of_an_upload_is_whole_and_ends_the_stream() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.send(ok("enough")).await?;
        conn.stall().await
    });
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, mut body) = client.open(post("/"), false).await.unwrap();
    body.send_data(Bytes::from_static(b"abc"), false).unwrap();
    assert_eq!(response_of(response).await.unwrap().body, b"enough");
    let ended = within("a reset", poll_fn(|cx| body.poll_reset(cx))).await.unwrap();
    assert_eq!(ended, Reason::NO_ERROR, "RFC 9113 section 8.1");
    let line = gateway.access_log(1).await.swap_remove(0);
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &serde_json::Value::Null), "{line}");
    client.get("/").await;
    assert_eq!(upstream.connections(), 2, "a connection in the middle of a request is not used again");
}

#[tokio::test]
async fn an_upload_waits_for_the_upstream() {
    let unread = Gate::closed();
    let step = unread.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.head().await?;
            step.pass().await;
            let mut read = 0;
            while read < 32 << 20 {
                read += conn.wire.exactly(1 << 16).await?.len();
            }
            conn.send(ok("all")).await
        }
    });
    let gateway = h2c(&forward_with(upstream.address(), "", "max_body: off")).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let mut request = post("/");
    request.headers_mut().insert("content-length", (32 << 20).to_string().parse().unwrap());
    let (response, mut body) = client.open(request, false).await.unwrap();
    let (grant, mut granted) = tokio::sync::mpsc::unbounded_channel();
    sluice::base::tasks::spawn("upload", async move {
        let mut left = 32 << 20;
        while left > 0 {
            body.reserve_capacity(left.min(1 << 16));
            let Some(Ok(room)) = poll_fn(|cx| body.poll_capacity(cx)).await else { return };
            let room = room.min(left);
            left -= room;
            body.send_data(Bytes::from(vec![b'x'; room]), left == 0).unwrap();
            grant.send(room).ok();
        }
    });
    // What the kernel holds for both sockets of the upstream connection, and the windows. A pause of this length on the loopback
    // means that nobody takes more.
    let mut stopped = 0;
    while let Ok(Some(room)) = tokio::time::timeout(Duration::from_millis(300), granted.recv()).await {
        stopped += room;
    }
    assert!(stopped < 24 << 20, "{stopped}");
    unread.open();
    assert_eq!(response_of(response).await.unwrap().body, b"all");
}

#[tokio::test]
async fn a_client_that_grants_no_window_holds_back_its_upstream() {
    let stuck = Gate::closed();
    let step = stuck.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            conn.request().await?;
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await?;
            let part = vec![b'x'; 1 << 16];
            // A pause of this length on the loopback means that nobody takes it off.
            while let Ok(sent) = tokio::time::timeout(Duration::from_millis(300), conn.send(&part)).await {
                sent?;
            }
            step.open();
            conn.stall().await
        }
    });
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .set("deadlines", "{ body: 2s }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, _) = client.open(get("/"), true).await.unwrap();
    let mut body = within("the head", response).await.unwrap().into_body();
    within("the upstream is held back", stuck.pass()).await;
    let first = within("data", body.data()).await.unwrap().unwrap();
    assert!(!first.is_empty());
    // The client keeps its window: its pause is over, not the upstream's.
    let line = gateway.logged_reason("CLIENT_CLOSED").await;
    assert!(line["response_bytes"].as_u64().unwrap() < 1 << 20, "{line}");
}

#[tokio::test]
async fn a_small_window_gets_the_answer_in_small_parts() {
    let body = "0123456789".repeat(50);
    let upstream = Upstream::answering(ok(&body));
    let gateway = h2c(&forward_all(upstream.address())).await;
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let mut settings = h2::client::Builder::new();
    let (send, connection) = settings.initial_window_size(7).handshake::<_, Bytes>(stream).await.unwrap();
    sluice::base::tasks::spawn("client", async move {
        connection.await.ok();
    });
    let (response, _) = send.ready().await.unwrap().send_request(get("/"), true).unwrap();
    let mut received = within("the head", response).await.unwrap().into_body();
    let (mut bytes, mut parts) = (Vec::new(), 0);
    while let Some(data) = within("data", received.data()).await {
        let data = data.unwrap();
        received.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
        parts += 1;
    }
    assert!(bytes == body.as_bytes() && parts >= 500 / 7, "{parts}");
}

#[tokio::test]
async fn a_lost_connection_ends_its_requests() {
    let (arrived, gone) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::silent(&arrived, &gone);
    let gateway = h2c(&forward_all(upstream.address())).await;
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let client = sluice::base::tasks::spawn("client", async move {
        connection.await.ok();
    });
    let waiting: Vec<_> = (0..3).map(|_| send.send_request(get("/"), true).unwrap()).collect();
    for _ in 0..3 {
        within("a request", arrived.pass()).await;
    }
    client.abort();
    drop((waiting, send));
    for _ in 0..3 {
        within("the upstream is let go", gone.pass()).await;
    }
    let lines = gateway.access_log(3).await;
    assert!(lines.iter().all(|line| line["reason"] == "CLIENT_CLOSED"), "{lines:?}");
}

/// Answers one request on each connection, and ends the connection when the next one has been read.
fn closing_on_the_second_request() -> Upstream {
    Upstream::scripted(|mut conn: Conn| async move {
        conn.request().await?;
        conn.send(ok("answered")).await?;
        conn.request().await.map(drop)
    })
}

#[tokio::test]
async fn what_can_be_repeated_outlives_a_stale_connection() {
    for (request, body) in [(get("/2"), &[][..]), (put("/2"), &[&b"abc"[..]])] {
        let upstream = closing_on_the_second_request();
        let gateway = h2c(&forward_all(upstream.address())).await;
        let mut client = H2Client::connect(gateway.address()).await;
        assert_eq!(client.get("/1").await.body, b"answered");
        let (response, mut sending) = client.open(request.clone(), body.is_empty()).await.unwrap();
        if let [part] = body {
            // In one piece with the head.
            sending.send_data(Bytes::from_static(part), true).unwrap();
        }
        let response = response_of(response).await.unwrap();
        if body.is_empty() {
            assert_eq!(response.body, b"answered");
            assert_eq!(gateway.access_log(2).await[1]["attempts"], 2);
        } else if response.status != 200 {
            // The body may come after the head was sent on: then it is out of hand.
            response.refused(502, "UPSTREAM_RESET");
        }
    }
}

#[tokio::test]
async fn a_post_whose_bytes_were_sent_is_never_sent_again_over_h2() {
    let upstream = closing_on_the_second_request();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    assert_eq!(client.get("/1").await.body, b"answered");
    client.send(post("/2"), &[b"abc"]).await.refused(502, "UPSTREAM_RESET");
    assert_eq!(upstream.requests().iter().filter(|request| request.method == "POST").count(), 1);
}

#[tokio::test]
async fn streams_share_kept_connections() {
    let upstream = Upstream::answering(ok("kept"));
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.body, b"kept");
        assert_eq!(client.send(post("/"), &[b"abc", b"def"]).await.body, b"kept");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn deadlines_of_the_upstream_hold_for_streams() {
    let silent = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        conn.stall().await
    });
    let keys = "timeouts: { first_byte: 150ms }";
    let gateway = h2c(&forward_with(silent.address(), "", keys)).await;
    H2Client::connect(gateway.address()).await.get("/").await.refused(504, "UPSTREAM_TIMEOUT");
    let gateway = h2c(&forward_with(silent.address(), "", "timeouts: { total: 150ms }")).await;
    H2Client::connect(gateway.address()).await.get("/").await.refused(504, "REQUEST_TIMEOUT");
}

#[tokio::test]
async fn an_answer_that_stops_resets_its_stream_and_no_other() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            if request.target != "/stops" {
                conn.send(ok("whole")).await?;
                continue;
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await?;
            return conn.stall().await;
        }
        Ok(())
    });
    let gateway = h2c(&forward_with(upstream.address(), "", "timeouts: { idle: 150ms }, engine: direct")).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, _) = client.open(get("/stops"), true).await.unwrap();
    let response = within("the head", response).await.unwrap();
    let ended = within("the end", collect(response.into_body())).await.unwrap_err();
    assert_eq!(reset(&ended), Some(Reason::INTERNAL_ERROR));
    assert_eq!(gateway.logged_reason("UPSTREAM_IDLE").await["status"], 200);
    assert_eq!(client.get("/goes-on").await.body, b"whole");
}

#[tokio::test]
async fn an_answer_that_breaks_off_resets_its_stream() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let upstream = Upstream::answering_once(answer);
        let gateway = h2c(&direct(upstream.address())).await;
        let mut client = H2Client::connect(gateway.address()).await;
        let (response, _) = client.open(get("/"), true).await.unwrap();
        let ended = response_of(response).await.unwrap_err();
        assert_eq!(reset(&ended), Some(Reason::INTERNAL_ERROR), "{answer}");
        gateway.logged_reason("UPSTREAM_RESET").await;
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_never_reaches_another_stream() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, b"ok");
    }
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test]
async fn heads_that_http_1_refuses_are_refused() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let mut other = get("/");
    other.headers_mut().insert("host", "other.test".parse().unwrap());
    client.send(other, &[]).await.refused(400, "HOST_INVALID");
    let user = Request::get("http://user@api.test/").body(()).unwrap();
    client.send(user, &[]).await.refused(400, "HOST_INVALID");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_route_may_leave_its_streams_to_pingora() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            let answer = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length";
            let length = request.body.bytes.len();
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").await?;
            conn.send(format!("HTTP/1.1 200 OK\r\n{answer}: {length}\r\n\r\n")).await?;
            conn.send(&request.body.bytes).await?;
        }
        Ok(())
    });
    let gateway = h2c(&forward_with(upstream.address(), "", "engine: pingora")).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (mut response, mut body) = client.open(post("/"), false).await.unwrap();
    body.send_data(Bytes::from_static(b"over and over"), true).unwrap();
    let hint = within("a hint", poll_fn(|cx| response.poll_informational(cx))).await.unwrap().unwrap();
    assert_eq!(hint.status(), 103);
    let response = response_of(response).await.unwrap();
    assert_eq!(
        (&response.body[..], response.field("date")),
        (&b"over and over"[..], Some("Sun, 06 Nov 1994 08:49:37 GMT"))
    );
    assert_eq!(client.get("/").await.status, 200);
}
