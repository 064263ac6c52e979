//! What an upstream is told of a caller, and that nobody else can tell it.

use serde_json::{Value, json};

use super::scene::{BOTH, Caller, File, Version, bearer, build, claims, claims_with, get, provider, start};
use crate::support::Upstream;
use crate::support::client::Echo;

const FIELDS: [&str; 4] = ["x-sluice-partner", "x-sluice-subject", "x-sluice-scopes", "x-sluice-identity"];

/// The values of a field, however it is spelt: many services read `_` as `-`.
fn read_as<'e>(echo: &'e Echo, name: &str) -> Vec<&'e str> {
    let spelt = |field: &str| field.to_ascii_lowercase().replace('_', "-");
    echo.head.fields.iter().filter(|(field, _)| spelt(field) == name).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn what_a_client_says_about_itself_never_arrives() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("open", "none", "").route("orders", "issuer: main", "").route(
        "any",
        "issuer: main, partner: optional, mode: observe",
        "",
    );
    let gateway = start(&file).await;
    let token_field = bearer(&key.sign(&claims_with(json!({ "scope": null }))));
    for version in BOTH {
        for spelt in ["x-sluice-partner", "x_sluice_partner", "x-sluice_partner", "x_sluice-partner"] {
            let forged: Vec<(String, &str)> = ["partner", "subject", "scopes"]
                .iter()
                .flat_map(|part| [(spelt.replace("partner", part), "evil"), (spelt.replace("partner", part), "evil 2")])
                .collect();
            let forged: Vec<(&str, &str)> = forged.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let mut caller = Caller::connect(&gateway, version).await;
            for target in ["/open", "/any"] {
                let echo = caller.get(target, &forged).await.echo();
                for name in FIELDS {
                    assert_eq!(read_as(&echo, name), [""; 0], "{target} {spelt} {version:?}");
                }
            }
            let with_token = [&forged[..], &[("authorization", token_field.as_str())]].concat();
            let echo = caller.get("/orders", &with_token).await.echo();
            assert_eq!(read_as(&echo, "x-sluice-partner"), ["acme"], "{spelt}");
            assert_eq!(read_as(&echo, "x-sluice-subject"), ["ann"], "{spelt}");
            assert_eq!(read_as(&echo, "x-sluice-scopes"), [""; 0], "a token without scopes has none: {spelt}");
            assert!(echo.head.fields.iter().all(|(_, value)| !value.contains("evil")), "{:?}", echo.head.fields);
        }
    }
}

#[tokio::test]
async fn a_client_cannot_nominate_the_fields_away() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let gateway = start(&File::usual(&upstream, &provider).route("orders", "issuer: main", "")).await;
    let token = key.sign(&claims());
    for nominated in ["X-Sluice-Partner", "x-sluice-subject, x-sluice-scopes", "x_sluice_partner"] {
        let fields = format!("Connection: keep-alive, {nominated}\r\nAuthorization: Bearer {token}\r\n");
        let response = gateway.request(format!("GET /orders HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")).await;
        let echo = response.echo();
        assert_eq!(read_as(&echo, "x-sluice-partner"), ["acme"], "{nominated}");
        assert_eq!(read_as(&echo, "x-sluice-subject"), ["ann"], "{nominated}");
        assert_eq!(read_as(&echo, "x-sluice-scopes"), ["orders:read"], "{nominated}");
    }
    // What would take the credential itself away, is refused before.
    let fields = format!("Connection: Authorization\r\nAuthorization: Bearer {token}\r\n");
    let response = gateway.request(format!("GET /orders HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")).await;
    response.refused(400, "REQUEST_MALFORMED");
}

#[tokio::test]
async fn odd_names_are_percent_encoded() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).partner("acme", "clients: [\"käse % co\"]").route(
        "orders",
        "issuer: main",
        "",
    );
    let gateway = start(&file).await;
    for (subject, seen) in [
        ("ann", "ann"),
        ("auth0|7:a/b@c,d;\"e\"", "auth0|7:a/b@c,d;\"e\""),
        ("a b", "a%20b"),
        ("100%41", "100%2541"),
        ("jürgen\u{1F600}", "j%C3%BCrgen%F0%9F%98%80"),
        ("\u{2028}", "%E2%80%A8"),
    ] {
        let changes = json!({ "sub": subject, "azp": "käse % co", "scope": "é:read a%b" });
        let token = key.sign(&claims_with(changes));
        for version in BOTH {
            let echo = Caller::connect(&gateway, version).await.with_token("/orders", &token).await.echo();
            assert_eq!(echo.field("x-sluice-subject"), Some(seen));
            assert_eq!(echo.field("x-sluice-partner"), Some("acme"));
            assert_eq!(echo.field("x-sluice-scopes"), Some("a%25b %C3%A9:read"));
        }
    }
}

#[tokio::test]
async fn names_are_chosen_or_switched_off_and_their_forgeries_go_with_them() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .route("orders", "issuer: main", "")
        .route("open", "none", "")
        .with("identity: { headers: { partner: X-Consumer, subject: Remote-User, scopes: off } }");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    for version in BOTH {
        let forged = [("x-consumer", "evil"), ("remote_user", "evil"), ("authorization", &bearer(&token))];
        let echo = get(&gateway, version, "/orders", &forged).await.echo();
        assert_eq!(read_as(&echo, "x-consumer"), ["acme"]);
        assert_eq!(read_as(&echo, "remote-user"), ["ann"]);
        for name in FIELDS {
            assert_eq!(read_as(&echo, name), [""; 0], "{name}");
        }
        let echo = get(&gateway, version, "/open", &forged[..2]).await.echo();
        assert_eq!((read_as(&echo, "x-consumer"), read_as(&echo, "remote-user")), (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_route_that_asks_nobody_passes_credentials_on() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let gateway = start(&File::usual(&upstream, &provider).route("open", "none", "")).await;
    let token = bearer(&key.sign(&claims()));
    for version in BOTH {
        let fields = [("authorization", token.as_str()), ("x-api-key", "k"), ("cookie", "session=x")];
        let echo = get(&gateway, version, "/open?access_token=1", &fields).await.echo();
        for (name, value) in fields {
            assert_eq!(echo.field(name), Some(value), "what is not ours is not taken");
        }
        assert_eq!(echo.target, "/open?access_token=1");
    }
}

#[tokio::test]
async fn who_is_no_partner_comes_no_further_and_is_told_of_no_credential() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let gateway = start(&File::usual(&upstream, &provider).route("orders", "issuer: main", "")).await;
    let token = key.sign(&claims_with(json!({ "azp": "nobody" })));
    for version in [Version::One, Version::Two] {
        let response = Caller::connect(&gateway, version).await.with_token("/orders", &token).await;
        assert_eq!(response.refused(403, "PARTNER_UNKNOWN").get("partner"), None);
        assert_eq!(response.field("www-authenticate"), None, "no other credential of this caller would help");
    }
    let good = key.sign(&claims());
    assert_eq!(Caller::connect(&gateway, Version::Two).await.with_token("/orders", &good).await.status, 200);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_signed_statement_says_the_same_to_upstreams_that_trust_no_network() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let builder = build();
    let pair = rcgen::KeyPair::generate().unwrap();
    let path = builder.file("identity.pem", &pair.serialize_pem());
    let identity = format!(
        r#"identity: {{ token: {{ header: X-Identity, key: "{}", key_id: g1, issuer: edge, audience: inside, lifetime: 2m }} }}"#,
        path.display()
    );
    let file =
        File::usual(&upstream, &provider).route("orders", "issuer: main", "").route("open", "none", "").with(&identity);
    let gateway = builder.start(&file.to_string()).await;
    let token_field = bearer(&key.sign(&claims()));
    let mut first: Option<String> = None;
    for version in BOTH {
        let forged = [("x-identity", "evil"), ("x_identity", "evil")];
        let echo = get(&gateway, version, "/open", &forged).await.echo();
        assert_eq!(read_as(&echo, "x-identity"), [""; 0]);
        let fields = [&forged[..], &[("authorization", token_field.as_str())]].concat();
        let echo = get(&gateway, version, "/orders", &fields).await.echo();
        let [statement] = read_as(&echo, "x-identity").try_into().unwrap();
        let mut parts = statement.split('.').map(unbase64);
        let header: Value = serde_json::from_slice(&parts.next().unwrap()).unwrap();
        assert_eq!(header, json!({ "alg": "ES256", "typ": "sluice-identity+jwt", "kid": "g1" }));
        let said: Value = serde_json::from_slice(&parts.next().unwrap()).unwrap();
        let stated = |name: &str| said[name].as_str().unwrap().to_owned();
        assert_eq!(["iss", "aud", "sub", "azp", "scope"].map(stated), ["edge", "inside", "ann", "acme", "orders:read"]);
        assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 120);
        assert!(!stated("jti").is_empty());
        let signed = statement.rsplit_once('.').unwrap().0;
        let point = pair.public_key_raw();
        aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &parts.next().unwrap())
            .unwrap();
        assert_eq!(first.get_or_insert_with(|| statement.to_owned()), statement, "one serves for many requests");
    }
}

#[tokio::test]
async fn a_statement_is_for_one_upstream_and_goes_on_over_reloads() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let builder = super::scene::build();
    let [first, second] = [0, 1].map(|_| rcgen::KeyPair::generate().unwrap());
    let path = builder.file("identity.pem", &first.serialize_pem());
    let plain = File::usual(&upstream, &provider).route("orders", "issuer: main", "");
    let file = plain.clone().with(&format!("identity: {{ token: {{ key: \"{}\" }} }}", path.display()));
    let gateway = builder.start(&plain.to_string()).await;
    let (status, problem) = gateway.admin_get("/identity/keys").await;
    assert!(status == 404 && problem.contains("identity.token"), "{problem}");
    gateway.reload_with(&file.to_string()).await;
    let token_field = bearer(&key.sign(&claims()));
    let statement = async || {
        let response = get(&gateway, Version::One, "/orders", &[("authorization", &token_field)]).await;
        response.echo().field("x-sluice-identity").unwrap().to_owned()
    };
    let key_id = async || {
        let (status, keys) = gateway.admin_get("/identity/keys").await;
        let keys: Value = serde_json::from_str(&keys).unwrap();
        assert_eq!((status, keys["keys"].as_array().unwrap().len()), (200, 1));
        assert_eq!(keys["keys"][0].get("d"), None, "the public part alone");
        keys["keys"][0]["kid"].as_str().unwrap().to_owned()
    };
    let part = |statement: &str, index| -> Value {
        serde_json::from_slice(&unbase64(statement.split('.').nth(index).unwrap())).unwrap()
    };
    let before = statement().await;
    assert_eq!(part(&before, 1)["aud"], "app", "the name of the upstream");
    assert_eq!(part(&before, 0)["kid"], *key_id().await);
    // Another change, another reload, and a key that is gone: what was made goes on.
    gateway.reload_with(&file.clone().route("more", "none", "").to_string()).await;
    assert_eq!(statement().await, before);
    std::fs::remove_file(&path).unwrap();
    gateway.reload().await;
    assert_eq!(statement().await, before);
    gateway.reload_with(&file.to_string()).await;
    assert_eq!(statement().await, before);
    // Another key with the same routes is seen at the next reload.
    std::fs::write(&path, second.serialize_pem()).unwrap();
    gateway.reload().await;
    let after = statement().await;
    assert_ne!(part(&after, 0)["kid"], part(&before, 0)["kid"]);
    assert_eq!(part(&after, 0)["kid"], *key_id().await);
    gateway.reload_with(&plain.to_string()).await;
    assert_eq!(gateway.admin_get("/identity/keys").await.0, 404);
}

fn unbase64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.chars() {
        bits = bits << 6 | u32::try_from(ALPHABET.find(letter).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
