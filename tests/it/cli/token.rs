//! `sluice token`: tokens that the gateway takes, from the key that it has made itself, or from any other.

use std::os::unix::fs::PermissionsExt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use serde_json::{Value, json};

use super::process::Place;
use crate::support::Client;

const ROUTES: &str = r#"version: 1
issuers:
  dev:
    issuer: https://dev.test
    audiences: [api, other]
    jwks: { file: certs/dev-jwks.json }
    max_lifetime: 30m
    claims: { partner: /client/id, subject: user, scopes: scp, token_id: tid }
  old: { secret: "${env:OLD_SECRET}", audiences: off, claims: { subject: userId } }
  remote: { issuer: https://id.test, audiences: [api], jwks: { url: "https://id.test/jwks.json" }, algorithms: [PS256, RS256] }
partners:
  acme: { clients: [acme-web, acme-batch] }
  globex: {}
routes:
  - name: orders
    match: { path: /orders }
    auth: { issuer: [dev, old], scopes: { all_of: [orders:read] } }
    respond: { body: good }
"#;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn place() -> Place {
    let place = Place::serving(ROUTES);
    place.set("OLD_SECRET", SECRET)
}

/// What it prints beside a gateway of the same place.
fn printed(place: &Place, arguments: &[&str]) -> String {
    let output = place.command(arguments).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

fn field(token: &str) -> String {
    format!("GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// Header and claims, as they are written.
fn decoded(token: &str) -> (Value, Value) {
    let read = |part: &str| {
        let bits: String = part
            .bytes()
            .map(|letter| {
                let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                format!("{:06b}", letters.find(char::from(letter)).unwrap())
            })
            .collect();
        let bytes: Vec<u8> = bits
            .as_bytes()
            .chunks_exact(8)
            .map(|bits| u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap())
            .collect();
        serde_json::from_slice(&bytes).unwrap()
    };
    let parts: Vec<&str> = token.split('.').collect();
    (read(parts[0]), read(parts[1]))
}

#[tokio::test]
async fn stdout_is_a_token_and_nothing_else_and_the_gateway_takes_it() {
    let place = place();
    let gateway = place.start(&["run", "--format", "json"]);
    let started = gateway.started().await;
    let mut client = Client::connect(started.listener("http")).await;
    client.get("/orders").await.refused(401, "CREDENTIAL_MISSING");
    let made = printed(&place, &["token", "--partner", "acme", "--scope", "orders:read"]);
    let token = made.strip_suffix('\n').unwrap();
    assert!(!token.contains(char::is_whitespace) && token.split('.').count() == 3, "{made}");
    assert_eq!(client.request(&field(token)).await.text(), "good");
    let other = printed(&place, &["token", "--partner", "globex", "--scope", "orders:write"]);
    client.request(&field(other.trim())).await.refused(403, "SCOPE_MISSING");
    let legacy = ["token", "--issuer", "old", "--subject", "7", "--scope", "orders:read", "--partner", "globex"];
    let token = printed(&place, &legacy);
    assert_eq!(decoded(&token).0["alg"], "HS256");
    assert_eq!(decoded(&token).1["userId"], "7");
    assert_eq!(client.request(&field(token.trim())).await.text(), "good");
}

#[tokio::test]
async fn a_token_says_what_was_asked_in_the_words_of_its_issuer() {
    let place = place();
    let arguments = [
        "token",
        "--format",
        "json",
        "--partner",
        "acme",
        "--subject",
        "u1",
        "--scope",
        "a",
        "--scope",
        "b:c",
        "--id",
        "t1",
        "--expires",
        "5m",
        "--claim",
        "/client/tier=3",
        "--claim",
        "aud=x",
        "--claim",
        "note=a=b",
    ];
    let made = place.run(&arguments).await.with(0);
    assert!(made.err.contains("note: the development key certs/dev-token-key.pem was made"), "{made:?}");
    let made = made.json();
    let claims = &made["claims"];
    let (header, written) = decoded(made["token"].as_str().unwrap());
    assert_eq!(written, *claims);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("at+jwt")));
    let keys: Value = serde_json::from_str(&place.read("certs/dev-jwks.json")).unwrap();
    assert_eq!(keys["keys"][0]["kid"], header["kid"]);
    let iat = claims["iat"].as_u64().unwrap();
    let expected = json!({
        "iss": "https://dev.test", "aud": "x", "user": "u1", "client": { "id": "acme-web", "tier": 3 }, "scp": "a b:c",
        "iat": iat, "exp": iat + 300, "tid": "t1", "note": "a=b",
    });
    assert_eq!(*claims, expected);
    assert!(made["expires"].as_str().unwrap().ends_with('Z'), "{made}");
    // Without --expires, no longer than the issuer allows; a client of the partner is meant as it is.
    let made = place.run(&["token", "--format", "json", "--partner", "acme-batch"]).await.with(0).json();
    let claims = &made["claims"];
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 30 * 60);
    assert_eq!((&claims["client"]["id"], &claims["aud"]), (&json!("acme-batch"), &json!("api")));
}

#[tokio::test]
async fn the_key_is_made_once_whoever_comes_first_and_is_private() {
    let place = place();
    place.run(&["check"]).await.with(0);
    place.run(&["test"]).await.with(0);
    let refused = place.run(&["explain", "GET", "/orders"]).await.with(0);
    assert!(refused.out.contains("401 Unauthorized, CREDENTIAL_MISSING"), "{refused:?}");
    assert!(!place.path("certs").exists(), "looking makes nothing");
    let first = place.start(&["run"]);
    first.says("development key made, for `sluice token`").await;
    first.says("/status\n").await;
    let key = place.path("certs/dev-token-key.pem");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let made = (place.read("certs/dev-token-key.pem"), place.read("certs/dev-jwks.json"));
    drop(first);
    let second = place.start(&["run"]);
    assert!(!second.says("/status\n").await.contains("key made"));
    assert_eq!(place.run(&["token"]).await.with(0).err, "");
    assert_eq!(made, (place.read("certs/dev-token-key.pem"), place.read("certs/dev-jwks.json")));
    std::fs::remove_file(key).unwrap();
    for command in ["run", "token"] {
        let ended = place.run(&[command]).await.with(if command == "run" { 64 } else { 1 });
        assert!(ended.err.contains("certs/dev-jwks.json is there but certs/dev-token-key.pem is not"), "{ended:?}");
    }
}

#[tokio::test]
async fn any_issuer_has_tokens_for_whoever_has_its_key() {
    let place = place();
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap().as_ref().to_vec();
    let pem = rcgen::KeyPair::from_der_and_sign_algo(
        &rustls::pki_types::PrivateKeyDer::Pkcs8(der.into()),
        &rcgen::PKCS_RSA_SHA256,
    );
    place.write("rsa.pem", pem.unwrap().serialize_pem());
    let token = |more: &[&'static str]| [&["token", "--issuer", "remote", "--key", "rsa.pem"], more].concat();
    let made = place.run(&token(&[])).await.with(0);
    // The first that the issuer lists and the key can.
    assert_eq!(decoded(&made.out).0, json!({ "alg": "PS256", "typ": "at+jwt" }));
    let made = place.run(&token(&["--algorithm", "RS256", "--key-id", "k1"])).await.with(0);
    assert_eq!(decoded(&made.out).0, json!({ "alg": "RS256", "typ": "at+jwt", "kid": "k1" }));
    let ended = place.run(&token(&["--algorithm", "RS512"])).await.with(1);
    assert!(ended.err.contains("the issuer `remote` takes PS256, RS256, and this would be RS512"), "{ended:?}");
    let ended = place.run(&token(&["--algorithm", "ES256"])).await.with(1);
    assert!(ended.err.contains("--key rsa.pem: this is a key for RS256, not for ES256"), "{ended:?}");
}

#[tokio::test]
async fn what_is_missing_is_told_with_the_way_out() {
    let place = place();
    for (arguments, told) in [
        (&["token", "--issuer", "main"][..], "routes.yaml has no issuer `main`; there are: dev, old, remote"),
        (
            &["token", "--issuer", "remote"],
            "has its public keys from https://id.test/jwks.json; name its private key with",
        ),
        (&["token", "--issuer", "old", "--algorithm", "ES256"], "the key of the issuer `old` signs HS256, not ES256"),
        (&["token", "--key", "none.pem"], "--key none.pem: No such file"),
        (&["token", "--key", "routes.yaml"], "--key routes.yaml: there is no private key in it"),
        (&["token", "--claim", "/iss/x=1"], "claim iss/x: what it is within is no object"),
    ] {
        let ended = place.run(arguments).await.with(1);
        assert!(ended.err.contains(told) && ended.out.is_empty(), "{arguments:?}: {ended:?}");
    }
    for (arguments, told) in [
        (&["token", "--scope", "a b"][..], "write --scope once for each"),
        (&["token", "--algorithm", "none"], "known are HS256"),
        (&["token", "--claim", "x"], "NAME=VALUE"),
        (&["token", "--key-id", "k"], "--key"),
        (&["token", "--expires", "1"], "not a duration"),
    ] {
        let ended = place.run(arguments).await.with(2);
        assert!(ended.err.contains(told) && ended.out.is_empty(), "{arguments:?}: {ended:?}");
    }
    let ended = place.run(&["token", "--partner", "nobody", "--expires", "2h"]).await.with(0);
    assert!(ended.err.contains("no partner `nobody`; there are: acme, globex"), "{ended:?}");
    assert!(ended.err.contains("the issuer `dev` refuses tokens for longer than 30m"), "{ended:?}");

    place.write("routes.yaml", "version: 1\nroutes: []\n");
    let ended = place.run(&["token"]).await.with(1);
    assert!(ended.err.contains("no issuer with the development key") && ended.err.contains("it has none"), "{ended:?}");
}
