//! What the upstream is asked when the cache asks: the same as without a cache, but for the conditions and parts of one client.

use std::collections::BTreeMap;

use http::{HeaderMap, Response};

use crate::cache::support::{Scene, assert_hit, date, good, status_of, x_cache};
use crate::identity::scene::build;
use crate::support::client::Echo;
use crate::support::gateway::{endpoint, routes};
use crate::support::{H2Upstream, TestGateway, Upstream, forward_with};

/// Fields by name, without those that are another for each request.
fn fields(echo: &Echo) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in &echo.head.fields {
        if !matches!(&*name.to_ascii_lowercase(), "x-request-id" | "traceparent") {
            fields.entry(name.to_ascii_lowercase()).or_default().push(value.clone());
        }
    }
    fields
}

#[tokio::test]
async fn the_upstream_is_asked_as_it_is_without_a_cache() {
    let upstream = Upstream::echo();
    let edits = "request_headers: { set: { X-Set: here }, remove: [X-Gone], add: { X-Many: more } }";
    let route = |name: &str, more: &str| {
        format!(
            r#"{{ name: {name}, match: {{ path: "/{name}/{{rest...}}" }}, rewrite: {{ path: "/to/{{rest...}}" }}, auth: none, upstream: app, {edits}{more} }}"#
        )
    };
    let file = routes(&[("app", endpoint(upstream.address()))], &[route("plain", ""), route("cached", ", cache: {}")]);
    let gateway = build().start(&file).await;
    for asked in [
        "",
        "X-Many: 1\r\nX-Many: 2\r\nX-Set: there\r\nX-Gone: 1\r\nAccept: */*;q=0.5\r\nCookie: a=b; c=d\r\nUser-Agent: x/1\r\n",
        "Connection: x-hop, close\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers, deflate\r\nProxy-Authorization: Basic eDp5\r\nProxy-Connection: x\r\n",
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: other.test\r\nForwarded: for=1.2.3.4\r\nVia: 1.0 before\r\nX-Real-IP: 1.2.3.4\r\n",
        "Authorization: Basic YW5uOmFubg==\r\nX-Empty:\r\nX-Quoted: \"a, b\"\r\n",
        "Cache-Control: no-cache\r\nPragma: no-cache\r\n",
    ] {
        let ask = |name: &str| format!("GET /{name}/a%20b?x=1&y HTTP/1.1\r\nHost: api.test\r\n{asked}\r\n");
        let plain = gateway.request(ask("plain")).await.echo();
        let cached = gateway.request(ask("cached")).await.echo();
        assert_eq!((&plain.method, &plain.target), (&cached.method, &cached.target), "{asked}");
        assert_eq!(fields(&plain), fields(&cached), "{asked}");
    }
}

#[tokio::test]
async fn rfc_9111_4_3_1_conditions_and_parts_of_one_client_are_not_asked_for_on_behalf_of_all() {
    let scene = Scene::start("{}").await;
    let modified = date(-1000);
    for asked in [
        "If-None-Match: \"other\"".to_owned(),
        format!("If-Modified-Since: {modified}"),
        "Range: bytes=0-1".to_owned(),
        "Range: bytes=0-1\nIf-Range: \"1\"".to_owned(),
    ] {
        let path = scene.path();
        scene.origin.says(good(&format!("Cache-Control: max-age=60\nETag: \"1\"\nLast-Modified: {}", date(-10))));
        let first = scene.get(&path, &asked).await;
        assert!(matches!(first.status, 200 | 206), "{asked}");
        let upstream = scene.origin.last();
        for name in ["if-none-match", "if-modified-since", "range", "if-range"] {
            assert_eq!(upstream.head.field(name), None, "{asked}");
        }
        let hit = scene.get(&path, "").await;
        assert_hit(&hit, &asked);
        assert_eq!((hit.status, hit.text()), (200, "good"), "{asked}");
    }
}

#[tokio::test]
async fn requests_that_the_upstream_has_to_judge_pass_by() {
    let scene = Scene::start("{ ttl: 60s }").await;
    scene.origin.says(good("Cache-Control: max-age=60\nETag: \"1\""));
    let since = format!("If-Unmodified-Since: {}", date(-1000));
    let path = scene.path();
    scene.get(&path, "").await;
    for asked in ["If-Match: \"1\"", "If-Match: *", &since, "Connection: upgrade\nUpgrade: h2c"] {
        let before = scene.origin.count();
        let response = scene.get(&path, asked).await;
        assert_eq!((response.status, x_cache(&response), scene.origin.count() - before), (200, "BYPASS", 1), "{asked}");
        assert!(!status_of(&response).has("stored"), "{asked}");
    }
    let before = scene.origin.count();
    let with_body = format!("GET {path} HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(x_cache(&scene.gateway.request(with_body).await), "BYPASS");
    assert_eq!((scene.origin.count() - before, &*scene.origin.last().body.bytes), (1, &b"body"[..]));
    assert_hit(&scene.get(&path, "").await, "what is stored stays");
}

#[tokio::test]
async fn rfc_9111_3_3_an_answer_over_http_2_that_is_reset_or_of_another_length_is_not_kept() {
    let upstream = H2Upstream::scripted(None, |request, mut respond| async move {
        let head = Response::builder().header("cache-control", "max-age=60").header("etag", "\"1\"");
        let head = if request.path == "/reset" { head } else { head.header("content-length", "10") };
        let mut send = respond.send_response(head.body(()).unwrap(), false)?;
        send.send_data(bytes::Bytes::from_static(b"good"), request.path == "/short")?;
        if request.path != "/short" {
            // What was sent leaves before the stream is reset.
            tokio::task::yield_now().await;
            send.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        Ok(())
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "protocol: http2", "cache: {}")).await;
    for path in ["/reset", "/short", "/length"] {
        for _ in 0..2 {
            let mut client = gateway.client().await;
            client.send(format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
            match client.try_response().await {
                Err(_) => {}
                Ok(response) => {
                    assert!(response.status >= 500, "{path}, told as whole: {response:?}");
                    assert_ne!(x_cache(&response), "HIT", "{path}");
                }
            }
        }
        let asked = upstream.requests().iter().filter(|request| request.path == path).count();
        assert!(asked >= 2, "{path} was asked for {asked} times");
    }
}

#[tokio::test]
async fn an_answer_over_http_2_is_kept_and_its_trailers_frame_nothing() {
    let upstream = H2Upstream::scripted(None, |_, mut respond| async move {
        let head = Response::builder().header("cache-control", "max-age=60");
        let mut send = respond.send_response(head.body(()).unwrap(), false)?;
        send.send_data(bytes::Bytes::from_static(b"good"), false)?;
        let mut trailers = HeaderMap::new();
        for (name, value) in
            [("content-length", "100"), ("set-cookie", "id=1"), ("cache-control", "no-store"), ("x-sum", "1")]
        {
            trailers.insert(name, value.parse().unwrap());
        }
        send.send_trailers(trailers)
    });
    let gateway = TestGateway::start(&forward_with(upstream.address(), "protocol: http2", "cache: {}")).await;
    let first = gateway.get("/x").await;
    assert_eq!((first.status, first.text(), x_cache(&first)), (200, "good", "MISS"));
    assert!(first.body.trailers.is_empty(), "{:?}", first.body.trailers);
    let second = gateway.get("/x").await;
    assert_hit(&second, "over HTTP/2");
    assert_eq!((second.text(), second.field("content-length"), second.body.trailers.len()), ("good", Some("4"), 0));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn trailers_reach_who_asked_and_are_not_kept() {
    let scene = Scene::start("{}").await;
    let chunks = "4\r\ngood\r\n0\r\nX-Sum: 1\r\n\r\n";
    scene
        .origin
        .says(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    let first = scene.get("/x", "").await;
    assert_eq!((first.text(), x_cache(&first)), ("good", "MISS"));
    if crate::support::gateway::engine_under_test() == "direct" {
        let [(name, sum)] = &*first.body.trailers else { panic!("one trailer: {:?}", first.body.trailers) };
        assert!(name.eq_ignore_ascii_case("x-sum") && sum == "1");
    }
    let second = scene.get("/x", "").await;
    assert_hit(&second, "without trailers");
    assert_eq!((second.text(), second.field("content-length"), second.field("x-sum")), ("good", Some("4"), None));
    // One that must not be a trailer breaks the answer, as it does without a cache.
    for forbidden in ["Content-Length: 9", "Set-Cookie: a=b", "Cache-Control: max-age=9"] {
        let path = scene.path();
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
        scene.origin.says(format!("{head}4\r\ngood\r\n0\r\n{forbidden}\r\n\r\n"));
        for _ in 0..2 {
            let mut client = scene.gateway.client().await;
            client.send(format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
            if let Ok(response) = client.try_response().await {
                assert!(response.body.trailers.is_empty(), "{forbidden}: {response:?}");
                let name = forbidden.split(':').next().unwrap();
                assert!(response.status >= 500 || !response.head.all(name).contains(&"a=b"), "{forbidden}");
            }
        }
    }
}
