//! Where models survive a restart: one file each.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};

use super::file::{Fault, MAX_BYTES, moment};
use super::{About, Model};
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
    #[error(
        "{path}: it was made in the future, by a clock that was wrong or as seen by one that is; it judges only where there is no other"
    )]
    Ahead { path: PathBuf },
}

/// Of files whose names are looked at: 20 MB of them.
const MAX_NAMES: usize = 131_072;
/// Of files that are read at a time.
const MAX_READ: usize = 4_096;
/// In place of a route, for the model of those that have none: no name of a route begins like this.
const FALLBACK: &str = "_";
const EXTENSION: &str = "model";
/// Of the name of a route in the name of a file.
const MAX_NAME: usize = 128;
/// By which the clocks of gateways that share a folder may differ.
const SKEW: Duration = Duration::from_mins(1);
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

    /// Of every model that can be read, the newest first but for those of the future, and what is wrong with the others. Of more than 4096 files
    /// the newest. Holds one model at a time.
    #[must_use]
    pub fn list(&self, now: Duration) -> (Vec<About>, Vec<Error>) {
        let (mut files, mut errors) = self.files();
        if files.len() > MAX_READ {
            files.truncate(MAX_READ);
            errors.push(self.too_many(MAX_READ));
        }
        let mut models: Vec<About> =
            files.iter().filter_map(|file| Some(self.read(file, &mut errors)?.about())).collect();
        models.sort_by(|a, b| order(a.made_at, b.made_at, now).then_with(|| b.version.cmp(&a.version)));
        (models, errors)
    }

    /// What a gateway needs: of each route the newest that can be read, one of the future only where there is no other; the newest first. What is
    /// older is not read. Also tells which are of the future: a clock that was ahead would else have the last word until that time comes.
    #[must_use]
    pub fn load_current(&self, now: Duration) -> (Vec<Arc<Model>>, Vec<Error>) {
        let (files, mut errors) = self.files();
        let mut current: BTreeMap<Box<str>, Arc<Model>> = BTreeMap::new();
        let mut budget = MAX_READ;
        for file in files {
            if current.get(&file.route).is_some_and(|model| !is_ahead(model.made_at, now)) {
                continue;
            }
            if budget == 0 {
                errors.push(self.too_many(MAX_READ));
                break;
            }
            budget -= 1;
            let Some(model) = self.read(&file, &mut errors) else { continue };
            if is_ahead(model.made_at, now) {
                errors.push(Error::Ahead { path: self.path_of(&file) });
                current.entry(file.route).or_insert_with(|| Arc::new(model));
            } else {
                current.insert(file.route, Arc::new(model));
            }
        }
        let mut models: Vec<Arc<Model>> = current.into_values().collect();
        models.sort_by(|a, b| order(a.made_at, b.made_at, now).then_with(|| b.version.cmp(&a.version)));
        (models, errors)
    }

    /// The model of this version; of this route, most likely. Reads no other; the names of all only when it is of another route.
    ///
    /// # Errors
    ///
    /// What is wrong with a file that is called so.
    pub fn find(&self, route: Option<&str>, version: &str) -> Result<Option<Arc<Model>>, Error> {
        let mut errors = Vec::new();
        let mut of =
            |file: &Named| self.read(file, &mut errors).filter(|model| *model.version == *version).map(Arc::new);
        let found = of(&Named { route: name_of(route).into(), version: version.into() }).or_else(|| {
            let named = fs::read_dir(&self.path).ok()?.flatten().filter_map(|entry| named(&entry));
            named.filter(|file| *file.version == *version).find_map(|file| of(&file))
        });
        match (found, errors.pop()) {
            (None, Some(error)) => Err(error),
            (found, _) => Ok(found),
        }
    }

    /// Writes a model whole or not at all, and removes the oldest of its route beyond so many, but for those that are pinned and this one. Those of
    /// its future go first.
    ///
    /// # Errors
    ///
    /// The disk, or a model that is too large to be read again. A model that was written stays when others cannot be removed.
    pub fn save(&self, model: &Model, keep: usize, pinned: &[Arc<str>]) -> Result<PathBuf, Error> {
        let saved = Named { route: name_of(model.route.as_deref()).into(), version: (*model.version).into() };
        let path = self.path_of(&saved);
        let bytes = model.to_bytes();
        if bytes.len() > MAX_BYTES {
            return Err(Error::Damaged { path, fault: Fault("too large for a model") });
        }
        self.write(&path, &bytes).map_err(failed(&path))?;
        self.prune(&saved, &moment(model.made_at.saturating_add(SKEW)), keep, pinned)?;
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
        match File::open(&self.path)?.sync_all() {
            // Not every file system can do that for a folder.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            result => result,
        }
    }

    fn prune(&self, saved: &Named, future: &str, keep: usize, pinned: &[Arc<str>]) -> Result<(), Error> {
        let mut found: Vec<Named> = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed(&self.path))? {
            let entry = entry.map_err(failed(&self.path))?;
            if is_abandoned(&entry) {
                remove(&entry.path())?;
            }
            found.extend(named(&entry).filter(|file| file.route == saved.route));
        }
        found.retain(|file| file.version != saved.version && !is_pinned(&file.version, pinned));
        let is_ahead = |file: &Named| *file.version > *future;
        found.sort_unstable_by(|a, b| is_ahead(a).cmp(&is_ahead(b)).then_with(|| b.version.cmp(&a.version)));
        let removed = found.iter().skip(keep.saturating_sub(1)).map(|file| remove(&self.path_of(file)));
        // One that cannot be removed keeps no other.
        removed.fold(Ok(()), Result::and)
    }

    fn path_of(&self, file: &Named) -> PathBuf {
        self.path.join(format!("{}--{}.{EXTENSION}", file.route, file.version))
    }

    fn too_many(&self, most: usize) -> Error {
        Error::TooMany { path: self.path.clone(), most }
    }

    /// The newest first, as they are called.
    fn files(&self) -> (Vec<Named>, Vec<Error>) {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) => return (Vec::new(), vec![failed(&self.path)(error)]),
        };
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Ok(_) if files.len() == MAX_NAMES => {
                    errors.push(self.too_many(MAX_NAMES));
                    break;
                }
                Ok(entry) => files.extend(named(&entry)),
                Err(error) => {
                    errors.push(failed(&self.path)(error));
                    break;
                }
            }
        }
        files.sort_unstable_by(|a, b| b.version.cmp(&a.version));
        (files, errors)
    }

    /// `None` with what is wrong with it, or of a file that is gone.
    fn read(&self, file: &Named, errors: &mut Vec<Error>) -> Option<Model> {
        let path = self.path_of(file);
        let mut bytes = Vec::new();
        let result = File::open(&path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
        match result.map(|_| Model::from_bytes(&bytes)) {
            Ok(Ok(model)) => return Some(model),
            Ok(Err(fault)) => errors.push(Error::Damaged { path, fault }),
            // Removed since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => errors.push(Error::Io { path, source }),
        }
        None
    }
}

/// A file, as it is called; what is in it may be something else.
struct Named {
    /// As [`name_of`] writes it.
    route: Box<str>,
    version: Box<str>,
}

fn named(entry: &DirEntry) -> Option<Named> {
    let path = entry.path();
    let stem = path.file_stem()?.to_str()?;
    let (route, version) = stem.rsplit_once("--")?;
    if path.extension() != Some(OsStr::new(EXTENSION)) || route.starts_with('.') {
        return None;
    }
    Some(Named { route: route.into(), version: version.into() })
}

fn is_ahead(made_at: Duration, now: Duration) -> bool {
    made_at > now.saturating_add(SKEW)
}

/// The newest first, and then those of the future.
fn order(a: Duration, b: Duration, now: Duration) -> Ordering {
    is_ahead(a, now).cmp(&is_ahead(b, now)).then_with(|| b.cmp(&a))
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
