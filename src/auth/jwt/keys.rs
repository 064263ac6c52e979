//! The keys of an issuer.

use crate::base::secret::Secret;
use crate::config::checked::identity::{Algorithm, PemKey};

/// The keys that an issuer signs with now. Each has one algorithm.
#[derive(Debug, Default)]
pub struct KeySet {}

/// Why a file or an answer is no set of keys, or a key was left out; for operators.
pub type KeyFault = String;

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that cannot be used (of other algorithms, for encryption, too short, symmetric)
    /// are left out, and said.
    ///
    /// # Errors
    ///
    /// It is no key set, or none of its keys can be used.
    pub fn from_jwks(bytes: &[u8], accepted: &[Algorithm]) -> Result<(Self, Vec<KeyFault>), KeyFault> {
        let _ = (bytes, accepted);
        Err(String::new())
    }

    /// # Errors
    ///
    /// A file that cannot be read, or is no key of its algorithm.
    pub fn from_pem(keys: &[PemKey]) -> Result<Self, KeyFault> {
        let _ = keys;
        Err(String::new())
    }

    #[must_use]
    pub fn from_secret(secret: &Secret) -> Self {
        let _ = secret;
        Self {}
    }

    /// Whether a token with this `kid` could be verified.
    #[must_use]
    pub fn has(&self, key_id: Option<&str>) -> bool {
        let _ = key_id;
        false
    }

    /// These keys, and those of `old` that are not among them.
    #[must_use]
    pub fn with_overlap(self, old: &Self) -> Self {
        let _ = old;
        self
    }

    /// The ids of the keys, for operators.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        Vec::new()
    }
}
