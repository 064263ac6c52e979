//! Keys and tokens for tests: good ones of every algorithm, and any header and claims that somebody could sign.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use super::KeySet;
use crate::base::location::Location;
use crate::base::secret::Secret;
use crate::config::checked::identity::{Algorithm, ClaimNames, ClaimPath, Issuer, KeySource, TokenTypes};

pub(in crate::auth) const SECRET: &[u8] = b"a secret of thirty-two bytes ...";

/// The moment at which the tests take place: the second 1,800,000,000.
pub(in crate::auth) const NOW: Duration = Duration::from_secs(1_800_000_000);

/// All but the one with a shared secret.
pub(in crate::auth) const PUBLIC: &[Algorithm] = Algorithm::ALL.split_at(1).1;

/// The key pair that signs with an algorithm here; those of RSA have one in common.
pub(in crate::auth) fn pair(algorithm: Algorithm) -> &'static KeyPair {
    static RSA: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    static P256: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
    static P384: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap());
    static P521: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap());
    static ED25519: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_ED25519).unwrap());
    match algorithm {
        Algorithm::Hs256 => panic!("a secret is no pair"),
        Algorithm::Es256 => &P256,
        Algorithm::Es384 => &P384,
        Algorithm::Es512 => &P521,
        Algorithm::EdDsa => &ED25519,
        _ => &RSA,
    }
}

pub(in crate::auth) fn sign(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Hs256 => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message).as_ref().to_vec(),
        _ => sign_with(pair(algorithm), algorithm, message),
    }
}

pub(in crate::auth) fn sign_with(pair: &KeyPair, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let pkcs8 = pair.serialize_der();
    let rsa = |encoding: &'static dyn RsaEncoding| {
        let key = RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(encoding, &random, message, &mut signature).unwrap();
        signature
    };
    let ec = |algorithm: &'static EcdsaSigningAlgorithm| {
        EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8).unwrap().sign(&random, message).unwrap().as_ref().to_vec()
    };
    match algorithm {
        Algorithm::Hs256 => panic!("a pair is no secret"),
        Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
        Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
        Algorithm::Ps384 => rsa(&RSA_PSS_SHA384),
        Algorithm::Ps512 => rsa(&RSA_PSS_SHA512),
        Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap().sign(message).as_ref().to_vec(),
    }
}

/// The public key of an algorithm as a JSON Web Key without `alg`.
pub(in crate::auth) fn jwk(algorithm: Algorithm, key_id: &str) -> Value {
    let raw = pair(algorithm).public_key_raw();
    match algorithm {
        Algorithm::EdDsa => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(raw), "kid": key_id}),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
            let curve = match algorithm {
                Algorithm::Es256 => "P-256",
                Algorithm::Es384 => "P-384",
                _ => "P-521",
            };
            let (x, y) = raw[1..].split_at(raw.len() / 2);
            json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y), "kid": key_id})
        }
        _ => {
            let key = RSAPublicKey::from_der(raw).unwrap().1;
            let n = key.modulus.strip_prefix(&[0]).unwrap_or(key.modulus);
            json!({"kty": "RSA", "n": encode(n), "e": encode(key.exponent), "kid": key_id})
        }
    }
}

/// A set with one key for each algorithm, named by it.
pub(in crate::auth) fn key_set() -> KeySet {
    let with_algorithm = |algorithm: &Algorithm| {
        let mut key = jwk(*algorithm, algorithm.as_str());
        key["alg"] = algorithm.as_str().into();
        key
    };
    let keys: Vec<Value> = PUBLIC.iter().map(with_algorithm).collect();
    let (set, faults) = KeySet::from_jwks(json!({"keys": keys}).to_string().as_bytes(), PUBLIC).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    set.with_overlap(&KeySet::from_secret(&Secret::new(SECRET)))
}

/// Base64url without padding (RFC 4648 §5).
pub(in crate::auth) fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

/// A token of any texts.
pub(in crate::auth) fn signed(algorithm: Algorithm, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
    let signature = sign(algorithm, message.as_bytes());
    format!("{message}.{}", encode(&signature))
}

/// An access token of the issuer of the tests with a usual header.
pub(in crate::auth) fn token(algorithm: Algorithm, claims: &Value) -> String {
    let name = algorithm.as_str();
    signed(algorithm, &json!({"alg": name, "kid": name, "typ": "at+jwt"}).to_string(), &claims.to_string())
}

/// Claims that are good in every respect.
pub(in crate::auth) fn claims() -> Value {
    let now = NOW.as_secs();
    json!({
        "iss": "https://id.example",
        "aud": "https://api.example",
        "sub": "user-7",
        "azp": "acme",
        "jti": "4f0c",
        "scope": "orders:write orders:read",
        "iat": now - 10,
        "nbf": now - 10,
        "exp": now + 300,
        "tenant": {"region": "eu"},
    })
}

/// [`claims`] with one of them changed, or without it when it is null.
pub(in crate::auth) fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

pub(in crate::auth) fn path(names: &[&str]) -> ClaimPath {
    ClaimPath(names.iter().map(|name| Box::from(*name)).collect())
}

/// Rules under which [`claims`] are good.
pub(in crate::auth) fn issuer() -> Issuer {
    Issuer {
        name: "main".into(),
        issuer: Some("https://id.example".into()),
        audiences: vec!["https://other.example".into(), "https://api.example".into()],
        keys: KeySource::Secret(Secret::new(SECRET)),
        algorithms: Algorithm::ALL.to_vec(),
        types: TokenTypes { named: vec!["jwt".into(), "at+jwt".into()], untyped: false },
        claims: ClaimNames {
            partner: path(&["azp"]),
            subject: path(&["sub"]),
            scopes: path(&["scope"]),
            token_id: path(&["jti"]),
        },
        leeway: Duration::from_secs(5),
        requires_expiry: true,
        max_lifetime: None,
        partners: None,
        at: Location::new("routes.yaml", 1, 1),
    }
}

/// A P-256 pair that no set of the tests has.
pub(in crate::auth) fn stranger() -> &'static KeyPair {
    static STRANGER: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());
    &STRANGER
}
