//! JSON Web Key Sets (RFC 7517), of which only public keys for signatures are taken.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Key;
use super::key::{Curve, Kind, Material};
use crate::auth::jwt::{MAX_KEY_ID, base64url, json};
use crate::config::checked::identity::Algorithm;

/// Bytes of a set.
const MAX_BYTES: usize = 256 * 1024;

/// Keys of a set, used or not.
const MAX_KEYS: usize = 100;

/// Members that no public key has (RFC 7518 §6.2.2, §6.3.2).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// Each key of a set with its name for operators: once for each accepted algorithm that it is good for, or why not.
type Read = Vec<(String, Result<Vec<Key>, String>)>;

pub(super) fn read(bytes: &[u8], accepted: &[Algorithm]) -> Result<Read, String> {
    if bytes.len() > MAX_BYTES {
        return Err("it is longer than 256 KiB".to_owned());
    }
    json::read(bytes, |_, _| ()).map_err(|fault| match fault {
        json::Fault::NoObject => "it is not a JSON object",
        json::Fault::NameTwice => "an object in it has a member twice",
        json::Fault::TooDeep => "it is nested too deeply",
    })?;
    let mut set: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let Some(Value::Array(keys)) = set.remove("keys") else {
        return Err("it has no array `keys` (RFC 7517 section 5)".to_owned());
    };
    if keys.len() > MAX_KEYS {
        return Err(format!("it has {} keys, and {MAX_KEYS} are the most", keys.len()));
    }
    Ok(keys.iter().enumerate().map(|(at, key)| (name(at, key), read_key(key, accepted))).collect())
}

fn name(at: usize, key: &Value) -> String {
    match key.get("kid") {
        Some(Value::String(id)) if id.len() <= MAX_KEY_ID => format!("key {} ({id:?})", at + 1),
        _ => format!("key {}", at + 1),
    }
}

fn read_key(value: &Value, accepted: &[Algorithm]) -> Result<Vec<Key>, String> {
    let jwk = Jwk::deserialize(value).map_err(|_| "it is no JSON Web Key (RFC 7517 section 4)")?;
    // What it is for comes before what it is: of a key for others nothing else is of interest.
    if jwk.common.public_key_use.is_some_and(|public_use| public_use != PublicKeyUse::Signature) {
        return Err("`use` is not `sig`".to_owned());
    }
    if jwk.common.key_operations.is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
        return Err("`key_ops` does not have `verify`".to_owned());
    }
    if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) || value.get("kty") == Some(&Value::from("oct")) {
        return Err("symmetric keys are not taken from sets".to_owned());
    }
    if PRIVATE.iter().any(|name| value.get(name).is_some()) {
        return Err("it is a private key, and known to everybody".to_owned());
    }
    if jwk.common.key_id.as_ref().is_some_and(|id| id.len() > MAX_KEY_ID) {
        return Err(format!("`kid` is longer than {MAX_KEY_ID} bytes"));
    }
    let mut fitting = fitting(&jwk.algorithm)?;
    // The crate's own reading of `alg` does not know all that we do.
    if let Some(named) = value.get("alg") {
        fitting.retain(|algorithm| *named == algorithm.as_str());
        if fitting.is_empty() {
            return Err(format!("`alg` is {named}, which is not for such a key or not known"));
        }
    }
    fitting.retain(|algorithm| accepted.contains(algorithm));
    if fitting.is_empty() {
        return Err("it is for none of the issuer's `algorithms`".to_owned());
    }
    let key = |algorithm| {
        let id = jwk.common.key_id.as_deref().map(Into::into);
        Ok(Key { id, algorithm, material: material(&jwk.algorithm, algorithm)? })
    };
    fitting.into_iter().map(key).collect()
}

/// The algorithms that a key of this kind could be for.
fn fitting(parameters: &AlgorithmParameters) -> Result<Vec<Algorithm>, String> {
    let is = |algorithm: &Algorithm| match (parameters, Kind::of(*algorithm)) {
        (AlgorithmParameters::RSA(_), Kind::Rsa(_)) => true,
        (AlgorithmParameters::EllipticCurve(key), Kind::Ec(_, curve)) => curve_of(&key.curve) == Some(curve),
        (AlgorithmParameters::OctetKeyPair(key), Kind::Ed25519) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let fitting: Vec<Algorithm> = Algorithm::ALL.iter().copied().filter(is).collect();
    if fitting.is_empty() {
        return Err("`kty` and `crv` are none that are known, or what belongs to them is missing".to_owned());
    }
    Ok(fitting)
}

fn curve_of(named: &EllipticCurve) -> Option<Curve> {
    match named {
        EllipticCurve::P256 => Some(Curve::P256),
        EllipticCurve::P384 => Some(Curve::P384),
        EllipticCurve::P521 => Some(Curve::P521),
        _ => None,
    }
}

fn material(parameters: &AlgorithmParameters, algorithm: Algorithm) -> Result<Material, String> {
    let bytes = |text: &str| base64url::decoded(text).ok_or("a member is not base64url without padding");
    let material = match (parameters, Kind::of(algorithm)) {
        (AlgorithmParameters::RSA(key), Kind::Rsa(parameters)) => {
            Material::rsa(parameters, &bytes(&key.n)?, &bytes(&key.e)?)
        }
        (AlgorithmParameters::EllipticCurve(key), Kind::Ec(algorithm, curve)) => {
            Material::ec(algorithm, curve, &bytes(&key.x)?, &bytes(&key.y)?)
        }
        (AlgorithmParameters::OctetKeyPair(key), Kind::Ed25519) => Material::ed25519(&bytes(&key.x)?),
        _ => Err("it is of another kind than its algorithm"),
    };
    material.map_err(str::to_owned)
}
