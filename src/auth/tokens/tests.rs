use serde_json::{Value, json};

use super::*;
use crate::auth::jwt::KeySet;
use crate::auth::jwt::mint::{self, NOW};
use crate::base::secret::Secret;
use crate::config::checked::identity::Algorithm;

const MIB: usize = 1024 * 1024;

fn issuer() -> Arc<Issuer> {
    Arc::new(Issuer::of_keys(mint::issuer(), mint::key_set(), Box::default()))
}

fn with_keys(keys: KeySet) -> Arc<Issuer> {
    Arc::new(Issuer::of_keys(mint::issuer(), keys, Box::default()))
}

fn only(algorithm: Algorithm) -> KeySet {
    if algorithm == Algorithm::Hs256 {
        return KeySet::from_secret(&Secret::new(mint::SECRET));
    }
    let body = json!({"keys": [mint::jwk(algorithm, algorithm.as_str())]}).to_string();
    KeySet::from_jwks(body.as_bytes(), &[algorithm]).unwrap().0
}

fn good() -> String {
    mint::token(Algorithm::Hs256, &mint::claims())
}

fn fault(result: Result<Good, Refused>) -> Option<Reason> {
    match result {
        Ok(_) => None,
        Err(Refused::Fault(fault)) => Some(fault.reason),
        Err(Refused::Pending(_)) => panic!("no fetch here"),
    }
}

#[test]
fn a_token_is_verified_once() {
    let (tokens, issuers, text) = (Tokens::new(MIB), [issuer()], good());
    assert!(tokens.is_empty());
    let first = tokens.check(&text, &issuers, NOW).unwrap();
    let second = tokens.check(&text, &issuers, NOW).unwrap();
    assert_eq!((first.cached, second.cached, tokens.len()), (false, true, 1));
    assert!(Arc::ptr_eq(&first.token, &second.token));
    assert!(tokens.bytes() > 300);
    let other = mint::token(Algorithm::Hs256, &mint::claims_with("sub", json!("other")));
    assert_eq!(tokens.check(&other, &issuers, NOW).unwrap().token.subject.as_deref(), Some("other"));
}

#[test]
fn an_entry_ends_with_its_token() {
    let (tokens, issuers, text) = (Tokens::new(MIB), [issuer()], good());
    let ends = tokens.check(&text, &issuers, NOW).unwrap().token.ends;
    let just_before = ends - Duration::from_nanos(1);
    assert!(tokens.check(&text, &issuers, just_before).unwrap().cached);
    assert_eq!(fault(tokens.check(&text, &issuers, ends)), Some(Reason::JwtExpired));
    assert_eq!((tokens.len(), tokens.bad.len()), (0, 1));
    assert_eq!(fault(tokens.check(&text, &issuers, ends)), Some(Reason::JwtExpired));
    // A clock that is set back.
    assert!(!tokens.check(&text, &issuers, just_before).unwrap().cached);
}

#[test]
fn an_expired_token_is_remembered_as_such() {
    let (tokens, issuers) = (Tokens::new(MIB), [issuer()]);
    let mut claims = mint::claims_with("exp", json!(NOW.as_secs() - 100));
    (claims["iat"], claims["nbf"]) = (json!(0), json!(0));
    let text = mint::token(Algorithm::Hs256, &claims);
    for _ in 0..2 {
        assert_eq!(fault(tokens.check(&text, &issuers, NOW)), Some(Reason::JwtExpired));
        assert_eq!((tokens.len(), tokens.bad.len()), (0, 1));
    }
    assert!(!tokens.check(&text, &issuers, NOW - Duration::from_secs(200)).unwrap().cached);
}

#[test]
fn a_change_of_keys_makes_every_entry_void() {
    let (tokens, text) = (Tokens::new(MIB), good());
    tokens.check(&text, &[issuer()], NOW).unwrap();
    let same = [issuer()];
    assert!(!tokens.check(&text, &same, NOW).unwrap().cached);
    assert!(tokens.check(&text, &same, NOW).unwrap().cached);
    assert_eq!(tokens.len(), 1, "replaced");

    let without = [with_keys(only(Algorithm::Es256))];
    assert_eq!(fault(tokens.check(&text, &without, NOW)), Some(Reason::JwtKeyUnknown));
    assert!(tokens.check(&text, &same, NOW).unwrap().cached, "what another route accepts is as it was");
}

#[test]
fn a_forged_token_is_remembered_until_the_keys_change() {
    let tokens = Tokens::new(MIB);
    let wrong = [with_keys(KeySet::from_secret(&Secret::new(&b"another secret"[..])))];
    let text = good();
    for _ in 0..3 {
        assert_eq!(fault(tokens.check(&text, &wrong, NOW)), Some(Reason::JwtSignature));
        assert_eq!((tokens.len(), tokens.bad.len()), (0, 1));
    }
    assert!(!tokens.check(&text, &[issuer()], NOW).unwrap().cached);
    assert_eq!(fault(tokens.check(&text, &wrong, NOW)), Some(Reason::JwtSignature));
}

#[test]
fn what_may_change_with_time_is_not_remembered() {
    let (tokens, issuers) = (Tokens::new(MIB), [issuer()]);
    let text = mint::token(Algorithm::Hs256, &mint::claims_with("nbf", json!(NOW.as_secs() + 60)));
    assert_eq!(fault(tokens.check(&text, &issuers, NOW)), Some(Reason::JwtNotYetValid));
    assert_eq!(fault(tokens.check("a.b.c", &issuers, NOW)), Some(Reason::JwtMalformed));
    assert_eq!((tokens.len(), tokens.bad.len()), (0, 0));
    assert!(tokens.check(&text, &issuers, NOW + Duration::from_secs(60)).is_ok());
}

#[test]
fn forged_tokens_push_no_good_one_out() {
    let (tokens, issuers, text) = (Tokens::new(MIB), [issuer()], good());
    tokens.check(&text, &issuers, NOW).unwrap();
    let (message, _) = text.rsplit_once('.').unwrap();
    for at in 0..5_000_u32 {
        let forged = format!("{message}.{}", mint::encode(&[&at.to_be_bytes()[..], &[0; 28]].concat()));
        assert_eq!(fault(tokens.check(&forged, &issuers, NOW)), Some(Reason::JwtSignature));
    }
    assert!(tokens.check(&text, &issuers, NOW).unwrap().cached);
    assert_eq!(tokens.len(), 1);
    assert!(tokens.bytes() <= MIB as u64);
    assert!(tokens.bad.memory_used().total() <= MIB / BAD_SHARE, "{:?}", tokens.bad.memory_used());
}

#[test]
fn a_route_takes_only_its_issuers() {
    let (tokens, ours, text) = (Tokens::new(MIB), issuer(), good());
    let mut spec = mint::issuer();
    spec.issuer = Some("https://other.example".into());
    let other = Arc::new(Issuer::of_keys(spec, mint::key_set(), Box::default()));
    tokens.check(&text, &[Arc::clone(&ours)], NOW).unwrap();
    assert_eq!(fault(tokens.check(&text, &[Arc::clone(&other)], NOW)), Some(Reason::JwtIssuer));
    assert_eq!(fault(tokens.check(&text, &[], NOW)), Some(Reason::JwtIssuer));
    assert!(tokens.check(&text, &[other, ours], NOW).unwrap().cached);
    let nameless = mint::token(Algorithm::Hs256, &mint::claims_with("iss", Value::Null));
    assert_eq!(fault(tokens.check(&nameless, &[issuer()], NOW)), Some(Reason::JwtIssuer));
}

/// A token is read by the first issuer that takes it, whatever is known of it by another.
#[test]
fn issuers_of_one_name_are_asked_in_their_order() {
    let named = |name: &str, keys: KeySet| {
        let spec = crate::config::checked::identity::Issuer { name: name.into(), ..mint::issuer() };
        Arc::new(Issuer::of_keys(spec, keys, Box::default()))
    };
    let (first, second) = (named("first", mint::key_set()), named("second", mint::key_set()));
    let (tokens, text) = (Tokens::new(MIB), good());
    let both = [Arc::clone(&first), Arc::clone(&second)];
    assert_eq!(&*tokens.check(&text, &[Arc::clone(&second)], NOW).unwrap().token.issuer, "second");
    let read = tokens.check(&text, &both, NOW).unwrap();
    assert_eq!((&*read.token.issuer, read.cached), ("first", false));
    assert!(tokens.check(&text, &both, NOW).unwrap().cached);

    // What one of them refuses is not refused by both, and the other way round.
    let es256 = mint::token(Algorithm::Es256, &mint::claims());
    let secret = named("secret", KeySet::from_secret(&Secret::new(&b"another"[..])));
    let both = [Arc::clone(&secret), Arc::clone(&first)];
    assert_eq!(fault(tokens.check(&text, &[Arc::clone(&secret)], NOW)), Some(Reason::JwtSignature));
    assert!(tokens.check(&text, &both, NOW).is_ok());
    assert!(tokens.check(&es256, &both, NOW).is_ok());
    let bad = tokens.bad.len();
    let expired = mint::token(Algorithm::Hs256, &mint::claims_with("exp", json!(5)));
    assert_eq!(fault(tokens.check(&expired, &both, NOW)), Some(Reason::JwtExpired), "who got farthest");
    assert_eq!(fault(tokens.check(&expired, &[Arc::clone(&first), secret], NOW)), Some(Reason::JwtExpired));
    assert_eq!(tokens.bad.len(), bad, "one of several says nothing for the others");
}

#[test]
fn a_known_token_ends_for_all_issuers_of_its_name() {
    let mut patient = mint::issuer();
    patient.leeway = Duration::from_secs(3600);
    let patient = Arc::new(Issuer::of_keys(patient, mint::key_set(), Box::default()));
    let (tokens, strict, text) = (Tokens::new(MIB), issuer(), good());
    let ends = tokens.check(&text, &[Arc::clone(&strict)], NOW).unwrap().token.ends;
    let later = tokens.check(&text, &[strict, patient], ends).unwrap();
    assert_eq!((later.cached, later.token.ends > ends), (false, true));
}

#[test]
fn a_token_that_is_too_long_is_not_even_hashed() {
    let text = "x".repeat(jwt::MAX_TOKEN + 1);
    assert_eq!(fault(Tokens::new(MIB).check(&text, &[issuer()], NOW)), Some(Reason::JwtMalformed));
}

#[test]
fn without_a_budget_nothing_is_kept() {
    let (tokens, issuers, text) = (Tokens::new(0), [issuer()], good());
    for _ in 0..2 {
        assert!(!tokens.check(&text, &issuers, NOW).unwrap().cached);
    }
    let forged = mint::token(Algorithm::Hs256, &mint::claims()).replace("eyJ", "eyK");
    assert!(tokens.check(&forged, &issuers, NOW).is_err());
    assert_eq!((tokens.len(), tokens.bad.len(), tokens.bytes()), (0, 0, 0));
}

/// Tokens of many sizes, several times what there is room for: entries and tables together stay within the budget.
#[test]
fn everything_that_is_kept_stays_within_the_budget() {
    let claims = json!({"a": ["x", {"b": "y".repeat(50)}, 5], "c": null});
    let base = Tokens::new(MIB).check(&good(), &[issuer()], NOW).unwrap().token;
    for (scopes, kept) in [(0, 0), (2, 0), (5, 2), (60, 3), (500, 0)] {
        for budget in [MIB, 3 * MIB] {
            let tokens = Tokens::new(budget);
            for at in 0..20_000_u32 {
                let token = Token {
                    subject: Some(format!("user-{at}").into()),
                    scopes: (0..scopes).map(|scope| Box::from(format!("scope-{scope}:read"))).collect(),
                    claims: (0..kept).map(|_| (mint::path(&["tenant"]), claims.clone())).collect(),
                    ..(*base).clone()
                };
                tokens.keep(digest_of(&at.to_string()), token, 1);
                if at > 4 * (budget / 500) as u32 {
                    break;
                }
            }
            let tables = tokens.good.memory_used().total();
            let tokens_alone: u64 =
                tokens.good.iter().map(|(_, known)| u64::from(known.weight) - weight::BOOKKEEPING as u64).sum();
            let all = tables as u64 + tokens_alone;
            assert!(all <= budget as u64, "{all} of {budget} with {scopes} scopes: {tables} for tables");
            assert!(tokens.bytes() <= budget as u64);
            assert!(!tokens.is_empty());
        }
    }
}

#[test]
fn a_weight_grows_with_whatever_is_kept() {
    let base = (*Tokens::new(MIB).check(&good(), &[issuer()], NOW).unwrap().token).clone();
    let least = weight::of(&base);
    let with = |claim: Value| weight::of(&Token { claims: [(mint::path(&["x"]), claim)].into(), ..base.clone() });
    let number = with(json!(5));
    assert!(number > least);
    for (claim, bytes) in [
        (json!("x".repeat(10_000)), 10_000),
        (json!(vec![0; 1_000]), 1_000 * size_of::<Value>()),
        (json!({"x".repeat(1_000): {"y": "z".repeat(1_000)}}), 2_000),
    ] {
        assert!(with(claim.clone()) >= number + bytes, "{claim:.40}");
    }
    assert!(weight::of(&Token { scopes: vec!["x".into(); 100].into(), ..base.clone() }) >= least + 100 * 32);
    assert!(weight::of(&Token { partner: Some("x".repeat(500).into()), ..base }) >= least + 480);
}
