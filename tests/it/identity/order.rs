//! What is asked before what: the first step that refuses answers, and what comes later is not even looked at.

use serde_json::json;

use super::scene::{BOTH, Caller, File, Version, claims, claims_with, counted, get, provider, start};
use crate::support::Upstream;

const NEAR: &str = r#"addresses: { deny: ["127.0.0.0/8"] }"#;

#[tokio::test]
async fn the_first_step_that_refuses_answers() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let rate = |per: &str, name: &str| format!("{{ per: {per}, rate: 1/h, name: {name} }}");
    let [by_address, there] = ["strangers", "there"].map(|name| format!("rate_limit: {}", rate("address", name)));
    let by_partner = format!("rate_limit: {}", rate("partner", "partners"));
    let auth =
        "issuer: main, scopes: { all_of: [admin] }, claims: { tier: { equals: gold } }, partners: { deny: [globex] }";
    let file = File::usual(&upstream, &provider)
        .partner("globex", "clients: [globex]")
        .partner("gone", "enabled: false, clients: [gone]")
        .route("address", auth, &format!("{NEAR}, {there}"))
        .route("limit", auth, &by_address)
        .route("late", auth, &by_partner);
    let gateway = start(&file).await;
    let with = |changes| key.sign(&claims_with(changes));
    let good = with(json!({ "scope": "admin", "tier": "gold" }));
    let mut caller = Caller::connect(&gateway, Version::One).await;

    // 1: the address comes before the limit, which is not used up by it, and before the credential.
    for _ in 0..3 {
        let response = caller.with_token("/address", "bad").await;
        response.refused(403, "ADDRESS_DENIED");
        assert_eq!(response.field("ratelimit"), None, "{:?}", response.head.fields);
    }
    assert_eq!(counted(&gateway, "jwt", "refused").await, 0.0, "nobody looked at the token");
    assert_eq!(gateway.metrics_value(r#"sluice_limit_refusals_total{limit="there"}"#).await, 0.0);

    // 2: a limit that needs no identity comes before the credential, so that nobody guesses without a limit.
    caller.with_token("/limit", "bad").await.refused(401, "JWT_MALFORMED");
    for token in ["bad", "worse", &good] {
        let response = caller.with_token("/limit", token).await;
        response.refused(429, "RATE_LIMITED");
        assert!(response.field("retry-after").is_some() && response.field("www-authenticate").is_none());
    }
    assert_eq!(counted(&gateway, "jwt", "refused").await, 1.0);
    let log = gateway.access_log(7).await;
    assert_eq!((&log[6]["limit"], log[6].get("partner")), (&"strangers".into(), None), "nobody knows who it was");

    // 3 to 6: the token, then who it is, then what it may.
    for (changes, status, reason) in [
        (json!({ "exp": 5, "azp": "gone", "scope": "" }), 401, "JWT_EXPIRED"),
        (json!({ "azp": "nobody", "scope": "" }), 403, "PARTNER_UNKNOWN"),
        (json!({ "azp": "gone", "scope": "" }), 403, "PARTNER_DISABLED"),
        (json!({ "azp": "globex", "scope": "" }), 403, "PARTNER_DENIED"),
        (json!({ "scope": "" }), 403, "SCOPE_MISSING"),
        (json!({ "scope": "admin" }), 403, "CLAIM_DENIED"),
    ] {
        for version in BOTH {
            let token = with(changes.clone());
            let response = Caller::connect(&gateway, version).await.with_token("/late", &token).await;
            response.refused(status, reason);
        }
    }

    // 7: only who may come in is counted for the limits that ask for identity.
    assert_eq!(gateway.metrics_value(r#"sluice_limit_refusals_total{limit="partners"}"#).await, 0.0);
    assert_eq!(caller.with_token("/late", &good).await.status, 200);
    let problem = caller.with_token("/late", &good).await.refused(429, "RATE_LIMITED");
    assert_eq!(problem["partner"], "acme");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_route_is_found_before_anybody_is_asked() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "max_body: 10B");
    let gateway = start(&file).await;
    for version in BOTH {
        get(&gateway, version, "/nowhere", &[]).await.refused(404, "ROUTE_NOT_FOUND");
        get(&gateway, version, "/orders/%zz", &[]).await.refused(400, "PATH_INVALID");
    }
    let post = |fields: &str| format!("POST /orders HTTP/1.1\r\nHost: api.test\r\nContent-Length: 20\r\n{fields}\r\n");
    let long = "x".repeat(20);
    gateway.request(post("") + &long).await.refused(401, "CREDENTIAL_MISSING");
    let field = format!("Authorization: Bearer {}\r\n", key.sign(&claims()));
    gateway.request(post(&field) + &long).await.refused(413, "BODY_TOO_LARGE");
}
