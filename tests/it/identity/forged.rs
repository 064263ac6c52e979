//! Ways to be told as somebody else that are not a plain field, and callers whom nobody vouches for.

use http::{HeaderMap, HeaderValue, Request};
use serde_json::json;

use super::scene::{BOTH, Caller, File, Version, bearer, build, claims, claims_with, provider, start};
use crate::support::{H2Client, Upstream, within};

#[tokio::test]
async fn identity_cannot_follow_the_body() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .route("open", "none", "")
        .route("orders", "issuer: main", "")
        .with("identity: { headers: { partner: X-Consumer-Of-A-Rather-Long-Name } }");
    let gateway = start(&file).await;
    let token = bearer(&key.sign(&claims()));
    for name in ["X-Sluice-Partner", "x_sluice_subject", "X-Consumer-Of-A-Rather-Long-Name"] {
        for target in ["/open", "/orders"] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: api.test\r\nAuthorization: {token}\r\n");
            let forged = format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{name}: evil\r\n\r\n");
            gateway.request(forged).await.refused(400, "REQUEST_FRAMING");
        }
    }
    let mut client = H2Client::connect(gateway.address()).await;
    let request = Request::post("http://api.test/orders").header("authorization", &token).body(()).unwrap();
    let (answer, mut body) = client.open(request, false).await.unwrap();
    body.send_data("hi".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    for name in ["x-sluice-partner", "x-consumer-of-a-rather-long-name", "x-checksum"] {
        trailers.insert(name, HeaderValue::from_static("evil"));
    }
    body.send_trailers(trailers).unwrap();
    assert_eq!(within("the answer", answer).await.unwrap().status(), 200);
    let told = upstream.requests().pop().unwrap();
    // Pingora sends none at all.
    assert!(told.body.trailers.iter().all(|(name, _)| name == "x-checksum"), "{:?}", told.body.trailers);
}

#[tokio::test]
async fn the_usual_names_are_taken_off_whatever_names_were_chosen() {
    let (_, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .route("open", "none", "")
        .with("identity: { headers: { partner: X-Consumer, subject: off } }");
    let gateway = start(&file).await;
    for version in BOTH {
        let fields = [("x-sluice-partner", "evil"), ("x-sluice-subject", "evil"), ("x-sluice-identity", "evil")];
        let echo = Caller::connect(&gateway, version).await.get("/open", &fields).await.echo();
        assert!(fields.iter().all(|(name, _)| echo.field(name).is_none()), "{:?}", echo.head.fields);
    }
}

#[tokio::test]
async fn a_route_may_keep_from_its_upstream_who_calls() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route(
        "orders",
        "issuer: main, token: { cookie: session }",
        "request_headers: { remove: [X-Sluice-Subject, Cookie] }",
    );
    let gateway = start(&file).await;
    let cookie = format!("theme=dark; session={}", key.sign(&claims()));
    for version in BOTH {
        let echo = Caller::connect(&gateway, version).await.get("/orders", &[("cookie", &cookie)]).await.echo();
        assert_eq!(echo.field("x-sluice-partner"), Some("acme"));
        assert_eq!((echo.field("x-sluice-subject"), echo.field("cookie")), (None, None));
    }
}

#[tokio::test]
async fn nobody_vouches_for_the_revoked_where_refusals_are_only_observed() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).partner("gone", "clients: [gone-app], enabled: false").route(
        "watched",
        "issuer: main, mode: observe",
        "",
    );
    let gateway = build().start(&file.to_string()).await;
    let revoked = gateway.admin_send("POST", "/revocations", r#"{"subject":"eve"}"#).await;
    assert_eq!(revoked.0, 201, "{}", revoked.1);
    let mut count = 0;
    for version in BOTH {
        for (changes, reason) in
            [(json!({ "sub": "eve" }), "CREDENTIAL_REVOKED"), (json!({ "azp": "gone-app" }), "PARTNER_DISABLED")]
        {
            let token = key.sign(&claims_with(changes));
            let echo = Caller::connect(&gateway, version).await.with_token("/watched", &token).await.echo();
            for name in ["x-sluice-partner", "x-sluice-subject", "x-sluice-scopes"] {
                assert_eq!(echo.field(name), None, "{reason}");
            }
            count += 1;
            let line = super::scene::logged(&gateway, count).await;
            assert_eq!(line["observed"], json!([reason]), "{line}");
        }
    }
}

#[tokio::test]
async fn a_revoked_api_key_by_its_id_is_refused() {
    let upstream = Upstream::echo();
    let made = sluice::auth::api_key::generate(None).unwrap();
    let keys = format!("api_keys: [{{ id: {}, sha256: {} }}]", made.id, hex(&made.sha256));
    let file = File::new(upstream.address()).partner("acme", &keys).route("orders", "api_key: {}", "");
    let gateway = start(&file).await;
    let mut caller = Caller::connect(&gateway, Version::One).await;
    let key = std::str::from_utf8(made.key.reveal()).unwrap();
    let fields = [("x-api-key", key)];
    assert_eq!(caller.get("/orders", &fields).await.status, 200);
    let revocation = format!(r#"{{"subject":"{}"}}"#, made.id);
    assert_eq!(gateway.admin_send("POST", "/revocations", &revocation).await.0, 201);
    caller.get("/orders", &fields).await.refused(401, "CREDENTIAL_REVOKED");
}

#[tokio::test]
async fn a_claimed_name_does_not_use_up_the_limits_of_the_partner_who_has_it() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route(
        "orders",
        "issuer: main, partner: optional",
        "rate_limit: { per: partner, rate: 1/h, burst: 2 }",
    );
    let gateway = start(&file).await;
    let pretender = key.sign(&claims_with(json!({ "azp": "acme", "sub": "eve" })));
    let mut caller = Caller::connect(&gateway, Version::One).await;
    for status in [200, 200, 429] {
        assert_eq!(caller.with_token("/orders", &pretender).await.status, status);
    }
    let acme = key.sign(&claims());
    for status in [200, 200, 429] {
        assert_eq!(caller.with_token("/orders", &acme).await.status, status);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
