//! A gateway before an identity provider that rotates, stalls, lies and dies.

use serde_json::Value;

use super::scene::{BOTH, Caller, File, Version, ask, claims, counted, keys_of, logged, provider, start};
use crate::support::issuer::{IdentityProvider, Says, SigningKey};
use crate::support::{Gate, TestGateway, Upstream, eventually};

fn file(upstream: &Upstream, provider: &IdentityProvider, jwks: &str) -> File {
    File::usual(upstream, provider).issuer("main", &keys_of(provider, jwks)).route("orders", "issuer: main", "")
}

/// What `/status` says of the issuer `main`.
async fn status(gateway: &TestGateway) -> Value {
    let (_, status) = gateway.admin_get("/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    status["issuers"].as_array().unwrap().iter().find(|issuer| issuer["name"] == "main").unwrap().clone()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

async fn in_flight(gateway: &TestGateway, count: usize) {
    gateway.metric_reaches("sluice_requests_in_flight", count as f64).await;
}

#[tokio::test]
async fn fifty_requests_with_a_new_key_cause_one_fetch_and_are_all_served() {
    let (old, provider) = provider();
    let new = SigningKey::es256("k2");
    let upstream = Upstream::echo();
    // Every request can wait at once: 25 connections, and 25 streams of one.
    let gateway = start(&file(&upstream, &provider, "timeout: 30s")).await;
    assert_eq!(ask(&gateway, "/orders", &old.sign(&claims())).await.status, 200);
    assert_eq!(provider.fetches(), 1);
    let answer = Gate::closed();
    provider.publish(&[&old, &new]);
    provider.say(Says::KeysAfter(answer.clone()));

    let token = new.sign(&claims());
    let mut connections = Vec::new();
    for _ in 0..25 {
        let mut client = gateway.client().await;
        client.send(format!("GET /orders HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
        connections.push(client);
    }
    let Caller::Two(mut client) = Caller::connect(&gateway, Version::Two).await else { unreachable!() };
    let mut streams = Vec::new();
    for _ in 0..25 {
        let request = http::Request::get("http://api.test/orders").header("authorization", format!("Bearer {token}"));
        streams.push(client.open(request.body(()).unwrap(), true).await.unwrap());
    }
    in_flight(&gateway, 50).await;
    // Whoever is known is not kept waiting.
    assert_eq!(ask(&gateway, "/orders", &old.sign(&claims())).await.status, 200);
    assert_eq!(upstream.requests().len(), 2);
    answer.open();
    for mut client in connections {
        assert_eq!(client.response().await.echo().field("x-sluice-subject"), Some("ann"));
    }
    for (response, _body) in streams {
        assert_eq!(crate::support::h2_client::response_of(response).await.unwrap().status, 200);
    }
    assert_eq!(provider.fetches(), 2);
    in_flight(&gateway, 0).await;
    assert_eq!(counted(&gateway, "jwt", "refused").await, 0.0);
}

#[tokio::test]
async fn a_key_that_does_not_exist_is_asked_for_once_per_cool_down() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let gateway = start(&file(&upstream, &provider, "cool_down: 1h")).await;
    for (at, version) in BOTH.into_iter().enumerate() {
        let mut caller = Caller::connect(&gateway, version).await;
        for name in ["x1", "x2", "x1"] {
            let token = SigningKey::es256(name).sign(&claims());
            caller.with_token("/orders", &token).await.refused(401, "JWT_KEY_UNKNOWN");
        }
        // A token without a name that fits no key costs a verification, and no fetch.
        assert_eq!(caller.with_token("/orders", &key.sign(&claims())).await.status, 200);
        assert_eq!(provider.fetches(), 2, "{at}");
    }
}

#[tokio::test]
async fn when_the_provider_dies_what_is_known_goes_on_and_what_is_not_is_answered_in_time() {
    for says in [None, Some(Says::Nothing), Some(Says::Trickle), Some(Says::Reset)] {
        let (key, provider) = provider();
        let (other, upstream) = (SigningKey::es256("k2"), Upstream::echo());
        let gateway = start(&file(&upstream, &provider, "timeout: 300ms, cool_down: 1h")).await;
        let known = key.sign(&claims());
        assert_eq!(ask(&gateway, "/orders", &known).await.status, 200);
        match says {
            Some(says) => provider.say(says),
            None => provider.die().await,
        }
        let began = sluice::base::clock::now();
        for version in BOTH {
            let mut caller = Caller::connect(&gateway, version).await;
            let token = other.sign(&claims());
            caller.with_token("/orders", &token).await.refused(401, "JWT_KEY_UNKNOWN");
            assert_eq!(caller.with_token("/orders", &known).await.status, 200, "known");
            let fresh = key.sign(&super::scene::claims_with(serde_json::json!({ "jti": format!("{version:?}") })));
            assert_eq!(caller.with_token("/orders", &fresh).await.status, 200, "new, by the keys of before");
        }
        assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
        // It tries again meanwhile, so there may be more than one by now.
        let failures = r#"sluice_issuer_fetches_total{issuer="main",result="failure"}"#;
        eventually("a failure", async || (gateway.metrics_value(failures).await >= 1.0).then_some(())).await;
        assert_eq!(gateway.metrics_value(r#"sluice_issuer_keys{issuer="main"}"#).await, 1.0);
        let status = status(&gateway).await;
        assert!(status["failing_since"].is_u64() && status["last_failure"]["error"].is_string(), "{status}");
        assert_eq!(texts(&status["keys"]), ["k1"]);
    }
}

#[tokio::test]
async fn before_the_first_keys_a_token_is_told_to_come_again_and_then_is_good_without_a_reload() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    provider.die().await;
    let file = file(&upstream, &provider, "timeout: 300ms").route("open", "none", "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    for (at, version) in BOTH.into_iter().enumerate() {
        let mut caller = Caller::connect(&gateway, version).await;
        let response = caller.with_token("/orders", &token).await;
        let problem = response.refused(503, "KEYS_UNAVAILABLE");
        assert_eq!(problem["detail"], "The keys that tokens are verified with could not be fetched yet.");
        assert_eq!(response.field("www-authenticate"), None, "another token would not help");
        // What needs no keys goes on, and what is bad without them is bad.
        caller.with_token("/orders", "x").await.refused(401, "JWT_MALFORMED");
        caller.get("/orders", &[]).await.refused(401, "CREDENTIAL_MISSING");
        assert_eq!(caller.get("/open", &[]).await.status, 200);
        assert_eq!(logged(&gateway, 4 * at + 1).await["reason"], "KEYS_UNAVAILABLE");
    }
    assert_eq!(gateway.metrics_value(r#"sluice_issuer_keys{issuer="main"}"#).await, 0.0);
    let told = status(&gateway).await;
    assert!(
        texts(&told["keys"]).is_empty() && told["failing_since"].is_u64() && told["fetched_at"].is_null(),
        "{told}"
    );
    provider.revive();
    let mut caller = Caller::connect(&gateway, Version::One).await;
    eventually("keys", async || (caller.with_token("/orders", &token).await.status == 200).then_some(())).await;
    let told = status(&gateway).await;
    assert!(told["failing_since"].is_null() && told["last_failure"]["error"].is_string(), "{told}");
    gateway.metric_reaches(r#"sluice_issuer_keys{issuer="main"}"#, 1.0).await;
}

/// Whoever comes before the first keys, while they are on their way, waits for them.
#[tokio::test]
async fn requests_wait_for_the_first_keys_that_are_on_their_way() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let answer = Gate::closed();
    provider.say(Says::KeysAfter(answer.clone()));
    let gateway = start(&file(&upstream, &provider, "timeout: 30s")).await;
    let token = key.sign(&claims());
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut client = gateway.client().await;
        client.send(format!("GET /orders HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
        waiting.push(client);
    }
    in_flight(&gateway, 5).await;
    answer.open();
    for mut client in waiting {
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test]
async fn rotation_refuses_no_token_that_was_good() {
    let (old, provider) = provider();
    let (new, upstream) = (SigningKey::rs256("k2"), Upstream::echo());
    let gateway = start(&file(&upstream, &provider, "overlap: 1h")).await;
    let (of_old, of_new) = (old.sign(&claims()), new.sign(&claims()));
    for version in BOTH {
        assert_eq!(Caller::connect(&gateway, version).await.with_token("/orders", &of_old).await.status, 200);
    }
    provider.publish(&[&new]);
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        assert_eq!(caller.with_token("/orders", &of_new).await.status, 200);
        assert_eq!(caller.with_token("/orders", &of_old).await.status, 200, "for as long as keys overlap");
    }
    let told = status(&gateway).await;
    assert_eq!(texts(&told["overlapping"]), ["k1"], "{told}");
    let mut keys = texts(&told["keys"]);
    keys.sort_unstable();
    assert_eq!(keys, ["k1", "k2"]);
    gateway.metric_reaches(r#"sluice_issuer_keys{issuer="main"}"#, 2.0).await;
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test]
async fn without_an_overlap_a_key_ends_with_its_set() {
    let (old, provider) = provider();
    let (new, upstream) = (SigningKey::es256("k2"), Upstream::echo());
    let gateway = start(&file(&upstream, &provider, "overlap: 0s")).await;
    let of_old = old.sign(&claims());
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    assert_eq!(caller.with_token("/orders", &of_old).await.status, 200);
    provider.publish(&[&new]);
    assert_eq!(caller.with_token("/orders", &new.sign(&claims())).await.status, 200);
    caller.with_token("/orders", &of_old).await.refused(401, "JWT_KEY_UNKNOWN");
}

#[tokio::test]
async fn a_stolen_key_is_dropped_at_once_with_all_that_was_known_by_it() {
    let (stolen, provider) = provider();
    let (new, upstream) = (SigningKey::es256("k2"), Upstream::echo());
    let gateway = start(&file(&upstream, &provider, "overlap: 1h, cool_down: 1h")).await;
    let token = stolen.sign(&claims());
    let mut callers = Vec::new();
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        assert_eq!(caller.with_token("/orders", &token).await.status, 200);
        callers.push(caller);
    }
    provider.publish(&[&new]);
    // A refresh alone keeps it for the overlap.
    let (status_code, body) = gateway.admin_send("POST", "/issuers/main/refresh", "").await;
    assert_eq!(status_code, 200, "{body}");
    for caller in &mut callers {
        assert_eq!(caller.with_token("/orders", &token).await.status, 200);
    }
    let (status_code, body) = gateway.admin_send("POST", "/issuers/main/refresh?drop_old=true", "").await;
    assert_eq!(status_code, 200, "{body}");
    for caller in &mut callers {
        caller.with_token("/orders", &token).await.refused(401, "JWT_KEY_UNKNOWN");
        assert_eq!(caller.with_token("/orders", &new.sign(&claims())).await.status, 200);
    }
    assert_eq!(texts(&status(&gateway).await["keys"]), ["k2"]);
    gateway.metric_reaches(r#"sluice_issuer_keys{issuer="main"}"#, 1.0).await;

    provider.die().await;
    let (code, body) = gateway.admin_send("POST", "/issuers/main/refresh", "").await;
    assert_eq!(code, 502, "{body}");
    assert!(body.contains("cannot connect"), "{body}");
    assert_eq!(gateway.admin_send("POST", "/issuers/other/refresh", "").await.0, 404);
    assert_eq!(callers[0].with_token("/orders", &new.sign(&claims())).await.status, 200);
}

/// A request that waits for keys is decided about twice, and is one request all the same.
#[tokio::test]
async fn a_request_that_waited_is_counted_once() {
    let (old, provider) = provider();
    let (new, upstream) = (SigningKey::es256("k2"), Upstream::echo());
    let more = r#"addresses: { deny: ["127.0.0.0/8"], mode: observe }, rate_limit: [
        { per: address, rate: 1/h, name: watched, mode: observe }, { per: address, rate: 3/h, name: enforced } ]"#
        .replace('\n', " ");
    let file = file(&upstream, &provider, "cool_down: 1h").route("orders", "issuer: main", &more);
    let gateway = start(&file).await;
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    assert_eq!(caller.with_token("/orders", &old.sign(&claims())).await.status, 200);
    provider.publish(&[&old, &new]);
    assert_eq!(caller.with_token("/orders", &new.sign(&claims())).await.status, 200);
    assert_eq!(provider.fetches(), 2, "it waited");
    let line = logged(&gateway, 2).await;
    assert_eq!(line["observed"], serde_json::json!(["ADDRESS_DENIED", "RATE_LIMITED"]), "{line}");
    for (sample, value) in [
        (r#"sluice_observed_refusals_total{reason="ADDRESS_DENIED"}"#, 2.0),
        (r#"sluice_limit_refusals_total{limit="watched"}"#, 1.0),
        (r#"sluice_credentials_total{method="jwt",result="accepted"}"#, 2.0),
        (r#"sluice_credentials_total{method="jwt",result="refused"}"#, 0.0),
        ("sluice_requests_total", 2.0),
    ] {
        assert_eq!(gateway.metrics_value(sample).await, value, "{sample}");
    }
    assert_eq!(caller.with_token("/orders", &old.sign(&claims())).await.status, 200, "two of three were used");
    caller.with_token("/orders", &old.sign(&claims())).await.refused(429, "RATE_LIMITED");
}
