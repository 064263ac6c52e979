use std::iter::empty;

use jsonwebtoken::{DecodingKey, decode_header};
use proptest::prelude::*;
use serde_json::json;

use super::super::tests::{p256, public, verified};
use super::*;
use crate::config::checked::identity::Algorithm;

const NOW: Duration = Duration::from_millis(1_800_000_000_500);
const LIFETIME: Duration = Duration::from_secs(60);

fn spec() -> IdentityToken {
    IdentityToken {
        header: http::HeaderName::from_static("x-identity"),
        key: "key.pem".into(),
        algorithm: Algorithm::Es256,
        key_id: None,
        issuer: "https://gateway.example.com".into(),
        audience: Some("internal".into()),
        lifetime: LIFETIME,
    }
}

fn signer(budget: u64) -> (IdentitySigner, DecodingKey) {
    let signer = Signer::from_pem(&p256(), None).unwrap();
    let key = public(&signer);
    (IdentitySigner::new(signer, spec(), budget), key)
}

#[test]
fn it_says_who_calls_and_is_verified_by_the_public_key() {
    let (identity, key) = signer(BUDGET);
    let token =
        identity.token_for("a", Some("acme"), Some("u1"), ["orders:read", "orders:write"].into_iter(), NOW).unwrap();
    let claims = verified(&token, &key, Algorithm::Es256);
    let expected = json!({
        "iss": "https://gateway.example.com", "aud": "internal", "sub": "u1", "azp": "acme",
        "scope": "orders:read orders:write", "iat": 1_800_000_000, "exp": 1_800_000_060, "jti": claims["jti"],
    });
    assert_eq!(claims, expected);
    let header = decode_header(&*token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("sluice-identity+jwt"));
    assert_eq!(identity.public_keys()["keys"][0]["kid"], header.kid.unwrap());
}

#[test]
fn what_is_not_known_is_left_out() {
    let (identity, key) = signer(BUDGET);
    let claims = verified(&identity.token_for("a", None, None, empty(), NOW).unwrap(), &key, Algorithm::Es256);
    for name in ["sub", "azp", "scope"] {
        assert!(claims.get(name).is_none(), "{claims}");
    }
}

#[test]
fn no_scope_becomes_two() {
    let (identity, key) = signer(BUDGET);
    let scopes = ["a b", "", "c", "d\"", "\u{e9}", "e\\"];
    let claims =
        verified(&identity.token_for("a", None, None, scopes.into_iter(), NOW).unwrap(), &key, Algorithm::Es256);
    assert_eq!(claims["scope"], "c");
}

#[test]
fn without_an_audience_it_is_meant_for_one_upstream_alone() {
    let new = |audience: Option<&str>| {
        let signer = Signer::from_pem(&p256(), None).unwrap();
        let key = public(&signer);
        let spec = IdentityToken { audience: audience.map(Arc::from), ..spec() };
        (IdentitySigner::new(signer, spec, BUDGET), key)
    };
    let (identity, key) = new(None);
    let told = |upstream| identity.token_for(upstream, Some("acme"), None, empty(), NOW).unwrap();
    for upstream in ["orders", "billing"] {
        assert_eq!(verified(&told(upstream), &key, Algorithm::Es256)["aud"], upstream);
        assert!(Arc::ptr_eq(&told(upstream), &told(upstream)));
    }
    // With one it is the same for all.
    let (identity, _) = new(Some("internal"));
    let told = |upstream| identity.token_for(upstream, Some("acme"), None, empty(), NOW).unwrap();
    assert!(Arc::ptr_eq(&told("orders"), &told("billing")));
}

#[test]
fn it_goes_on_as_long_as_it_is_what_is_written() {
    let file = std::env::temp_dir().join(format!("sluice-identity-running-{}.pem", std::process::id()));
    let spec = || IdentityToken { key: file.clone(), ..spec() };
    let over = |spec: &IdentityToken, running: &Arc<IdentitySigner>| {
        IdentitySigner::carry_over(spec, Some(running)).map(|next| Arc::ptr_eq(&next, running))
    };
    assert!(matches!(IdentitySigner::carry_over(&spec(), None), Err(OpenError::Read { .. })));
    std::fs::write(&file, p256()).unwrap();
    let running = IdentitySigner::carry_over(&spec(), None).unwrap();
    let other = IdentityToken { lifetime: LIFETIME * 2, ..spec() };
    assert!(running.is_current(&spec()) && over(&spec(), &running).unwrap());
    assert!(!running.is_current(&other) && !over(&other, &running).unwrap());
    // Half written, or gone: what was read before is still a key, but for this use of it alone.
    for broken in [Some("-----BEGIN PRIVATE KEY-----\n"), None] {
        match broken {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        assert!(!running.is_current(&spec()) && over(&spec(), &running).unwrap());
        assert!(over(&other, &running).is_err());
    }
    std::fs::write(&file, p256()).unwrap();
    assert!(!running.is_current(&spec()) && !over(&spec(), &running).unwrap(), "another key");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn it_is_the_same_for_half_of_its_lifetime() {
    let (identity, _) = signer(BUDGET);
    let at = |now| identity.token_for("a", Some("acme"), None, ["a"].into_iter(), now).unwrap();
    let first = at(NOW);
    assert!(Arc::ptr_eq(&first, &at(NOW)));
    assert!(Arc::ptr_eq(&first, &at(NOW + LIFETIME / 2 - Duration::from_nanos(1))));
    let second = at(NOW + LIFETIME / 2);
    assert_ne!(first, second);
    assert!(Arc::ptr_eq(&second, &at(NOW + LIFETIME / 2)));
    // A clock that was set back: nobody is told that a token comes from the future.
    assert_ne!(second, at(NOW));
}

#[test]
fn whoever_differs_has_another() {
    let (identity, _) = signer(BUDGET);
    let callers: [(Option<&str>, Option<&str>, &[&str]); 8] = [
        (None, None, &[]),
        (Some("a"), None, &[]),
        (None, Some("a"), &[]),
        (Some("a"), Some("a"), &[]),
        (Some("a"), None, &["a"]),
        (Some("a"), None, &["a", "b"]),
        (Some("a"), None, &["b", "a"]),
        (Some(""), None, &[]),
    ];
    let make = || callers.map(|(p, s, scopes)| identity.token_for("a", p, s, scopes.iter().copied(), NOW).unwrap());
    let (first, again) = (make(), make());
    let different: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(different.len(), callers.len());
    assert!(first.iter().zip(&again).all(|(a, b)| Arc::ptr_eq(a, b)));
}

#[test]
fn what_is_kept_is_bounded_in_bytes() {
    let (identity, _) = signer(64 << 10);
    for number in 0..500 {
        identity.token_for("a", Some(&format!("partner-{number}")), None, empty(), NOW).unwrap();
    }
    assert!((10..200).contains(&identity.made.len()), "{identity:?}");
    assert!(identity.made.weight() <= 64 << 10);
    // More than all of it: made, and not kept.
    let long = "s".repeat(100 << 10);
    identity.token_for("a", None, Some(&long), empty(), NOW).unwrap();
    assert!(identity.made.weight() <= 64 << 10);
}

#[test]
fn a_key_that_cannot_be_used_is_told_with_its_file() {
    let file = std::env::temp_dir().join(format!("sluice-identity-{}.pem", std::process::id()));
    let open = |algorithm| IdentitySigner::open(&IdentityToken { key: file.clone(), algorithm, ..spec() });
    assert!(matches!(open(Algorithm::Es256), Err(OpenError::Read { .. })));
    std::fs::write(&file, p256()).unwrap();
    assert!(open(Algorithm::Es256).is_ok());
    let error = open(Algorithm::Rs256).unwrap_err().to_string();
    std::fs::remove_file(&file).unwrap();
    assert!(error.contains("sluice-identity-") && error.ends_with("a key for ES256, not for RS256"), "{error}");
}

proptest! {
    /// A look-up by what is borrowed finds exactly what was kept.
    #[test]
    fn borrowed_and_kept_callers_agree(
        audience in prop::option::of("[ab]{0,2}"),
        partner in prop::option::of("[ab]{0,2}"),
        subject in prop::option::of("[ab]{0,2}"),
        scopes in prop::collection::vec("[ab]{1,2}", 0..4),
        others in prop::collection::vec("[ab]{1,2}", 0..4),
    ) {
        let asked = |scopes| Asked { audience: audience.as_deref(), partner: partner.as_deref(), subject: subject.as_deref(), scopes };
        let hash = |value: &dyn Fn(&mut std::hash::DefaultHasher)| {
            let mut hasher = std::hash::DefaultHasher::new();
            value(&mut hasher);
            hasher.finish()
        };
        let this = asked(scopes.iter().map(String::as_str));
        let kept = this.to_owned();
        prop_assert!(this.equivalent(&kept));
        prop_assert_eq!(hash(&|h| this.hash(h)), hash(&|h| kept.hash(h)));
        let other = asked(others.iter().map(String::as_str));
        prop_assert_eq!(other.equivalent(&kept), scopes == others);
    }
}
