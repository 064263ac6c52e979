//! Tokens that are good, by every algorithm and in every form that is promised.

use serde_json::{Value, json};

use super::scene::{BOTH, Caller, File, ISSUER, Version, build, claims, claims_with, counted, logged, start};
use crate::support::gateway::replace_file;
use crate::support::issuer::{IdentityProvider, SigningKey, key_set};
use crate::support::{Upstream, eventually};

const SECRET: &str = "a secret of thirty-two bytes ...";

/// One key for each algorithm; those of RSA have one pair in common.
fn all() -> Vec<SigningKey> {
    let rsa = SigningKey::rs256("RS256");
    let mut keys = vec![];
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        keys.push(rsa.also(algorithm, algorithm));
    }
    keys.push(rsa);
    for algorithm in ["ES256", "ES384", "ES512", "EdDSA"] {
        keys.push(SigningKey::new(algorithm, algorithm));
    }
    keys
}

#[tokio::test]
async fn every_algorithm_is_good() {
    let keys = all();
    let upstream = Upstream::echo();
    let provider = IdentityProvider::start(&keys.iter().collect::<Vec<_>>());
    let secret = SigningKey::hs256(SECRET.as_bytes());
    let builder = build();
    let at = builder.file("secret", SECRET);
    let file = File::usual(&upstream, &provider)
        .issuer("older", &format!(r#"issuer: older, audiences: [api], secret: "file:{}""#, at.display()))
        .route("orders", "issuer: [main, older]", "");
    let gateway = builder.start(&file.to_string()).await;
    let mut seen = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for key in keys.iter().chain([&secret]) {
            let issuer = if key.algorithm() == "HS256" { "older" } else { ISSUER };
            let token = key.sign(&claims_with(json!({ "iss": issuer, "jti": format!("{version:?}") })));
            for _ in 0..2 {
                let echo = caller.with_token("/orders", &token).await.echo();
                assert_eq!(echo.field("x-sluice-subject"), Some("ann"), "{} {version:?}", key.algorithm());
                assert_eq!(echo.field("authorization"), None, "{}", key.algorithm());
                seen += 1;
                let line = logged(&gateway, seen).await;
                assert_eq!(
                    (&line["auth"], &line["partner"], &line["subject"]),
                    (&"jwt".into(), &"acme".into(), &"ann".into())
                );
                assert!(line.get("reason").is_none() && line["status"] == 200, "{line}");
            }
        }
    }
    assert_eq!(counted(&gateway, "jwt", "accepted").await, 22.0, "each was verified once");
    assert_eq!(counted(&gateway, "jwt", "cached").await, 22.0);
    assert_eq!(counted(&gateway, "jwt", "refused").await, 0.0);
    gateway.metric_reaches(r#"sluice_partner_requests_total{partner="acme",status_class="2xx"}"#, 44.0).await;
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test]
async fn a_token_may_have_any_of_the_forms_that_are_good() {
    let (key, rsa) = (SigningKey::es256("k1"), SigningKey::rs256("k2"));
    let upstream = Upstream::echo();
    let provider = IdentityProvider::start(&[&key, &rsa]);
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "");
    let gateway = start(&file).await;
    let now = claims()["iat"].as_u64().unwrap() + 10;
    let header = |changes: Value| {
        let mut header = key.header();
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    };
    let stranger = SigningKey::es256("stranger").jwk();
    let mut without_id = key.header();
    without_id.as_object_mut().unwrap().remove("kid");
    let mut untyped = key.header();
    untyped.as_object_mut().unwrap().remove("typ");
    let mut caller = Caller::connect(&gateway, Version::One).await;
    for (name, header, claims) in [
        ("no kid", without_id, claims()),
        ("no typ", untyped, claims()),
        ("a media type", header(json!({ "typ": "application/AT+JWT" })), claims()),
        ("JWT", header(json!({ "typ": "JWT" })), claims()),
        ("an embedded key is not looked at", header(json!({ "jwk": stranger })), claims()),
        ("nor places of keys", header(json!({ "jku": "http://evil.test/", "x5u": "http://evil.test/" })), claims()),
        ("one of several audiences", key.header(), claims_with(json!({ "aud": ["others", "api"] }))),
        ("within the leeway", key.header(), claims_with(json!({ "exp": now - 5, "nbf": now + 10, "iat": now + 10 }))),
        ("fractions of seconds", key.header(), claims_with(json!({ "exp": now as f64 + 100.5 }))),
        ("scopes in an array", key.header(), claims_with(json!({ "scope": ["orders:read"] }))),
        ("a number as subject", key.header(), claims_with(json!({ "sub": 17 }))),
        ("no subject", key.header(), claims_with(json!({ "sub": null }))),
    ] {
        let echo = caller.with_token("/orders", &key.sign_as(&header, &claims)).await.echo();
        let subject =
            claims["sub"].as_str().map(str::to_owned).or_else(|| claims["sub"].as_u64().map(|n| n.to_string()));
        assert_eq!(echo.field("x-sluice-subject"), subject.as_deref(), "{name}");
        assert_eq!(echo.field("x-sluice-scopes"), Some("orders:read"), "{name}");
    }
    assert_eq!(caller.with_token("/orders", &rsa.sign(&claims())).await.status, 200);
}

#[tokio::test]
async fn tokens_of_the_older_kind_are_read_as_the_file_says() {
    let upstream = Upstream::echo();
    let builder = build();
    let at = builder.file("secret", SECRET);
    let keys = format!(
        r#"audiences: off, secret: "file:{}", claims: {{ subject: userId, scopes: scopes, partner: /app/client }}"#,
        at.display()
    );
    let file = File::new(upstream.address()).issuer("older", &keys).partner("acme", "clients: [a-7]").route(
        "orders",
        "issuer: older, scopes: { all_of: [read, write] }",
        "",
    );
    let gateway = builder.start(&file.to_string()).await;
    let key = SigningKey::hs256(SECRET.as_bytes());
    let exp = claims()["exp"].clone();
    let claims = json!({ "userId": 4711, "scopes": ["write", "read"], "app": { "client": "a-7" }, "exp": exp });
    let token = key.sign_as(&json!({ "alg": "HS256", "typ": "JWT" }), &claims);
    for version in BOTH {
        let echo = Caller::connect(&gateway, version).await.with_token("/orders", &token).await.echo();
        assert_eq!(echo.field("x-sluice-subject"), Some("4711"));
        assert_eq!(echo.field("x-sluice-partner"), Some("acme"));
        assert_eq!(echo.field("x-sluice-scopes"), Some("read write"));
    }
}

#[tokio::test]
async fn keys_come_from_files_too_and_are_read_again() {
    let (key, next) = (SigningKey::es256("k1"), SigningKey::es256("k2"));
    let upstream = Upstream::echo();
    let builder = build();
    let set = builder.file("keys.json", &key_set(&[&key]));
    let keys = format!(r#"issuer: "{ISSUER}", audiences: [api], jwks: {{ file: "{}" }}"#, set.display());
    let file = File::new(upstream.address()).issuer("main", &keys).partner("acme", "clients: [acme-app]");
    let gateway = builder.start(&file.route("orders", "issuer: main", "").to_string()).await;
    let (old, new) = (key.sign(&claims()), next.sign(&claims()));
    let mut caller = Caller::connect(&gateway, Version::One).await;
    assert_eq!(caller.with_token("/orders", &old).await.status, 200);
    caller.with_token("/orders", &new).await.refused(401, "JWT_KEY_UNKNOWN");
    replace_file(&set, &key_set(&[&next]));
    eventually("the new keys", async || (caller.with_token("/orders", &new).await.status == 200).then_some(())).await;
    caller.with_token("/orders", &old).await.refused(401, "JWT_KEY_UNKNOWN");
}
