//! What is revoked by file and by hand is refused with the next request, and after a restart.

use serde_json::{Value, json};
use sluice::auth::api_key;
use sluice::base::clock;

use crate::support::client::Response;
use crate::support::gateway::{Builder, Folder, replace_file};
use crate::support::issuer::{IdentityProvider, SigningKey};
use crate::support::{TestGateway, eventually};

/// A gateway with an issuer `main` and a partner `acme` with an API key; its files outlive it.
struct World {
    folder: Folder,
    key: SigningKey,
    provider: IdentityProvider,
    api_key: api_key::NewKey,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::es256("k");
        let provider = IdentityProvider::start(&[&key]);
        Self { folder: Folder::new(), key, provider, api_key: api_key::generate(None).unwrap() }
    }

    fn routes(&self) -> String {
        let sha256: String = self.api_key.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let (url, id) = (self.provider.url(), &self.api_key.id);
        format!(
            r#"
version: 1
issuers:
  main: {{ issuer: "https://issuer.test", audiences: [api], jwks: {{ url: "{url}" }} }}
partners:
  acme: {{ api_keys: [{{ id: {id}, sha256: "{sha256}" }}] }}
routes:
  - name: all
    match: {{ path: "/{{rest...}}" }}
    auth: {{ any_of: [{{ issuer: main }}, {{ api_key: {{ header: x-api-key }} }}] }}
    respond: {{ body: hello }}
"#
        )
    }

    fn database(&self) -> String {
        self.folder.path().join("state/sluice.db").display().to_string()
    }

    fn builder(&self) -> Builder {
        TestGateway::build().set("store", &format!("{{ file: \"{}\" }}", self.database()))
    }

    async fn start(&self) -> TestGateway {
        self.builder().start(&self.routes()).await
    }

    fn token(&self, id: &str) -> String {
        let now = clock::since_epoch().as_secs();
        let claims = json!({
            "iss": "https://issuer.test", "aud": "api", "sub": "ann", "azp": "acme", "jti": id, "iat": now - 10, "exp": now + 600
        });
        self.key.sign(&claims)
    }

    /// What a token of this id is answered.
    async fn by_token(&self, gateway: &TestGateway, id: &str) -> Response {
        let token = self.token(id);
        gateway.request(format!("GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer {token}\r\n\r\n")).await
    }

    async fn by_key(&self, gateway: &TestGateway) -> Response {
        let key = str::from_utf8(self.api_key.key.reveal()).unwrap();
        gateway.request(format!("GET / HTTP/1.1\r\nHost: a.test\r\nx-api-key: {key}\r\n\r\n")).await
    }
}

async fn send(gateway: &TestGateway, method: &str, path: &str, fields: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    );
    let response = gateway.admin_request(request).await;
    (response.status, serde_json::from_str(response.text()).unwrap_or_else(|_| response.text().into()))
}

async fn post(gateway: &TestGateway, body: &str) -> (u16, Value) {
    send(gateway, "POST", "/revocations", "Content-Type: application/json\r\n", body).await
}

#[tokio::test]
async fn what_is_revoked_by_hand_is_refused_with_the_next_request_and_after_a_restart() {
    let world = World::new();
    let gateway = world.start().await;
    for id in ["t1", "t2"] {
        assert_eq!(world.by_token(&gateway, id).await.status, 200);
    }
    let (status, made) = post(&gateway, r#"{"token_id": "t1", "reason": "lost laptop"}"#).await;
    assert_eq!((status, &made["durable"], &made["warnings"]), (201, &json!(true), &json!([])), "{made}");
    assert_eq!(made["effect"], "the token with the id \"t1\" is refused");
    world.by_token(&gateway, "t1").await.refused(401, "CREDENTIAL_REVOKED");
    assert_eq!(world.by_token(&gateway, "t2").await.status, 200);
    let (status, again) = post(&gateway, r#"{"token_id": "t1"}"#).await;
    assert_eq!((status, &again["id"], &again["revocation"]["reason"]), (200, &made["id"], &json!("lost laptop")));

    gateway.interrupt();
    gateway.stopped().await;
    drop(gateway);
    let gateway = world.start().await;
    world.by_token(&gateway, "t1").await.refused(401, "CREDENTIAL_REVOKED");
    assert_eq!(world.by_token(&gateway, "t2").await.status, 200);

    let path = format!("/revocations/{}", made["id"].as_str().unwrap());
    let (status, shown) = send(&gateway, "GET", &path, "", "").await;
    assert_eq!((status, &shown["revoked_at"], &shown["sources"]), (200, &made["revoked_at"], &json!(["api"])));
    let (status, gone) = send(&gateway, "DELETE", &path, "", "").await;
    assert_eq!((status, &gone["durable"]), (200, &json!(true)), "{gone}");
    assert_eq!(world.by_token(&gateway, "t1").await.status, 200);
    assert_eq!(send(&gateway, "DELETE", &path, "", "").await.0, 404);
    gateway.interrupt();
    gateway.stopped().await;
    let gateway = world.start().await;
    assert_eq!(world.by_token(&gateway, "t1").await.status, 200);
}

#[tokio::test]
async fn a_partner_is_revoked_with_tokens_and_keys() {
    let world = World::new();
    let gateway = world.start().await;
    assert_eq!(world.by_token(&gateway, "t").await.status, 200);
    assert_eq!(world.by_key(&gateway).await.status, 200);
    let now = clock::since_epoch().as_secs();
    let (status, made) = post(&gateway, &format!(r#"{{"partner": "acme", "issued_before": {now}}}"#)).await;
    assert_eq!(status, 201, "{made}");
    world.by_token(&gateway, "t").await.refused(401, "CREDENTIAL_REVOKED");
    assert_eq!(world.by_key(&gateway).await.status, 200, "keys have no time of issue");
    let (_, whole) = post(&gateway, r#"{"partner": "acme"}"#).await;
    assert_eq!(whole["effect"], "all tokens, API keys and client certificates of the partner \"acme\" are refused");
    world.by_key(&gateway).await.refused(401, "CREDENTIAL_REVOKED");
    world.by_token(&gateway, "t").await.refused(401, "CREDENTIAL_REVOKED");
}

#[tokio::test]
async fn the_file_is_watched_and_a_broken_one_changes_nothing() {
    let world = World::new();
    let file = world.folder.path().join("revoked.json");
    let write = |content: &str| replace_file(&file, content);
    let builder = || world.builder().set("credentials", &format!("{{ revocations: \"{}\" }}", file.display()));
    let complaint = builder().try_start(&world.routes()).await.err().unwrap();
    assert!(complaint.contains("Revocations(Unreadable"), "{complaint}");
    write(r#"{"revocations": [{"token_id": "t1"}]}"#);
    let gateway = builder().start(&world.routes()).await;
    world.by_token(&gateway, "t1").await.refused(401, "CREDENTIAL_REVOKED");
    assert_eq!(world.by_token(&gateway, "t2").await.status, 200);

    write(r#"{"revocations": [{"token_id": "t1"}, {"token_id": "t2"}]}"#);
    eventually("the file is read", async || (world.by_token(&gateway, "t2").await.status == 401).then_some(())).await;

    write("{\"revocations\": [\n{\"tokenid\": \"t3\"}]}");
    gateway.metric_reaches("sluice_revocation_file_failures_total", 1.0).await;
    world.by_token(&gateway, "t1").await.refused(401, "CREDENTIAL_REVOKED");
    world.by_token(&gateway, "t2").await.refused(401, "CREDENTIAL_REVOKED");
    let (_, status) = gateway.admin_get("/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let refused = status["revocations"]["file"]["refused"]["error"].as_str().unwrap();
    assert!(refused.contains("line 2: unknown field `tokenid`"), "{status}");
    assert_eq!(status["revocations"]["count"], json!({ "file": 2, "api": 0 }));

    // Only the file takes off what it has put on.
    let (_, listed) = send(&gateway, "GET", "/revocations", "", "").await;
    assert_eq!(listed["revocations"].as_array().unwrap().len(), 2);
    let path = format!("/revocations/{}", listed["revocations"][0]["id"].as_str().unwrap());
    let (status, problem) = send(&gateway, "DELETE", &path, "", "").await;
    assert_eq!(status, 409, "{problem}");
    write(r#"{"revocations": []}"#);
    eventually("the file is read", async || (world.by_token(&gateway, "t1").await.status == 200).then_some(())).await;
    gateway.metric_reaches(r#"sluice_revocations{source="file"}"#, 0.0).await;
}

#[tokio::test]
async fn a_store_or_a_file_that_cannot_be_read_keeps_the_gateway_from_starting() {
    let world = World::new();
    std::fs::create_dir(world.folder.path().join("state")).unwrap();
    std::fs::write(world.database(), "not a database, but long enough to look at. ".repeat(40)).unwrap();
    let complaint = world.builder().try_start(&world.routes()).await.err().unwrap();
    assert!(complaint.contains("NoDatabase"), "{complaint}");
    std::fs::remove_file(world.database()).unwrap();
    let file = world.folder.path().join("revoked.json");
    std::fs::write(&file, "{}").unwrap();
    let builder = world.builder().set("credentials", &format!("{{ revocations: \"{}\" }}", file.display()));
    let complaint = builder.try_start(&world.routes()).await.err().unwrap();
    assert!(complaint.contains("expected the key `revocations`"), "{complaint}");
}

#[tokio::test]
async fn what_is_no_revocation_is_refused_with_every_mistake() {
    let gateway = World::new().start().await;
    for (body, expected) in [
        ("{}", "nothing is named"),
        ("[]", "expected a revocation"),
        ("", "EOF"),
        (r#"{"token_id": "a", "until": 5}"#, "`until` is over already"),
        (r#"{"token_id": "", "issued_before": 0}"#, "nothing was issued before"),
        (r#"{"tokenid": "a"}"#, "unknown field"),
    ] {
        let (status, problem) = post(&gateway, body).await;
        assert_eq!((status, &problem["status"]), (422, &json!(422)), "{body}: {problem}");
        let errors = problem["errors"].as_array().unwrap();
        assert!(errors.iter().any(|error| error.as_str().unwrap().contains(expected)), "{body}: {problem}");
    }
    let (status, _) = post(&gateway, &format!(r#"{{"token_id": "{}"}}"#, "x".repeat(100_000))).await;
    assert_eq!(status, 413);
    assert_eq!(send(&gateway, "GET", "/revocations/7", "", "").await.0, 404);
    assert_eq!(send(&gateway, "DELETE", "/revocations/7", "", "").await.0, 404);
    assert_eq!(send(&gateway, "PUT", "/revocations", "", "").await.0, 405);
    for query in ["limit=0", "limit=10001", "limit=x", "after=7", "subject=ann"] {
        assert_eq!(send(&gateway, "GET", &format!("/revocations?{query}"), "", "").await.0, 400, "{query}");
    }
    assert_eq!(gateway.metrics_value("sluice_revocations").await, 0.0);
}

#[tokio::test]
async fn names_that_nobody_has_are_revoked_with_a_warning() {
    let gateway = World::new().start().await;
    let (status, made) = post(&gateway, r#"{"partner": "acmee", "issuer": "mian"}"#).await;
    assert_eq!(status, 201);
    let warnings = made["warnings"].to_string();
    assert!(warnings.contains("there is: main") && warnings.contains("no partner is named"), "{warnings}");
}

#[tokio::test]
async fn without_a_store_a_revocation_holds_and_says_that_it_is_not_kept() {
    let world = World::new();
    let gateway = TestGateway::start(&world.routes()).await;
    let (status, made) = post(&gateway, r#"{"token_id": "t1"}"#).await;
    assert_eq!((status, &made["durable"]), (201, &json!(false)));
    assert!(made["warnings"][0].as_str().unwrap().contains("no store"), "{made}");
    world.by_token(&gateway, "t1").await.refused(401, "CREDENTIAL_REVOKED");
}

#[tokio::test]
async fn a_store_that_fails_is_told_counted_and_tried_again() {
    let world = World::new();
    let gateway = world.start().await;
    let other = rusqlite::Connection::open(world.database()).unwrap();
    other.execute_batch("ALTER TABLE revocations RENAME TO away").unwrap();
    let (status, made) = post(&gateway, r#"{"token_id": "t1"}"#).await;
    assert_eq!((status, &made["durable"]), (201, &json!(false)), "{made}");
    world.by_token(&gateway, "t1").await.refused(401, "CREDENTIAL_REVOKED");
    assert!(gateway.metrics_value("sluice_store_errors_total").await >= 1.0);
    let (_, status) = gateway.admin_get("/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["store"]["failing"][0]["what"], "save revocations", "{status}");
    assert_eq!(status["revocations"]["unsaved"], 1);
    other.execute_batch("ALTER TABLE away RENAME TO revocations").unwrap();
    // Not by the metric, which may not have heard of the one that waits.
    eventually("the revocation is saved", async || {
        let (_, status) = gateway.admin_get("/status").await;
        let status: Value = serde_json::from_str(&status).unwrap();
        (status["revocations"]["unsaved"] == 0).then_some(())
    })
    .await;
    drop(gateway);
    let gateway = world.start().await;
    world.by_token(&gateway, "t1").await.refused(401, "CREDENTIAL_REVOKED");
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let gateway = World::new().start().await;
    for number in 0..5 {
        assert_eq!(post(&gateway, &format!(r#"{{"subject": "s{number}"}}"#)).await.0, 201);
    }
    let (mut path, mut subjects) = ("/revocations?limit=2".to_owned(), Vec::new());
    loop {
        let (_, page) = send(&gateway, "GET", &path, "", "").await;
        assert_eq!(page["count"]["api"], 5);
        let listed = page["revocations"].as_array().unwrap();
        subjects.extend(listed.iter().map(|one| one["revocation"]["subject"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/revocations?limit=2&after={next}");
    }
    subjects.sort();
    assert_eq!(subjects, ["s0", "s1", "s2", "s3", "s4"]);
}

#[tokio::test]
async fn the_api_changes_nothing_for_web_pages() {
    let gateway = World::new().start().await;
    let json = "Content-Type: application/json\r\n";
    let body = r#"{"token_id": "t1"}"#;
    for (fields, expected) in [
        ("", 415),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Type: application/json\r\nOrigin: https://evil.example\r\n", 403),
        ("Content-Type: application/json\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("Content-Type: application/json; charset=utf-8\r\n", 201),
    ] {
        let (status, answer) = send(&gateway, "POST", "/revocations", fields, body).await;
        assert_eq!(status, expected, "{fields}: {answer}");
    }
    assert_eq!(send(&gateway, "POST", "/reload", "Origin: null\r\n", "").await.0, 403);
    assert_eq!(send(&gateway, "OPTIONS", "/revocations", "Origin: https://evil.example\r\n", "").await.0, 403);
    // By a name that leads here, a page could read as well.
    let port = gateway.admin_address().port();
    for (host, expected) in [("evil.example", 421), (&*format!("127.0.0.1:{port}"), 200), ("LOCALHOST", 200)] {
        let request = format!("GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(gateway.admin_request(request).await.status, expected, "{host}");
    }
    let request = format!("POST /revocations HTTP/1.1\r\nHost: evil.example\r\n{json}Content-Length: 2\r\n\r\n{{}}");
    assert_eq!(gateway.admin_request(request).await.status, 421);
}

#[tokio::test]
async fn keys_of_an_issuer_are_had_anew_on_demand() {
    let world = World::new();
    let gateway = world.start().await;
    assert_eq!(world.by_token(&gateway, "t").await.status, 200);
    let (status, answer) = send(&gateway, "POST", "/issuers/main/refresh", "", "").await;
    assert_eq!((status, &answer["result"]), (200, &json!("refreshed")), "{answer}");
    assert_eq!(answer["issuer"]["keys"], json!(["k"]));

    // The key was stolen, and is dropped with its overlap.
    let other = SigningKey::es256("k2");
    world.provider.publish(&[&other]);
    send(&gateway, "POST", "/issuers/main/refresh", "", "").await;
    assert_eq!(world.by_token(&gateway, "t").await.status, 200, "within its overlap");
    let (status, answer) = send(&gateway, "POST", "/issuers/main/refresh?drop_old=true", "", "").await;
    assert_eq!((status, &answer["issuer"]["keys"]), (200, &json!(["k2"])), "{answer}");
    assert_eq!(world.by_token(&gateway, "t").await.status, 401);

    world.provider.die().await;
    let (status, answer) = send(&gateway, "POST", "/issuers/main/refresh", "", "").await;
    assert_eq!((status, &answer["result"]), (502, &json!("failed")), "{answer}");
    assert!(answer["issuer"]["last_failure"]["error"].is_string(), "{answer}");
    assert_eq!(send(&gateway, "POST", "/issuers/other/refresh", "", "").await.0, 404);
    assert_eq!(send(&gateway, "POST", "/issuers/main/refresh?drop=1", "", "").await.0, 400);
    assert_eq!(send(&gateway, "GET", "/issuers/main/refresh", "", "").await.0, 405);
    let (_, status) = gateway.admin_get("/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["issuers"][0]["name"], "main", "{status}");
}
