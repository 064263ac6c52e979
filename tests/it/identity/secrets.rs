//! Credentials are in no log, whatever becomes of them, and however much is logged.

use std::fmt::Write;

use serde_json::json;

use super::scene::{ISSUER, claims, claims_with};
use crate::cli::process::{Place, bootstrap};
use crate::support::issuer::{SigningKey, key_set};
use crate::support::upstream::Refusing;
use crate::support::{Client, H2Client, Upstream, eventually};

#[tokio::test]
async fn no_part_of_a_credential_is_logged() {
    let (upstream, refusing) = (Upstream::echo(), Refusing::new());
    let key = SigningKey::es256("k1");
    let made = sluice::auth::api_key::generate(None).unwrap();
    let api_key = String::from_utf8(made.key.reveal().to_vec()).unwrap();
    let sha256: String = made.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = format!(
        "version: 1\nissuers: {{ main: {{ issuer: \"{ISSUER}\", audiences: [api], jwks: {{ file: keys.json }} }} }}\n\
         partners: {{ acme: {{ clients: [acme-app], api_keys: [{{ id: \"{}\", sha256: {sha256} }}] }} }}\n\
         upstreams:\n  app: {{ endpoints: [\"{}\"] }}\n  down: {{ endpoints: [\"{}\"] }}\nroutes:\n",
        made.id,
        upstream.address(),
        refusing.address(),
    );
    for (name, upstream, more) in
        [("good", "app", ""), ("scope", "app", "scopes: { all_of: [admin] },"), ("down", "down", "")]
    {
        writeln!(
            file,
            "  - {{ name: {name}, match: {{ path: /{name} }}, upstream: {upstream}, auth: {{ {more} any_of: [ \
             {{ issuer: main, token: {{ query: access_token, cookie: session, websocket_protocol: true }} }}, \
             {{ api_key: {{ header: X-Key, query: key }} }} ] }} }}"
        )
        .unwrap();
    }
    let place = Place::serving(&file);
    let h2c = bootstrap("log: { level: trace }").replace("name: http,", "name: http, h2c: true,");
    place.write("config/gateway.yaml", h2c);
    place.write("keys.json", key_set(&[&key]));
    let process = place.start(&["run", "--format", "json"]);
    let started = process.started().await;
    let address = started.listener("http");

    let stranger = SigningKey::es256("k1");
    let tokens = [
        key.sign(&claims()),
        key.sign(&claims_with(json!({ "exp": 5 }))),
        key.sign(&claims_with(json!({ "sub": 5.5 }))),
        stranger.sign(&claims()),
        SigningKey::es256("k9").sign(&claims()),
        "malformed-but-secret-all-the-same".to_owned(),
    ];
    let secrets: Vec<&str> = tokens.iter().map(String::as_str).chain([api_key.as_str()]).collect();
    let mut count = 0;
    for secret in &secrets {
        let mut client = H2Client::connect(address).await;
        for path in ["/good", "/scope", "/down", "/nowhere", "/good%2F"] {
            for (target, fields) in [
                (path.to_owned(), format!("Authorization: Bearer {secret}\r\n")),
                (path.to_owned(), format!("Cookie: a=1; session={secret}\r\n")),
                (path.to_owned(), format!("Sec-WebSocket-Protocol: bearer, {secret}\r\n")),
                (path.to_owned(), format!("X-Key: {secret}\r\n")),
                (path.to_owned(), format!("X-Key: {secret}\r\nX-Key: {secret}\r\n")),
                (format!("{path}?access_token={secret}"), String::new()),
                (format!("{path}?key={secret}"), String::new()),
                (format!("{path}?access_token={secret}"), format!("Authorization: Bearer {secret}\r\n")),
            ] {
                let head = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
                let answer = Client::connect(address).await.request(head).await;
                // An upstream may say what it likes, and has not got it.
                assert!(!String::from_utf8_lossy(&answer.body.bytes).contains(secret), "{path} {fields}");
                count += 1;
            }
            let request = http::Request::get(format!("http://api.test{path}?access_token={secret}"));
            client.send(request.header("cookie", format!("session={secret}")).body(()).unwrap(), &[]).await;
            count += 1;
        }
    }
    let logged = || process.out().lines().filter(|line| line.contains("\"request_id\"")).count();
    eventually("the access log", async || (logged() >= count).then_some(())).await;
    let metrics =
        Client::connect(started.admin()).await.request("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let status =
        Client::connect(started.admin()).await.request("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(process.err().contains("TRACE") || process.err().contains("DEBUG"), "much is logged");
    for (place, text) in [
        ("stdout", &*process.out()),
        ("stderr", &*process.err()),
        ("metrics", metrics.text()),
        ("status", status.text()),
    ] {
        for secret in &secrets {
            // The signature of a token; of an API key all behind its id.
            let tail =
                secret.rsplit_once(&*made.id).map_or_else(|| secret.rsplit('.').next().unwrap(), |(_, tail)| tail);
            assert!(tail.len() >= 32, "{tail} may be there by chance");
            let line = text.lines().find(|line| line.contains(tail));
            assert_eq!(line, None, "in {place}");
        }
    }
}
