//! The keys of an issuer.

mod jwks;
mod key;
mod pem;

use std::fmt;

use super::Fault;
use crate::base::reason::Reason;
use crate::base::secret::Secret;
use crate::config::checked::identity::{Algorithm, PemKey};
use key::Material;

/// So many keys are tried on a token that names none; each is the cost of a verification, for forged tokens, too.
const MAX_TRIED: usize = 4;

/// The keys that an issuer signs with now. Each has one algorithm; a key that was published without one stands here
/// once for each algorithm that it is good for.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    /// `None` fits any token that names no other.
    id: Option<Box<str>>,
    algorithm: Algorithm,
    material: Material,
}

/// Why a file or an answer is no set of keys, or a key was left out; for operators.
pub type KeyFault = String;

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that cannot be used (of other algorithms, for encryption, too short, symmetric,
    /// private, or with the `kid` and algorithm of one before) are left out, and said. An RSA key without `alg` is good for
    /// all accepted algorithms of its kind, PKCS #1 and PSS alike.
    ///
    /// # Errors
    ///
    /// It is no key set, has more than 100 keys or 256 KiB, or none of its keys can be used.
    pub fn from_jwks(bytes: &[u8], accepted: &[Algorithm]) -> Result<(Self, Vec<KeyFault>), KeyFault> {
        let mut faults = Vec::new();
        let mut set = Self::default();
        for (name, keys) in jwks::read(bytes, accepted)? {
            match keys {
                Ok(keys) => {
                    let twice = keys.into_iter().filter(|key| !set.add(key)).count();
                    if twice > 0 {
                        faults.push(format!("{name}: another one before it has the same `kid` and algorithm"));
                    }
                }
                Err(fault) => faults.push(format!("{name}: {fault}")),
            }
        }
        if set.keys.is_empty() {
            let first = faults.first().map_or(String::new(), |fault| format!("; {fault}"));
            return Err(format!("it has no key that can be used{first}"));
        }
        Ok((set, faults))
    }

    /// Reads public keys (`PUBLIC KEY`, `RSA PUBLIC KEY`) or the keys of certificates (the first of a file; who signed it, and
    /// until when it is good, does not matter here).
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or is no key of its algorithm; two keys of the same `kid` and algorithm.
    pub fn from_pem(keys: &[PemKey]) -> Result<Self, KeyFault> {
        let mut set = Self::default();
        for key in keys {
            let material = pem::read(&key.file, key.algorithm)?;
            let id = key.id.as_deref().map(Into::into);
            if !set.add(&Key { id, algorithm: key.algorithm, material }) {
                return Err(format!("{}: another key has the same `kid` and algorithm", key.file.display()));
            }
        }
        Ok(set)
    }

    /// One secret for HS256, which fits any `kid`. An empty one is no key.
    #[must_use]
    pub fn from_secret(secret: &Secret) -> Self {
        let mut set = Self::default();
        if !secret.reveal().is_empty() {
            let material = Material::shared(secret.reveal());
            set.keys.push(Key { id: None, algorithm: Algorithm::Hs256, material });
        }
        set
    }

    /// Whether a token with this `kid` could be verified.
    #[must_use]
    pub fn has(&self, key_id: Option<&str>) -> bool {
        self.fitting(key_id).next().is_some()
    }

    /// These keys, and those of `old` that are not among them.
    #[must_use]
    pub fn with_overlap(mut self, old: &Self) -> Self {
        for key in &old.keys {
            if !self.keys.iter().any(|known| known.is(key)) {
                self.keys.push(key.clone());
            }
        }
        self
    }

    /// Whether both are good for the same tokens: they have the same keys, in whatever order, but those of one name in the
    /// same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len()
            && self.keys.iter().all(|key| {
                let of_name = |known: &&Key| known.id == key.id && known.algorithm == key.algorithm;
                let ours: Vec<_> = self.keys.iter().filter(of_name).collect();
                let theirs: Vec<_> = other.keys.iter().filter(of_name).collect();
                ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(one, other)| one.is(other))
            })
    }

    /// The ids of the keys, for operators.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for key in &self.keys {
            let id = key.id.as_deref().unwrap_or("(without kid)");
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        ids
    }

    /// Whether `signature` is that of a key which fits.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Fault> {
        let fitting = || self.fitting(key_id).filter(|key| key.algorithm == algorithm);
        match (fitting().count(), key_id) {
            (0, _) if self.has(key_id) => {
                Err(Fault::new(Reason::JwtAlgorithm, "`alg` is not the algorithm of the key that signed the token."))
            }
            (0, Some(_)) => Err(Fault::new(Reason::JwtKeyUnknown, "No key of the issuer has this `kid`.")),
            (0, None) => Err(Fault::new(Reason::JwtKeyUnknown, "The issuer has no keys.")),
            (many, _) if many > MAX_TRIED && !key_id.is_some_and(|id| self.names(id)) => {
                Err(Fault::new(Reason::JwtKeyUnknown, "The issuer has several keys, and the token names none."))
            }
            // Of one name there are several when an issuer gave it to another key: the latest come first.
            _ if fitting().take(MAX_TRIED).any(|key| key.material.verifies(message, signature)) => Ok(()),
            _ => Err(Fault::new(Reason::JwtSignature, "The signature does not fit the token.")),
        }
    }

    /// Keys of this id; if there are none, or none is asked for, those that fit any token.
    fn fitting<'s>(&'s self, key_id: Option<&'s str>) -> impl Iterator<Item = &'s Key> {
        let named = key_id.filter(|id| self.names(id));
        self.keys.iter().filter(move |key| key_id.is_none() || key.id.as_deref() == named)
    }

    fn names(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Not when a token could not tell it from another one.
    fn add(&mut self, key: &Key) -> bool {
        let unique =
            key.id.is_none() || !self.keys.iter().any(|known| known.id == key.id && known.algorithm == key.algorithm);
        if unique {
            self.keys.push(key.clone());
        }
        unique
    }
}

impl Key {
    fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.algorithm == other.algorithm && self.material.same(&other.material)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.algorithm))).finish()
    }
}

/// Whether a file of these bytes would be a key.
#[cfg(any(test, fuzzing))]
pub(super) fn pem_of(bytes: &[u8], algorithm: Algorithm) -> Result<(), &'static str> {
    pem::parse(bytes, key::Kind::of(algorithm)).map(|_| ())
}

#[cfg(test)]
mod tests;
