//! Tokens: one that is known, and one of each algorithm that has to be verified.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use sluice::auth::issuer::Issuer;
use sluice::auth::jwt::{self, KeySet};
use sluice::auth::tokens::Tokens;
use sluice::base::location::Location;
use sluice::base::reason::Reason;
use sluice::base::secret::Secret;
use sluice::config::checked::identity::{self as checked, Algorithm, ClaimNames, ClaimPath, KeySource, TokenTypes};

use super::SAMPLES;

/// A moment at which the tokens below are good.
const NOW: Duration = Duration::from_secs(1_800_000_060);

const SECRET: &[u8] = b"thirty-two bytes that are shared.";

/// The public halves of keys that were made for this file and thrown away.
const KEYS: &str = concat!(
    r#"{"keys":[{"kty":"RSA","kid":"RS256","alg":"RS256","n":"0HFRj9zCWIuD2PCd5UvqS2mC8BHMBGa1tVC_L1JrO"#,
    r#"GAzAJqGX44YsjDWDyiV7-Omw6-FjbVGHLnu-DzWOhWI4rpEsIuRfGUEn9rzIAky2n1uZrBJT7NwD080mPOi880_52aWkcnvQ"#,
    r#"YUXXalKbpGcXgSkNYBU5fmDbH1Edf_2VyHOCUffBjSF2PxrpOy5_FH0FdPV_TShaPyWdH9vyitC0hSq8tu0DpZlobBi5twl0"#,
    r#"eJx-wAF7zOV13SJE1Hvdu-30OBTUdIZlddYmuFBtnqOaXRjd4Hu0U8hHpCqPT93xdjLldva52A6loLvBwBKp0b1Kcc-CC2k2"#,
    r#"qBvQ9LEzeSw0Q","e":"AQAB"},{"kty":"EC","crv":"P-256","kid":"ES256","x":"bR_znatNWe2AweKpQugCkmsv"#,
    r#"hT4yJWchOBZrfpWz3fQ","y":"mu8V0CMzkOSmQrPiassjd3rZZm1fjU5xnACnKRbaa18"},{"kty":"OKP","crv":"Ed25"#,
    r#"519","kid":"EdDSA","x":"mfIZ3zoMNTDRA8W1fygtuzaVn3CLhYpkgCn_RRRcp58"}]}"#,
);

const RS256: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IlJTMjU2In0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tL3Jl",
    "YWxtcy9wYXJ0bmVycyIsImF1ZCI6WyJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImFjY291bnQiXSwic3ViIjoiMGY0YjZhN2Ut",
    "OTBmNS00YjdlLTlhM2UtOGEzYThiMGYxYTUyIiwiYXpwIjoiYWNtZSIsInR5cCI6IkJlYXJlciIsImp0aSI6IjViMWYwZjljLThh",
    "MmYtNGQ0My05YzI1LTRkM2Q4YzFjMmYxMSIsInNpZCI6IjhmOGQxYzNlLTEyZTAtNGM1NS1iM2Y2LTFhN2Y5ZjdmM2Y2MCIsInNj",
    "b3BlIjoib3BlbmlkIG9yZGVyczpyZWFkIG9yZGVyczp3cml0ZSBpbnZvaWNlczpyZWFkIiwiaWF0IjoxODAwMDAwMDAwLCJuYmYi",
    "OjE4MDAwMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbIm9mZmxpbmVfYWNjZXNzIiwicGFy",
    "dG5lciJdfSwidGVuYW50IjoiZXUtMSJ9.Wh3d9fp692CoySsEGz9pQKnexJztwvT6-KsU88A5lcnI8FYuYkhXHk9XD3tME9mXKov",
    "wD5QtQV7RSNqT-sTyAacz__JtG-XSZE4Y50vBJRazJ5xccFrP3zxcolcpdZNF1TZcJZhaXGGtdhTaKfOk0TS1eowxH4rbphuSVLi",
    "7trZVHEJFs2ZqXPLq9BwXivQACXPClneSh015lQpWLS7qUufDkXqvM90fRhKN9XVEXIB2MJbr-rQVCb1FSGeahdezKwa7OG_CATo",
    "skD-dCgmpjn1lkHxfSCiNvfrb_iLg4Urs0J5i_KITXXQvxsXnHNJYmbdah84H3gU_FC1wvpdBrg",
);

const ES256: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IkVTMjU2In0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tL3Jl",
    "YWxtcy9wYXJ0bmVycyIsImF1ZCI6WyJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImFjY291bnQiXSwic3ViIjoiMGY0YjZhN2Ut",
    "OTBmNS00YjdlLTlhM2UtOGEzYThiMGYxYTUyIiwiYXpwIjoiYWNtZSIsInR5cCI6IkJlYXJlciIsImp0aSI6IjViMWYwZjljLThh",
    "MmYtNGQ0My05YzI1LTRkM2Q4YzFjMmYxMSIsInNpZCI6IjhmOGQxYzNlLTEyZTAtNGM1NS1iM2Y2LTFhN2Y5ZjdmM2Y2MCIsInNj",
    "b3BlIjoib3BlbmlkIG9yZGVyczpyZWFkIG9yZGVyczp3cml0ZSBpbnZvaWNlczpyZWFkIiwiaWF0IjoxODAwMDAwMDAwLCJuYmYi",
    "OjE4MDAwMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbIm9mZmxpbmVfYWNjZXNzIiwicGFy",
    "dG5lciJdfSwidGVuYW50IjoiZXUtMSJ9.okm_a2LFEk98i0EeZaFEvFcPeJ5kRXorFFZfzqmsURQAGJ0Sy-E6ehtt3BUnDm4iBqc",
    "GIcdAnU-WwMoBqYDKlA",
);

const EDDSA: &str = concat!(
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6IkVkRFNBIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tL3Jl",
    "YWxtcy9wYXJ0bmVycyIsImF1ZCI6WyJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImFjY291bnQiXSwic3ViIjoiMGY0YjZhN2Ut",
    "OTBmNS00YjdlLTlhM2UtOGEzYThiMGYxYTUyIiwiYXpwIjoiYWNtZSIsInR5cCI6IkJlYXJlciIsImp0aSI6IjViMWYwZjljLThh",
    "MmYtNGQ0My05YzI1LTRkM2Q4YzFjMmYxMSIsInNpZCI6IjhmOGQxYzNlLTEyZTAtNGM1NS1iM2Y2LTFhN2Y5ZjdmM2Y2MCIsInNj",
    "b3BlIjoib3BlbmlkIG9yZGVyczpyZWFkIG9yZGVyczp3cml0ZSBpbnZvaWNlczpyZWFkIiwiaWF0IjoxODAwMDAwMDAwLCJuYmYi",
    "OjE4MDAwMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbIm9mZmxpbmVfYWNjZXNzIiwicGFy",
    "dG5lciJdfSwidGVuYW50IjoiZXUtMSJ9.ofksL31qSLCwYWi037pvAN_s2y06l8OL-FWk2mFKnzCtCN2iOnc6em3pmQ1wZa1W4K3",
    "pDS7FMlA5Zfp9jP87BA",
);

const HS256: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IkhTMjU2In0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tL3Jl",
    "YWxtcy9wYXJ0bmVycyIsImF1ZCI6WyJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImFjY291bnQiXSwic3ViIjoiMGY0YjZhN2Ut",
    "OTBmNS00YjdlLTlhM2UtOGEzYThiMGYxYTUyIiwiYXpwIjoiYWNtZSIsInR5cCI6IkJlYXJlciIsImp0aSI6IjViMWYwZjljLThh",
    "MmYtNGQ0My05YzI1LTRkM2Q4YzFjMmYxMSIsInNpZCI6IjhmOGQxYzNlLTEyZTAtNGM1NS1iM2Y2LTFhN2Y5ZjdmM2Y2MCIsInNj",
    "b3BlIjoib3BlbmlkIG9yZGVyczpyZWFkIG9yZGVyczp3cml0ZSBpbnZvaWNlczpyZWFkIiwiaWF0IjoxODAwMDAwMDAwLCJuYmYi",
    "OjE4MDAwMDAwMDAsImV4cCI6MTgwMDAwMzYwMCwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbIm9mZmxpbmVfYWNjZXNzIiwicGFy",
    "dG5lciJdfSwidGVuYW50IjoiZXUtMSJ9.9SbKt9SMEC4inAWCxXwQz96BvppnC-RcHKUv3O0T8yg",
);

/// The token of an algorithm that is counted.
pub fn of(algorithm: &str) -> Option<&'static str> {
    Some(match algorithm {
        "RS256" => RS256,
        "ES256" => ES256,
        "EdDSA" => EDDSA,
        "HS256" => HS256,
        _ => return None,
    })
}

/// Taken apart, verified and judged every time, as a token that is not known.
pub fn verify(text: &str, rounds: usize) {
    let (issuer, keys) = (issuer(), keys());
    for _ in 0..rounds * SAMPLES {
        let token = jwt::parse(black_box(text)).and_then(|token| token.verify(&issuer, &keys, &[], NOW));
        assert!(black_box(token).is_ok());
    }
}

/// The same with a signature that is wrong, as every new forgery costs.
pub fn forge(text: &str, rounds: usize) {
    let (issuer, keys, forged) = (issuer(), keys(), forged(text));
    for _ in 0..rounds * SAMPLES {
        let token = jwt::parse(black_box(&forged)).and_then(|token| token.verify(&issuer, &keys, &[], NOW));
        assert!(black_box(token).is_err_and(|fault| fault.reason == Reason::JwtSignature));
    }
}

/// One sign of the signature is another; not the first, with which an RSA signature would be no number of its key.
fn forged(text: &str) -> String {
    const CHANGED: usize = 40;
    let (message, signature) = text.rsplit_once('.').unwrap_or_default();
    let other = |(at, sign)| match (at, sign) {
        (CHANGED, 'A') => 'B',
        (CHANGED, _) => 'A',
        (_, sign) => sign,
    };
    let signature: String = signature.chars().enumerate().map(other).collect();
    format!("{message}.{signature}")
}

/// Found among those that have been verified.
pub fn hit(text: &str, rounds: usize) {
    let issuers = [Arc::new(Issuer::of_keys(issuer(), keys(), Box::default()))];
    let tokens = Tokens::new(1 << 20);
    assert!(tokens.check(text, &issuers, NOW).is_ok());
    for _ in 0..rounds * SAMPLES {
        assert!(black_box(tokens.check(black_box(text), &issuers, NOW)).is_ok_and(|good| good.cached));
    }
}

/// Found among those that are known to be forged.
pub fn refuse(text: &str, rounds: usize) {
    let issuers = [Arc::new(Issuer::of_keys(issuer(), keys(), Box::default()))];
    let (tokens, forged) = (Tokens::new(1 << 20), forged(text));
    assert!(tokens.check(&forged, &issuers, NOW).is_err());
    for _ in 0..rounds * SAMPLES {
        assert!(black_box(tokens.check(black_box(&forged), &issuers, NOW)).is_err());
    }
}

/// Memory of `count` tokens that differ, within a budget that holds them all.
pub fn fill(count: usize) {
    let issuers = [Arc::new(Issuer::of_keys(issuer(), keys(), Box::default()))];
    let key = EncodingKey::from_secret(SECRET);
    let tokens = Tokens::new(1 << 30);
    let before = resident();
    for at in 0..count {
        let claims = json!({
            "iss": "https://id.example.com/realms/partners",
            "aud": "https://api.example.com",
            "sub": format!("0f4b6a7e-90f5-4b7e-9a3e-{at:012}"),
            "azp": "acme",
            "jti": format!("5b1f0f9c-8a2f-4d43-9c25-{at:012}"),
            "scope": "openid orders:read orders:write invoices:read",
            "exp": NOW.as_secs() + 3600,
        });
        let Ok(text) = jsonwebtoken::encode(&Header::default(), &claims, &key) else { continue };
        assert!(tokens.check(&text, &issuers, NOW).is_ok());
    }
    let taken = resident() - before;
    println!(
        "{} tokens: {} bytes each of resident memory, {} of the budget",
        tokens.len(),
        taken / count as u64,
        tokens.bytes() / count as u64
    );
}

/// Bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn keys() -> KeySet {
    let (set, _) = KeySet::from_jwks(KEYS.as_bytes(), Algorithm::ALL).unwrap_or_else(|fault| panic!("{fault}"));
    set.with_overlap(&KeySet::from_secret(&Secret::new(SECRET)))
}

fn issuer() -> checked::Issuer {
    let claim = |name: &str| ClaimPath([Box::from(name)].into());
    checked::Issuer {
        name: "main".into(),
        issuer: Some("https://id.example.com/realms/partners".into()),
        audiences: vec!["https://api.example.com".into()],
        keys: KeySource::Secret(Secret::new(SECRET)),
        algorithms: Algorithm::ALL.to_vec(),
        types: TokenTypes { named: vec!["jwt".into(), "at+jwt".into()], untyped: false },
        claims: ClaimNames {
            partner: claim("azp"),
            subject: claim("sub"),
            scopes: claim("scope"),
            token_id: claim("jti"),
        },
        leeway: Duration::from_secs(5),
        requires_expiry: true,
        max_lifetime: None,
        partners: None,
        at: Location::new("routes.yaml", 1, 1),
    }
}
