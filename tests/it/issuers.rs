//! Keys of issuers over real sockets: fetched, verified, limited, and kept when the issuer fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sluice::auth::issuer::{Issuer, Refused};
use sluice::auth::jwt::{Token, parse};
use sluice::auth::tokens::Tokens;
use sluice::base::clock;
use sluice::base::location::Location;
use sluice::base::reason::Reason;
use sluice::config::checked::identity::{
    Algorithm, ClaimNames, ClaimPath, Issuer as Spec, JwksUrl, KeySource, TokenTypes,
};
use tokio::runtime::Handle;

use crate::support::gateway::{Folder, replace_file};
use crate::support::issuer::{IdentityProvider, Says, SigningKey};
use crate::support::upstream::{Refusing, Unaccepting};
use crate::support::{Authority, eventually, within};

/// For one fetch, where a test does not wait for it to be over.
const PATIENT: Duration = Duration::from_secs(10);

/// For one fetch that a test waits to fail.
const HASTY: Duration = Duration::from_millis(400);

fn path(name: &str) -> ClaimPath {
    ClaimPath([name.into()].into())
}

fn spec(url: &str, ca: Option<PathBuf>, timeout: Duration) -> Arc<Spec> {
    let secs = Duration::from_secs;
    Arc::new(Spec {
        name: "main".into(),
        issuer: Some("https://issuer.test".into()),
        audiences: vec!["api".into()],
        keys: KeySource::Url(JwksUrl {
            url: url.parse().unwrap(),
            ca,
            refresh: secs(3600),
            overlap: secs(600),
            timeout,
            cool_down: secs(30),
        }),
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
        types: TokenTypes { named: vec!["at+jwt".into()], untyped: false },
        claims: ClaimNames { partner: path("azp"), subject: path("sub"), scopes: path("scope"), token_id: path("jti") },
        leeway: secs(5),
        requires_expiry: true,
        max_lifetime: None,
        partners: None,
        at: Location::new("routes.yaml", 1, 1),
    })
}

fn start(spec: Arc<Spec>) -> Arc<Issuer> {
    Issuer::start(spec, Vec::new(), None, &Handle::current()).unwrap()
}

async fn ready(provider: &IdentityProvider) -> Arc<Issuer> {
    let issuer = start(spec(&provider.url(), None, PATIENT));
    issuer.ready().await;
    issuer
}

fn token(key: &SigningKey) -> String {
    let now = clock::since_epoch().as_secs();
    key.sign(&json!({ "iss": "https://issuer.test", "aud": "api", "sub": "s", "iat": now, "exp": now + 60 }))
}

fn verify(issuer: &Issuer, key: &SigningKey) -> Result<Token, Refused> {
    issuer.verify(&parse(&token(key)).unwrap(), clock::since_epoch())
}

/// As a request does: waits once, if it is told to.
async fn judge(issuer: &Issuer, key: &SigningKey) -> Result<Token, Reason> {
    let mut verdict = verify(issuer, key);
    if let Err(Refused::Pending(keys)) = verdict {
        within("keys", keys.done()).await;
        verdict = verify(issuer, key);
    }
    verdict.map_err(|refused| match refused {
        Refused::Fault(fault) => fault.reason,
        Refused::Pending(_) => panic!("nobody waits twice"),
    })
}

/// Fetches now, which is to fail, and says why.
async fn failure(issuer: &Issuer) -> String {
    let before = issuer.numbers().failed;
    within("a fetch", issuer.refresh_now(false).done()).await;
    let status = issuer.describe();
    assert!(status.failed > before, "{status:?}");
    status.last_failure.unwrap().error
}

async fn refreshed(issuer: &Issuer) {
    within("a fetch", issuer.refresh_now(false).done()).await;
    assert_eq!(issuer.describe().failing_since, None, "{:?}", issuer.describe());
}

#[tokio::test]
async fn keys_of_every_kind_are_fetched_in_the_clear_from_the_loopback() {
    let keys = [SigningKey::rs256("r"), SigningKey::es256("e"), SigningKey::ed25519("d")];
    let provider = IdentityProvider::start(&keys.each_ref());
    let issuer = ready(&provider).await;
    for key in &keys {
        assert_eq!(judge(&issuer, key).await.unwrap().subject.as_deref(), Some("s"));
    }
    let [request] = provider.requests().try_into().unwrap();
    assert_eq!(request.start, "GET /keys HTTP/1.1");
    assert_eq!(request.field("host"), Some(provider.address().to_string().as_str()));
    assert_eq!(request.field("accept"), Some("application/jwk-set+json, application/json"));
    assert_eq!(request.field("connection"), Some("close"));
    assert_eq!(issuer.describe().keys, ["r", "e", "d"]);
}

#[tokio::test]
async fn a_rotated_key_is_good_at_its_first_token_and_the_old_one_still_is() {
    let (old, new) = (SigningKey::es256("old"), SigningKey::es256("new"));
    let provider = IdentityProvider::start(&[&old]);
    let issuer = ready(&provider).await;
    assert!(judge(&issuer, &old).await.is_ok());
    provider.publish(&[&new]);
    assert!(judge(&issuer, &new).await.is_ok());
    assert!(judge(&issuer, &old).await.is_ok());
    assert_eq!(issuer.describe().overlapping, ["old"]);
    let stranger = SigningKey::es256("stranger");
    assert_eq!(judge(&issuer, &stranger).await, Err(Reason::JwtKeyUnknown));
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test]
async fn the_server_is_verified_by_its_own_bundle_which_may_be_replaced() {
    let (known, next) = (Authority::new("known"), Authority::new("next"));
    let key = SigningKey::es256("a");
    let folder = Folder::new();
    let ca = folder.path().join("ca.pem");
    replace_file(&ca, &known.bundle());

    let provider = IdentityProvider::start_tls(known.issue(&["localhost"]).server(&[]), &[&key]);
    let issuer = start(spec(&provider.url_of("localhost"), Some(ca.clone()), PATIENT));
    assert!(judge(&issuer, &key).await.is_ok());

    let misnamed = start(spec(&provider.url(), Some(ca.clone()), PATIENT));
    assert_eq!(judge(&misnamed, &key).await, Err(Reason::KeysUnavailable));
    assert!(misnamed.describe().last_failure.unwrap().error.starts_with("TLS: "));

    let strange = start(spec(&provider.url_of("localhost"), None, PATIENT));
    assert_eq!(judge(&strange, &key).await, Err(Reason::KeysUnavailable));

    replace_file(&ca, &next.bundle());
    assert!(failure(&issuer).await.starts_with("TLS: "));
    replace_file(&ca, "nothing");
    assert!(failure(&issuer).await.contains("holds no certificate"));
    replace_file(&ca, &known.bundle());
    refreshed(&issuer).await;
}

#[tokio::test]
async fn lies_are_seen_through_and_change_nothing() {
    let key = SigningKey::es256("a");
    let provider = IdentityProvider::start(&[&key]);
    let issuer = ready(&provider).await;
    let generation = issuer.generation();
    let answer = |head: &str, body: &str| Says::Bytes(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes());
    for (says, expected) in [
        (answer("200 OK\r\nContent-Type: text/html\r\nContent-Length: 15", "<html>sign in</"), "its type is"),
        (answer("200 OK\r\nContent-Length: 2", "{}"), "no array `keys`"),
        (answer("200 OK\r\nContent-Length: 11", "{\"keys\":[]}"), "no key that can be used"),
        (answer("200 OK\r\nContent-Length: 300000", ""), "more than 256 KiB"),
        (answer("200 OK\r\nContent-Length: 99999999999999999999", ""), ""),
        (Says::Flood, "more than 256 KiB"),
        (answer("200 OK\r\nContent-Length: 100", "{\"keys\":["), ""),
        (answer("200 OK\r\nTransfer-Encoding: chunked", "5\r\n{\"key"), ""),
        (answer("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2", "{}"), "compressed"),
        (answer("204 No Content", ""), "status 204"),
        (answer("404 Not Found\r\nContent-Length: 0", ""), "status 404"),
        (answer("503 Busy\r\nContent-Length: 0", ""), "status 503"),
        (answer("302 Found\r\nContent-Length: 0", ""), "a redirect to nowhere"),
        (Says::Bytes(b"\x16\x03\x01 not HTTP at all\r\n\r\n".to_vec()), ""),
        (Says::Bytes(Vec::new()), ""),
        (Says::Bytes([b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 200_000]].concat()), ""),
        (Says::Reset, ""),
    ] {
        provider.say(says);
        let error = failure(&issuer).await;
        assert!(!error.is_empty() && error.contains(expected), "{error} for {expected}");
        assert_eq!(issuer.generation(), generation);
        assert!(judge(&issuer, &key).await.is_ok());
    }
    provider.say(Says::Keys("Cache-Control: max-age=60\r\n"));
    refreshed(&issuer).await;
    let status = issuer.describe();
    let pause = status.next_at.unwrap() - status.fetched_at.unwrap();
    assert!((47..=58).contains(&pause), "{pause}");
}

#[tokio::test]
async fn redirects_stay_on_the_server() {
    let key = SigningKey::es256("a");
    let elsewhere = IdentityProvider::start(&[&key]);
    let provider = IdentityProvider::start(&[&key]);
    provider.say(Says::Redirect("/moved?x=1".to_owned()));
    provider.say_on("/moved", Says::Redirect(format!("http://{}/there", provider.address())));
    let issuer = ready(&provider).await;
    assert!(judge(&issuer, &key).await.is_ok());
    let targets: Vec<_> = provider.requests().into_iter().map(|head| head.start).collect();
    assert_eq!(targets, ["GET /keys HTTP/1.1", "GET /moved?x=1 HTTP/1.1", "GET /there HTTP/1.1"]);

    for location in [
        elsewhere.url(),
        format!("//{}/keys", elsewhere.address()),
        format!("http://{}@{}/keys", provider.address(), elsewhere.address()),
        format!("http://localhost:{}/keys", provider.address().port()),
        format!("https://{}/keys", provider.address()),
    ] {
        provider.say(Says::Redirect(location.clone()));
        assert!(failure(&issuer).await.contains("another server"), "{location}");
    }
    assert_eq!(elsewhere.fetches(), 0);

    provider.say(Says::Redirect("/keys".to_owned()));
    let before = provider.fetches();
    assert_eq!(failure(&issuer).await, "more than 3 redirects");
    assert_eq!(provider.fetches() - before, 4);
}

#[tokio::test]
async fn whoever_stalls_or_trickles_is_waited_for_no_longer_than_the_limit() {
    let (key, other) = (SigningKey::es256("a"), SigningKey::es256("b"));
    let provider = IdentityProvider::start(&[&key]);
    let issuer = start(spec(&provider.url(), None, HASTY));
    issuer.ready().await;
    for says in [Says::Nothing, Says::Trickle] {
        provider.say(says);
        let began = clock::now();
        assert_eq!(failure(&issuer).await, format!("no whole answer within {HASTY:?}"));
        assert!(began.elapsed() < PATIENT / 2);
        assert!(judge(&issuer, &key).await.is_ok());
    }
    assert_eq!(judge(&issuer, &other).await, Err(Reason::JwtKeyUnknown), "and its request no longer, either");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_leaves_no_keys() {
    let (refusing, full) = (Refusing::new(), Unaccepting::new());
    let key = SigningKey::es256("a");
    for (url, expected) in [
        (format!("http://{}/keys", refusing.address()), "cannot connect"),
        (format!("http://{}/keys", full.address()), "cannot connect"),
        ("https://no-such-host.invalid/keys".to_owned(), "does not resolve"),
        ("http://0.0.0.0:1/keys".to_owned(), "has no loopback address"),
    ] {
        let issuer = start(spec(&url, None, HASTY));
        assert_eq!(judge(&issuer, &key).await, Err(Reason::KeysUnavailable), "{url}");
        let error = eventually("a failure", async || issuer.describe().last_failure).await.error;
        assert!(error.contains(expected) || error.contains("no whole answer"), "{error}");
    }
}

#[tokio::test]
async fn the_last_good_keys_outlive_their_issuer() {
    let (key, new) = (SigningKey::es256("a"), SigningKey::es256("b"));
    let provider = IdentityProvider::start(&[&key]);
    let issuer = ready(&provider).await;
    provider.die().await;
    assert!(failure(&issuer).await.contains("cannot connect"));
    assert!(judge(&issuer, &key).await.is_ok());
    provider.publish(&[&new]);
    provider.revive();
    refreshed(&issuer).await;
    assert!(judge(&issuer, &new).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_tried_again() {
    let key = SigningKey::es256("a");
    let provider = IdentityProvider::start(&[&key]);
    provider.die().await;
    let issuer = start(spec(&provider.url(), None, PATIENT));
    assert_eq!(judge(&issuer, &key).await, Err(Reason::KeysUnavailable));
    provider.revive();
    eventually("keys", async || verify(&issuer, &key).ok()).await;
}

#[tokio::test]
async fn a_token_that_is_known_is_bad_as_soon_as_its_key_is_gone() {
    let (old, new) = (SigningKey::es256("old"), SigningKey::es256("new"));
    let provider = IdentityProvider::start(&[&old]);
    let issuers = [ready(&provider).await];
    let tokens = Tokens::new(1 << 20);
    let text = token(&old);
    let check = || tokens.check(&text, &issuers, clock::since_epoch());
    assert!(!check().unwrap().cached);
    assert!(check().unwrap().cached);
    refreshed(&issuers[0]).await;
    assert!(check().unwrap().cached, "the same keys again are no reason to verify again");

    provider.publish(&[&new]);
    refreshed(&issuers[0]).await;
    assert!(!check().unwrap().cached, "the overlap is another generation");
    within("a fetch", issuers[0].refresh_now(true).done()).await;
    assert!(check().is_err());
}
