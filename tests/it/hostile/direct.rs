//! The forwarder of our own between peers that do what they should not: what one request leaves behind reaches no other.

use std::time::Duration;

use crate::support::client::End;
use crate::support::gateway::{NONE, endpoint, engine_under_test, routes};
use crate::support::h2_client::{get, response_of};
use crate::support::upstream::Unaccepting;
use crate::support::{Authority, Gate, H2Client, TestGateway, Upstream, forward_all, forward_with, ok, within};

/// From here on a body with a length goes through a pipe.
const SPLICED: usize = 256 * 1024;

async fn h2c(routes: &str) -> TestGateway {
    TestGateway::build().listener("h2c", "h2c: true").start(routes).await
}

fn hints(text: &str) -> String {
    format!("HTTP/1.1 103 Early Hints\r\nLink: <{text}>\r\n\r\n")
}

#[tokio::test]
async fn a_stream_that_is_reset_while_its_upstream_is_connected_to_is_over() {
    let upstream = Unaccepting::new();
    let gateway = h2c(&forward_with(upstream.address(), "", "timeouts: { connect: 60s }")).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, mut body) = client.open(get("/"), false).await.unwrap();
    gateway.metric_reaches("sluice_requests_in_flight", 1.0).await;
    body.send_reset(h2::Reason::CANCEL);
    gateway.logged_reason("CLIENT_CLOSED").await;
    gateway.metric_reaches("sluice_requests_in_flight", 0.0).await;
    drop(response);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_upstream_is_connected_to_is_gone() {
    if engine_under_test() == "pingora" {
        return; // It learns of an end only once it is connected.
    }
    let upstream = Unaccepting::new();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { connect: 60s }")).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\nhello").await;
    gateway.metric_reaches("sluice_requests_in_flight", 1.0).await;
    client.reset();
    gateway.logged_reason("CLIENT_CLOSED").await;
}

#[tokio::test]
async fn half_an_answer_is_none_to_a_client_that_takes_the_end_of_its_connection_for_that_of_the_answer() {
    for rest in ["broken", ""] {
        let upstream = Upstream::scripted(move |mut conn| async move {
            conn.request().await?;
            conn.send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n{rest}")).await
        });
        let gateway = TestGateway::start(&forward_all(upstream.address())).await;
        let mut client = gateway.client().await;
        client.send("GET / HTTP/1.0\r\nHost: api.test\r\n\r\n").await;
        assert_eq!(client.end().await, End::Cut);
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_its_head_has_no_body_to_wait_for() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    for method in ["POST", "GET", "HEAD"] {
        let mut client = H2Client::connect(gateway.address()).await;
        let request = http::Request::builder().method(method).uri("http://api.test/").header("content-length", "5");
        let (response, _) = client.open(request.body(()).unwrap(), true).await.unwrap();
        if let Ok(response) = response_of(response).await {
            assert_eq!(response.status, 400, "{method}");
        }
    }
    let mut client = H2Client::connect(gateway.address()).await;
    assert_eq!(client.get("/next").await.json()["target"], "/next");
}

/// Sends interim answers for as long as somebody takes them.
fn hinting() -> Upstream {
    Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        let hints = hints(&"x".repeat(8_000));
        while conn.send(&hints).await.is_ok() {}
        Ok(())
    })
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_not_an_answer() {
    let upstream = hinting();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { first_byte: 300ms }")).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    // Reads as fast as it can; whatever comes is whole heads, and then an end.
    if let Ok(response) = client.try_response().await {
        response.refused(504, "UPSTREAM_TIMEOUT");
    }
    gateway.logged_reason("UPSTREAM_TIMEOUT").await;
}

#[tokio::test]
async fn a_client_that_takes_interim_answers_slowly_does_not_stretch_the_wait_for_the_final_one() {
    let upstream = hinting();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "timeouts: { first_byte: 300ms }")).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let reading = async {
        loop {
            tick.tick().await;
            client.exactly(200_000).await;
        }
    };
    tokio::select! {
        () = reading => {}
        logged = gateway.access_log(1) => {
            let reason = logged[0]["reason"].as_str().unwrap();
            assert!(["UPSTREAM_TIMEOUT", "CLIENT_CLOSED"].contains(&reason), "{reason}");
        }
    }
}

#[tokio::test]
async fn interim_answers_are_no_part_of_the_upload() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            conn.send(hints("/a.css")).await?;
        }
    });
    let gateway =
        TestGateway::build().set("deadlines", "{ body: 300ms }").start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\nhe").await;
    client.response().await.refused(408, "BODY_TIMEOUT");
}

#[tokio::test]
async fn nothing_is_written_behind_half_an_interim_answer() {
    let stuck = Gate::closed();
    let told = stuck.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let told = told.clone();
        async move {
            conn.head().await?;
            let hints = hints(&"x".repeat(8_000));
            while let Ok(sent) = tokio::time::timeout(Duration::from_millis(300), conn.send(&hints)).await {
                sent?;
            }
            told.open();
            conn.stall().await
        }
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    within("the client's side fills", stuck.pass()).await;
    client.send("no chunk\r\n").await;
    let end = client.end().await;
    gateway.logged_reason("REQUEST_FRAMING").await;
    let End::Closed(said) = end else { return };
    let said = String::from_utf8(said).unwrap();
    let last = said.rfind("HTTP/1.1 ").unwrap();
    assert!(said[..last].ends_with("\r\n\r\n"), "half a head and then: {}", &said[last..]);
}

#[tokio::test]
async fn a_request_that_was_answered_in_part_is_not_sent_again() {
    if engine_under_test() == "pingora" {
        return; // It does not count interim answers; what it repeats may be repeated.
    }
    let early = || {
        Upstream::scripted(|mut conn| async move {
            conn.request().await?;
            conn.send(ok("first")).await?;
            conn.request().await?;
            conn.send(hints("/a.css")).await
        })
    };
    let upstream = early();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    assert_eq!(gateway.get("/1").await.text(), "first");
    let response = gateway.request("GET /2 HTTP/1.0\r\nHost: api.test\r\n\r\n").await;
    response.refused(502, "UPSTREAM_RESET");
    assert_eq!(upstream.requests().len(), 2);

    let upstream = early();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    assert_eq!(client.get("/1").await.body, b"first");
    client.get("/2").await.refused(502, "UPSTREAM_RESET");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_without_a_length_that_tls_does_not_end_is_cut() {
    for in_order in [true, false] {
        let authority = Authority::new("known");
        let config = authority.issue(&["inner.test"]).server(&[]);
        let upstream = Upstream::scripted_tls(config, move |mut conn| async move {
            conn.request().await?;
            conn.send("HTTP/1.1 200 OK\r\n\r\nall of it").await?;
            if in_order {
                tokio::io::AsyncWriteExt::shutdown(&mut conn.wire.stream).await?;
            } else {
                // FIN without close_notify: anybody on the way can send one.
                socket2::SockRef::from(conn.wire.stream.tcp()).shutdown(std::net::Shutdown::Write)?;
            }
            conn.stall().await
        });
        let builder = TestGateway::build();
        let ca = builder.file("ca.pem", &authority.bundle());
        let app = format!(
            r#"{{ endpoints: ["{}"], tls: {{ server_name: inner.test, ca: "{}" }} }}"#,
            upstream.address(),
            ca.display()
        );
        let file = routes(&[("app", app)], &[r#"{ name: all, match: { path: "/" }, auth: none, upstream: app }"#]);
        let gateway = builder.start(&file).await;
        let mut client = gateway.client().await;
        client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        match client.try_response().await {
            Ok(response) => assert!(in_order && response.text() == "all of it"),
            Err(error) => assert!(!in_order, "{error}"),
        }
    }
}

#[tokio::test]
async fn what_lies_behind_a_long_answer_reaches_no_other_request() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            let length: usize = request.target.trim_start_matches('/').parse().unwrap_or(0);
            if length == 0 {
                conn.send(ok("short")).await?;
                continue;
            }
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            answer.resize(answer.len() + length, b'x');
            answer.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            conn.send(answer).await?;
        }
        Ok(())
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for length in [SPLICED - 1, SPLICED, SPLICED + 1, SPLICED + 20_000, 3 * SPLICED] {
        let long = client.get(&format!("/{length}")).await;
        assert!(long.body.bytes.len() == length && long.body.bytes.iter().all(|byte| *byte == b'x'));
        assert_eq!(client.get("/").await.text(), "short", "behind {length}");
    }
}

#[tokio::test]
async fn a_request_right_behind_a_long_upload_is_served_next() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut requests = Vec::new();
    for length in [SPLICED - 1, SPLICED, SPLICED + 1, SPLICED + 20_000, 3 * SPLICED] {
        requests
            .extend(format!("PUT /{length} HTTP/1.1\r\nHost: api.test\r\nContent-Length: {length}\r\n\r\n").bytes());
        requests.resize(requests.len() + length, b'x');
        requests.extend(b"GET /next HTTP/1.1\r\nHost: api.test\r\n\r\n");
    }
    let mut client = gateway.client().await;
    client.send(&requests).await;
    for length in [SPLICED - 1, SPLICED, SPLICED + 1, SPLICED + 20_000, 3 * SPLICED] {
        assert_eq!(client.response().await.echo().body_length, length as u64);
        assert_eq!(client.response().await.echo().target, "/next");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_long_body_that_stops_short_is_never_a_whole_one() {
    // Of the answer.
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.request().await?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 4 * SPLICED);
        conn.send([head.into_bytes(), vec![b'x'; 2 * SPLICED]].concat()).await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert!(client.try_response().await.is_err());
    gateway.logged_reason("UPSTREAM_RESET").await;

    // Of the request.
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let head = format!("PUT / HTTP/1.1\r\nHost: api.test\r\nContent-Length: {}\r\n\r\n", 4 * SPLICED);
    client.send([head.into_bytes(), vec![b'x'; 2 * SPLICED]].concat()).await;
    client.half_close().await;
    gateway.logged_reason("CLIENT_CLOSED").await;
    assert!(upstream.requests().is_empty());
    // Neither connection nor pipe is used for another one.
    assert_eq!(gateway.get("/next").await.echo().connection, 1);
}

#[tokio::test]
async fn odd_answers_end_with_their_own_request() {
    if engine_under_test() == "pingora" {
        return; // It waits for more of some of them until a deadline.
    }
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for odd in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A: b\r\n c\r\n\r\nfold".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A: b\0c\r\n\r\nnull".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A: b\rX-B: c\r\n\r\nbare".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nspace".to_owned(),
        "HTTP/1.1 200 OK\r\n Content-Length: 4\r\n\r\nspace".to_owned(),
        "HTTP/1.1 200 O\rK\r\nContent-Length: 4\r\n\r\nbare".to_owned(),
        "HTTP/2.0 200 OK\r\nContent-Length: 4\r\n\r\nfour".to_owned(),
        "HTTP/1.1 099 OK\r\nContent-Length: 4\r\n\r\nfour".to_owned(),
        "HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\nfour".to_owned(),
        format!("HTTP/1.1 100 Continue\r\nContent-Length: {}\r\n\r\n{evil}", evil.len()),
        format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\n\r\nevil{evil}"),
        format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n{evil}"),
        format!("HTTP/1.1 200 OK\nContent-Length: 4\n\nbare{evil}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\nbare\r\n0\r\n\r\n{evil}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 4\r\n\r\n{evil}"),
        format!("\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n{evil}"),
        format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "x".repeat(100_000)),
    ] {
        let upstream = Upstream::odd(odd.clone());
        let gateway = TestGateway::start(&forward_all(upstream.address())).await;
        for _ in 0..3 {
            let mut client = gateway.client().await;
            client.send("GET /odd HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
            if let Ok(answer) = client.try_response().await {
                assert!(answer.status < 400 || answer.status == 502, "{odd:?}: {}", answer.status);
                for (name, value) in &answer.head.fields {
                    assert!(!name.contains(['\r', '\0']) && !value.contains(['\r', '\0']), "{odd:?}: {value:?}");
                }
            }
            assert_eq!(gateway.get("/good").await.text(), "good", "{odd:?}");
        }
    }
}

#[tokio::test]
async fn nothing_of_one_request_is_logged_with_another() {
    let upstream = Upstream::echo();
    let direct = r#"{ name: direct, match: { path: "/direct/{rest...}" }, auth: none, upstream: app }"#;
    let pingora =
        r#"{ name: pingora, match: { path: "/pingora/{rest...}" }, auth: none, upstream: app, engine: pingora }"#;
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .start(&routes(&[("app", endpoint(upstream.address()))], &[direct, pingora]))
        .await;
    let mut client = gateway.client().await;
    let kinds = [
        ("direct", "User-Agent: one\r\nX-Request-Id: id-of-this-very-request\r\n", "one"),
        ("nowhere", "", ""),
        ("pingora", "User-Agent: three\r\n", "three"),
        ("direct", "", ""),
        ("nowhere", "User-Agent: \"five\r\n", "\"five"),
        ("pingora", "", ""),
    ];
    let mut all = String::new();
    for number in 0..30 {
        let (kind, fields, _) = kinds[number % kinds.len()];
        all.push_str(&format!("GET /{kind}/{number} HTTP/1.1\r\nHost: h{number}.test\r\n{fields}\r\n"));
    }
    client.send(all).await;
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(client.response().await);
    }
    let lines = gateway.access_log(30).await;
    for (number, (line, answer)) in lines.iter().zip(&answers).enumerate() {
        let (kind, fields, agent) = kinds[number % kinds.len()];
        assert_eq!(line["path"], format!("/{kind}/{number}"), "{line}");
        assert_eq!(line["host"], format!("h{number}.test"), "{line}");
        assert_eq!(line["user_agent"].as_str().unwrap_or_default(), agent, "{line}");
        assert_eq!(line["request_id"].as_str(), answer.field("x-request-id"), "{line}");
        assert_eq!(line["request_id"] == "id-of-this-very-request", fields.contains("X-Request-Id"), "{line}");
        assert_eq!(line["upstream"].is_null(), kind == "nowhere", "{line}");
        assert_eq!(line["endpoint"].is_null(), kind == "nowhere", "{line}");
        assert_eq!(line["reason"].is_null(), kind != "nowhere", "{line}");
        if kind != "nowhere" {
            let echo = answer.echo();
            assert_eq!(echo.field("host").unwrap(), format!("h{number}.test"));
            assert_eq!(echo.field("user-agent").unwrap_or_default(), agent);
            assert_eq!(echo.field("x-request-id"), answer.field("x-request-id"));
        }
    }
}

#[tokio::test]
async fn a_head_may_announce_any_length() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n");
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let answer = client.request("HEAD / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert_eq!((answer.status, answer.field("content-length")), (200, Some("18446744073709551615")));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn what_both_sides_say_before_an_upgrade_stands_is_counted_and_not_lost() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        conn.send(format!("{head}hello")).await?;
        let early = conn.wire.exactly(5).await?;
        conn.send(early).await
    });
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly")
        .await;
    assert_eq!(client.response_head().await.0, 101);
    assert_eq!(client.exactly(10).await, b"helloearly");
    client.half_close().await;
    let line = gateway.access_log(1).await.swap_remove(0);
    assert_eq!((&line["request_bytes"], &line["response_bytes"]), (&5.into(), &10.into()), "{line}");
}

#[tokio::test]
async fn an_answer_has_one_date_whoever_wrote_it() {
    let upstream = Upstream::answering(ok("undated"));
    for (edit, dated) in [(r#"set: { date: "Thu, 01 Jan 1970 00:00:00 GMT" }"#, true), ("remove: [date]", false)] {
        let keys = format!("response_headers: {{ {edit} }}");
        let gateway = TestGateway::start(&forward_with(upstream.address(), "", &keys)).await;
        // Pingora dates what has no date whatever the route says.
        let dated = dated || engine_under_test() == "pingora";
        assert_eq!(gateway.get("/").await.field("date").is_some(), dated, "{edit}");
    }
    let ours = r#"{ name: a, match: { path: "/" }, auth: none, response_headers: { set: { date: mine } },
        respond: { status: 200, body: ours } }"#;
    let gateway = h2c(&routes(&NONE, &[ours])).await;
    assert_eq!(gateway.get("/").await.field("date"), Some("mine"));
    assert_eq!(H2Client::connect(gateway.address()).await.get("/").await.field("date"), Some("mine"));
}
