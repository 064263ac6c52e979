use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::Ed25519KeyPair;
use bytes::Bytes;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::auth::jwt::parse;
use crate::base::location::Location;
use crate::base::secret::Secret;
use crate::config::checked::identity::{Algorithm, ClaimNames, TokenTypes};

const REFRESH: Duration = Duration::from_secs(600);
const OVERLAP: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(5);
const COOL_DOWN: Duration = Duration::from_secs(10);

/// When all tokens are judged.
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// The same key for the same name, in every test.
fn key(id: &str) -> EncodingKey {
    let seed = digest(&SHA256, id.as_bytes());
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).unwrap();
    EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref())
}

fn jwk(id: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(&key(id), jsonwebtoken::Algorithm::EdDSA).unwrap();
    jwk.common.key_id = Some(id.to_owned());
    serde_json::to_value(jwk).unwrap()
}

pub(super) fn jwks(ids: &[&str]) -> String {
    json!({ "keys": ids.iter().map(|id| jwk(id)).collect::<Vec<_>>() }).to_string()
}

/// Signed with the key of this name.
fn token(id: &str) -> String {
    let mut header = Header::new(jsonwebtoken::Algorithm::EdDSA);
    header.kid = Some(id.to_owned());
    encode(&header, &json!({ "iss": "https://issuer.test", "sub": "s", "exp": NOW.as_secs() + 60 }), &key(id)).unwrap()
}

fn path(name: &str) -> ClaimPath {
    ClaimPath([name.into()].into())
}

fn spec(keys: KeySource) -> checked::Issuer {
    checked::Issuer {
        name: "main".into(),
        issuer: Some("https://issuer.test".into()),
        audiences: Vec::new(),
        keys,
        algorithms: vec![Algorithm::EdDsa],
        types: TokenTypes { named: vec!["jwt".into()], untyped: false },
        claims: ClaimNames { partner: path("azp"), subject: path("sub"), scopes: path("scope"), token_id: path("jti") },
        leeway: Duration::ZERO,
        requires_expiry: true,
        max_lifetime: None,
        partners: None,
        at: Location::new("routes.yaml", 1, 1),
    }
}

fn url() -> JwksUrl {
    JwksUrl {
        url: http::Uri::from_static("https://issuer.test/keys"),
        ca: None,
        refresh: REFRESH,
        overlap: OVERLAP,
        timeout: TIMEOUT,
        cool_down: COOL_DOWN,
    }
}

#[derive(Clone)]
enum Say {
    Keys(Vec<&'static str>),
    FreshFor(Vec<&'static str>, Duration),
    Text(&'static str),
    Fails,
    Hangs,
}

/// Says the same to everybody until it is told otherwise, and remembers when it was asked.
struct Provider {
    say: Mutex<Say>,
    asked: watch::Sender<Vec<Instant>>,
}

impl Provider {
    fn new(say: Say) -> Arc<Self> {
        Arc::new(Self { say: Mutex::new(say), asked: watch::Sender::new(Vec::new()) })
    }

    fn say(&self, say: Say) {
        *self.say.lock().unwrap() = say;
    }

    fn fetches(&self) -> usize {
        self.asked.borrow().len()
    }

    /// Waits until it was asked so often, and returns when.
    async fn asked(&self, count: usize) -> Vec<Instant> {
        let mut asked = self.asked.subscribe();
        let times = asked.wait_for(|asked| asked.len() >= count).await.unwrap().clone();
        // For what was said to be taken in.
        tokio::task::yield_now().await;
        times
    }

    async fn answer(&self) -> Result<Fetched, String> {
        self.asked.send_modify(|asked| asked.push(Instant::now()));
        let say = self.say.lock().unwrap().clone();
        let (body, fresh_for, media_type) = match say {
            Say::Keys(ids) => (jwks(&ids), None, "application/json"),
            Say::FreshFor(ids, fresh) => (jwks(&ids), Some(fresh), "application/json"),
            Say::Text(text) => (text.to_owned(), None, "text/html"),
            Say::Fails => return Err("connection refused".to_owned()),
            Say::Hangs => std::future::pending().await,
        };
        Ok(Fetched { body: Bytes::from(body), fresh_for, media_type: Some(media_type.to_owned()) })
    }
}

fn start_with(url: &JwksUrl, provider: &Arc<Provider>) -> Arc<Issuer> {
    let provider = Arc::clone(provider);
    let fetch = move || {
        let provider = Arc::clone(&provider);
        async move { provider.answer().await }
    };
    let spec = Arc::new(spec(KeySource::Url(url.clone())));
    Issuer::fetching(&spec, url, Vec::new(), &Handle::current(), fetch)
}

fn start(provider: &Arc<Provider>) -> Arc<Issuer> {
    start_with(&url(), provider)
}

/// Ready with these keys.
async fn ready(provider: &Arc<Provider>) -> Arc<Issuer> {
    let issuer = start(provider);
    issuer.ready().await;
    issuer
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Good,
    Waits,
    Bad(Reason),
}

use Verdict::{Bad, Good, Waits};

fn judge(issuer: &Issuer, id: &str) -> Verdict {
    match verify(issuer, id) {
        Ok(_) => Good,
        Err(Refused::Pending(_)) => Waits,
        Err(Refused::Fault(fault)) => Bad(fault.reason),
    }
}

fn verify(issuer: &Issuer, id: &str) -> Result<Token, Refused> {
    let text = token(id);
    issuer.verify(&parse(&text).unwrap(), NOW)
}

/// As a request does: waits if it has to, and takes what is said then for final.
async fn judge_in_time(issuer: &Issuer, id: &str) -> Verdict {
    match verify(issuer, id) {
        Err(Refused::Pending(keys)) => {
            let began = Instant::now();
            keys.done().await;
            assert!(began.elapsed() <= TIMEOUT + Duration::from_millis(2), "{:?}", began.elapsed());
            let verdict = judge(issuer, id);
            assert_ne!(verdict, Waits, "nobody waits twice");
            verdict
        }
        Ok(_) => Good,
        Err(Refused::Fault(fault)) => Bad(fault.reason),
    }
}

async fn pass(time: Duration) {
    tokio::time::advance(time).await;
    // For the task to notice, and to take in what it was said.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_requests_wait_for_the_first_keys() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = start(&provider);
    assert_eq!(judge(&issuer, "a"), Waits);
    assert_eq!(judge_in_time(&issuer, "a").await, Good);
    assert_eq!(issuer.describe().keys, ["a"]);
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_keys_but_not_for_ever() {
    for (say, expected) in [
        (Say::Keys(vec!["a"]), Duration::ZERO),
        (Say::Fails, Duration::from_secs(1)),
        (Say::Hangs, Duration::from_secs(1)),
    ] {
        let issuer = start(&Provider::new(say));
        let began = Instant::now();
        issuer.ready().await;
        let waited = began.elapsed();
        assert!(waited >= expected && waited < expected + Duration::from_millis(100), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_keys_requests_get_503_after_the_first_attempt_and_never_wait_again() {
    for say in [Say::Fails, Say::Hangs, Say::Text("<html>"), Say::Text(r#"{"keys":[]}"#)] {
        let provider = Provider::new(say);
        let issuer = start(&provider);
        assert_eq!(judge_in_time(&issuer, "a").await, Bad(Reason::KeysUnavailable));
        for _ in 0..100 {
            assert_eq!(judge(&issuer, "a"), Bad(Reason::KeysUnavailable));
            pass(Duration::from_millis(500)).await;
        }
        provider.say(Say::Keys(vec!["a"]));
        let back = Instant::now();
        while judge(&issuer, "a") != Good {
            assert!(back.elapsed() <= COOL_DOWN + TIMEOUT, "requests go on to ask");
            pass(Duration::from_millis(500)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_bring_the_first_keys_sooner_than_the_pause_after_many_failures() {
    let provider = Provider::new(Say::Fails);
    let issuer = start(&provider);
    let times = provider.asked(9).await;
    assert!(times[8] - times[7] > Duration::from_secs(60));
    provider.say(Say::Keys(vec!["a"]));
    assert_eq!(judge(&issuer, "a"), Bad(Reason::KeysUnavailable));
    pass(Duration::ZERO).await;
    assert_eq!(judge(&issuer, "a"), Good);
}

#[tokio::test(start_paused = true)]
async fn a_tokens_algorithm_is_judged_before_its_key_is_asked_for() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some("new".to_owned());
    let text = encode(&header, &json!({ "iss": "https://issuer.test" }), &EncodingKey::from_secret(b"x")).unwrap();
    let refused = issuer.verify(&parse(&text).unwrap(), NOW);
    assert!(matches!(refused, Err(Refused::Fault(Fault { reason: Reason::JwtAlgorithm, .. }))));
    pass(Duration::from_secs(1)).await;
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_are_followed_by_growing_pauses_up_to_the_refresh_time() {
    let provider = Provider::new(Say::Fails);
    let _issuer = start(&provider);
    let times = provider.asked(14).await;
    let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600];
    for (pair, expected) in times.windows(2).zip(expected) {
        let (pause, expected) = (pair[1] - pair[0], Duration::from_secs(expected));
        assert!(pause >= expected.mul_f64(0.74) && pause <= expected.mul_f64(1.26), "{pause:?} for {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_before_they_are_stale() {
    let secs = Duration::from_secs;
    for (say, interval) in [
        (Say::Keys(vec!["a"]), REFRESH),
        (Say::FreshFor(vec!["a"], secs(120)), secs(120)),
        (Say::FreshFor(vec!["a"], secs(0)), secs(30)),
        (Say::FreshFor(vec!["a"], Duration::from_secs(u64::MAX)), secs(86_400)),
    ] {
        let provider = Provider::new(say);
        let issuer = start(&provider);
        let times = provider.asked(20).await;
        let mut pauses = BTreeSet::new();
        for pair in times.windows(2) {
            let pause = pair[1] - pair[0];
            assert!(pause >= interval.mul_f64(0.79) && pause <= interval.mul_f64(0.96), "{pause:?} for {interval:?}");
            pauses.insert(pause);
        }
        assert!(pauses.len() > 10, "not all gateways ask at once");
        let status = issuer.describe();
        assert_eq!((status.fetched, status.failed), (20, 0));
        assert!(status.next_at > status.fetched_at);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_once_for_all_who_bring_it() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    provider.say(Say::Keys(vec!["a", "b"]));
    let requests: Vec<_> = (0..100).map(|_| judge_in_time(&issuer, "b")).collect();
    assert!(futures_util::future::join_all(requests).await.iter().all(|verdict| *verdict == Good));
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn invented_keys_cause_one_fetch_for_each_cool_down_and_wait_no_more() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    assert_eq!(judge_in_time(&issuer, "invented").await, Bad(Reason::JwtKeyUnknown));
    let began = Instant::now();
    let mut waits = 0;
    for number in 0..500 {
        match judge(&issuer, &format!("invented {number}")) {
            Waits => waits += 1,
            verdict => assert_eq!(verdict, Bad(Reason::JwtKeyUnknown)),
        }
        pass(Duration::from_millis(200)).await;
    }
    let cool_downs = began.elapsed().as_secs() / COOL_DOWN.as_secs();
    assert!(waits <= cool_downs, "{waits}");
    assert!(provider.fetches() as u64 <= 2 + cool_downs, "{}", provider.fetches());
    assert_eq!(judge(&issuer, "a"), Good);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_holds_requests_up_once_and_bounded() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    provider.say(Say::Hangs);
    let together = (judge_in_time(&issuer, "b"), judge_in_time(&issuer, "c"));
    assert_eq!(tokio::join!(together.0, together.1), (Bad(Reason::JwtKeyUnknown), Bad(Reason::JwtKeyUnknown)));
    assert_eq!(judge(&issuer, "d"), Bad(Reason::JwtKeyUnknown));
    assert_eq!(judge(&issuer, "a"), Good);
    pass(Duration::from_secs(1)).await;
    let failure = issuer.describe().last_failure.unwrap();
    assert_eq!(failure.error, "no whole answer within 5s");
}

#[tokio::test(start_paused = true)]
async fn a_bad_answer_changes_nothing_but_the_status() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    let before = issuer.generation();
    for (say, error) in [
        (Say::Fails, "connection refused"),
        (Say::Text("<html>sign in</html>"), "(its type is \"text/html\")"),
        (Say::Text(r#"{"keys":[]}"#), "no key that can be used"),
        (Say::Text(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}"#), "symmetric"),
    ] {
        provider.say(say);
        issuer.refresh_now(false).done().await;
        let status = issuer.describe();
        let failure = status.last_failure.unwrap().error;
        assert!(failure.contains(error), "{failure}");
        assert!(status.failing_since.is_some());
        assert_eq!((judge(&issuer, "a"), issuer.generation()), (Good, before));
    }
    provider.say(Say::Keys(vec!["a"]));
    issuer.refresh_now(false).done().await;
    let status = issuer.describe();
    assert_eq!((status.failing_since, status.fetched, status.failed), (None, 2, 4));
    assert_eq!(issuer.generation(), before, "the same keys are the same generation");
}

#[tokio::test(start_paused = true)]
async fn the_same_keys_in_another_order_or_words_are_the_same_generation() {
    let provider = Provider::new(Say::Keys(vec!["a", "b"]));
    let issuer = ready(&provider).await;
    let before = issuer.generation();
    for say in [vec!["b", "a"], vec!["a", "b", "b"]] {
        provider.say(Say::Keys(say));
        issuer.refresh_now(false).done().await;
        assert_eq!(issuer.generation(), before);
    }
    assert_eq!(issuer.describe().left_out.len(), 1, "the one that came twice");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_left_is_good_for_the_overlap_and_then_no_longer() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    let first = issuer.generation();
    provider.say(Say::Keys(vec!["b"]));
    assert_eq!(judge_in_time(&issuer, "b").await, Good);
    let second = issuer.generation();
    assert_ne!(first, second);
    assert_eq!(issuer.describe().overlapping, ["a"]);

    pass(OVERLAP - Duration::from_secs(1)).await;
    assert_eq!((judge(&issuer, "a"), issuer.generation()), (Good, second));
    pass(Duration::from_secs(1) + Duration::from_millis(1)).await;
    assert_ne!(judge(&issuer, "a"), Good);
    assert_ne!(issuer.generation(), second);
    assert_eq!((issuer.describe().keys, issuer.describe().overlapping), (vec!["b".to_owned()], Vec::new()));
    assert_eq!(judge(&issuer, "b"), Good);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_of_two_minds_keeps_both_sets_good_and_the_generation() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    provider.say(Say::Keys(vec!["b"]));
    issuer.refresh_now(false).done().await;
    let both = issuer.generation();
    for say in ["a", "b", "a", "b"] {
        provider.say(Say::Keys(vec![say]));
        issuer.refresh_now(false).done().await;
        assert_eq!((judge(&issuer, "a"), judge(&issuer, "b"), issuer.generation()), (Good, Good, both));
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_rotates_without_end_keeps_a_bounded_number_of_keys() {
    const IDS: [&str; 20] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19"];
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    for id in IDS {
        provider.say(Say::Keys(vec![id]));
        issuer.refresh_now(false).done().await;
    }
    assert_eq!(issuer.describe().keys, ["19", "18", "17", "16", "15", "14", "13", "12", "11"]);
    assert_eq!(issuer.numbers().keys, 9);
}

#[tokio::test(start_paused = true)]
async fn the_operator_drops_old_keys_at_once() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    provider.say(Say::Keys(vec!["b"]));
    issuer.refresh_now(false).done().await;
    assert_eq!(judge(&issuer, "a"), Good);

    provider.say(Say::Hangs);
    let awaited = issuer.refresh_now(true);
    assert_ne!(judge(&issuer, "a"), Good, "what has left already goes without waiting");
    awaited.done().await;
    provider.say(Say::Keys(vec!["c"]));
    issuer.refresh_now(false).done().await;
    assert_eq!(
        (judge(&issuer, "b"), judge(&issuer, "c")),
        (Bad(Reason::JwtKeyUnknown), Good),
        "nor overlaps what leaves with it"
    );

    provider.say(Say::Keys(vec!["d"]));
    issuer.refresh_now(false).done().await;
    assert_eq!((judge(&issuer, "c"), judge(&issuer, "d")), (Good, Good), "the next rotation is an ordinary one");
}

#[tokio::test(start_paused = true)]
async fn without_overlap_a_key_goes_with_its_set() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = start_with(&JwksUrl { overlap: Duration::ZERO, ..url() }, &provider);
    issuer.ready().await;
    provider.say(Say::Keys(vec!["b"]));
    issuer.refresh_now(false).done().await;
    assert_ne!(judge(&issuer, "a"), Good);
}

#[tokio::test(start_paused = true)]
async fn settings_without_measure_do_no_harm() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    for time in [Duration::ZERO, Duration::MAX] {
        let issuer = start_with(
            &JwksUrl { refresh: time, overlap: time, timeout: Duration::MAX, cool_down: time, ..url() },
            &provider,
        );
        issuer.ready().await;
        assert_eq!(judge(&issuer, "a"), Good);
        assert_eq!(judge_in_time_of(&issuer, "b").await, Bad(Reason::JwtKeyUnknown));
    }
}

async fn judge_in_time_of(issuer: &Issuer, id: &str) -> Verdict {
    if let Err(Refused::Pending(keys)) = verify(issuer, id) {
        keys.done().await;
    }
    judge(issuer, id)
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_arc_ends_the_task() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    let other = Arc::clone(&issuer);
    drop(issuer);
    provider.asked(3).await;
    let held = Arc::downgrade(&provider);
    drop((other, provider));
    timeout(REFRESH / 2, async {
        while held.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the task lets go of what it fetches with");
}

#[tokio::test(start_paused = true)]
async fn no_two_issuers_have_the_same_generation() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        let issuer = start(&provider);
        assert!(seen.insert(issuer.generation()), "without keys");
        issuer.ready().await;
        assert!(seen.insert(issuer.generation()), "with keys");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_come_while_a_token_is_judged_are_not_missed() {
    let provider = Provider::new(Say::Keys(vec!["a"]));
    let issuer = ready(&provider).await;
    provider.say(Say::Keys(vec!["a", "b"]));
    let Err(Refused::Pending(first)) = verify(&issuer, "b") else { panic!("`b` is not known yet") };
    // Nobody polls it until long after the cool-down.
    pass(COOL_DOWN * 5).await;
    first.done().await;
    assert_eq!(judge(&issuer, "b"), Good);
}

#[test]
fn the_status_tells_no_secret() {
    let url = JwksUrl { url: http::Uri::from_static("https://user:pw@issuer.test:8443/keys?token=t"), ..url() };
    let spec = spec(KeySource::Url(url));
    let issuer = Issuer::of_keys(spec.clone(), KeySet::default(), Box::default());
    assert_eq!(issuer.describe().source, "https://issuer.test:8443/keys");
    let secret = Secret::new(*b"not to be seen");
    let issuer =
        Issuer::of_keys(checked::Issuer { keys: KeySource::Secret(secret), ..spec }, KeySet::default(), Box::default());
    assert_eq!(issuer.describe().source, "secret");
    assert!(!format!("{issuer:?}").contains("not to be seen"));
}

/// A folder of this test alone.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-issuer-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// As an editor or a deployment does: whole, by rename.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.0.join(name), self.0.join("new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn start_file(path: PathBuf) -> Result<Arc<Issuer>, String> {
    Issuer::start(Arc::new(spec(KeySource::File(path))), Vec::new(), None, &Handle::current())
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_is_live_without_anybody_asking() {
    let folder = Folder::new("changes");
    let path = folder.write("keys.json", &jwks(&["a"]));
    let issuer = start_file(path).unwrap();
    assert_eq!((judge(&issuer, "a"), judge(&issuer, "b")), (Good, Bad(Reason::JwtKeyUnknown)));
    let before = issuer.generation();

    folder.write("keys.json", &jwks(&["b"]));
    assert!(!issuer.is_current());
    let began = Instant::now();
    let mut finished = issuer.keyring.flight.finished();
    finished.wait_for(|_| issuer.generation() != before).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!((judge(&issuer, "a"), judge(&issuer, "b")), (Bad(Reason::JwtKeyUnknown), Good));
    assert!(issuer.is_current());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_spoilt_or_gone_leaves_the_keys_that_were_read() {
    let folder = Folder::new("spoilt");
    let path = folder.write("keys.json", &jwks(&["a"]));
    let issuer = start_file(path.clone()).unwrap();
    let before = issuer.generation();
    for spoil in ["{", "", r#"{"keys":[]}"#] {
        folder.write("keys.json", spoil);
        issuer.refresh_now(true).done().await;
        assert_eq!((judge(&issuer, "a"), issuer.generation()), (Good, before));
        assert!(issuer.describe().last_failure.unwrap().error.contains("keys.json"));
        assert!(!issuer.is_current(), "which a start would not take");
    }
    fs::remove_file(&path).unwrap();
    issuer.refresh_now(false).done().await;
    assert!(issuer.describe().last_failure.unwrap().error.contains("cannot read"));
    assert!(!issuer.is_current());

    folder.write("keys.json", &jwks(&["a"]));
    issuer.refresh_now(false).done().await;
    let status = issuer.describe();
    assert_eq!((status.failing_since, issuer.generation(), issuer.is_current()), (None, before, true));
}

#[tokio::test]
async fn a_file_without_keys_starts_no_issuer() {
    let folder = Folder::new("start");
    let large = " ".repeat(300 * 1024);
    for (name, text) in [("html", "<html>"), ("none", r#"{"keys":[]}"#), ("large", large.as_str())] {
        let error = start_file(folder.write(name, text)).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
    assert!(start_file(folder.0.join("absent")).unwrap_err().contains("absent"));
    let ca = JwksUrl { ca: Some(folder.0.join("absent.pem")), ..url() };
    let error = Issuer::start(Arc::new(spec(KeySource::Url(ca))), Vec::new(), None, &Handle::current()).unwrap_err();
    assert!(error.starts_with("ca: cannot read"), "{error}");
}

#[tokio::test]
async fn an_issuer_serves_what_says_the_same_and_nothing_else() {
    let written = spec(KeySource::Url(url()));
    let kept = vec![path("b"), path("a"), path("b")];
    let provider = Provider::new(Say::Hangs);
    let fetch = move || {
        let provider = Arc::clone(&provider);
        async move { provider.answer().await }
    };
    let issuer = Issuer::fetching(&Arc::new(written.clone()), &url(), kept.clone(), &Handle::current(), fetch);
    let moved = checked::Issuer { at: Location::new("other.yaml", 7, 3), ..written.clone() };
    assert!(issuer.serves(&moved, vec![path("a"), path("b")]));
    assert!(!issuer.serves(&moved, vec![path("a")]));
    assert!(issuer.is_current());

    let other = |keys| checked::Issuer { keys, ..written.clone() };
    for other in [
        checked::Issuer { name: "o".into(), ..written.clone() },
        checked::Issuer { issuer: None, ..written.clone() },
        checked::Issuer { audiences: vec!["api".into()], ..written.clone() },
        checked::Issuer { algorithms: vec![Algorithm::Es256], ..written.clone() },
        checked::Issuer { types: TokenTypes { untyped: true, ..written.types.clone() }, ..written.clone() },
        checked::Issuer { claims: ClaimNames { partner: path("p"), ..written.claims.clone() }, ..written.clone() },
        checked::Issuer { leeway: TIMEOUT, ..written.clone() },
        checked::Issuer { requires_expiry: false, ..written.clone() },
        checked::Issuer { max_lifetime: Some(TIMEOUT), ..written.clone() },
        checked::Issuer { partners: Some([Arc::from("acme")].into()), ..written.clone() },
        other(KeySource::File("/keys".into())),
        other(KeySource::Url(JwksUrl { url: http::Uri::from_static("https://o.test/"), ..url() })),
        other(KeySource::Url(JwksUrl { ca: Some("/ca".into()), ..url() })),
        other(KeySource::Url(JwksUrl { refresh: TIMEOUT, ..url() })),
        other(KeySource::Url(JwksUrl { overlap: TIMEOUT, ..url() })),
        other(KeySource::Url(JwksUrl { timeout: OVERLAP, ..url() })),
        other(KeySource::Url(JwksUrl { cool_down: TIMEOUT, ..url() })),
    ] {
        assert!(!issuer.serves(&other, kept.clone()), "{other:?}");
    }
    let secret = |text: &[u8]| KeySource::Secret(Secret::new(text));
    let issuer = Issuer::of_keys(other(secret(b"one")), KeySet::default(), Box::default());
    assert!(issuer.serves(&other(secret(b"one")), Vec::new()));
    assert!(!issuer.serves(&other(secret(b"two")), Vec::new()));
}
