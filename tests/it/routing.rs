//! Which route answers, and what routes do besides forwarding.

use crate::support::gateway::{NONE, endpoint, routes};
use crate::support::{TestGateway, Upstream, forward_with};

/// A route that answers with its own name.
fn named(name: &str, matches: &str) -> String {
    format!("{{ name: {name}, match: {{ {matches} }}, auth: none, respond: {{ status: 200, body: {name} }} }}")
}

#[tokio::test]
async fn the_most_specific_route_answers() {
    let gateway = TestGateway::start(&routes(
        &NONE,
        &[
            named("rest", r#"path: "/{rest...}""#),
            named("orders", r#"path: "/orders/{id}""#),
            named("latest", "path: /orders/latest"),
            named("lines", r#"path: "/orders/{id}/lines""#),
            named("host", r#"hosts: [special.test], path: "/{rest...}""#),
            named("wildcard", r#"hosts: ["*.wild.test"], path: "/{rest...}""#),
        ],
    ))
    .await;
    let mut client = gateway.client().await;
    for (host, target, name) in [
        ("api.test", "/", "rest"),
        ("api.test", "/orders/7", "orders"),
        ("api.test", "/orders/latest", "latest"),
        ("api.test", "/orders/7/lines", "lines"),
        ("api.test", "/orders/7/other", "rest"),
        ("special.test", "/x", "host"),
        ("SPECIAL.test:81", "/x", "host"),
        ("a.b.wild.test", "/x", "wildcard"),
        ("wild.test", "/x", "rest"),
    ] {
        let response = client.request(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(response.text(), name, "{host}{target}");
    }
}

#[tokio::test]
async fn methods_fields_and_query_parameters_narrow_a_route() {
    let gateway = TestGateway::start(&routes(
        &NONE,
        &[
            named("plain", "path: /x"),
            named("writing", "path: /x, methods: [POST, PUT]"),
            named("versioned", r#"path: /x, methods: [GET], headers: { x-version: "2" }"#),
            named("asked", r#"path: /y, query: { debug: "on" }"#),
        ],
    ))
    .await;
    let mut client = gateway.client().await;
    for (request, name) in [
        ("GET /x HTTP/1.1\r\n", "plain"),
        ("POST /x HTTP/1.1\r\nContent-Length: 0\r\n", "writing"),
        ("GET /x HTTP/1.1\r\nX-Version: 2\r\n", "versioned"),
        ("GET /x HTTP/1.1\r\nX-Version: 3\r\n", "plain"),
        ("GET /y?a=b&debug=on HTTP/1.1\r\n", "asked"),
    ] {
        assert_eq!(client.request(format!("{request}Host: api.test\r\n\r\n")).await.text(), name, "{request}");
    }
    client.get("/y?debug=off").await.refused(404, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn no_route_is_a_404_and_a_wrong_method_a_405() {
    let gateway = TestGateway::start(&routes(&NONE, &[named("x", "path: /x, methods: [GET, POST]")])).await;
    gateway.get("/y").await.refused(404, "ROUTE_NOT_FOUND");
    gateway.get("/x/").await.refused(404, "ROUTE_NOT_FOUND");
    let response = gateway.request("DELETE /x HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    response.refused(405, "METHOD_NOT_ALLOWED");
    let allow = response.field("allow").unwrap();
    let mut allowed: Vec<_> = allow.split(", ").filter(|method| *method != "HEAD" && *method != "OPTIONS").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "POST"], "{allow}");
}

#[tokio::test]
async fn a_refusal_is_a_problem_document_or_plain_text_as_asked() {
    let gateway = TestGateway::start(&routes(&NONE, &[named("x", "path: /x")])).await;
    let mut client = gateway.client().await;
    let ask = |accept: &str| format!("GET /nowhere HTTP/1.1\r\nHost: api.test\r\n{accept}\r\n");
    for accept in [
        "",
        "Accept: */*\r\n",
        "Accept: application/json\r\n",
        "Accept: text/plain;q=0.1, application/problem+json\r\n",
    ] {
        let problem = client.request(ask(accept)).await.refused(404, "ROUTE_NOT_FOUND");
        assert!(problem["type"].as_str().unwrap().ends_with("ROUTE_NOT_FOUND"), "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty() && !problem["title"].as_str().unwrap().is_empty());
    }
    let plain = client.request(ask("Accept: text/plain\r\n")).await;
    assert_eq!(plain.status, 404);
    assert!(plain.field("content-type").unwrap().starts_with("text/plain"));
    assert!(plain.text().contains("ROUTE_NOT_FOUND"));
}

#[tokio::test]
async fn a_refusal_of_a_head_request_has_no_body() {
    let gateway = TestGateway::start(&routes(&NONE, &[named("x", "path: /x")])).await;
    let mut client = gateway.client().await;
    assert_eq!(client.request("HEAD /nowhere HTTP/1.1\r\nHost: api.test\r\n\r\n").await.status, 404);
    assert_eq!(client.get("/x").await.text(), "x", "the connection stayed in step");
}

#[tokio::test]
async fn a_refused_request_with_a_body_leaves_the_connection_in_step_or_closed() {
    let gateway = TestGateway::start(&routes(&NONE, &[named("x", "path: /x")])).await;
    let mut client = gateway.client().await;
    let smuggled = "GET /x HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let length = smuggled.len();
    client
        .send(format!("POST /nowhere HTTP/1.1\r\nHost: api.test\r\nContent-Length: {length}\r\n\r\n{smuggled}"))
        .await;
    let response = client.response().await;
    response.refused(404, "ROUTE_NOT_FOUND");
    if response.field("connection") == Some("close") {
        client.closed().await;
    } else {
        client.get("/nowhere").await.refused(404, "ROUTE_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_redirect_carries_parameters_and_query() {
    let gateway = TestGateway::start(&routes(
        &NONE,
        &[
            r#"{ name: old, match: { path: "/old/{rest...}" }, auth: none, redirect: { status: 308, location: "https://new.test/{rest...}{?}" } }"#,
            r#"{ name: id, match: { path: "/id/{id}" }, auth: none, redirect: { status: 302, location: "/orders/{id}/show" } }"#,
        ],
    ))
    .await;
    let mut client = gateway.client().await;
    let moved = client.get("/old/a/b?x=1&y").await;
    assert_eq!((moved.status, moved.field("location")), (308, Some("https://new.test/a/b?x=1&y")));
    assert_eq!(client.get("/old/a").await.field("location"), Some("https://new.test/a"));
    let found = client.get("/id/7%0d%0aX:1").await;
    assert_eq!((found.status, found.field("location"), found.field("x")), (302, Some("/orders/7%0D%0AX:1/show"), None));
}

#[tokio::test]
async fn a_route_may_answer_by_itself() {
    let respond = r#"{ status: 418, content_type: "application/json", body: "{\"tea\":true}" }"#;
    let route = format!("{{ name: tea, match: {{ path: /tea }}, auth: none, respond: {respond} }}");
    let gateway = TestGateway::start(&routes(&NONE, &[route])).await;
    let mut client = gateway.client().await;
    let response = client.get("/tea").await;
    assert_eq!((response.status, response.field("content-type")), (418, Some("application/json")));
    assert_eq!(response.text(), "{\"tea\":true}");
    let head = client.request("HEAD /tea HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!((head.status, head.field("content-length")), (418, Some("12")));
    let upload = client.request("POST /tea HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(upload.status, 418);
}

#[tokio::test]
async fn a_path_is_rewritten_on_its_way() {
    let upstream = Upstream::echo();
    let route = |name: &str, path: &str, rewrite: &str| {
        format!(r#"{{ name: {name}, match: {{ path: "{path}" }}, auth: none, upstream: app, rewrite: {rewrite} }}"#)
    };
    let gateway = TestGateway::start(&routes(
        &[("app", endpoint(upstream.address()))],
        &[
            route("strip", "/api/{rest...}", "{ strip_prefix: /api }"),
            route("path", "/orders/{id}", r#"{ path: "/v2/{id}/order" }"#),
        ],
    ))
    .await;
    let mut client = gateway.client().await;
    for (sent, forwarded) in [
        ("/api/users/7?x=1", "/users/7?x=1"),
        ("/api/", "/"),
        ("/api", "/"),
        ("/api//users", "/users"),
        ("/orders/7?x=1", "/v2/7/order?x=1"),
        ("/orders/a%20b", "/v2/a%20b/order"),
    ] {
        assert_eq!(client.get(sent).await.echo().target, forwarded, "{sent}");
    }
}

#[tokio::test]
async fn fields_are_edited_on_both_ways() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nServer: leaky/1.0\r\nX-Set: old\r\nX-Add: one\r\nContent-Length: 0\r\n\r\n",
    );
    let edits = "{ set: { x-set: new }, add: { x-add: two }, remove: [server, cookie] }";
    let keys = format!("request_headers: {edits}, response_headers: {edits}");
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", &keys)).await;
    let fields = "X-Set: old\r\nX-Set: older\r\nX-Add: one\r\nCookie: a=1\r\n";
    let response = gateway.request(format!("GET / HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")).await;
    let seen = upstream.request(1).await.head;
    for head in [&seen, &response.head] {
        assert_eq!(head.field("x-set"), Some("new"));
        assert_eq!(head.all("x-add"), ["one", "two"]);
        assert_eq!((head.field("server"), head.field("cookie")), (None, None));
    }
}

#[tokio::test]
async fn the_host_is_kept_or_set() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "host: inner.test")).await;
    let echo = gateway.get("/").await.echo();
    assert_eq!((echo.field("host"), echo.field("x-forwarded-host")), (Some("inner.test"), Some("api.test")));
}
