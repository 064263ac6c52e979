//! The file itself: whose it is, which version it has, and whether it is sound.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// `SLUC`, in the header of every file of ours.
const APPLICATION: i64 = 0x534c_5543;

/// For the user of this process alone: it names partners, subjects and token ids.
const MODE: u32 = 0o600;
/// What SQLite has beside the file, with the mode that the file has when they are made.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Another process has the file for as long as this, such as a backup or the gateway that this one takes over from.
const BUSY: Duration = Duration::from_secs(5);

/// What leads from each version to the next; a version that has been released never changes.
const MIGRATIONS: &[&str] = &["CREATE TABLE quotas (
        scope        TEXT    NOT NULL,
        rule         TEXT    NOT NULL,
        key          TEXT    NOT NULL,
        period_start INTEGER NOT NULL,
        period_end   INTEGER NOT NULL,
        count        INTEGER NOT NULL,
        PRIMARY KEY (scope, rule, key, period_start)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE revocations (
        id            TEXT    NOT NULL PRIMARY KEY,
        token_id      TEXT,
        subject       TEXT,
        partner       TEXT,
        issuer        TEXT,
        issued_before INTEGER,
        until         INTEGER,
        reason        TEXT,
        revoked_at    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;"];

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("store.file: {}: {problem}", file.display())]
pub struct OpenError {
    pub file: PathBuf,
    pub problem: OpenProblem,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenProblem {
    #[error("its folder cannot be made: {0}")]
    Folder(io::Error),
    #[error("it cannot be opened: {0}")]
    File(io::Error),
    #[error("it is no SQLite database; name another file, or move this one away")]
    NoDatabase,
    #[error("it is the database of another program; name another file")]
    Foreign,
    #[error(
        "a newer version of this program wrote it (format {found}, this one knows up to {known}); run that version, or \
         restore the file from before the upgrade"
    )]
    Newer { found: usize, known: usize },
    #[error(
        "it is damaged ({0}); restore it from a backup, or move it away with its `-wal` to begin anew: then what the admin \
         API has revoked is good again, and quotas count from zero"
    )]
    Damaged(String),
    #[error("{0}")]
    Sqlite(rusqlite::Error),
    #[error("its thread cannot be started: {0}")]
    Thread(io::Error),
}

impl OpenError {
    pub(super) fn new(file: &Path, problem: OpenProblem) -> Self {
        Self { file: file.to_owned(), problem }
    }
}

impl From<rusqlite::Error> for OpenProblem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NoDatabase,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}

pub(super) fn open(file: &Path) -> Result<Connection, OpenError> {
    try_open(file).map_err(|problem| OpenError::new(file, problem))
}

fn try_open(file: &Path) -> Result<Connection, OpenProblem> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(OpenProblem::Folder)?;
    }
    let made = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(file);
    drop(made.map_err(OpenProblem::File)?);
    // Without SQLITE_OPEN_URI, so that every name is a name.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY)?;
    // The first look at its content.
    let found = version(&connection)?;
    let is_new = found == 0 && tables(&connection)? == 0;
    if !is_new && pragma(&connection, "application_id")? != APPLICATION {
        return Err(OpenProblem::Foreign);
    }
    if found > MIGRATIONS.len() {
        return Err(OpenProblem::Newer { found, known: MIGRATIONS.len() });
    }
    keep_private(file);
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(OpenProblem::Damaged(sound));
    }
    // Answers with the mode that it has now, which is another one where the file system cannot have it.
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(file = %file.display(), mode, "the store cannot have a write-ahead log here and is slower");
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// A file that was there before, such as a backup that was put back, may be open to others. Only done to a file that is ours.
fn keep_private(file: &Path) {
    let beside = BESIDE.iter().map(|suffix| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    });
    for path in std::iter::once(file.to_owned()).chain(beside) {
        // What is not there will be made with the mode of the file.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & !MODE == 0 {
            continue;
        }
        let (file, found) = (path.display(), format!("{mode:04o}"));
        match fs::set_permissions(&path, fs::Permissions::from_mode(MODE)) {
            Ok(()) => tracing::warn!(%file, found, "store.file was open to other users and is private now"),
            Err(error) => {
                tracing::warn!(%file, found, %error, "store.file is open to other users and cannot be made private");
            }
        }
    }
}

/// All steps at once or none; asks for the version again, because another process may have been first.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    for step in MIGRATIONS.get(found..).unwrap_or_default() {
        transaction.execute_batch(step)?;
    }
    if found < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", super::to_sql(MIGRATIONS.len() as u64))?;
    }
    transaction.commit()
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    // A negative one is nobody's, and so refused as a newer one.
    Ok(usize::try_from(pragma(connection, "user_version")?).unwrap_or(usize::MAX))
}

fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
