//! `sluice explain`: which route, why not the others, what becomes of the request, and where each of it is written.

use serde_json::{Value, json};

use super::process::Place;

const ROUTES: &str = r#"version: 1
defaults: { max_body: 1KiB }
upstreams:
  stock:
    endpoints: ["127.0.0.1:9400", "stock.internal:8080"]
routes:
  - name: items
    match: { path: "/v1/items/{id}", methods: [GET, PUT] }
    auth: none
    upstream: stock
    rewrite: { path: "/items/{id}" }
    host: stock.internal
    timeouts: { first_byte: 5s }
    request_headers:
      remove: [Cookie]
      set: { X-Tier: gold }
    response_headers:
      remove: [Server]
      add: { Vary: Accept }
  - name: items-v2
    match: { path: "/v1/items/{id}", methods: [GET], headers: { X-Version: "2" } }
    auth: none
    upstream: stock
  - name: prices
    match: { path: "/v1/prices/{id}", methods: [GET] }
    auth: none
    upstream: stock
  - name: old
    match: { path: "/old/{rest...}" }
    auth: none
    redirect: { location: "/v1/{rest...}{?}" }
"#;

async fn explain(place: &Place, arguments: &[&str]) -> String {
    place.run(&[&["explain"], arguments].concat()).await.with(0).out
}

async fn explain_json(place: &Place, arguments: &[&str]) -> Value {
    place.run(&[&["explain", "--format", "json"], arguments].concat()).await.with(0).json()
}

#[tokio::test]
async fn a_forwarded_request_is_shown_with_the_place_of_every_setting() {
    let place = Place::serving(ROUTES);
    let arguments =
        ["GET", "https://api.test/v1/x/../items/7?a=b", "-H", "Cookie: secret=1", "-H", "X-Forwarded-For: 1.2.3.4"];
    let expected = "\
request    GET https://api.test/v1/x/../items/7?a=b
           path in normal form: /v1/items/7
route      items                                                                    routes.yaml:7:5
  not      items-v2: it wants header `x-version: 2`, which the request does not     routes.yaml:20:5
           have
auth       none: nobody is asked who they are                                       routes.yaml:9:5
max_body   1KiB                                                                     (default)
target     /items/7?a=b                                                             routes.yaml:11:5
host       stock.internal                                                           routes.yaml:12:5
  without  cookie                                                                   routes.yaml:14:5
  without  x-forwarded-for
  with     x-forwarded-for: 127.0.0.1
  with     x-forwarded-proto: https
  with     x-forwarded-host: api.test
  with     forwarded: for=127.0.0.1;host=api.test;proto=https
  with     x-real-ip: 127.0.0.1
  with     x-request-id: <new>
  with     via: 1.1 sluice
  with     x-tier: gold                                                             routes.yaml:14:5
upstream   stock                                                                    routes.yaml:10:5
           127.0.0.1:9400, stock.internal:8080, HTTP/1.1                            routes.yaml:4:3
timeouts   connect 1s, first_byte 5s, idle 1m, total off                            routes.yaml:13:5
answer     without server                                                           routes.yaml:17:5
answer     and vary: Accept                                                         routes.yaml:17:5
";
    assert_eq!(explain(&place, &arguments).await, expected);

    let explained = explain_json(&place, &arguments).await;
    assert_eq!(
        explained["request"],
        json!({
            "method": "GET", "scheme": "https", "host": "api.test", "path": "/v1/items/7",
            "sent": "/v1/x/../items/7?a=b", "client": "127.0.0.1",
        })
    );
    assert_eq!(explained["route"], "items");
    let forward = &explained["outcome"]["forward"];
    assert_eq!(forward["target"], "/items/7?a=b");
    assert_eq!(forward["host"], "stock.internal");
    assert_eq!(forward["endpoints"], json!(["127.0.0.1:9400", "stock.internal:8080"]));
    assert_eq!(forward["withheld"], json!(["cookie", "x-forwarded-for"]));
    assert!(forward["added"].as_array().unwrap().contains(&json!(["x-tier", "gold"])));
    assert_eq!(forward["timeouts"], json!({ "connect": "1s", "first_byte": "5s", "idle": "1m", "total": "off" }));
    assert_eq!(forward["max_body"], 1024);
    assert_eq!(forward["response_headers"], json!({ "remove": ["server"], "set": [], "add": [["vary", "Accept"]] }));
    assert_eq!(explained["places"]["rewrite"], "routes.yaml:11:5");
    assert_eq!(explained["routes"][1]["won"], false);
    assert_eq!(explained, explain_json(&place, &arguments).await, "equal questions have equal answers");
    assert!(!explained.to_string().contains("secret"));
}

#[tokio::test]
async fn a_request_that_nothing_matches_is_shown_with_the_nearest_routes() {
    let place = Place::serving(ROUTES);
    let text = explain(&place, &["GET", "/v1/price/7"]).await;
    let expected = "\
request    GET http://localhost/v1/price/7
route      none; nearest:
  not      prices: segment 2 of its path is `prices` and that of the request        routes.yaml:24:5
           `price`
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\nanswer     404 Not Found, ROUTE_NOT_FOUND\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");

    let text = explain(&place, &["DELETE", "/v1/items/7"]).await;
    assert!(text.contains("  not      items: it takes `GET`, `PUT` and the request is DELETE"), "{text}");
    assert!(text.contains("answer     405 Method Not Allowed, METHOD_NOT_ALLOWED\n"), "{text}");
    assert!(text.contains("           allow: GET, HEAD, PUT\n"), "{text}");
    let answer = explain_json(&place, &["DELETE", "/v1/items/7"]).await;
    assert!(answer["route"].is_null());
    assert_eq!(answer["routes"][0]["name"], "items");
    assert_eq!(answer["outcome"]["answer"]["reason"], "METHOD_NOT_ALLOWED");
    assert_eq!(answer["outcome"]["answer"]["status"], 405);
}

#[tokio::test]
async fn what_the_listener_would_refuse_is_refused() {
    let place = Place::serving(ROUTES);
    let long = format!("/{}", "a".repeat(9_000));
    for (arguments, status, reason) in [
        (&["TRACE", "/"][..], 501, "METHOD_UNSUPPORTED"),
        (&["GET", "/", "-H", "Host: a b"], 400, "HOST_INVALID"),
        (&["POST", "/", "-H", "Content-Length: 1", "-H", "Transfer-Encoding: chunked"], 400, "REQUEST_FRAMING"),
        (&["GET", "/.."], 400, "PATH_INVALID"),
        (&["GET", &long], 414, "URI_TOO_LONG"),
        (&["PUT", "/v1/items/7", "--body", "1025"], 413, "BODY_TOO_LARGE"),
    ] {
        let answer = explain_json(&place, arguments).await["outcome"]["answer"].clone();
        assert_eq!((&answer["status"], &answer["reason"]), (&json!(status), &json!(reason)), "{arguments:?}");
        assert!(answer["detail"].is_string() && answer["next"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn a_redirect_shows_where_to() {
    let place = Place::serving(ROUTES);
    let text = explain(&place, &["GET", "/old/items/7?a=b"]).await;
    assert!(text.contains("answer     307 Temporary Redirect"), "{text}");
    assert!(text.contains("           location: /v1/items/7?a=b\n"), "{text}");
    let explained = explain_json(&place, &["GET", "/old/items/7"]).await;
    assert_eq!(explained["places"]["redirect"], "routes.yaml:31:5");
}

#[tokio::test]
async fn a_faulty_route_shows_its_errors() {
    let place = Place::serving(&ROUTES.replacen("upstream: stock", "upstream: stok", 1));
    let ended = place.run(&["explain", "GET", "/v1/items/7"]).await.with(0);
    assert!(ended.out.contains("  faulty   E0404: there is no upstream `stok`"), "{ended:?}");
    assert!(ended.out.contains("routes.yaml:10:15\n") && ended.out.contains("503 Service Unavailable, ROUTE_FAULTY"));
    assert!(ended.err.starts_with("note: routes.yaml: 1 error; "), "{ended:?}");
    let explained = explain_json(&place, &["GET", "/v1/items/7"]).await;
    assert_eq!(explained["errors"], json!(["routes.yaml:10:15 E0404: there is no upstream `stok`"]));
    assert_eq!(explained["routes"][0]["faulty"], true);

    place.write("routes.yaml", "version: 1\nroutes: {}\n");
    let ended = place.run(&["explain", "GET", "/"]).await.with(1);
    assert!(ended.err.contains("routes.yaml:2:"), "{ended:?}");
}

#[tokio::test]
async fn trusted_proxies_and_ids_count_as_in_the_gateway() {
    let place = Place::serving(ROUTES);
    let trusting = super::process::bootstrap("client_address: { trusted_proxies: [10.0.0.0/8] }\n");
    place.write("config/gateway.yaml", trusting);
    let arguments =
        ["GET", "/v1/items/7", "--client", "10.1.1.1", "-H", "X-Forwarded-For: 192.0.2.7", "-H", "X-Request-Id: mine"];
    let text = explain(&place, &arguments).await;
    assert!(text.contains("client 192.0.2.7, by way of 10.1.1.1\n"), "{text}");
    assert!(text.contains("x-request-id: mine\n"), "{text}");
}

const GUARDED: &str = r#"version: 1
issuers:
  main: { issuer: m, audiences: [a], jwks: { url: "https://id.test/keys" }, algorithms: [ES256] }
plans: { gold: { rate_limit: 100/s } }
partners: { acme: { plan: gold } }
upstreams: { app: { endpoints: ["127.0.0.1:1"] } }
routes:
  - name: items
    match: { path: "/items/{id}" }
    addresses: { allow: [127.0.0.0/8], mode: observe }
    auth:
      any_of: [{ issuer: main, token: { query: t } }, { api_key: {} }]
      scopes: { all_of: [read], any_of: [a, b] }
      claims: { /org/tier: { in: [gold, 1] } }
    rate_limit: { per: [partner, { header: X-Shop }], rate: 5/s, burst: 10, mode: observe }
    concurrency: { per: address, limit: 3 }
    upstream: app
"#;

#[tokio::test]
async fn who_may_and_how_much_is_shown_with_the_keys_of_limits() {
    let place = Place::serving(GUARDED);
    let place_of = |line: u32, column: u32| format!("routes.yaml:{line}:{column}");
    let text = explain(
        &place,
        &[
            "GET",
            "/items/7?t=x&u=1",
            "--as",
            "acme/u1:read,b",
            "--claim",
            "/org/tier=gold",
            "--client",
            "10.1.1.1",
            "-H",
            "X-Shop: 7",
        ],
    )
    .await;
    for told in [
        "addresses  address: 127.0.0.0/8 (observed only)",
        "auth       token of `main` (ES256; keys from https://id.test/keys), in",
        "  or       API key, in field x-api-key",
        "           scopes: all of read",
        "           scopes: any of a, b",
        "           claim /org/tier is one of \"gold\", 1",
        "           partner: any that is known",
        "  caller   partner `acme` on plan `gold`, subject `u1`, scopes b read; as asked",
        "limit      items.rate_limit: 5 in 1s, 10 at once, here for partner `acme` and",
        "limit      items.concurrency: 3 at the same time, here for address 10.1.1.1",
        "limit      gold.rate_limit: 100 in 1s, 100 at once, here for partner `acme`",
        "  observed it would be refused: ADDRESS_DENIED",
        "target     /items/7?u=1",
        "  with     x-sluice-partner: acme",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    for place in [place_of(10, 5), place_of(11, 5), place_of(15, 5), place_of(16, 5), place_of(4, 16)] {
        assert!(text.contains(&place), "{place}\n{text}");
    }
    let explained = explain_json(&place, &["GET", "/items/7", "--as", "acme:read,b", "--claim", "/org/tier=1"]).await;
    let gate = &explained["gate"];
    assert_eq!(
        gate["caller"],
        json!({ "method": "supposed", "partner": "acme", "plan": "gold", "subject": null, "scopes": ["b", "read"] })
    );
    assert_eq!(gate["limits"][0]["key"], "partner `acme` and requests without x-shop");
    assert_eq!(gate["limits"][0]["observe"], true);
    let refused = explain_json(&place, &["GET", "/items/7", "--as", "acme:b", "--claim", "/org/tier=1"]).await;
    assert_eq!(refused["outcome"]["answer"]["reason"], "SCOPE_MISSING");
}

#[tokio::test]
async fn a_credential_is_judged_as_far_as_that_is_possible_without_a_network() {
    let place = Place::serving(GUARDED.replace("      partners: { deny: [globex] }\n", "").as_str());
    // Taken apart, it names an issuer whose keys nobody has fetched.
    let token = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImsifQ.eyJpc3MiOiJtIiwiYXVkIjoiYSIsImV4cCI6OTk5OTk5OTk5OX0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let text = explain(&place, &["GET", "/items/7", "-H", &format!("Authorization: Bearer {token}")]).await;
    assert!(text.contains("503 Service Unavailable, KEYS_UNAVAILABLE"), "{text}");
    assert!(text.contains("  note     keys are not fetched here"), "{text}");
    for (field, reason) in [("Authorization: Bearer x", "JWT_MALFORMED"), ("X-API-Key: x", "API_KEY_UNKNOWN")] {
        let explained = explain_json(&place, &["GET", "/items/7", "-H", field]).await;
        assert_eq!(explained["outcome"]["answer"]["reason"], reason);
        assert_eq!(explained["gate"]["awaits_keys"], false);
    }
}

#[tokio::test]
async fn what_tells_an_upstream_who_calls_is_shown_but_for_the_token_itself() {
    let identity = "identity: { token: { key: key.pem } }\nupstreams: { app";
    let place = Place::serving(&GUARDED.replace("upstreams: { app", identity));
    let ended = place.run(&["check"]).await.with(1);
    assert_eq!(ended.err.matches("identity.token.key: ").count(), 1, "{ended:?}");
    place.write("key.pem", rcgen::KeyPair::generate().unwrap().serialize_pem());
    place.run(&["check"]).await.with(0);
    let arguments = ["GET", "/items/7", "--as", "acme/u1:read,b", "--claim", "/org/tier=1"];
    let text = explain(&place, &arguments).await;
    for told in ["x-sluice-partner: acme\n", "x-sluice-subject: u1\n", "x-sluice-identity: <signed>\n"] {
        assert!(text.contains(told), "{text}");
    }
    assert_eq!(text, explain(&place, &arguments).await);
    place.write("routes.yaml", "version: 1\nidentity: { token: { key: none.pem } }\nroutes: []\n");
    let ended = place.run(&["check"]).await.with(1);
    assert!(ended.err.contains("identity.token.key: cannot read none.pem"), "{ended:?}");
}

const CACHED: &str = r#"version: 1
issuers:
  main: { issuer: m, audiences: [a], jwks: { url: "https://id.test/keys" }, algorithms: [ES256] }
partners: { acme: { clients: [acme-app] } }
upstreams: { app: { endpoints: ["127.0.0.1:1"] } }
routes:
  - name: order
    match: { path: "/orders/{id}", methods: [GET] }
    auth: { issuer: main, token: { query: t } }
    upstream: app
    cache:
      ttl: { default: 60s, by_status: { 404: 5s } }
      headers: [X-Api-Secret, X-Tenant]
      query: { ignore: [utm_*] }
      tags: [orders, "order:{id}"]
  - name: order-change
    match: { path: "/orders/{id}", methods: [PUT] }
    auth: none
    upstream: app
    invalidates: ["order:{id}"]
  - name: open
    match: { path: /open }
    auth: none
    upstream: app
    cache: { bypass: [{ cookie: session }], methods: GET }
"#;

#[tokio::test]
async fn what_a_cache_would_keep_is_shown_by_its_key_without_a_credential() {
    let place = Place::serving(CACHED);
    let arguments = [
        "GET",
        "https://api.test/orders/7?t=hush&x=1&utm_source=mail",
        "--as",
        "acme/u1",
        "-H",
        "X-Api-Secret: hush",
        "-H",
        "X-Tenant: 7",
    ];
    let text = explain(&place, &arguments).await;
    let expected = "\
cache      ttl 1m, 404 Not Found: 5s, unless answers say it themselves, bodies up   routes.yaml:11:5
           to 1MiB
  key      https://api.test/orders/7?x=1 for partner acme, subject u1 (supposed), with x-api-secret,
           with x-tenant: 7
  answer   may be kept, if its status and its fields allow it
  tags     orders, order:7
";
    assert!(text.ends_with(expected), "{text}");
    let (request, rest) = text.split_once('\n').unwrap();
    assert!(request.contains("hush") && !rest.contains("hush"), "but for what was asked: {text}");
    let explained = explain_json(&place, &arguments).await;
    assert_eq!(
        explained["cache"],
        json!({
            "result": "miss",
            "key": "https://api.test/orders/7?x=1 for partner acme, subject u1 (supposed), with x-api-secret, with x-tenant: 7",
            "tags": ["orders", "order:7"],
            "purges": null,
        })
    );
    assert_eq!(explained["places"]["cache"], "routes.yaml:11:5");
    // Who calls, and what the key looks at, make another one; what it leaves out does not.
    let key = async |target: &str, caller: &str| {
        explain_json(&place, &["GET", target, "--as", caller]).await["cache"]["key"].clone()
    };
    let one = key("/orders/7?x=1", "acme/u1").await;
    assert_eq!(one, key("/orders/./7?utm_medium=web&x=1&utm_source=mail", "acme/u1").await);
    for (target, caller) in [("/orders/7?x=1", "acme/u2"), ("/orders/7?x=2", "acme/u1"), ("/orders/8?x=1", "acme/u1")] {
        assert_ne!(one, key(target, caller).await, "{target} {caller}");
    }
}

#[tokio::test]
async fn why_the_cache_stays_out_of_it_and_what_a_change_purges_is_shown() {
    let place = Place::serving(CACHED);
    for (arguments, result, told) in [
        (&["GET", "/open"][..], "miss", "  key      http://localhost/open for the public\n"),
        (&["HEAD", "/open"], "method", "  left out this method is not answered from memory\n"),
        (
            &["GET", "/open", "-H", "Cookie: a=b; session=hush"],
            "bypass",
            "  left out a `bypass`, a field of the request, or a caller without a name\n",
        ),
        (&["GET", "/open", "-H", "Cache-Control: no-store"], "bypass", "  left out a `bypass`"),
        (&["GET", "/open", "-H", "If-Match: \"a\""], "bypass", "  left out a `bypass`"),
    ] {
        let text = explain(&place, arguments).await;
        assert!(text.contains(told) && !text.contains("hush"), "{arguments:?}: {text}");
        let cache = explain_json(&place, arguments).await["cache"].clone();
        assert_eq!(cache["result"], result, "{arguments:?}: {cache}");
        assert_eq!(cache["key"].is_null(), result != "miss", "{arguments:?}: {cache}");
    }
    let text = explain(&place, &["PUT", "/orders/7"]).await;
    let purges = "purges     what is stored for this path, and tagged order:7, when it succeeds";
    assert!(text.contains(purges) && text.ends_with("routes.yaml:20:5\n") && !text.contains("cache   "), "{text}");
    let cache = explain_json(&place, &["PUT", "/orders/7"]).await["cache"].clone();
    assert_eq!(cache, json!({ "result": null, "key": null, "tags": [], "purges": ["order:7"] }));
    let cache = explain_json(&place, &["POST", "/open"]).await["cache"].clone();
    assert_eq!((&cache["result"], &cache["purges"]), (&json!("method"), &json!([])));

    let arguments = ["GET", "/open", "-H", "Cache-Control: only-if-cached"];
    let answer = explain_json(&place, &arguments).await["outcome"]["answer"].clone();
    assert_eq!((&answer["status"], &answer["reason"]), (&json!(504), &json!("ONLY_IF_CACHED")));
    place.write("routes.yaml", "version: 1\nroutes: [{ name: all, match: { path: / }, auth: none, respond: {} }]\n");
    assert!(explain_json(&place, &["GET", "/"]).await["cache"].is_null());
}
