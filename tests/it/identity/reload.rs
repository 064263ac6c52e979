//! A change of the file holds from the next request on, on connections that are open and for tokens that are known.

use serde_json::json;

use super::scene::{BOTH, Caller, File, Version, ask, build, claims, claims_with, counted, keys_of, provider, start};
use crate::support::issuer::{IdentityProvider, SigningKey};
use crate::support::{TestGateway, Upstream};

/// A connection of each protocol.
async fn callers(gateway: &TestGateway) -> [Caller; 2] {
    [Caller::connect(gateway, Version::One).await, Caller::connect(gateway, Version::Two).await]
}

async fn all_are(callers: &mut [Caller], target: &str, token: &str, expected: Result<(), (u16, &str)>) {
    for caller in callers {
        let response = caller.with_token(target, token).await;
        match expected {
            Ok(()) => assert_eq!(response.status, 200, "{}", response.text()),
            Err((status, reason)) => {
                response.refused(status, reason);
            }
        }
    }
}

#[tokio::test]
async fn every_change_of_the_rules_holds_for_a_token_that_is_known() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "");
    let gateway = start(&file).await;
    let token = key.sign(&claims_with(json!({ "tier": "tin" })));
    let mut callers = callers(&gateway).await;
    all_are(&mut callers, "/orders", &token, Ok(())).await;
    let strict = format!("{}, types: [jwt]", keys_of(&provider, ""));
    let short = format!("{}, max_lifetime: 10s", keys_of(&provider, ""));
    let others = keys_of(&provider, "").replace("[api]", "[others]");
    let elsewhere = keys_of(&provider, "").replace("https://id.test/", "https://id.test/v2");
    let renamed = format!("{}, claims: {{ partner: tier }}", keys_of(&provider, ""));
    for (changed, reason) in [
        (file.clone().route("orders", "issuer: main, scopes: { all_of: [admin] }", ""), (403, "SCOPE_MISSING")),
        (file.clone().route("orders", "issuer: main, claims: { tier: { equals: gold } }", ""), (403, "CLAIM_DENIED")),
        (file.clone().route("orders", "issuer: main, partners: { deny: [acme] }", ""), (403, "PARTNER_DENIED")),
        (
            file.clone().route("orders", "issuer: main", r#"addresses: { deny: ["127.0.0.1"] }"#),
            (403, "ADDRESS_DENIED"),
        ),
        (file.clone().partner("acme", "clients: [acme-app], enabled: false"), (403, "PARTNER_DISABLED")),
        (file.clone().partner("acme", "clients: [other-app]"), (403, "PARTNER_UNKNOWN")),
        (file.clone().without_partner("acme").partner("globex", ""), (403, "PARTNER_UNKNOWN")),
        (file.clone().issuer("main", &others), (401, "JWT_AUDIENCE")),
        (file.clone().issuer("main", &elsewhere), (401, "JWT_ISSUER")),
        (file.clone().issuer("main", &strict), (401, "JWT_TYPE")),
        (file.clone().issuer("main", &short), (401, "JWT_CLAIMS")),
        (file.clone().issuer("main", &renamed), (403, "PARTNER_UNKNOWN")),
    ] {
        gateway.reload_with(&changed.to_string()).await;
        all_are(&mut callers, "/orders", &token, Err(reason)).await;
        gateway.reload_with(&file.to_string()).await;
        all_are(&mut callers, "/orders", &token, Ok(())).await;
    }
    // A condition on a claim that nobody asked for when the token was first seen.
    let asked = file.clone().route("orders", "issuer: main, claims: { tier: { equals: tin } }", "");
    gateway.reload_with(&asked.to_string()).await;
    all_are(&mut callers, "/orders", &token, Ok(())).await;
}

#[tokio::test]
async fn an_unchanged_issuer_keeps_its_keys_and_what_was_verified_by_them() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    let mut callers = callers(&gateway).await;
    all_are(&mut callers, "/orders", &token, Ok(())).await;
    let (_, body) = gateway.reload().await;
    assert!(body.contains("unchanged"), "{body}");
    // A change elsewhere is a new snapshot with the same issuer.
    gateway.reload_with(&file.clone().route("more", "none", "").to_string()).await;
    provider.die().await;
    gateway.reload_with(&file.clone().route("even-more", "none", "").to_string()).await;
    all_are(&mut callers, "/orders", &token, Ok(())).await;
    assert_eq!(provider.fetches(), 1);
    assert_eq!(counted(&gateway, "jwt", "accepted").await, 1.0);
    assert_eq!(counted(&gateway, "jwt", "cached").await, 3.0);
}

#[tokio::test]
async fn another_place_of_keys_is_another_issuer() {
    let (key, provider) = provider();
    let (next, upstream) = (SigningKey::es256("k1"), Upstream::echo());
    let second = IdentityProvider::start(&[&next]);
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "");
    let gateway = start(&file).await;
    let (old, new) = (key.sign(&claims()), next.sign(&claims()));
    let mut callers = callers(&gateway).await;
    all_are(&mut callers, "/orders", &old, Ok(())).await;
    all_are(&mut callers, "/orders", &new, Err((401, "JWT_SIGNATURE"))).await;
    gateway.reload_with(&file.issuer("main", &keys_of(&second, "")).to_string()).await;
    all_are(&mut callers, "/orders", &old, Err((401, "JWT_SIGNATURE"))).await;
    all_are(&mut callers, "/orders", &new, Ok(())).await;
}

#[tokio::test]
async fn a_broken_issuer_closes_its_routes_and_no_others() {
    let (key, provider) = provider();
    let other = SigningKey::es256("o");
    let second = IdentityProvider::start(&[&other]);
    let upstream = Upstream::echo();
    let of_other = keys_of(&second, "").replace("https://id.test/", "https://other.test/");
    let file = File::usual(&upstream, &provider)
        .issuer("other", &of_other)
        .route("orders", "issuer: main", "")
        .route("both", "issuer: [main, other]", "")
        .route("others", "issuer: other", "")
        .route("open", "none", "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    let theirs = other.sign(&claims_with(json!({ "iss": "https://other.test/" })));
    let mut callers = callers(&gateway).await;
    all_are(&mut callers, "/orders", &token, Ok(())).await;
    for broken in [
        keys_of(&provider, "").replace("jwks:", "jwkz:"),
        format!("{}, secret: \"file:missing\"", keys_of(&provider, "")),
        r#"issuer: "https://id.test/", audiences: [api], jwks: { file: no-such-file.json }"#.to_owned(),
        r#"issuer: "https://id.test/", audiences: [api], jwks: { url: "http://id.test/keys" }"#.to_owned(),
        keys_of(&provider, "").replace("[api]", "[]"),
    ] {
        gateway.write_routes(&file.clone().issuer("main", &broken).to_string());
        let (status, report) = gateway.reload().await;
        assert_eq!(status, 200, "{broken}: {report}");
        assert!(report.contains("\"faulty\": 2"), "{broken}: {report}");
        for target in ["/orders", "/both"] {
            all_are(&mut callers, target, &token, Err((503, "ROUTE_FAULTY"))).await;
            for caller in &mut callers {
                caller.get(target, &[]).await.refused(503, "ROUTE_FAULTY");
            }
        }
        all_are(&mut callers, "/others", &theirs, Ok(())).await;
        all_are(&mut callers, "/open", &token, Ok(())).await;
        gateway.reload_with(&file.to_string()).await;
        all_are(&mut callers, "/orders", &token, Ok(())).await;
    }
}

#[tokio::test]
async fn a_mistake_in_a_partner_closes_every_route_that_asks_for_callers() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .partner("globex", "clients: [globex]")
        .route("orders", "issuer: main", "")
        .route("anybody", "issuer: main, partner: optional", "")
        .route("watched", "issuer: main, mode: observe", "")
        .route("open", "none", "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    let mut callers = callers(&gateway).await;
    for broken in [
        file.clone().partner("globex", "clients: [acme-app]"),
        file.clone().partner("globex", "enabled: perhaps"),
        file.clone().partner("globex", "plan: no-such-plan"),
        file.clone().partner("globex", "api_keys: [{ id: short, sha256: 00 }]"),
    ] {
        gateway.write_routes(&broken.to_string());
        gateway.reload().await;
        for target in ["/orders", "/anybody", "/watched"] {
            all_are(&mut callers, target, &token, Err((503, "ROUTE_FAULTY"))).await;
        }
        all_are(&mut callers, "/open", &token, Ok(())).await;
        gateway.reload_with(&file.to_string()).await;
        all_are(&mut callers, "/orders", &token, Ok(())).await;
    }
}

#[tokio::test]
async fn a_mistake_in_a_rule_lets_nobody_in() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "").route("open", "none", "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    let mut callers = callers(&gateway).await;
    for auth in [
        "issuer: mian",
        "issuer: main, scopes: { all_of: orders }, scoops: 1",
        "issuer: main, mode: observed",
        "issuer: main, claims: { tier: { matches: \"[\" } }",
        "issuer: main, partners: { allow: [amce] }",
        "issuer: main, partner: sometimes",
        "scopes: { all_of: [orders:read] }",
        "any_of: []",
        "",
    ] {
        gateway.write_routes(&file.clone().route("orders", auth, "").to_string());
        gateway.reload().await;
        all_are(&mut callers, "/orders", &token, Err((503, "ROUTE_FAULTY"))).await;
        all_are(&mut callers, "/open", &token, Ok(())).await;
    }
}

#[tokio::test]
async fn strict_mode_keeps_the_rules_of_before() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "");
    let gateway = build().set("reload", "{ mode: strict, watch: false }").start(&file.to_string()).await;
    let token = key.sign(&claims());
    gateway.write_routes(&file.clone().partner("globex", "clients: [acme-app]").to_string());
    assert_eq!(gateway.reload().await.0, 422);
    assert_eq!(ask(&gateway, "/orders", &token).await.status, 200);
    for version in BOTH {
        Caller::connect(&gateway, version).await.get("/orders", &[]).await.refused(401, "CREDENTIAL_MISSING");
    }
}

#[tokio::test]
async fn removed_api_keys_are_unknown_at_once_and_what_replaced_them_is_good() {
    let upstream = Upstream::echo();
    let made = || {
        let made = sluice::auth::api_key::generate(None).unwrap();
        let sha256: String = made.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = format!("{{ id: \"{}\", sha256: {sha256} }}", made.id);
        (String::from_utf8(made.key.reveal().to_vec()).unwrap(), entry)
    };
    let ((old, of_old), (new, of_new)) = (made(), made());
    let file = |keys: &str| {
        File::new(upstream.address()).partner("acme", &format!("api_keys: [{keys}]")).route("orders", "api_key: {}", "")
    };
    let gateway = start(&file(&of_old)).await;
    let mut callers = callers(&gateway).await;
    for (keys, good) in
        [(of_old.clone(), [true, false]), (format!("{of_old}, {of_new}"), [true, true]), (of_new, [false, true])]
    {
        gateway.reload_with(&file(&keys).to_string()).await;
        for caller in &mut callers {
            for (key, good) in [&old, &new].into_iter().zip(good) {
                let response = caller.get("/orders", &[("x-api-key", key)]).await;
                assert_eq!(response.status, if good { 200 } else { 401 }, "{}", response.text());
            }
        }
    }
}
