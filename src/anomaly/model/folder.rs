//! Where models survive a restart: one file each.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};

use super::Model;
use super::file::{Fault, MAX_BYTES};
use crate::base::clock;

/// A folder of model files: `ROUTE--VERSION.model`.
///
/// Several gateways may have the same one: files are never changed once they have their name, which tells what is in them, and one
/// that another gateway removes meanwhile is none. They then share what is kept of a route.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// What became of one file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {fault}")]
    Damaged { path: PathBuf, fault: Fault },
    #[error("{path}: there are more than {most} models; the others were not read")]
    TooMany { path: PathBuf, most: usize },
}

const MAX_FILES: usize = 4_096;
/// In place of a route, for the model of those that have none: no name of a route begins like this.
const FALLBACK: &str = "_";
const EXTENSION: &str = "model";
/// Of the name of a route in the name of a file.
const MAX_NAME: usize = 128;
/// After which a file that was never given its name is of a process that is gone.
const ABANDONED: Duration = Duration::from_hours(1);

impl Folder {
    /// Makes it when there is none.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(failed(path))?;
        Ok(Self { path: path.to_owned() })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every model that can be read, the newest first, and what is wrong with the others. At most 4096 of them.
    #[must_use]
    pub fn load(&self) -> (Vec<Arc<Model>>, Vec<Error>) {
        let (files, mut errors) = self.files();
        let mut models = Vec::new();
        for file in files {
            models.extend(read(&file.path, &mut errors).map(Arc::new));
        }
        (newest_first(models), errors)
    }

    /// What a gateway needs: of each route the newest that can be read; the newest first. The others are not read.
    #[must_use]
    pub fn load_current(&self) -> (Vec<Arc<Model>>, Vec<Error>) {
        let (files, mut errors) = self.files();
        let mut routes: BTreeMap<String, Vec<Named>> = BTreeMap::new();
        for file in files {
            routes.entry(file.route.clone()).or_default().push(file);
        }
        let mut models = Vec::new();
        for mut files in routes.into_values() {
            files.sort_unstable_by(|a, b| b.version.cmp(&a.version));
            models.extend(files.iter().find_map(|file| read(&file.path, &mut errors)).map(Arc::new));
        }
        (newest_first(models), errors)
    }

    /// The model of this version; of this route, most likely. Reads no other; the names of all only when it is of another route.
    ///
    /// # Errors
    ///
    /// What is wrong with a file that is called so.
    pub fn find(&self, route: Option<&str>, version: &str) -> Result<Option<Arc<Model>>, Error> {
        let mut errors = Vec::new();
        let mut of = |path: &Path| read(path, &mut errors).filter(|model| *model.version == *version).map(Arc::new);
        let found = of(&self.file(&name_of(route), version)).or_else(|| {
            let entries = fs::read_dir(&self.path).ok()?.flatten();
            let named = entries.filter_map(|entry| named(&entry)).filter(|file| file.version == version);
            named.map(|file| file.path).find_map(|path| of(&path))
        });
        match (found, errors.pop()) {
            (None, Some(error)) => Err(error),
            (found, _) => Ok(found),
        }
    }

    /// Writes a model whole or not at all, and removes the oldest of its route beyond so many, but for those that are pinned and this one.
    ///
    /// # Errors
    ///
    /// The disk, or a model that is too large to be read again. A model that was written stays when others cannot be removed.
    pub fn save(&self, model: &Model, keep: usize, pinned: &[Arc<str>]) -> Result<PathBuf, Error> {
        let route = name_of(model.route.as_deref());
        let path = self.file(&route, &model.version);
        let bytes = model.to_bytes();
        if bytes.len() > MAX_BYTES {
            return Err(Error::Damaged { path, fault: Fault("too large for a model") });
        }
        self.write(&path, &bytes).map_err(failed(&path))?;
        self.prune(&route, &model.version, keep, pinned)?;
        Ok(path)
    }

    /// Under another name first, which no reader takes for a model.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.path.join(format!(".{}-{:016x}.tmp", std::process::id(), fastrand::u64(..)));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            // What matters is why it could not be written.
            let _ = fs::remove_file(&unfinished);
            return written;
        }
        // The name survives a crash of the machine, too.
        File::open(&self.path)?.sync_all()
    }

    fn prune(&self, route: &str, saved: &str, keep: usize, pinned: &[Arc<str>]) -> Result<(), Error> {
        let mut found: Vec<Named> = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed(&self.path))? {
            let entry = entry.map_err(failed(&self.path))?;
            if is_abandoned(&entry) {
                remove(&entry.path())?;
            }
            found.extend(named(&entry).filter(|file| file.route == route));
        }
        found.retain(|file| file.version != saved && !is_pinned(&file.version, pinned));
        found.sort_unstable_by(|a, b| b.version.cmp(&a.version));
        found.iter().skip(keep.saturating_sub(1)).try_for_each(|file| remove(&file.path))
    }

    fn file(&self, route: &str, version: &str) -> PathBuf {
        self.path.join(format!("{route}--{version}.{EXTENSION}"))
    }

    fn files(&self) -> (Vec<Named>, Vec<Error>) {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) => return (Vec::new(), vec![failed(&self.path)(error)]),
        };
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Ok(entry) => files.extend(named(&entry)),
                Err(error) => errors.push(failed(&self.path)(error)),
            }
            if files.len() > MAX_FILES {
                files.truncate(MAX_FILES);
                errors.push(Error::TooMany { path: self.path.clone(), most: MAX_FILES });
                break;
            }
        }
        (files, errors)
    }
}

/// A file, as it is called; what is in it may be something else.
struct Named {
    path: PathBuf,
    /// As [`name_of`] writes it.
    route: String,
    version: String,
}

fn named(entry: &DirEntry) -> Option<Named> {
    let path = entry.path();
    let stem = path.file_stem()?.to_str()?;
    let (route, version) = stem.rsplit_once("--")?;
    if path.extension() != Some(OsStr::new(EXTENSION)) || route.starts_with('.') {
        return None;
    }
    Some(Named { route: route.to_owned(), version: version.to_owned(), path })
}

/// `None` with what is wrong with it, or of a file that is gone.
fn read(path: &Path, errors: &mut Vec<Error>) -> Option<Model> {
    let mut bytes = Vec::new();
    let result = File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    match result.map(|_| Model::from_bytes(&bytes)) {
        Ok(Ok(model)) => return Some(model),
        Ok(Err(fault)) => errors.push(Error::Damaged { path: path.to_owned(), fault }),
        // Removed since the folder was read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => errors.push(Error::Io { path: path.to_owned(), source }),
    }
    None
}

fn newest_first(mut models: Vec<Arc<Model>>) -> Vec<Arc<Model>> {
    models.sort_by(|a, b| (b.made_at, &b.version).cmp(&(a.made_at, &a.version)));
    models
}

/// The route in the name of a file: no other route has the same, and no path or hidden file comes of it.
fn name_of(route: Option<&str>) -> String {
    let Some(route) = route else { return FALLBACK.to_owned() };
    let mut name = String::new();
    for (at, byte) in route.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || (at > 0 && matches!(byte, b'-' | b'_' | b'.')) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.is_empty() || name.len() > MAX_NAME {
        let digest = digest(&SHA256, route.as_bytes());
        name = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        name.insert(0, '%');
    }
    name
}

fn is_pinned(version: &str, pinned: &[Arc<str>]) -> bool {
    pinned.iter().any(|pin| **pin == *version)
}

fn is_abandoned(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let is_ours = name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".tmp"));
    let modified = || entry.metadata().and_then(|metadata| metadata.modified()).ok();
    is_ours && modified().is_some_and(|at| at + ABANDONED < UNIX_EPOCH + clock::since_epoch())
}

/// What another gateway has removed meanwhile is removed.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    |source| Error::Io { path: path.to_owned(), source }
}
