//! `sluice test`: what stands beside the routes, and what does not come true.

use serde_json::json;

use super::process::Place;

const ROUTES: &str = r#"version: 1
issuers: { dev: { issuer: dev, audiences: [a], jwks: { file: certs/dev-jwks.json } } }
plans: { small: { concurrency: 2 } }
partners: { acme: {}, globex: { plan: small, scopes: [read] } }
upstreams: { app: { endpoints: ["127.0.0.1:1"] } }
routes:
  - name: items
    match: { hosts: ["*.a.test"], path: "/items/{id}", methods: [GET] }
    auth: { issuer: dev, scopes: { all_of: [read] }, claims: { /org/tier: { equals: gold } } }
    rate_limit: { per: partner, rate: 1/h, burst: 3 }
    upstream: app
    rewrite: { path: "/v2/{id}" }
    tests:
      - name: as it should be
        request: GET /items/7?a=b
        as: { partner: acme, scopes: [read], claims: { org: { tier: gold } } }
        expect: { upstream: app, path: /v2/7?a=b }
      - name: without the claim
        request: GET /items/7
        as: { partner: acme, scopes: [read] }
        expect: { status: 403, reason: CLAIM_DENIED }
      - name: one too many
        request: GET /items/7
        as: { partner: acme, scopes: [read], claims: { org: { tier: gold } } }
        repeat: 4
        expect: { reason: RATE_LIMITED }
      - name: three are not
        request: GET /items/7
        as: { partner: acme, scopes: [read], claims: { org: { tier: gold } } }
        repeat: 3
        expect: { upstream: app }
  - name: keyed
    match: { path: /keyed }
    auth: { api_key: {}, scopes: { all_of: [read] } }
    upstream: app
    tests:
      - { name: scopes of the partner, request: GET /keyed, as: { partner: globex }, expect: { upstream: app } }
      - { name: its plan, request: GET /keyed, as: { partner: globex }, repeat: 3, expect: { reason: CONCURRENCY_LIMITED } }
      - { request: GET /keyed, expect: { status: 401 } }
  - name: open
    match: { path: /open, methods: [GET] }
    auth: none
    addresses: { deny: [10.0.0.0/8] }
    respond: { status: 204, body: "" }
    tests:
      - { request: "GET http://b.test/open", headers: { X-A: b }, expect: { status: 204 } }
      - { request: GET /open, client: 10.1.1.1, expect: { status: 403, reason: ADDRESS_DENIED } }
      - { request: POST /open, expect: { reason: METHOD_NOT_ALLOWED } }
      - { request: GET /keyed, expect: { route: keyed } }
  - { name: bare, match: { path: /bare }, auth: none, respond: { body: x } }
"#;

#[tokio::test]
async fn what_comes_true_is_counted_for_each_route() {
    let place = Place::serving(ROUTES);
    let ended = place.run(&["test"]).await.with(0);
    assert!(ended.out.starts_with("items  4 passed\nkeyed  3 passed\nopen   4 passed\n"), "{ended:?}");
    assert!(ended.out.contains("routes.yaml: 11 tests, 11 passed, 0 failed in "), "{ended:?}");
    assert!(ended.out.ends_with("; 1 route without\n") && ended.err.is_empty(), "{ended:?}");
    let report = place.run(&["test", "--format", "json"]).await.with(0).json();
    assert_eq!((&report["ok"], &report["passed"], &report["failed"]), (&json!(true), &json!(11), &json!(0)));
    assert_eq!(report["untested"], json!(["bare"]));
    let first = &report["tests"][0];
    assert_eq!(
        (&first["route"], &first["name"], &first["at"]),
        (&json!("items"), &json!("as it should be"), &json!("routes.yaml:14:9"))
    );
    assert_eq!(first["got"]["path"], "/v2/7?a=b");
}

#[tokio::test]
async fn what_does_not_is_told_with_its_place_and_the_way_to_see_why() {
    let wrong = ROUTES.replace("expect: { status: 403, reason: CLAIM_DENIED }", "expect: { upstream: app, path: /x }");
    let place = Place::serving(&wrong.replace(
        "headers: { X-A: b }, expect: { status: 204 }",
        "headers: { Cookie: secret }, expect: { status: 200 }",
    ));
    let ended = place.run(&["test"]).await.with(1);
    let told = "items  3 passed, 1 FAILED
  routes.yaml:18:9: without the claim
    expected to be forwarded to `app`, got 403 CLAIM_DENIED
    expected path /x, got 403 CLAIM_DENIED
    why: sluice explain GET http://test.a.test/items/7 --as acme:read
";
    assert!(ended.out.starts_with(told), "{ended:?}");
    assert!(ended.out.contains("    expected status 200, got 204\n"), "{ended:?}");
    assert!(ended.out.contains("why: sluice explain GET http://b.test/open -H 'cookie: …'\n"), "{ended:?}");
    assert!(ended.out.contains("11 tests, 9 passed, 2 failed"), "{ended:?}");
    let report = place.run(&["test", "--format", "json"]).await.with(1).json();
    let failed = &report["tests"][1];
    assert_eq!((&report["ok"], &report["failed"], &failed["passed"]), (&json!(false), &json!(2), &json!(false)));
    assert_eq!(
        failed["got"],
        json!({ "route": "items", "status": 403, "reason": "CLAIM_DENIED", "upstream": null, "path": null })
    );
    assert_eq!(failed["differences"].as_array().unwrap().len(), 2);
    // What it points to says the same.
    let explained = place.run(&["explain", "GET", "http://test.a.test/items/7", "--as", "acme:read"]).await.with(0);
    assert!(explained.out.contains("403 Forbidden, CLAIM_DENIED"), "{explained:?}");
}

#[tokio::test]
async fn some_can_be_chosen_and_none_is_no_success() {
    let place = Place::serving(ROUTES);
    for (arguments, count) in [
        (&["--route", "open"][..], 4),
        (&["--route", "open", "--route", "keyed"], 7),
        (&["claim"], 1),
        (&["keyed"], 4),
        (&["--route", "items", "three"], 1),
    ] {
        let report = place.run(&[&["test", "--format", "json"], arguments].concat()).await.with(0).json();
        assert_eq!(report["tests"].as_array().unwrap().len(), count, "{arguments:?}");
    }
    for (arguments, told) in [
        (&["--route", "opn"][..], "--route opn: routes.yaml has no such route"),
        (&["--route", "bare"], "no test of routes.yaml is chosen"),
        (&["nothing like it"], "no test of routes.yaml is chosen"),
    ] {
        let ended = place.run(&[&["test"], arguments].concat()).await.with(1);
        assert!(ended.err.contains(told), "{ended:?}");
    }
    place.write("routes.yaml", "version: 1\nroutes: []\n");
    place.run(&["test"]).await.with(0);
}

#[tokio::test]
async fn a_file_with_errors_fails_whatever_its_tests_say() {
    let place = Place::serving(
        &ROUTES.replace("name: bare, match: { path: /bare }", "name: bare, match: { path: /bare }, hots: a"),
    );
    let ended = place.run(&["test"]).await.with(1);
    assert!(ended.err.contains("unknown key `hots`") && ended.out.contains("11 passed, 0 failed"), "{ended:?}");
    place.write("routes.yaml", "version: 1\nroutes: {}\n");
    place.run(&["test"]).await.with(1);
}
