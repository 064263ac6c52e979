//! One token: taken apart strictly, its signature verified, its claims judged (RFC 7515, RFC 7519, RFC 8725).
//!
//! A token names neither its key nor its rules: `alg` has to be one that the issuer uses and that the key is for, `kid` selects
//! among keys that are known, and `jwk`, `jku`, `x5c` and `x5u` are not looked at. What would change the meaning of the
//! rest (`crit`, `b64`, `zip`, `enc`) is refused.

mod base64url;
mod claims;
mod json;
mod keys;

use std::sync::Arc;
use std::time::Duration;

pub(super) use claims::EXPIRED;
pub use keys::{KeyFault, KeySet};

use crate::base::reason::Reason;
use crate::config::checked::identity::{Algorithm, ClaimPath, Issuer, TokenTypes};

/// Bytes of a whole token, the largest that is looked at.
pub(super) const MAX_TOKEN: usize = 16 * 1024;

pub(super) const TOO_LONG: Fault = Fault::malformed("The token is longer than 16 KiB.");

/// Bytes of a header, decoded.
const MAX_HEADER: usize = 2 * 1024;

/// Bytes of a `kid`.
const MAX_KEY_ID: usize = 256;

/// Bytes of a signature: that of the largest RSA key.
const MAX_SIGNATURE: usize = 1024;

/// What a verified token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Name of the issuer in the configuration.
    pub issuer: Arc<str>,
    pub subject: Option<Box<str>>,
    /// Value of the claim that tells the partner.
    pub partner: Option<Box<str>>,
    pub id: Option<Box<str>>,
    /// Sorted, without repetition.
    pub scopes: Box<[Box<str>]>,
    /// Seconds since 1970 UTC.
    pub issued_at: Option<u64>,
    /// Seconds since 1970 UTC, without leeway.
    pub expires: Option<u64>,
    /// From here on it is refused: `exp` and leeway. Since 1970 UTC.
    pub ends: Duration,
    /// Claims that rules ask for, as far as they are there.
    pub claims: Box<[(ClaimPath, serde_json::Value)]>,
}

/// A token that has been taken apart, and nothing of it believed.
#[derive(Debug)]
pub struct Unverified<'t> {
    pub text: &'t str,
    pub key_id: Option<String>,
    /// `iss`, if it is there.
    pub issuer: Option<String>,
    algorithm: Algorithm,
    /// `typ`, if it is there.
    kind: Option<String>,
    /// How much of the text is signed.
    signed: usize,
    /// Claims and signature, decoded.
    body: Vec<u8>,
    /// How much of the body is claims.
    claims: usize,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    /// For the client.
    pub detail: &'static str,
}

impl Fault {
    const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail }
    }

    const fn malformed(detail: &'static str) -> Self {
        Self::new(Reason::JwtMalformed, detail)
    }
}

/// Takes a token apart; `text` is what stood behind `Bearer`.
///
/// # Errors
///
/// When it could not be good for anybody: `JWT_MALFORMED`; `JWT_ALGORITHM` when its `alg` is none that is known;
/// `JWT_CLAIMS` when its `iss` is no text.
pub fn parse(text: &str) -> Result<Unverified<'_>, Fault> {
    if text.len() > MAX_TOKEN {
        return Err(TOO_LONG);
    }
    let mut parts = text.split('.');
    let (Some(header), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::malformed("A signed token has three parts with dots between them (RFC 7515 section 3.1)."));
    };
    if header.is_empty() || claims.is_empty() || signature.is_empty() {
        return Err(Fault::malformed("A part of the token is empty."));
    }
    if header.len() > MAX_HEADER.div_ceil(3) * 4 {
        return Err(Fault::malformed("The header of the token is longer than 2 KiB."));
    }
    let signed = header.len() + 1 + claims.len();

    let mut body = Vec::with_capacity(text.len());
    decode(header, &mut body)?;
    let header = Header::read(&body)?;

    body.clear();
    decode(claims, &mut body)?;
    let issuer = issuer(&body)?;
    let claims = body.len();
    decode(signature, &mut body)?;
    if body.len() - claims > MAX_SIGNATURE {
        return Err(Fault::malformed("The signature of the token is longer than any."));
    }
    let Header { algorithm, kind, key_id } = header;
    Ok(Unverified { text, key_id, issuer, algorithm, kind, signed, body, claims })
}

fn decode(part: &str, into: &mut Vec<u8>) -> Result<(), Fault> {
    base64url::decode(part.as_bytes(), into)
        .ok_or(Fault::malformed("A part of the token is not base64url without padding (RFC 7515 section 2)."))
}

/// What counts of a header.
struct Header {
    algorithm: Algorithm,
    kind: Option<String>,
    key_id: Option<String>,
}

impl Header {
    fn read(json: &[u8]) -> Result<Self, Fault> {
        let (mut algorithm, mut kind, mut key_id, mut fault) = (None, None, None, None);
        json::read(json, |name, shape| {
            let found = match (name, shape) {
                ("alg", json::Shape::Text(text)) => known(&text).map(|known| algorithm = Some(known)),
                ("typ", json::Shape::Text(text)) => {
                    kind = Some(text.into_owned());
                    Ok(())
                }
                ("kid", json::Shape::Text(text)) if text.len() <= MAX_KEY_ID => {
                    key_id = Some(text.into_owned());
                    Ok(())
                }
                ("kid", json::Shape::Text(_)) => Err(Fault::malformed("`kid` is longer than 256 bytes.")),
                ("alg" | "typ" | "kid", json::Shape::Other) => {
                    Err(Fault::malformed("`alg`, `typ` or `kid` is not a text."))
                }
                ("crit", _) => Err(Fault::malformed("The token asks for an extension (`crit`), and none is known.")),
                ("b64", _) => Err(Fault::malformed("Tokens with `b64` are not accepted (RFC 7797 section 7).")),
                ("enc" | "zip", _) => Err(Fault::malformed("Encrypted or compressed tokens are not accepted.")),
                _ => Ok(()),
            };
            if let Err(found) = found {
                fault.get_or_insert(found);
            }
        })
        .map_err(|fault| match fault {
            json::Fault::NoObject => Fault::malformed("The header of the token is not a JSON object."),
            json::Fault::NameTwice => Fault::malformed("The header of the token has a member twice."),
            json::Fault::TooDeep => Fault::malformed("The header of the token is nested too deeply."),
        })?;
        match (fault, algorithm) {
            (Some(fault), _) => Err(fault),
            (None, None) => Err(Fault::malformed("The header of the token has no `alg`.")),
            (None, Some(_)) if json.len() > MAX_HEADER => {
                Err(Fault::malformed("The header of the token is longer than 2 KiB."))
            }
            (None, Some(algorithm)) => Ok(Self { algorithm, kind, key_id }),
        }
    }
}

fn known(name: &str) -> Result<Algorithm, Fault> {
    let unsigned = name.eq_ignore_ascii_case("none");
    Algorithm::ALL.iter().copied().find(|algorithm| algorithm.as_str() == name).ok_or(Fault::new(
        Reason::JwtAlgorithm,
        if unsigned { "Tokens without signature are not accepted." } else { "`alg` is no algorithm that is accepted." },
    ))
}

/// The one claim that says whose rules are to be applied. The others are read when the signature is known to be good.
fn issuer(claims: &[u8]) -> Result<Option<String>, Fault> {
    let mut issuer = Ok(None);
    json::read(claims, |name, shape| {
        if name == "iss" {
            issuer = match shape {
                json::Shape::Text(text) => Ok(Some(text.into_owned())),
                json::Shape::Other => Err(Fault::new(Reason::JwtClaims, "`iss` is not a text.")),
            };
        }
    })
    .map_err(|fault| match fault {
        json::Fault::NoObject => Fault::malformed("The claims of the token are not a JSON object."),
        json::Fault::NameTwice => Fault::malformed("The claims of the token have a member twice."),
        json::Fault::TooDeep => Fault::malformed("The claims of the token are nested too deeply."),
    })?;
    issuer
}

impl Unverified<'_> {
    /// Whether `keys` has a key for it; if not, a newer set may.
    #[must_use]
    pub fn has_key(&self, keys: &KeySet) -> bool {
        keys.has(self.key_id.as_deref())
    }

    /// Verifies signature and claims, and keeps the claims in `kept`. `now` is since 1970 UTC.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong: algorithm, key and signature, then `typ`, `iss`, `aud`, the times, and the types of
    /// the claims that mean something.
    pub fn verify(&self, issuer: &Issuer, keys: &KeySet, kept: &[ClaimPath], now: Duration) -> Result<Token, Fault> {
        if !issuer.algorithms.contains(&self.algorithm) {
            return Err(Fault::new(Reason::JwtAlgorithm, "`alg` is none that the issuer of the token uses."));
        }
        let (claims, signature) = self.body.split_at_checked(self.claims).unwrap_or_default();
        let signed = self.text.as_bytes().get(..self.signed).unwrap_or_default();
        keys.verify(self.algorithm, self.key_id.as_deref(), signed, signature)?;
        self.check_type(&issuer.types)?;
        if self.issuer.as_deref() != issuer.issuer.as_deref() {
            return Err(Fault::new(Reason::JwtIssuer, "`iss` is not the issuer whose key signed the token."));
        }
        claims::judge(claims, issuer, kept, now)
    }

    fn check_type(&self, types: &TokenTypes) -> Result<(), Fault> {
        const PREFIX: &str = "application/";
        let Some(kind) = self.kind.as_deref() else {
            return if types.untyped { Ok(()) } else { Err(Fault::new(Reason::JwtType, "The token has no `typ`.")) };
        };
        // RFC 7515 §4.1.9: a media type, which has no case, and whose beginning may be left out.
        let short = match kind.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
            _ => kind,
        };
        if types.named.iter().any(|named| named.eq_ignore_ascii_case(short)) {
            return Ok(());
        }
        Err(Fault::new(Reason::JwtType, "`typ` is none that is accepted."))
    }
}

#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, clippy::panic, reason = "it is there to fail where a guarantee is broken")]
pub mod invariants;
#[cfg(test)]
pub(super) mod mint;
#[cfg(test)]
mod tests;
