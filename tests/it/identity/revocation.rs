//! What is revoked is refused by the next request, on connections that are open and for tokens that are known.

use serde_json::{Value, json};

use super::scene::{Caller, File, Version, ask, build, claims_with, counted, logged, provider, start};
use crate::support::gateway::{Folder, replace_file};
use crate::support::issuer::{IdentityProvider, SigningKey};
use crate::support::{TestGateway, Upstream, eventually};

fn file(upstream: &Upstream, provider: &IdentityProvider) -> File {
    File::usual(upstream, provider).partner("globex", "clients: [globex]").route("orders", "issuer: main", "").route(
        "anybody",
        "issuer: main, partner: optional",
        "",
    )
}

fn token(key: &SigningKey, id: &str, subject: &str, client: &str) -> String {
    key.sign(&claims_with(json!({ "jti": id, "sub": subject, "azp": client })))
}

async fn callers(gateway: &TestGateway) -> [Caller; 2] {
    [Caller::connect(gateway, Version::One).await, Caller::connect(gateway, Version::Two).await]
}

async fn all_are(callers: &mut [Caller], token: &str, good: bool) {
    for caller in callers {
        let response = caller.with_token("/orders", token).await;
        if good {
            assert_eq!(response.status, 200, "{}", response.text());
        } else {
            let problem = response.refused(401, "CREDENTIAL_REVOKED");
            let detail = "The credential has been revoked.";
            let challenge = format!(r#"Bearer realm="sluice", error="invalid_token", error_description="{detail}""#);
            assert_eq!(response.head.all("www-authenticate"), [challenge]);
            assert_eq!(problem["detail"], detail);
        }
    }
}

/// Revokes by the admin API and returns the id of the revocation.
async fn revoke(gateway: &TestGateway, revocation: &Value) -> String {
    let (status, body) = gateway.admin_send("POST", "/revocations", &revocation.to_string()).await;
    assert_eq!(status, 201, "{body}");
    let made: Value = serde_json::from_str(&body).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_kind_of_revocation_holds_at_once_and_only_for_whom_it_names() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let gateway = start(&file(&upstream, &provider)).await;
    let mut callers = callers(&gateway).await;
    let ann = token(&key, "t-1", "ann", "acme-app");
    let again = token(&key, "t-2", "ann", "acme-app");
    let bob = token(&key, "t-3", "bob", "acme-app");
    let eve = token(&key, "t-4", "eve", "globex");
    let all = [&ann, &again, &bob, &eve];
    let iat = claims_with(json!({}))["iat"].as_u64().unwrap();
    for (revocation, good) in [
        (json!({ "token_id": "t-1" }), [false, true, true, true]),
        (json!({ "subject": "ann" }), [false, false, true, true]),
        (json!({ "subject": "ann", "issuer": "main" }), [false, false, true, true]),
        (json!({ "subject": "ann", "issuer": "other" }), [true, true, true, true]),
        (json!({ "partner": "acme" }), [false, false, false, true]),
        (json!({ "partner": "acme-app" }), [true, true, true, true]),
        (json!({ "issued_before": iat + 5, "issuer": "main" }), [false, false, false, false]),
        (json!({ "issued_before": iat - 5 }), [true, true, true, true]),
    ] {
        for token in all {
            all_are(&mut callers, token, true).await;
        }
        let id = revoke(&gateway, &revocation).await;
        for (token, good) in all.into_iter().zip(good) {
            all_are(&mut callers, token, good).await;
        }
        let (status, body) = gateway.admin_send("DELETE", &format!("/revocations/{id}"), "").await;
        assert_eq!(status, 200, "{body}");
    }
    let ageless = key.sign(&claims_with(json!({ "iat": null })));
    all_are(&mut callers, &ageless, true).await;
    revoke(&gateway, &json!({ "issued_before": 1, "issuer": "main" })).await;
    all_are(&mut callers, &ageless, false).await;
    all_are(&mut callers, &ann, true).await;
}

#[tokio::test]
async fn a_refusal_says_who_it_was() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let gateway = start(&file(&upstream, &provider)).await;
    let ann = token(&key, "t-1", "ann", "acme-app");
    revoke(&gateway, &json!({ "token_id": "t-1" })).await;
    let problem = ask(&gateway, "/orders", &ann).await.refused(401, "CREDENTIAL_REVOKED");
    assert_eq!(problem["partner"], "acme");
    let line = logged(&gateway, 1).await;
    assert_eq!((&line["partner"], &line["subject"]), (&"acme".into(), &"ann".into()), "{line}");
    // Revocation comes before the question whether a partner is known.
    let stranger = token(&key, "t-1", "ann", "nobody");
    ask(&gateway, "/orders", &stranger).await.refused(401, "CREDENTIAL_REVOKED");
    // A partner that is none in the file is revoked by the name that tokens give.
    let claimed = token(&key, "t-9", "joe", "partner-to-be");
    assert_eq!(ask(&gateway, "/anybody", &claimed).await.status, 200);
    revoke(&gateway, &json!({ "partner": "partner-to-be" })).await;
    ask(&gateway, "/anybody", &claimed).await.refused(401, "CREDENTIAL_REVOKED");
    gateway.metric_reaches(r#"sluice_reasons_total{reason="CREDENTIAL_REVOKED"}"#, 3.0).await;
    assert_eq!(counted(&gateway, "jwt", "refused").await, 0.0, "the tokens themselves were good");
    assert!(upstream.requests().len() == 1);
}

#[tokio::test]
async fn api_keys_are_revoked_with_their_partner() {
    let upstream = Upstream::echo();
    let made = sluice::auth::api_key::generate(None).unwrap();
    let sha256: String = made.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = String::from_utf8(made.key.reveal().to_vec()).unwrap();
    let file = File::new(upstream.address())
        .partner("acme", &format!("api_keys: [{{ id: \"{}\", sha256: {sha256} }}]", made.id))
        .route("orders", "api_key: {}", "");
    let gateway = start(&file).await;
    let mut callers = callers(&gateway).await;
    for caller in &mut callers {
        assert_eq!(caller.get("/orders", &[("x-api-key", &key)]).await.status, 200);
    }
    // What is only about tokens leaves keys alone.
    revoke(&gateway, &json!({ "issued_before": 1_000_000_000 })).await;
    for caller in &mut callers {
        assert_eq!(caller.get("/orders", &[("x-api-key", &key)]).await.status, 200);
    }
    revoke(&gateway, &json!({ "partner": "acme" })).await;
    for caller in &mut callers {
        let response = caller.get("/orders", &[("x-api-key", &key)]).await;
        response.refused(401, "CREDENTIAL_REVOKED");
        assert!(response.field("www-authenticate").unwrap().starts_with("ApiKey realm="));
    }
}

#[tokio::test]
async fn the_file_is_watched_and_a_mistake_in_it_takes_nothing_back() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let listing = |revocations: Value| json!({ "revocations": revocations }).to_string();
    let builder = build();
    let revoked = builder.file("revoked.json", &listing(json!([{ "token_id": "t-0" }])));
    let credentials = format!(r#"{{ revocations: "{}" }}"#, revoked.display());
    let gateway = builder.set("credentials", &credentials).start(&file(&upstream, &provider).to_string()).await;
    let mut callers = callers(&gateway).await;
    let [first, second] = ["t-0", "t-1"].map(|id| token(&key, id, "ann", "acme-app"));
    all_are(&mut callers, &first, false).await;
    all_are(&mut callers, &second, true).await;
    replace_file(&revoked, &listing(json!([{ "token_id": "t-0" }, { "token_id": "t-1" }])));
    let status = async |of: &str| -> Value {
        let (_, status) = gateway.admin_get("/status").await;
        serde_json::from_str::<Value>(&status).unwrap()["revocations"]["file"][of].clone()
    };
    eventually("the second", async || (status("count").await == 2).then_some(())).await;
    all_are(&mut callers, &second, false).await;
    for broken in ["", "{}", r#"{"revocations": [{"token_id": ""}]}"#, r#"{"revocations": [{"tokenid": "t-0"}]}"#] {
        replace_file(&revoked, broken);
        eventually("the complaint", async || (!status("refused").await.is_null()).then_some(())).await;
        all_are(&mut callers, &first, false).await;
        all_are(&mut callers, &second, false).await;
        replace_file(&revoked, &listing(json!([{ "token_id": "t-0" }, { "token_id": "t-1" }])));
        eventually("the file is good", async || status("refused").await.is_null().then_some(())).await;
    }
    replace_file(&revoked, &listing(json!([{ "token_id": "t-1" }])));
    eventually("the first is good again", async || (status("count").await == 1).then_some(())).await;
    all_are(&mut callers, &first, true).await;
    all_are(&mut callers, &second, false).await;
    // Both sources add, and what the file says cannot be taken off elsewhere.
    let (code, body) = gateway.admin_send("POST", "/revocations", r#"{"token_id": "t-1"}"#).await;
    assert!(code == 200 || code == 201, "{body}");
    let id = serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.admin_send("DELETE", &format!("/revocations/{id}"), "").await.0, 200);
    all_are(&mut callers, &second, false).await;
    assert_eq!(gateway.admin_send("DELETE", &format!("/revocations/{id}"), "").await.0, 409);
}

#[tokio::test]
async fn without_a_file_that_is_named_nothing_starts() {
    let (_, provider) = provider();
    let upstream = Upstream::echo();
    for content in [None, Some("{ broken")] {
        let builder = build();
        let path = builder.folder().join("revoked.json");
        if let Some(content) = content {
            builder.file("revoked.json", content);
        }
        let builder = builder.set("credentials", &format!(r#"{{ revocations: "{}" }}"#, path.display()));
        let error = builder.try_start(&file(&upstream, &provider).to_string()).await.err().unwrap();
        assert!(error.contains("revoked.json"), "{error}");
    }
}

#[tokio::test]
async fn with_a_store_a_restart_forgets_nothing() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let folder = Folder::new();
    let store = format!(r#"{{ file: "{}" }}"#, folder.path().join("sluice.db").display());
    let file = file(&upstream, &provider).to_string();
    let [revoked, spared] = ["t-1", "t-2"].map(|id| token(&key, id, "ann", "acme-app"));
    let gateway = build().set("store", &store).start(&file).await;
    assert_eq!(ask(&gateway, "/orders", &revoked).await.status, 200);
    let kept = revoke(&gateway, &json!({ "token_id": "t-1", "reason": "lost" })).await;
    let taken_back = revoke(&gateway, &json!({ "token_id": "t-2" })).await;
    assert_eq!(gateway.admin_send("DELETE", &format!("/revocations/{taken_back}"), "").await.0, 200);
    // As if the power had gone: what was answered is kept.
    gateway.interrupt();
    gateway.stopped().await;
    drop(gateway);

    let gateway = build().set("store", &store).start(&file).await;
    let mut callers = callers(&gateway).await;
    all_are(&mut callers, &revoked, false).await;
    all_are(&mut callers, &spared, true).await;
    let (status, body) = gateway.admin_get("/revocations").await;
    assert!(status == 200 && body.contains(&kept) && body.contains("lost"), "{body}");
    assert_eq!(gateway.admin_send("DELETE", &format!("/revocations/{kept}"), "").await.0, 200);
    all_are(&mut callers, &revoked, true).await;
}

#[tokio::test]
async fn without_a_store_the_answer_says_that_a_restart_forgets() {
    let (_, provider) = provider();
    let upstream = Upstream::echo();
    let gateway = start(&file(&upstream, &provider)).await;
    let (status, body) = gateway.admin_send("POST", "/revocations", r#"{"token_id": "t"}"#).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["durable"]), (201, &false.into()), "{body}");
}
