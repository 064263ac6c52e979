mod hostile;
mod properties;
mod vectors;

use serde_json::{Value, json};

use super::mint::{self, NOW};
use super::*;

/// What a gateway with the rules of [`mint::issuer`] makes of a text.
fn judge(text: &str) -> Result<Token, Fault> {
    judge_by(&mint::issuer(), text)
}

fn judge_by(issuer: &Issuer, text: &str) -> Result<Token, Fault> {
    parse(text)?.verify(issuer, &mint::key_set(), &[], NOW)
}

fn reason(result: Result<Token, Fault>) -> Option<Reason> {
    result.err().map(|fault| fault.reason)
}

#[test]
fn good_tokens_of_every_algorithm_are_good() {
    for algorithm in Algorithm::ALL {
        let token = judge(&mint::token(*algorithm, &mint::claims())).unwrap();
        assert_eq!(token.subject.as_deref(), Some("user-7"), "{algorithm:?}");
        assert_eq!(token.partner.as_deref(), Some("acme"));
        assert_eq!(token.id.as_deref(), Some("4f0c"));
        assert_eq!(token.scopes.iter().map(|scope| &**scope).collect::<Vec<_>>(), ["orders:read", "orders:write"]);
        assert_eq!((token.issued_at, token.expires), (Some(NOW.as_secs() - 10), Some(NOW.as_secs() + 300)));
        assert_eq!(token.ends, NOW + Duration::from_secs(305));
        assert_eq!(&*token.issuer, "main");
    }
}

/// What others sign we can read: the crate that we make tokens with, and its key formats.
#[test]
fn tokens_of_jsonwebtoken_are_good() {
    use jsonwebtoken::{Algorithm as Theirs, EncodingKey, Header, encode};
    let key = |algorithm| {
        let (pem, der) = (mint::pair(algorithm).serialize_pem(), mint::pair(algorithm).serialize_der());
        match algorithm {
            Algorithm::Es256 | Algorithm::Es384 => EncodingKey::from_ec_der(&der),
            Algorithm::EdDsa => EncodingKey::from_ed_der(&der),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        }
    };
    let signers = [
        (Theirs::HS256, EncodingKey::from_secret(mint::SECRET)),
        (Theirs::RS256, key(Algorithm::Rs256)),
        (Theirs::RS384, key(Algorithm::Rs384)),
        (Theirs::RS512, key(Algorithm::Rs512)),
        (Theirs::PS256, key(Algorithm::Ps256)),
        (Theirs::PS384, key(Algorithm::Ps384)),
        (Theirs::PS512, key(Algorithm::Ps512)),
        (Theirs::ES256, key(Algorithm::Es256)),
        (Theirs::ES384, key(Algorithm::Es384)),
        (Theirs::EdDSA, key(Algorithm::EdDsa)),
    ];
    for (algorithm, key) in signers {
        let mut header = Header::new(algorithm);
        header.kid = Some(format!("{algorithm:?}"));
        let text = encode(&header, &mint::claims(), &key).unwrap();
        assert!(judge(&text).is_ok(), "{algorithm:?}: {:?}", judge(&text));
    }
}

#[test]
fn debug_shows_neither_key_nor_secret() {
    let shown = format!("{:?}", mint::key_set());
    assert!(shown.contains("Rs256") && !shown.contains("thirty-two"), "{shown}");
}

fn expect(claims: &Value) -> Token {
    let text = mint::token(Algorithm::Hs256, claims);
    judge(&text).unwrap_or_else(|fault| panic!("{claims}: {fault:?}"))
}

#[test]
fn types_are_media_types() {
    for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
        let header = json!({"alg": "HS256", "typ": kind}).to_string();
        let text = mint::signed(Algorithm::Hs256, &header, &mint::claims().to_string());
        assert!(judge(&text).is_ok(), "{kind}");
    }
    let untyped = mint::signed(Algorithm::Hs256, r#"{"alg":"HS256"}"#, &mint::claims().to_string());
    assert_eq!(reason(judge(&untyped)), Some(Reason::JwtType));
    let mut lenient = mint::issuer();
    lenient.types.untyped = true;
    assert!(judge_by(&lenient, &untyped).is_ok());
}

#[test]
fn whatever_a_token_says_of_its_key_is_not_looked_at() {
    for (name, value) in [
        ("jwk", mint::jwk(Algorithm::Es256, "x")),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("file:///etc/passwd")),
        ("x5c", json!(["MII"])),
        ("x5t", json!(5)),
        ("cty", json!("JWT")),
        ("unheard", json!([{"of": null}, 1.5, true])),
    ] {
        let mut header = json!({"alg": "HS256", "typ": "JWT"});
        header[name] = value;
        let text = mint::signed(Algorithm::Hs256, &header.to_string(), &mint::claims().to_string());
        assert!(judge(&text).is_ok(), "{name}");
    }
}

#[test]
fn an_audience_is_a_text_or_one_of_an_array() {
    for audience in [json!("https://other.example"), json!(["x", "https://api.example"])] {
        expect(&mint::claims_with("aud", audience));
    }
    let mut anybody = mint::issuer();
    anybody.audiences.clear();
    for audience in [Value::Null, json!(5), json!(["x"])] {
        let text = mint::token(Algorithm::Hs256, &mint::claims_with("aud", audience));
        assert!(judge_by(&anybody, &text).is_ok(), "not looked at");
    }
}

#[test]
fn times_are_exact_with_leeway_and_fractions() {
    let now = NOW.as_secs();
    let exp =
        |exp: Value| judge(&mint::token(Algorithm::Hs256, &mint::claims_with("exp", exp))).map(|token| token.ends);
    assert_eq!(exp(json!(now - 4)).unwrap(), NOW + Duration::from_secs(1));
    assert_eq!(exp(json!(now - 5)).unwrap_err().reason, Reason::JwtExpired, "not on its very end");
    assert_eq!(exp(json!(now as f64 - 4.5)).unwrap(), NOW + Duration::from_millis(500));
    assert_eq!(exp(json!(u64::MAX)).unwrap(), Duration::from_secs(u64::MAX).saturating_add(Duration::from_secs(5)));
    assert_eq!(exp(json!(1e300)).unwrap(), Duration::MAX);
    for negative in [json!(-1), json!(-1e300), json!(i64::MIN), json!(-0.0)] {
        assert_eq!(exp(negative).unwrap_err().reason, Reason::JwtExpired);
    }
    for (claim, value) in [("nbf", json!(now + 5)), ("iat", json!(now + 5)), ("nbf", json!(-7)), ("iat", json!(-1e9))] {
        expect(&mint::claims_with(claim, value));
    }
    for claim in ["nbf", "iat"] {
        expect(&mint::claims_with(claim, Value::Null));
        for late in [json!(now + 6), json!(now as f64 + 5.1), json!(u64::MAX), json!(1e300)] {
            let text = mint::token(Algorithm::Hs256, &mint::claims_with(claim, late));
            assert_eq!(reason(judge(&text)), Some(Reason::JwtNotYetValid), "{claim}");
        }
    }
}

#[test]
fn expiry_is_required_unless_the_issuer_says_otherwise() {
    let text = mint::token(Algorithm::Hs256, &mint::claims_with("exp", Value::Null));
    assert_eq!(reason(judge(&text)), Some(Reason::JwtClaims));
    let mut lenient = mint::issuer();
    lenient.requires_expiry = false;
    let token = judge_by(&lenient, &text).unwrap();
    assert_eq!((token.expires, token.ends), (None, Duration::MAX));
    lenient.max_lifetime = Some(Duration::from_secs(3600));
    assert_eq!(reason(judge_by(&lenient, &text)), Some(Reason::JwtClaims), "no end is later than any");
}

#[test]
fn a_lifetime_counts_from_issue_which_has_to_be_known() {
    let mut strict = mint::issuer();
    strict.max_lifetime = Some(Duration::from_secs(300));
    let with = |iat: Value, exp: u64| {
        let mut claims = mint::claims_with("iat", iat);
        claims["exp"] = (NOW.as_secs() + exp).into();
        judge_by(&strict, &mint::token(Algorithm::Hs256, &claims)).map_err(|fault| fault.reason).map(|_| ())
    };
    assert_eq!(with(json!(NOW.as_secs() - 10), 290), Ok(()));
    assert_eq!(with(json!(NOW.as_secs() - 10), 291), Err(Reason::JwtClaims));
    assert_eq!(with(Value::Null, 1), Err(Reason::JwtClaims), "its end is near, and it may be old");
    assert_eq!(with(json!(-1e300), 1), Err(Reason::JwtClaims));
}

#[test]
fn names_are_texts_or_whole_numbers() {
    for (number, text) in [(json!(42), "42"), (json!(u64::MAX), "18446744073709551615"), (json!(-7), "-7")] {
        assert_eq!(expect(&mint::claims_with("sub", number)).subject.as_deref(), Some(text));
    }
    for claim in ["sub", "azp", "jti"] {
        expect(&mint::claims_with(claim, Value::Null));
        expect(&mint::claims_with(claim, json!("x".repeat(512))));
    }
}

#[test]
fn scopes_are_a_text_or_an_array_under_any_path() {
    let scopes = |claims: &Value| expect(claims).scopes.iter().map(|scope| scope.to_string()).collect::<Vec<_>>();
    assert_eq!(scopes(&mint::claims_with("scope", json!(["b", "a", "b"]))), ["a", "b"]);
    assert_eq!(scopes(&mint::claims_with("scope", json!(" b  a b "))), ["a", "b"]);
    assert!(scopes(&mint::claims_with("scope", json!(""))).is_empty());
    assert!(scopes(&mint::claims_with("scope", json!([]))).is_empty());
    assert!(scopes(&mint::claims_with("scope", Value::Null)).is_empty());

    let mut older = mint::issuer();
    older.claims.scopes = mint::path(&["realm_access", "roles"]);
    older.claims.subject = mint::path(&["userId"]);
    let mut claims = mint::claims_with("realm_access", json!({"roles": ["admin"]}));
    claims["userId"] = json!(7);
    let token = judge_by(&older, &mint::token(Algorithm::Hs256, &claims)).unwrap();
    assert_eq!((token.subject.as_deref(), token.scopes.len()), (Some("7"), 1));
    claims["realm_access"] = json!(["no object"]);
    let token = judge_by(&older, &mint::token(Algorithm::Hs256, &claims)).unwrap();
    assert!(token.scopes.is_empty(), "the path leads nowhere");
}

#[test]
fn claims_that_rules_ask_for_are_kept_and_no_others() {
    let kept = [mint::path(&["tenant", "region"]), mint::path(&["tenant"]), mint::path(&["missing"]), mint::path(&[])];
    let text = mint::token(Algorithm::Es256, &mint::claims());
    let token = parse(&text).unwrap().verify(&mint::issuer(), &mint::key_set(), &kept, NOW).unwrap();
    let expected = [(kept[0].clone(), json!("eu")), (kept[1].clone(), json!({"region": "eu"}))];
    assert_eq!(*token.claims, expected);
}

#[test]
fn an_issuer_without_iss_takes_tokens_without_it() {
    let text = mint::token(Algorithm::Hs256, &mint::claims_with("iss", Value::Null));
    assert_eq!(reason(judge(&text)), Some(Reason::JwtIssuer));
    let mut nameless = mint::issuer();
    nameless.issuer = None;
    assert!(judge_by(&nameless, &text).is_ok());
    let named = mint::token(Algorithm::Hs256, &mint::claims());
    assert_eq!(reason(judge_by(&nameless, &named)), Some(Reason::JwtIssuer));
}

#[test]
fn an_algorithm_that_the_issuer_does_not_use_is_refused_before_its_key_is_looked_for() {
    let mut issuer = mint::issuer();
    issuer.algorithms = vec![Algorithm::Es256];
    for algorithm in Algorithm::ALL {
        let result = judge_by(&issuer, &mint::token(*algorithm, &mint::claims()));
        let expected = (*algorithm != Algorithm::Es256).then_some(Reason::JwtAlgorithm);
        assert_eq!(reason(result), expected, "{algorithm:?}");
    }
}

#[test]
fn many_names_in_an_object_are_told_apart() {
    let mut claims = mint::claims();
    for at in 0..500 {
        claims[format!("c{at}")] = at.into();
    }
    expect(&claims);
    let text = claims.to_string();
    let twice = format!("{{\"c250\":1,{}", &text[1..]);
    let text = mint::signed(Algorithm::Hs256, r#"{"alg":"HS256","typ":"JWT"}"#, &twice);
    assert_eq!(reason(judge(&text)), Some(Reason::JwtMalformed));
}
