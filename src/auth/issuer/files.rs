//! Keys on disk: a key set or PEM files, and whether they are still what was read.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::auth::jwt::{KeyFault, KeySet};
use crate::config::checked::identity::{Algorithm, PemKey};

/// Of one file.
const MAX_BYTES: u64 = 256 * 1024;

/// The files that hold an issuer's keys.
#[derive(Clone, Debug)]
pub(super) enum KeyFiles {
    /// A JSON Web Key Set, and for which algorithms its keys may be.
    KeySet(PathBuf, Vec<Algorithm>),
    Pem(Vec<PemKey>),
}

/// Equal for equal content of all files.
pub(super) type Content = [u8; 32];

/// Keys, and what they were read from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub keys: KeySet,
    pub left_out: Vec<KeyFault>,
    pub content: Content,
}

impl KeyFiles {
    /// # Errors
    ///
    /// A file that cannot be read or holds no key that can be used; names the file.
    pub fn load(&self) -> Result<Loaded, KeyFault> {
        match self {
            Self::KeySet(path, algorithms) => {
                let bytes = read(path)?;
                let content = digest([bytes.as_slice()]);
                let read = KeySet::from_jwks(&bytes, algorithms);
                let (keys, left_out) = read.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(Loaded { keys, left_out, content })
            }
            Self::Pem(files) => {
                // First the content: when a file changes in between, it is not what was read, and is read again.
                let content = self.content()?;
                Ok(Loaded { keys: KeySet::from_pem(files)?, left_out: Vec::new(), content })
            }
        }
    }

    /// # Errors
    ///
    /// A file that cannot be read; names it.
    pub fn content(&self) -> Result<Content, KeyFault> {
        match self {
            Self::KeySet(path, _) => Ok(digest([read(path)?])),
            Self::Pem(keys) => {
                let files: Result<Vec<_>, _> = keys.iter().map(|key| read(&key.file)).collect();
                Ok(digest(files?))
            }
        }
    }

    /// For operators.
    pub fn describe(&self) -> String {
        match self {
            Self::KeySet(path, _) => path.display().to_string(),
            Self::Pem(keys) => {
                let files: Vec<_> = keys.iter().map(|key| key.file.display().to_string()).collect();
                files.join(", ")
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyFault> {
    let named = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(path).map_err(named)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(named)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{} has more than {} KiB", path.display(), MAX_BYTES / 1024));
    }
    Ok(bytes)
}

fn digest(files: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Content {
    let mut context = Context::new(&SHA256);
    for file in files {
        let bytes = file.as_ref();
        // With its length, so that no two lists of files look alike.
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    }
    let mut content = Content::default();
    content.copy_from_slice(context.finish().as_ref());
    content
}
