//! Tokens that are bad: each is told the same to the client, the log and the metrics, and none of it is shown to anybody.

use serde_json::{Value, json};

use super::scene::{BOTH, Caller, File, Version, claims, claims_with, counted, get, keys_of, logged, provider, start};
use crate::support::issuer::{IdentityProvider, SigningKey, base64url};
use crate::support::{TestGateway, Upstream};

/// What a token is, itself, and what it is refused for.
type Bad = (&'static str, String, &'static str, &'static str);

const THREE_PARTS: &str = "A signed token has three parts with dots between them (RFC 7515 section 3.1).";
const BASE64: &str = "A part of the token is not base64url without padding (RFC 7515 section 2).";

/// Everything about its form.
fn malformed(key: &SigningKey) -> Vec<Bad> {
    let good = key.sign(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    let with = |name: &str, value: Value| {
        let mut header = key.header();
        header[name] = value;
        key.sign_as(&header, &claims())
    };
    let texts = |header: &str, claims: &str| key.sign_texts(header, claims);
    let (head, said) = (key.header().to_string(), claims().to_string());
    let twice = |json: &str, name: &str, value: &str| format!("{{\"{name}\":{value},{}", &json[1..]);
    let malformed = |name, token: String, detail| (name, token, "JWT_MALFORMED", detail);
    vec![
        malformed("nothing", String::new(), THREE_PARTS),
        malformed("a word", "word".to_owned(), THREE_PARTS),
        malformed("two parts", signed.to_owned(), THREE_PARTS),
        malformed("four parts", format!("{good}.{signature}"), THREE_PARTS),
        malformed("no signature", format!("{signed}."), "A part of the token is empty."),
        malformed("no header", format!(".{body}.{signature}"), "A part of the token is empty."),
        malformed("padding", format!("{header}.{body}.{signature}=="), BASE64),
        malformed("other base64", format!("{header}.{body}.+/{}", &signature[2..]), BASE64),
        malformed("space within", format!("{header}.{body} .{signature}"), BASE64),
        malformed(
            "bits that are not used",
            format!("{}.{body}.{signature}", base64url(b"{}").replace('0', "1")),
            BASE64,
        ),
        malformed("too long", format!("{good}{}", "A".repeat(16 * 1024)), "The token is longer than 16 KiB."),
        malformed(
            "a long header",
            with("x", json!("x".repeat(3_000))),
            "The header of the token is longer than 2 KiB.",
        ),
        malformed("no JSON", texts("{", &said), "The header of the token is not a JSON object."),
        malformed("no object", texts("[]", &said), "The header of the token is not a JSON object."),
        malformed(
            "a header member twice",
            texts(&twice(&head, "alg", "\"none\""), &said),
            "The header of the token has a member twice.",
        ),
        malformed("claims no object", texts(&head, "[]"), "The claims of the token are not a JSON object."),
        malformed(
            "a claim twice",
            texts(&head, &twice(&said, "sub", "\"root\"")),
            "The claims of the token have a member twice.",
        ),
        malformed("crit", with("crit", json!(["exp"])), "The token asks for an extension (`crit`), and none is known."),
        malformed("b64", with("b64", json!(true)), "Tokens with `b64` are not accepted (RFC 7797 section 7)."),
        malformed("zip", with("zip", json!("DEF")), "Encrypted or compressed tokens are not accepted."),
        malformed("enc", with("enc", json!("A256GCM")), "Encrypted or compressed tokens are not accepted."),
        malformed("kid no text", with("kid", json!(1)), "`alg`, `typ` or `kid` is not a text."),
    ]
}

/// Everything about its key and its algorithm.
fn forged(key: &SigningKey, rsa: &SigningKey) -> Vec<Bad> {
    let good = key.sign(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let stranger = SigningKey::es256("k1");
    let as_header = |header: Value| stranger.sign_as(&header, &claims());
    let none = base64url(json!({ "alg": "none", "typ": "at+jwt" }).to_string().as_bytes());
    let body = signed.split_once('.').unwrap().1;
    // The public key as the secret, in the hope that whoever verifies takes the key for what `alg` says.
    let public = SigningKey::hs256(rsa.jwk()["n"].as_str().unwrap().as_bytes());
    let mut embedded = stranger.header();
    embedded["jwk"] = stranger.jwk();
    let others = claims_with(json!({ "sub": "root" })).to_string();
    let not_used = "`alg` is none that the issuer of the token uses.";
    let algorithm = |name, token, detail| (name, token, "JWT_ALGORITHM", detail);
    let detail_of_signature = "The signature does not fit the token.";
    let signature_of = |name, token| (name, token, "JWT_SIGNATURE", detail_of_signature);
    vec![
        algorithm("none", format!("{none}.{body}.{signature}"), "Tokens without signature are not accepted."),
        algorithm(
            "none in capitals",
            as_header(json!({ "alg": "NoNe" })),
            "Tokens without signature are not accepted.",
        ),
        algorithm(
            "none that is known",
            as_header(json!({ "alg": "XS256" })),
            "`alg` is no algorithm that is accepted.",
        ),
        algorithm("HMAC by a public key", public.sign_as(&json!({ "alg": "HS256", "kid": "k2" }), &claims()), not_used),
        algorithm(
            "another one than the key's",
            rsa.also("PS256", "k2").sign(&claims()),
            "`alg` is not the algorithm of the key that signed the token.",
        ),
        signature_of("another key", stranger.sign(&claims())),
        signature_of("another key that it brings along", stranger.sign_as(&embedded, &claims())),
        signature_of(
            "other claims",
            format!("{}.{}.{signature}", signed.split_once('.').unwrap().0, base64url(others.as_bytes())),
        ),
        (
            "an unknown key",
            stranger.also("ES256", "k9").sign(&claims()),
            "JWT_KEY_UNKNOWN",
            "No key of the issuer has this `kid`.",
        ),
    ]
}

/// Everything about what it says.
fn unfit(key: &SigningKey) -> Vec<Bad> {
    let now = claims()["iat"].as_u64().unwrap() + 10;
    let with = |changes: Value| key.sign(&claims_with(changes));
    let typed = |kind: Value| {
        let mut header = key.header();
        header["typ"] = kind;
        key.sign_as(&header, &claims())
    };
    let mut untyped = key.header();
    untyped.as_object_mut().unwrap().remove("typ");
    let no_issuer = "`iss` is none of the issuers that are accepted here.";
    let claim = |name, changes, detail| (name, with(changes), "JWT_CLAIMS", detail);
    vec![
        ("an ID token", typed(json!("JWT")), "JWT_TYPE", "`typ` is none that is accepted."),
        ("no type", key.sign_as(&untyped, &claims()), "JWT_TYPE", "The token has no `typ`."),
        ("another issuer", with(json!({ "iss": "https://evil.test/" })), "JWT_ISSUER", no_issuer),
        ("nearly the issuer", with(json!({ "iss": "https://id.test" })), "JWT_ISSUER", no_issuer),
        ("no issuer", with(json!({ "iss": null })), "JWT_ISSUER", "The token has no `iss`."),
        ("for others", with(json!({ "aud": ["a", "b"] })), "JWT_AUDIENCE", "`aud` names others only."),
        ("for nobody", with(json!({ "aud": null })), "JWT_AUDIENCE", "The token has no `aud`."),
        ("over", with(json!({ "exp": now - 31, "iat": now - 60 })), "JWT_EXPIRED", "`exp` has passed."),
        ("not begun", with(json!({ "nbf": now + 300 })), "JWT_NOT_YET_VALID", "`nbf` has not come yet."),
        ("of tomorrow", with(json!({ "iat": now + 86_400 })), "JWT_NOT_YET_VALID", "`iat` has not come yet."),
        claim("the issuer no text", json!({ "iss": 5 }), "`iss` is not a text."),
        claim("without end", json!({ "exp": null }), "The token has no `exp`."),
        claim("an end in words", json!({ "exp": "tomorrow" }), "`exp` is not a number."),
        claim("for too long", json!({ "exp": now + 7_200 }), "The token is good for longer than is accepted."),
        claim("an audience that is none", json!({ "aud": 7 }), "`aud` is neither a text nor an array of texts."),
        claim(
            "no subject that could be",
            json!({ "sub": { "a": 1 } }),
            "The claim of the subject is not a text of 1 to 512 bytes.",
        ),
        claim("an empty partner", json!({ "azp": "" }), "The claim of the partner is not a text of 1 to 512 bytes."),
        claim(
            "a line break",
            json!({ "sub": "a\r\nX-Evil: 1" }),
            "The claim of subject, partner or token id has a control character.",
        ),
        claim(
            "scopes that are none",
            json!({ "scope": 1 }),
            "The claim of the scopes is neither a text nor an array of texts.",
        ),
        claim(
            "two scopes in one",
            json!({ "scope": ["a b"] }),
            "A scope of the token is empty, or has a space or a control character.",
        ),
    ]
}

#[tokio::test]
async fn every_bad_token_is_refused_for_what_is_wrong_with_it() {
    let (key, rsa) = (SigningKey::es256("k1"), SigningKey::rs256("k2"));
    let upstream = Upstream::echo();
    let provider = IdentityProvider::start(&[&key, &rsa]);
    let strict = format!("{}, types: [at+jwt], max_lifetime: 1h", keys_of(&provider, ""));
    let file = File::usual(&upstream, &provider).issuer("main", &strict).route("orders", "issuer: main", "");
    let gateway = start(&file).await;
    let table = [malformed(&key), forged(&key, &rsa), unfit(&key)].concat();
    let mut seen = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        // Twice: what is remembered of a bad token says the same.
        for (name, token, reason, detail) in table.iter().chain(&table) {
            let response = caller.with_token("/orders", token).await;
            let problem = response.refused(401, reason);
            assert_eq!(problem["detail"], *detail, "{name}");
            assert_eq!(problem["type"], format!("urn:sluice:reason:{reason}"));
            assert_eq!((&problem["title"], problem.get("partner")), (&"Unauthorized".into(), None));
            let said = detail.replace('"', "'");
            let challenge = format!(r#"Bearer realm="sluice", error="invalid_token", error_description="{said}""#);
            assert_eq!(response.head.all("www-authenticate"), [challenge], "{name}");
            assert_eq!(response.field("cache-control"), Some("no-store"));
            seen += 1;
            let line = logged(&gateway, seen).await;
            assert_eq!((&line["reason"], &line["status"]), (&(*reason).into(), &401.into()), "{name}");
            assert_eq!(problem["request_id"], line["request_id"]);
            for absent in ["partner", "auth", "subject", "upstream", "observed", "limit"] {
                assert!(line.get(absent).is_none(), "{absent} in {line}");
            }
            assert!(token.is_empty() || !response.text().contains(token.as_str()), "{name}");
        }
        assert_eq!(caller.with_token("/orders", &key.sign(&claims())).await.status, 200, "the connection goes on");
        seen += 1;
    }
    assert_eq!(counted(&gateway, "jwt", "refused").await, (seen - 2) as f64);
    for reason in ["JWT_MALFORMED", "JWT_SIGNATURE", "JWT_CLAIMS"] {
        let expected = 4 * table.iter().filter(|(_, _, of, _)| *of == reason).count();
        let sample = format!(r#"sluice_reasons_total{{reason="{reason}"}}"#);
        assert_eq!(gateway.metrics_value(&sample).await, expected as f64, "{reason}");
    }
    assert_eq!(upstream.requests().len(), 2, "nobody else was let through");
    unseen(&gateway, table.iter().map(|(_, token, ..)| token.as_str())).await;
}

/// None of these, nor a part of one that tells something, stands anywhere an operator looks.
async fn unseen(gateway: &TestGateway, tokens: impl Iterator<Item = &str>) {
    let log = std::fs::read_to_string(gateway.folder().join("access.log")).unwrap();
    let (_, metrics) = gateway.admin_get("/metrics").await;
    let (_, status) = gateway.admin_get("/status").await;
    for part in tokens.flat_map(|token| token.split('.')).filter(|part| part.len() > 20) {
        for (place, text) in [("log", &log), ("metrics", &metrics), ("status", &status)] {
            assert!(!text.contains(part), "{part} in {place}");
        }
    }
}

#[tokio::test]
async fn who_sends_no_token_is_asked_for_one_and_told_of_no_error() {
    let (_, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "");
    let gateway = start(&file).await;
    let mut seen = 0;
    for version in BOTH {
        for fields in [&[][..], &[("authorization", "Basic dTpw")], &[("authorization", "Bearertoken")]] {
            let response = get(&gateway, version, "/orders?access_token=x", fields).await;
            response.refused(401, "CREDENTIAL_MISSING");
            assert_eq!(response.head.all("www-authenticate"), [r#"Bearer realm="sluice""#]);
            seen += 1;
            assert_eq!(logged(&gateway, seen).await["reason"], "CREDENTIAL_MISSING");
        }
    }
    assert_eq!(counted(&gateway, "jwt", "refused").await, 0.0, "there was none to count");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn whoever_asks_for_plain_text_is_told_the_same_in_a_line() {
    let (_, provider) = provider();
    let upstream = Upstream::echo();
    let gateway = start(&File::usual(&upstream, &provider).route("orders", "issuer: main", "")).await;
    let fields = [("accept", "text/plain"), ("authorization", "Bearer x")];
    let response = get(&gateway, Version::Two, "/orders", &fields).await;
    assert_eq!((response.status, response.text()), (401, format!("JWT_MALFORMED: {THREE_PARTS}\n").as_str()));
    assert!(response.field("www-authenticate").unwrap().contains("invalid_token"));
}
