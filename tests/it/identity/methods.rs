//! API keys, and several ways to be known on one route.

use serde_json::json;
use sluice::auth::api_key;
use sluice::base::clock;

use super::scene::{
    BOTH, Caller, File, Version, bearer, build, claims, claims_with, counted, keys_of, logged, provider, start,
};
use crate::support::Upstream;
use crate::support::client::Response;
use crate::support::issuer::{IdentityProvider, SigningKey};

/// A key, and what stands in the file of it.
struct Key {
    id: String,
    text: String,
    sha256: String,
}

fn key() -> Key {
    let made = api_key::generate(None).unwrap();
    let text = String::from_utf8(made.key.reveal().to_vec()).unwrap();
    let sha256 = made.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    Key { id: made.id, text, sha256 }
}

impl Key {
    fn entry(&self, more: &str) -> String {
        format!("{{ id: \"{}\", sha256: {}, {more} }}", self.id, self.sha256)
    }
}

fn day(offset: i64) -> String {
    let secs = clock::since_epoch().as_secs().cast_signed() + offset * 86_400;
    let date = x509_parser::time::ASN1Time::from_timestamp(secs).unwrap().to_datetime();
    format!("{}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// The challenge for an API key in `X-API-Key`.
fn challenge(reason: &str) -> String {
    let reason: sluice::base::reason::Reason =
        *sluice::base::reason::Reason::ALL.iter().find(|known| known.as_str() == reason).unwrap();
    let detail = reason.detail();
    format!(r#"ApiKey realm="sluice", header="x-api-key", error="invalid_key", error_description="{detail}""#)
}

#[tokio::test]
async fn api_keys_are_good_wrong_unknown_or_over() {
    let upstream = Upstream::echo();
    let [good, own, next, over, removed] = [key(), key(), key(), key(), key()];
    let keys = [
        good.entry(""),
        own.entry("scopes: [orders:write]"),
        next.entry(&format!("expires: {}", day(2))),
        over.entry(&format!("expires: {}", day(-1))),
    ];
    let partner = format!("scopes: [orders:read, orders:list], api_keys: [{}]", keys.join(", "));
    let file = File::new(upstream.address())
        .partner("acme", &partner)
        .route("orders", "api_key: {}", "")
        .route("read", "api_key: {}, scopes: { all_of: [orders:read] }", "")
        .route("write", "api_key: {}, scopes: { any_of: [orders:write, admin] }", "")
        .route("named", "api_key: { header: X-Key, query: key }", "");
    let gateway = start(&file).await;
    let wrong_secret = {
        // Of the right form, with the id of a good key: only the digest tells.
        let forged = api_key::generate(Some(&good.id)).unwrap();
        String::from_utf8(forged.key.reveal().to_vec()).unwrap()
    };
    let cut = good.text[..good.text.len() - 1].to_owned();
    let mut seen = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for (target, known, scopes) in [
            ("/orders", &good, "orders:list orders:read"),
            ("/read", &good, "orders:list orders:read"),
            ("/orders", &own, "orders:write"),
            ("/write", &own, "orders:write"),
            ("/orders", &next, "orders:list orders:read"),
        ] {
            let echo = caller.get(target, &[("x-api-key", &known.text)]).await.echo();
            assert_eq!(echo.field("x-api-key"), None, "it stays here");
            assert_eq!(echo.field("x-sluice-partner"), Some("acme"));
            assert_eq!(echo.field("x-sluice-subject"), Some(&*known.id));
            assert_eq!(echo.field("x-sluice-scopes"), Some(scopes));
            seen += 1;
            let line = logged(&gateway, seen).await;
            assert_eq!((&line["auth"], &line["subject"]), (&"api_key".into(), &known.id.as_str().into()));
        }
        for (text, reason) in [
            (&wrong_secret, "API_KEY_UNKNOWN"),
            (&removed.text, "API_KEY_UNKNOWN"),
            (&cut, "API_KEY_UNKNOWN"),
            (&"x".to_owned(), "API_KEY_UNKNOWN"),
            (&over.text, "API_KEY_EXPIRED"),
        ] {
            let response = caller.get("/orders", &[("x-api-key", text)]).await;
            let problem = response.refused(401, reason);
            assert_eq!(problem.get("partner"), None, "nobody is told whose it was");
            assert_eq!(response.head.all("www-authenticate"), [challenge(reason)]);
            seen += 1;
            let line = logged(&gateway, seen).await;
            assert_eq!((&line["reason"], line.get("auth"), line.get("subject")), (&reason.into(), None, None));
        }
        let response = caller.get("/write", &[("x-api-key", &good.text)]).await;
        response.refused(403, "SCOPE_MISSING");
        assert_eq!(response.field("www-authenticate"), None, "a challenge for a token would be wrong");
        let response = caller.get("/orders", &[]).await;
        response.refused(401, "CREDENTIAL_MISSING");
        assert_eq!(response.head.all("www-authenticate"), [r#"ApiKey realm="sluice", header="x-api-key""#]);
        let echo = caller.get(&format!("/named?a=1&key={}&b", good.text), &[("x-api-key", "mine")]).await.echo();
        assert_eq!((&*echo.target, echo.field("x-api-key")), ("/named?a=1&b", Some("mine")));
        caller.get("/named", &[("x-key", &good.text)]).await.echo();
        seen += 4;
    }
    assert_eq!(counted(&gateway, "api_key", "accepted").await, 16.0);
    assert_eq!(counted(&gateway, "api_key", "refused").await, 10.0);
    let (_, metrics) = gateway.admin_get("/metrics").await;
    let log = std::fs::read_to_string(gateway.folder().join("access.log")).unwrap();
    let (_, routes) = gateway.admin_get("/routes").await;
    for secret in [&good, &own, &next, &over, &removed].map(|key| key.text.get(16..).unwrap()) {
        assert!(!metrics.contains(secret) && !log.contains(secret) && !routes.contains(secret));
    }
}

/// `Authorization` or `X-API-Key`, as they are; both may be missing.
async fn both(caller: &mut Caller, target: &str, token: Option<&str>, key: Option<&str>) -> Response {
    let token = token.map(bearer);
    let fields = [("authorization", token.as_deref()), ("x-api-key", key)];
    let fields: Vec<_> = fields.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
    caller.get(target, &fields).await
}

#[tokio::test]
async fn the_first_method_whose_credential_came_decides() {
    let (signing, provider) = provider();
    let upstream = Upstream::echo();
    let mine = key();
    let file = File::usual(&upstream, &provider)
        .partner("globex", &format!("api_keys: [{}]", mine.entry("")))
        .route("orders", "any_of: [{ issuer: main }, { api_key: {} }]", "")
        .route("keys", "any_of: [{ api_key: {} }, { issuer: main }]", "");
    let gateway = start(&file).await;
    let token = signing.sign(&claims());
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for (target, with_token, with_key, partner) in [
            ("/orders", true, true, "acme"),
            ("/keys", true, true, "globex"),
            ("/orders", false, true, "globex"),
            ("/keys", true, false, "acme"),
        ] {
            let echo =
                both(&mut caller, target, with_token.then_some(&token), with_key.then_some(&mine.text)).await.echo();
            assert_eq!(echo.field("x-sluice-partner"), Some(partner), "{target}");
            assert_eq!((echo.field("authorization"), echo.field("x-api-key")), (None, None), "neither goes on");
        }
        // A bad one is not made good by a good one beside it.
        both(&mut caller, "/orders", Some("bad"), Some(&mine.text)).await.refused(401, "JWT_MALFORMED");
        let response = both(&mut caller, "/keys", Some(&token), Some("bad")).await;
        response.refused(401, "API_KEY_UNKNOWN");
        let challenges = [challenge("API_KEY_UNKNOWN"), r#"Bearer realm="sluice""#.to_owned()];
        assert_eq!(response.head.all("www-authenticate"), challenges);
        // And none that came later is looked at.
        assert_eq!(both(&mut caller, "/orders", Some(&token), Some("bad")).await.status, 200);
        let response = both(&mut caller, "/orders", None, None).await;
        response.refused(401, "CREDENTIAL_MISSING");
        let challenges = [r#"Bearer realm="sluice""#, r#"ApiKey realm="sluice", header="x-api-key""#];
        assert_eq!(response.head.all("www-authenticate"), challenges);
    }
}

#[tokio::test]
async fn several_issuers_are_told_apart_by_their_name() {
    let (first, provider) = provider();
    let second = SigningKey::es256("k1");
    let other = IdentityProvider::start(&[&second]);
    let upstream = Upstream::echo();
    let keys = keys_of(&other, "").replace("https://id.test/", "https://other.test/");
    let file = File::usual(&upstream, &provider).issuer("other", &keys).route("one", "issuer: main", "").route(
        "two",
        "issuer: [main, other]",
        "",
    );
    let gateway = start(&file).await;
    let of = |issuer: &str, key: &SigningKey| key.sign(&claims_with(json!({ "iss": issuer })));
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    for _ in 0..2 {
        let (ours, theirs) = (of("https://id.test/", &first), of("https://other.test/", &second));
        assert_eq!(caller.with_token("/one", &ours).await.status, 200);
        assert_eq!(caller.with_token("/two", &ours).await.status, 200);
        assert_eq!(caller.with_token("/two", &theirs).await.status, 200);
        caller.with_token("/one", &theirs).await.refused(401, "JWT_ISSUER");
        // Each name has its own keys, whatever `kid` says.
        caller.with_token("/two", &of("https://id.test/", &second)).await.refused(401, "JWT_SIGNATURE");
        caller.with_token("/two", &of("https://other.test/", &first)).await.refused(401, "JWT_SIGNATURE");
    }
}

#[tokio::test]
async fn an_issuer_speaks_for_its_own_partners_only() {
    let (first, provider) = provider();
    let second = crate::support::issuer::SigningKey::es256("k1");
    let other = crate::support::issuer::IdentityProvider::start(&[&second]);
    let upstream = Upstream::echo();
    let keys = super::scene::keys_of(&other, "").replace("https://id.test/", "https://other.test/");
    let limited = "rate_limit: { per: partner, rate: 2/h, burst: 2 }";
    let file = File::usual(&upstream, &provider)
        .partner("globex", "clients: [globex-app]")
        .issuer("other", &format!("{keys}, partners: [globex]"))
        .route("orders", "issuer: [main, other]", "")
        .route("any", "issuer: [main, other], partner: optional", limited);
    let gateway = start(&file).await;
    let by = |issuer: &str, key: &crate::support::issuer::SigningKey, client: &str| {
        key.sign(&super::scene::claims_with(json!({ "iss": issuer, "azp": client })))
    };
    let ours = |client| by("https://id.test/", &first, client);
    let theirs = |client| by("https://other.test/", &second, client);
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        // The second time from the cache of tokens.
        for _ in 0..2 {
            for (token, partner) in
                [(ours("acme-app"), "acme"), (ours("globex-app"), "globex"), (theirs("globex-app"), "globex")]
            {
                let echo = caller.with_token("/orders", &token).await.echo();
                assert_eq!(echo.field("x-sluice-partner"), Some(partner));
            }
            let response = caller.with_token("/orders", &theirs("acme-app")).await;
            assert_eq!(response.refused(403, "PARTNER_UNKNOWN").get("partner"), None);
        }
    }
    // A stranger where strangers may come in, who uses up nothing of the partner that it claims to be.
    let mut caller = Caller::connect(&gateway, Version::One).await;
    for _ in 0..2 {
        assert_eq!(caller.with_token("/any", &theirs("acme-app")).await.echo().field("x-sluice-partner"), None);
    }
    caller.with_token("/any", &theirs("acme-app")).await.refused(429, "RATE_LIMITED");
    assert_eq!(caller.with_token("/any", &ours("acme-app")).await.echo().field("x-sluice-partner"), Some("acme"));
    // A change holds for tokens that are known.
    gateway.reload_with(&file.issuer("other", &keys).to_string()).await;
    let echo = caller.with_token("/orders", &theirs("acme-app")).await.echo();
    assert_eq!(echo.field("x-sluice-partner"), Some("acme"));
}

#[tokio::test]
async fn an_api_key_has_no_claims() {
    let (signing, provider) = provider();
    let upstream = Upstream::echo();
    let mine = key();
    let claims = "claims: { sub: { equals: ann } }";
    let file = File::usual(&upstream, &provider).partner("globex", &format!("api_keys: [{}]", mine.entry(""))).route(
        "orders",
        &format!("any_of: [{{ issuer: main }}, {{ api_key: {{}} }}], {claims}"),
        "",
    );
    let gateway = start(&file).await;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        both(&mut caller, "/orders", None, Some(&mine.text)).await.refused(403, "CLAIM_DENIED");
        let token = signing.sign(&super::scene::claims());
        assert_eq!(both(&mut caller, "/orders", Some(&token), None).await.status, 200);
    }
    let never = file.route("orders", &format!("api_key: {{}}, {claims}"), "").to_string();
    let error = build().try_start(&never).await.err().unwrap();
    assert!(error.contains("has no token, so no claims"), "{error}");
}
