//! What a known caller may: scopes, claims, lists of partners, and which addresses.

use serde_json::{Value, json};

use super::scene::{BOTH, Caller, File, Version, build, claims, claims_with, get, logged, provider, start};
use crate::support::Upstream;

/// For whoever lacks a scope, RFC 6750 section 3.1.
fn insufficient(detail: &str, needed: &str) -> String {
    format!(r#"Bearer realm="sluice", error="insufficient_scope", error_description="{detail}", scope="{needed}""#)
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .route("all", "issuer: main, scopes: { all_of: [a, b, c] }", "")
        .route("any", "issuer: main, scopes: { any_of: [a, b] }", "")
        .route("both", "issuer: main, scopes: { all_of: [a], any_of: [b, c] }", "");
    let gateway = start(&file).await;
    let mut seen = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for (target, scopes, refused) in [
            ("/all", "c b a d", None),
            ("/all", "a c", Some(("The credential lacks the scope `b`.", "a b c"))),
            ("/all", "A b ab", Some(("The credential lacks the scopes `a` and `c`.", "a b c"))),
            ("/all", "", Some(("The credential lacks the scopes `a`, `b` and `c`.", "a b c"))),
            ("/any", "x b", None),
            ("/any", "ab", Some(("The credential needs one of the scopes `a` or `b`.", "a b"))),
            ("/both", "a c", None),
            ("/both", "b c", Some(("The credential lacks the scope `a`.", "a b c"))),
            ("/both", "a", Some(("The credential needs one of the scopes `b` or `c`.", "a b c"))),
        ] {
            let token = key.sign(&claims_with(json!({ "scope": scopes })));
            let response = caller.with_token(target, &token).await;
            seen += 1;
            let line = logged(&gateway, seen).await;
            let (partner, subject, auth) = ("acme".into(), "ann".into(), "jwt".into());
            assert_eq!((&line["partner"], &line["subject"], &line["auth"]), (&partner, &subject, &auth), "{line}");
            let Some((detail, needed)) = refused else {
                assert_eq!(response.status, 200, "{target} {scopes}");
                continue;
            };
            let problem = response.refused(403, "SCOPE_MISSING");
            assert_eq!((&problem["detail"], &problem["partner"]), (&detail.into(), &partner), "{target} {scopes}");
            assert_eq!(response.head.all("www-authenticate"), [insufficient(detail, needed)]);
            assert_eq!(line["reason"], "SCOPE_MISSING");
        }
    }
    gateway.metric_reaches(r#"sluice_partner_requests_total{partner="acme",status_class="4xx"}"#, 12.0).await;
    gateway.metric_reaches(r#"sluice_partner_requests_total{partner="acme",status_class="2xx"}"#, 6.0).await;
}

#[tokio::test]
async fn conditions_on_claims_hold_for_the_whole_of_a_claim_or_a_member() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .route("equals", "issuer: main, claims: { tier: { equals: gold } }", "")
        .route("number", "issuer: main, claims: { level: { equals: 3 } }", "")
        .route("truth", "issuer: main, claims: { verified: { equals: true } }", "")
        .route("in", "issuer: main, claims: { tier: { in: [gold, 7, true] } }", "")
        .route("matches", "issuer: main, claims: { mail: { matches: \"[a-z]+@acme[.]test\" } }", "")
        .route("deep", "issuer: main, claims: { /org/unit: { equals: sales }, tier: { in: [gold] } }", "")
        .route("scoped", "issuer: main, scopes: { all_of: [orders:read] }, claims: { tier: { equals: gold } }", "");
    let gateway = start(&file).await;
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    for (target, changes, good) in [
        ("/equals", json!({ "tier": "gold" }), true),
        ("/equals", json!({ "tier": ["silver", "gold"] }), true),
        ("/equals", json!({ "tier": "golden" }), false),
        ("/equals", json!({ "tier": "Gold" }), false),
        ("/equals", json!({ "tier": ["golden"] }), false),
        ("/equals", json!({ "tier": [["gold"]] }), false),
        ("/equals", json!({ "tier": null }), false),
        ("/equals", json!({ "tier": { "gold": true } }), false),
        ("/number", json!({ "level": 3 }), true),
        ("/number", json!({ "level": 3.0 }), true),
        ("/number", json!({ "level": "3" }), false),
        ("/truth", json!({ "verified": true }), true),
        ("/truth", json!({ "verified": "true" }), false),
        ("/truth", json!({ "verified": 1 }), false),
        ("/in", json!({ "tier": 7 }), true),
        ("/in", json!({ "tier": [1, true] }), true),
        ("/in", json!({ "tier": "7" }), false),
        ("/matches", json!({ "mail": "ann@acme.test" }), true),
        ("/matches", json!({ "mail": ["x", "bob@acme.test"] }), true),
        ("/matches", json!({ "mail": "ann@acme.test.evil" }), false),
        ("/matches", json!({ "mail": "x ann@acme.test" }), false),
        ("/matches", json!({ "mail": "ann@acmextest" }), false),
        ("/matches", json!({ "mail": 7 }), false),
        ("/deep", json!({ "tier": "gold", "org": { "unit": "sales" } }), true),
        ("/deep", json!({ "tier": "gold", "org": { "unit": "legal" } }), false),
        ("/deep", json!({ "tier": "gold", "org": "sales" }), false),
        ("/deep", json!({ "tier": "silver", "org": { "unit": "sales" } }), false),
        ("/scoped", json!({ "tier": "gold" }), true),
    ] {
        let response = caller.with_token(target, &key.sign(&claims_with(changes.clone()))).await;
        if good {
            assert_eq!(response.status, 200, "{target} {changes}");
            continue;
        }
        let problem = response.refused(403, "CLAIM_DENIED");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("The claim `") && detail.ends_with("does not meet the conditions of this route."));
        let shown = changes.to_string();
        assert!(
            !["silver", "legal", "golden", "evil"].iter().any(|value| shown.contains(value) && detail.contains(value))
        );
    }
    let neither = key.sign(&claims_with(json!({ "scope": "", "tier": "tin" })));
    caller.with_token("/scoped", &neither).await.refused(403, "SCOPE_MISSING");
}

#[tokio::test]
async fn partners_are_allowed_denied_disabled_and_unknown() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .partner("globex", "clients: [globex]")
        .partner("initech", "")
        .partner("gone", "enabled: false")
        .route("all", "issuer: main", "")
        .route("allow", "issuer: main, partners: { allow: [acme, globex] }", "")
        .route("deny", "issuer: main, partners: { deny: [acme] }", "")
        .route("anybody", "issuer: main, partner: optional", "")
        .route("listed", "issuer: main, partner: optional, partners: { allow: [acme] }", "")
        .route("unlisted", "issuer: main, partner: optional, partners: { deny: [acme] }", "");
    let gateway = start(&file).await;
    let mut seen = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for (target, client, expected) in [
            ("/all", json!("acme-app"), Ok(Some("acme"))),
            ("/all", json!("initech"), Ok(Some("initech"))),
            ("/all", json!("acme"), Err("PARTNER_UNKNOWN")),
            ("/all", json!("Initech"), Err("PARTNER_UNKNOWN")),
            ("/all", Value::Null, Err("PARTNER_UNKNOWN")),
            ("/all", json!("gone"), Err("PARTNER_DISABLED")),
            ("/allow", json!("globex"), Ok(Some("globex"))),
            ("/allow", json!("initech"), Err("PARTNER_DENIED")),
            ("/allow", json!("nobody"), Err("PARTNER_UNKNOWN")),
            ("/deny", json!("acme-app"), Err("PARTNER_DENIED")),
            ("/deny", json!("globex"), Ok(Some("globex"))),
            ("/anybody", json!("nobody"), Ok(None)),
            ("/anybody", Value::Null, Ok(None)),
            ("/anybody", json!("gone"), Err("PARTNER_DISABLED")),
            ("/listed", json!("nobody"), Err("PARTNER_DENIED")),
            ("/listed", json!("acme-app"), Ok(Some("acme"))),
            ("/unlisted", json!("nobody"), Ok(None)),
        ] {
            let response = caller.with_token(target, &key.sign(&claims_with(json!({ "azp": client })))).await;
            seen += 1;
            let line = logged(&gateway, seen).await;
            assert_eq!((&line["auth"], &line["subject"]), (&"jwt".into(), &"ann".into()), "{line}");
            match expected {
                Ok(partner) => {
                    assert_eq!(response.echo().field("x-sluice-partner"), partner, "{target} {client}");
                    assert_eq!(line.get("partner").and_then(Value::as_str), partner);
                }
                Err(reason) => {
                    let problem = response.refused(403, reason);
                    assert_eq!(problem.get("partner"), line.get("partner"), "{target} {client}");
                    assert_eq!(problem.get("partner").is_some(), reason != "PARTNER_UNKNOWN" && client != "nobody");
                    assert_eq!(line["reason"], reason);
                }
            }
        }
    }
}

#[tokio::test]
async fn addresses_are_those_of_the_client_behind_trusted_proxies() {
    let upstream = Upstream::echo();
    let file = File::new(upstream.address())
        .route("allow", "none", r#"addresses: { allow: ["203.0.113.0/24", "2001:db8::/32"] }"#)
        .route("deny", "none", r#"addresses: { deny: ["203.0.113.0/24", "::1"] }"#)
        .route("wins", "none", r#"addresses: { allow: ["203.0.113.0/24"], deny: ["203.0.113.7"] }"#)
        .route("near", "none", r#"addresses: { allow: ["127.0.0.1"] }"#);
    let trusting =
        build().set("client_address", r#"{ trusted_proxies: ["127.0.0.0/8"] }"#).start(&file.to_string()).await;
    let mut seen = 0;
    for version in BOTH {
        for (target, from, good) in [
            ("/allow", "203.0.113.9", true),
            ("/allow", "::ffff:203.0.113.9", true),
            ("/allow", "::ffff:198.51.100.9", false),
            ("/allow", "2001:db8::7", true),
            ("/allow", "2001:db9::7", false),
            ("/allow", "203.0.113.9, 198.51.100.1", false),
            ("/allow", "198.51.100.1, 203.0.113.9, 127.0.0.5", true),
            ("/deny", "203.0.113.9", false),
            ("/deny", "::ffff:203.0.113.9", false),
            ("/deny", "198.51.100.9", true),
            ("/deny", "::1", false),
            ("/wins", "203.0.113.8", true),
            ("/wins", "203.0.113.7", false),
            ("/near", "198.51.100.9", false),
        ] {
            let response = get(&trusting, version, target, &[("x-forwarded-for", from)]).await;
            seen += 1;
            if good {
                assert_eq!(response.status, 200, "{target} {from}");
            } else {
                response.refused(403, "ADDRESS_DENIED");
                assert_eq!(response.field("www-authenticate"), None);
                assert_eq!(logged(&trusting, seen).await["reason"], "ADDRESS_DENIED");
            }
        }
    }
    let doubting = start(&file).await;
    for version in BOTH {
        let claims = [("x-forwarded-for", "203.0.113.9"), ("x-real-ip", "203.0.113.9")];
        get(&doubting, version, "/allow", &claims).await.refused(403, "ADDRESS_DENIED");
        assert_eq!(get(&doubting, version, "/near", &claims).await.status, 200);
    }
}

#[tokio::test]
async fn what_is_only_observed_is_counted_listed_and_let_through() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .route("orders", "issuer: main, scopes: { all_of: [admin] }, mode: observe", "")
        .route("near", "none", r#"addresses: { deny: ["127.0.0.0/8"], mode: observe }"#)
        .route(
            "both",
            "issuer: main, mode: observe",
            r#"addresses: { deny: ["127.0.0.0/8"], mode: observe }, rate_limit: { per: partner, rate: 1/h, name: slow, mode: observe }"#,
        );
    let gateway = start(&file).await;
    let good = super::scene::bearer(&key.sign(&claims_with(json!({ "scope": "admin" }))));
    let lacking = super::scene::bearer(&key.sign(&claims()));
    let stranger = super::scene::bearer(&key.sign(&claims_with(json!({ "azp": "nobody" }))));
    let mut seen = 0;
    for version in BOTH {
        for (target, field, observed, partner) in [
            ("/orders", Some(&*good), json!(null), Some("acme")),
            ("/orders", Some(&*lacking), json!(["SCOPE_MISSING"]), Some("acme")),
            ("/orders", Some(&*stranger), json!(["PARTNER_UNKNOWN"]), None),
            ("/orders", Some("Bearer x"), json!(["JWT_MALFORMED"]), None),
            ("/orders", None, json!(["CREDENTIAL_MISSING"]), None),
            ("/near", None, json!(["ADDRESS_DENIED"]), None),
            ("/both", None, json!(["ADDRESS_DENIED", "CREDENTIAL_MISSING"]), None),
        ] {
            let fields: Vec<_> = field.map(|value| ("authorization", value)).into_iter().collect();
            let response = get(&gateway, version, target, &fields).await;
            assert_eq!(response.field("www-authenticate"), None);
            let echo = response.echo();
            assert_eq!(echo.field("x-sluice-partner"), partner, "{target} {observed}");
            assert_eq!(echo.field("authorization"), None, "{target}: a credential stays here also when it is bad");
            seen += 1;
            let line = logged(&gateway, seen).await;
            assert!(line.get("reason").is_none(), "{line}");
            let listed: Vec<Value> = line["observed"].as_array().cloned().unwrap_or_default();
            let listed: Vec<Value> = listed.into_iter().filter(|reason| *reason != "RATE_LIMITED").collect();
            assert_eq!(listed, observed.as_array().cloned().unwrap_or_default(), "{line}");
        }
    }
    for (reason, count) in [("SCOPE_MISSING", 2.0), ("ADDRESS_DENIED", 4.0), ("CREDENTIAL_MISSING", 4.0)] {
        let sample = format!(r#"sluice_observed_refusals_total{{reason="{reason}"}}"#);
        assert_eq!(gateway.metrics_value(&sample).await, count, "{reason}");
    }
    assert_eq!(gateway.metrics_value("sluice_reasons_total").await, 0.0, "nothing was refused");
    let sample = r#"sluice_limit_refusals_total{limit="slow"}"#;
    assert_eq!(gateway.metrics_value(sample).await, 1.0, "the second of /both, by address as an anonymous caller");
}
