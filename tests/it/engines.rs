//! Two engines behind one connection of a client.

use crate::support::gateway::{endpoint, routes};
use crate::support::{TestGateway, Upstream, ok, within};

fn half_and_half(upstream: &Upstream) -> String {
    let route = |engine: &str| {
        format!(
            r#"{{ name: by-{engine}, match: {{ path: "/{engine}/{{rest...}}" }}, auth: none, upstream: app, engine: {engine} }}"#
        )
    };
    routes(&[("app", endpoint(upstream.address()))], &[route("auto"), route("direct"), route("pingora")])
}

#[tokio::test]
async fn a_connection_goes_from_one_engine_to_the_other_and_back() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&half_and_half(&upstream)).await;
    let mut client = gateway.client().await;
    for round in 0..3 {
        for engine in ["direct", "pingora", "auto"] {
            let target = format!("/{engine}/{round}");
            let post = format!("POST {target} HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\nab");
            let echo = client.request(post).await.echo();
            assert_eq!((echo.target, echo.body_length), (target, 2));
        }
    }
    let routes: Vec<_> = gateway.access_log(9).await.iter().map(|line| line["route"].to_string()).collect();
    assert_eq!(routes, [r#""by-direct""#, r#""by-pingora""#, r#""by-auto""#].repeat(3));
}

#[tokio::test]
async fn pipelined_requests_of_different_engines_are_answered_in_order() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&half_and_half(&upstream)).await;
    let mut client = gateway.client().await;
    let targets = ["/direct/1", "/pingora/2", "/pingora/3", "/direct/4", "/auto/5", "/pingora/6"];
    let requests: String = targets
        .iter()
        .map(|target| {
            format!(
                "PUT {target} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            )
        })
        .collect();
    client.send(requests).await;
    for target in targets {
        let echo = client.response().await.echo();
        assert_eq!((echo.target.as_str(), echo.body_length), (target, 3));
    }
}

#[tokio::test]
async fn a_failure_in_one_engine_leaves_the_connection_to_the_other() {
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            if request.target.ends_with("/broken") {
                return conn.send("nonsense\r\n\r\n").await;
            }
            conn.send(ok("fine")).await?;
        }
        Ok(())
    });
    let gateway = TestGateway::start(&half_and_half(&upstream)).await;
    let mut client = gateway.client().await;
    for (failing, other) in [("direct", "pingora"), ("pingora", "direct")] {
        client.get(&format!("/{failing}/broken")).await.refused(502, "UPSTREAM_PROTOCOL");
        assert_eq!(client.get(&format!("/{other}/")).await.text(), "fine");
    }
}

#[tokio::test]
async fn an_engine_may_change_with_a_reload_under_requests() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&half_and_half(&upstream)).await;
    let mut client = gateway.client().await;
    for engine in ["pingora", "direct", "auto"].repeat(2) {
        let route = format!(
            r#"{{ name: all, match: {{ path: "/{{rest...}}" }}, auth: none, upstream: app, engine: {engine} }}"#
        );
        gateway.reload_with(&routes(&[("app", endpoint(upstream.address()))], &[route])).await;
        assert_eq!(within("an answer", client.get("/x")).await.echo().target, "/x");
    }
}
