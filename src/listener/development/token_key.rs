//! A key to sign tokens with, so that authentication can be tried without an identity provider.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;

use super::{Error, Mode, Outcome, at, lock, write};
use crate::auth::sign::Signer;

/// The file name that marks the set of public keys which the gateway makes itself.
pub const KEY_SET: &str = "dev-jwks.json";
/// The private key, in the same folder.
const TOKEN_KEY: &str = "dev-token-key.pem";

/// Whether a key set is the one that is made on the spot.
#[must_use]
pub fn is_key_set(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == KEY_SET)
}

/// The private key that belongs to the development key set.
#[must_use]
pub fn token_key_of(set: &Path) -> PathBuf {
    set.with_file_name(TOKEN_KEY)
}

/// Sees to it that there is a development key set (RFC 7517) and the private key to its one key (P-256, mode 0600), and
/// reads that. What is there is never overwritten; a set that is missing is made of its key. Blocks on the file system.
pub fn ensure_token_key(set: &Path) -> Result<(Signer, Outcome), Error> {
    let folder = set.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let key = token_key_of(set);
    fs::create_dir_all(folder).map_err(at(folder))?;
    let _lock = lock(folder)?;
    let (has_key, has_set) = (key.try_exists().map_err(at(&key))?, set.try_exists().map_err(at(set))?);
    if has_set && !has_key {
        return Err(Error::Half { present: set.to_owned(), missing: key });
    }
    if !has_key {
        write(&key, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem(), Mode::Secret)?;
    }
    let signer = Signer::from_pem(&fs::read(&key).map_err(at(&key))?, None)
        .map_err(|source| Error::TokenKey { path: key.clone(), source })?;
    let public = signer.public_key();
    if !has_set {
        write(set, &format!("{:#}\n", json!({ "keys": [public] })), Mode::Public)?;
        return Ok((signer, Outcome::Made));
    }
    let text = fs::read_to_string(set).map_err(at(set))?;
    if !signer.thumbprint().is_some_and(|id| text.contains(&id)) {
        return Err(Error::KeySet { set: set.to_owned(), key });
    }
    Ok((signer, Outcome::Found))
}
