//! Tokens that we make ourselves: for development, and for upstreams that want to be told who calls by a signature.

mod identity;

use std::fmt::{self, Write as _};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use aws_lc_rs::{digest, hmac};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

pub use identity::{IdentitySigner, OpenError};

use crate::base::secret::Secret;
use crate::config::checked::identity::Algorithm;

/// A private key, or a secret that is shared with whoever verifies; read once, so that signing costs the signature alone.
pub struct Signer {
    key: Key,
    algorithm: Algorithm,
}

/// Why a key cannot sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("there is no private key in it: what is needed is PEM, not encrypted (PKCS#8, PKCS#1 or SEC1)")]
    NotPem,
    #[error("the private key is none that can sign tokens: RSA of 2048 to 8192 bits, P-256, P-384 and Ed25519 can")]
    Unusable,
    #[error("this is a key for {}, not for {}", .fits.as_str(), .asked.as_str())]
    Algorithm { fits: Algorithm, asked: Algorithm },
}

/// The cryptographic library has failed, which it does when it gets no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SignError;

impl Signer {
    /// The first private key of a PEM text. Without an `algorithm` it signs with the usual one of its kind: RS256, ES256,
    /// ES384 or EdDSA.
    ///
    /// # Errors
    ///
    /// No key, or none for this algorithm.
    pub fn from_pem(pem: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let key = Key::read(&PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::NotPem)?)?;
        let fits = key.usual_algorithm();
        match algorithm.unwrap_or(fits) {
            algorithm if key.can(algorithm) => Ok(Self { key, algorithm }),
            asked => Err(KeyError::Algorithm { fits, asked }),
        }
    }

    /// HS256.
    #[must_use]
    pub fn from_secret(secret: &Secret) -> Self {
        Self {
            key: Key::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.reveal()))),
            algorithm: Algorithm::Hs256,
        }
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A signed token (RFC 7515 §3.1). `kind` is its `typ`.
    ///
    /// # Errors
    ///
    /// The library fails.
    pub fn sign(&self, claims: &Value, kind: Option<&str>, key_id: Option<&str>) -> Result<String, SignError> {
        let mut header = json!({ "alg": self.algorithm.as_str() });
        for (name, value) in [("typ", kind), ("kid", key_id)] {
            if let Some(value) = value {
                header[name] = value.into();
            }
        }
        let mut token = String::new();
        base64url(header.to_string().as_bytes(), &mut token);
        token.push('.');
        base64url(claims.to_string().as_bytes(), &mut token);
        let signature = self.key.sign(self.algorithm, token.as_bytes())?;
        token.push('.');
        base64url(&signature, &mut token);
        Ok(token)
    }

    /// What verifies its tokens, as a JSON Web Key (RFC 7517 §4) with the [thumbprint](Self::thumbprint) as `kid`; nothing
    /// for a shared secret.
    #[must_use]
    pub fn public_key(&self) -> Option<Value> {
        let mut key = self.key.public()?;
        key["kid"] = self.thumbprint()?.into();
        key["use"] = "sig".into();
        key["alg"] = self.algorithm.as_str().into();
        Some(key)
    }

    /// Whether both have the same private key. Never for shared secrets, of which nothing is shown.
    fn has_key_of(&self, other: &Self) -> bool {
        let public = self.key.public();
        public.is_some() && public == other.key.public()
    }

    /// The SHA-256 of the public key (RFC 7638 §3); nothing for a shared secret.
    #[must_use]
    pub fn thumbprint(&self) -> Option<String> {
        let public = self.key.public()?;
        let mut thumbprint = String::new();
        // The required members in the order of their names, without spaces: so `public` has them.
        base64url(digest::digest(&digest::SHA256, public.to_string().as_bytes()).as_ref(), &mut thumbprint);
        Some(thumbprint)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(")?;
        f.write_str(self.algorithm.as_str())?;
        f.write_char(')')
    }
}

/// Bytes that nobody can guess, as text, for `jti`.
///
/// # Errors
///
/// The library gets no randomness.
pub fn random_id() -> Result<String, SignError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SignError)?;
    let mut id = String::new();
    base64url(&bytes, &mut id);
    Ok(id)
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(Box<hmac::Key>),
}

impl Key {
    fn read(der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let (p256, p384) = (&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED_SIGNING);
        let key = match der {
            // The library takes none shorter than RFC 7518 §3.3 allows.
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(Self::Rsa),
            PrivateKeyDer::Sec1(der) => {
                let read = |curve: &'static EcdsaSigningAlgorithm| {
                    EcdsaKeyPair::from_private_key_der(curve, der.secret_sec1_der()).ok()
                };
                read(p256).map(Self::P256).or_else(|| read(p384).map(Self::P384))
            }
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let elliptic = |curve: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::from_pkcs8(curve, der).ok();
                elliptic(p256)
                    .map(Self::P256)
                    .or_else(|| elliptic(p384).map(Self::P384))
                    .or_else(|| Ed25519KeyPair::from_pkcs8(der).ok().map(Self::Ed25519))
                    .or_else(|| RsaKeyPair::from_pkcs8(der).ok().map(Self::Rsa))
            }
            _ => None,
        };
        key.ok_or(KeyError::Unusable)
    }

    fn usual_algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::P384(_) => Algorithm::Es384,
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::Hmac(_) => Algorithm::Hs256,
        }
    }

    fn can(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa(_) => rsa_encoding(algorithm).is_some(),
            _ => algorithm == self.usual_algorithm(),
        }
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        // The library has its own source and ignores the one that it is given.
        let random = SystemRandom::new();
        Ok(match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let encoding = rsa_encoding(algorithm).ok_or(SignError)?;
                key.sign(encoding, &random, message, &mut signature).map_err(|_| SignError)?;
                signature
            }
            Self::P256(key) | Self::P384(key) => key.sign(&random, message).map_err(|_| SignError)?.as_ref().to_vec(),
            Self::Ed25519(key) => key.try_sign(message).map_err(|_| SignError)?.as_ref().to_vec(),
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        })
    }

    /// The members that a thumbprint is made of, in the order of their names (RFC 7638 §3.2, RFC 8037 §2).
    fn public(&self) -> Option<Value> {
        let text = |bytes: &[u8]| {
            let mut text = String::new();
            base64url(bytes, &mut text);
            text
        };
        Some(match self {
            Self::Rsa(key) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({ "e": text(&e), "kty": "RSA", "n": text(&n) })
            }
            Self::P256(key) | Self::P384(key) => {
                // An uncompressed point (SEC 1 §2.3.3): 4, x, y.
                let point = key.public_key().as_ref().get(1..)?;
                let (x, y) = point.split_at_checked(point.len() / 2)?;
                let curve = if matches!(self, Self::P256(_)) { "P-256" } else { "P-384" };
                json!({ "crv": curve, "kty": "EC", "x": text(x), "y": text(y) })
            }
            Self::Ed25519(key) => json!({ "crv": "Ed25519", "kty": "OKP", "x": text(key.public_key().as_ref()) }),
            Self::Hmac(_) => return None,
        })
    }
}

fn rsa_encoding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &RSA_PSS_SHA256,
        Algorithm::Ps384 => &RSA_PSS_SHA384,
        Algorithm::Ps512 => &RSA_PSS_SHA512,
        _ => return None,
    })
}

/// Without padding (RFC 7515 §2).
fn base64url(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
        // As many letters as it takes for these bytes: one more than there are.
        for letter in 0..=group.len() {
            out.push(char::from(ALPHABET[bits >> (18 - 6 * letter) & 0x3f]));
        }
    }
}

#[cfg(test)]
mod tests;
