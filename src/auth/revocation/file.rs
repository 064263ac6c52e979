//! The file of revocations.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Mistakes, Revocations, document};
use crate::base::clock;

/// Far above what the highest number of revocations takes.
const MAX_BYTES: u64 = 512 << 20;

/// A file of revocations and what became of it.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    status: Mutex<FileStatus>,
}

/// For operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStatus {
    /// When what is in force was read, since 1970 UTC.
    pub loaded_at: Duration,
    /// Revocations in it, ended ones included.
    pub count: usize,
    /// Why the file as it is now is not in force, and when that was found, since 1970 UTC.
    pub refused: Option<(Duration, String)>,
}

/// Why a file of revocations is not in force.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("credentials.revocations: {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("credentials.revocations: {}: {mistakes}", path.display())]
    Mistakes { path: PathBuf, mistakes: Mistakes },
}

/// What a file has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloaded {
    pub count: usize,
}

impl File {
    /// Reads the file for the first time; it blocks.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has mistakes: then nobody knows what is revoked.
    pub fn open(path: &Path, revocations: &Revocations) -> Result<Self, FileError> {
        let file = Self { path: path.to_owned(), status: Mutex::default() };
        file.read(revocations)?;
        Ok(file)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn status(&self) -> FileStatus {
        self.lock().clone()
    }

    /// Reads the file again; it blocks. With any mistake what it said before stays in force, and that is logged.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has mistakes.
    pub fn reload(&self, revocations: &Revocations) -> Result<Reloaded, FileError> {
        let read = self.read(revocations);
        match &read {
            Ok(Reloaded { count }) => tracing::info!(file = %self.path.display(), count, "revocations read"),
            Err(error) => {
                tracing::error!(%error, "the file of revocations is refused, what it revoked before stays revoked");
                self.lock().refused = Some((clock::since_epoch(), error.to_string()));
            }
        }
        read
    }

    fn read(&self, revocations: &Revocations) -> Result<Reloaded, FileError> {
        let unreadable = |error| FileError::Unreadable { path: self.path.clone(), error };
        let bytes = bytes(&self.path).map_err(unreadable)?;
        let now = clock::since_epoch();
        let listed = document::read(&bytes, now.as_secs());
        let listed = listed.map_err(|mistakes| FileError::Mistakes { path: self.path.clone(), mistakes })?;
        let count = listed.len();
        revocations.replace_file(listed, now.as_secs());
        *self.lock() = FileStatus { loaded_at: now, count, refused: None };
        Ok(Reloaded { count })
    }

    fn lock(&self) -> MutexGuard<'_, FileStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("it is longer than {} MiB", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}
