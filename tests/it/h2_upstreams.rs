//! HTTP/2 upstreams and gRPC.

use http::{HeaderMap, Response};

use crate::support::gateway::routes;
use crate::support::h2_client::{get, post, response_of};
use crate::support::{Authority, Gate, H2Client, H2Upstream, TestGateway, Upstream, eventually, forward_with, within};

const H2: &str = "protocol: http2";

#[tokio::test]
async fn grpc_passes_both_ways_with_its_trailers() {
    let upstream = H2Upstream::echo(None);
    let gateway =
        TestGateway::build().listener("h2c", "h2c: true").start(&forward_with(upstream.address(), H2, "")).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let mut request = post("/orders.Orders/Find");
    for (name, value) in [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "1S")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = client.send(request, &[b"\0\0\0\0\x03abc"]).await;
    assert_eq!(response.status, 200);
    let trailers = response.trailers.unwrap();
    assert_eq!((&trailers["grpc-status"], &trailers["x-checksum"]), (&"0".parse().unwrap(), &"abc".parse().unwrap()));
    let seen = upstream.request(1).await;
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/orders.Orders/Find"));
    assert_eq!(seen.body, b"\0\0\0\0\x03abc");
    for (name, value) in [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "1S")] {
        assert_eq!(seen.headers[name], value);
    }
}

#[tokio::test]
async fn an_answer_of_trailers_only_passes() {
    let upstream = H2Upstream::scripted(None, |_, mut respond| async move {
        let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
        respond.send_response(head.body(()).unwrap(), true).map(drop)
    });
    let gateway =
        TestGateway::build().listener("h2c", "h2c: true").start(&forward_with(upstream.address(), H2, "")).await;
    let mut request = post("/orders.Orders/Find");
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let response = H2Client::connect(gateway.address()).await.send(request, &[b"\0\0\0\0\0"]).await;
    assert_eq!((response.status.as_u16(), response.field("grpc-status"), response.body.len()), (200, Some("5"), 0));
}

#[tokio::test]
async fn an_http1_client_reaches_an_h2_upstream() {
    let upstream = H2Upstream::echo(None);
    let gateway = TestGateway::start(&forward_with(upstream.address(), H2, "")).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let response = client.request("POST /a?b HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc").await;
        assert_eq!(response.field("via"), Some("2 sluice"));
        let echo = response.echo();
        assert_eq!((echo.target.as_str(), echo.body_length, echo.connection), ("/a?b", 3, 0));
    }
    let seen = upstream.request(1).await;
    assert_eq!(seen.authority.as_deref(), Some("api.test"));
    assert!(seen.headers.get("connection").is_none() && seen.headers.get("host").is_none_or(|host| host == "api.test"));
}

#[tokio::test]
async fn tls_upstreams_choose_by_alpn() {
    let authority = Authority::new("known");
    let h2 = H2Upstream::echo(Some(authority.issue(&["inner.test"]).server(&["h2", "http/1.1"])));
    let h1 = Upstream::echo_tls(authority.issue(&["inner.test"]).server(&["http/1.1"]));
    let builder = TestGateway::build();
    let ca = builder.file("ca.pem", &authority.bundle());
    let keys = format!(r#"protocol: auto, tls: {{ server_name: inner.test, ca: "{}" }}"#, ca.display());
    let upstreams = [
        ("new", format!(r#"{{ endpoints: ["{}"], {keys} }}"#, h2.address())),
        ("old", format!(r#"{{ endpoints: ["{}"], {keys} }}"#, h1.address())),
    ];
    let route =
        |name: &str| format!(r#"{{ name: {name}, match: {{ path: "/{name}" }}, auth: none, upstream: {name} }}"#);
    let gateway = builder.start(&routes(&upstreams, &[route("new"), route("old")])).await;
    assert_eq!(gateway.get("/new").await.echo().target, "/new");
    assert_eq!(gateway.get("/old").await.echo().target, "/old");
    assert_eq!((h2.requests().len(), h1.requests().len()), (1, 1));
}

#[tokio::test]
async fn requests_at_the_same_time_share_a_connection() {
    let upstream = H2Upstream::echo(None);
    let gateway =
        TestGateway::build().listener("h2c", "h2c: true").start(&forward_with(upstream.address(), H2, "")).await;
    let mut client = H2Client::connect(gateway.address()).await;
    assert_eq!(client.get("/warm").await.status, 200);
    let mut responses = Vec::new();
    for _ in 0..20 {
        responses.push(client.open(get("/"), true).await.unwrap().0);
    }
    for response in responses {
        assert_eq!(response_of(response).await.unwrap().status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_upstream_that_says_goaway_is_connected_to_anew() {
    let upstream = H2Upstream::echo(None);
    let gateway = TestGateway::start(&forward_with(upstream.address(), H2, "")).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/").await.echo().connection, 0);
    upstream.go_away();
    eventually("a new connection, and no request lost", async || {
        (client.get("/").await.echo().connection == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_aborts_within_an_answer_cuts_it() {
    let upstream = H2Upstream::scripted(None, |_, mut respond| async move {
        let mut body = respond.send_response(Response::new(()), false)?;
        body.send_data("abc".into(), false)?;
        body.send_reset(h2::Reason::INTERNAL_ERROR);
        Ok(())
    });
    let gateway =
        TestGateway::build().listener("h2c", "h2c: true").start(&forward_with(upstream.address(), H2, "")).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, _) = client.open(get("/"), true).await.unwrap();
    // Without the head it may still become an answer of the gateway.
    if let Ok(response) = response_of(response).await {
        response.refused(502, "UPSTREAM_RESET");
    }
    gateway.logged_reason("UPSTREAM_RESET").await;
}

#[tokio::test]
async fn a_connection_that_the_upstream_aborts_fails_what_is_on_it_and_nothing_later() {
    let arrived = Gate::closed();
    let step = arrived.clone();
    let upstream = H2Upstream::scripted(None, move |request, mut respond| {
        let step = step.clone();
        async move {
            if request.method == "POST" {
                step.open();
                std::future::pending::<()>().await;
            }
            respond.send_response(Response::new(()), true).map(drop)
        }
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), H2, "")).await;
    let mut client = gateway.client().await;
    client.send("POST /held HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc").await;
    within("the request arrives", arrived.pass()).await;
    upstream.abort(h2::Reason::INTERNAL_ERROR);
    client.response().await.refused(502, "UPSTREAM_RESET");
    assert_eq!(gateway.get("/later").await.status, 200);
    assert_eq!(upstream.requests().len(), 2, "what may have been carried out is not sent again");
}

#[tokio::test]
async fn an_upstream_that_speaks_no_h2_is_a_protocol_error() {
    let upstream = Upstream::answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let gateway =
        TestGateway::start(&forward_with(upstream.address(), H2, "timeouts: { connect: 1s, first_byte: 1s }")).await;
    let response = gateway.get("/").await;
    assert!(response.status == 502 || response.status == 504, "{}", response.text());
    upstream.take_faults();
}

#[tokio::test]
async fn trailers_to_an_http1_client_do_not_break_the_framing() {
    let upstream = H2Upstream::scripted(None, |_, mut respond| async move {
        let mut body = respond.send_response(Response::new(()), false)?;
        body.send_data("abc".into(), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        body.send_trailers(trailers)
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), H2, "")).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.text(), "abc");
    }
}
