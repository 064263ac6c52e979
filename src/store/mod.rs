//! What survives a restart: one SQLite file.
//!
//! One thread, `store`, has the file open and does one piece of work after the other; whoever wants something of it waits
//! for the answer without holding up a thread. No request ever does. What it keeps is given and taken as plain values.

pub mod quotas;
pub mod revocations;

mod schema;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::base::{clock, tasks};

pub use schema::{OpenError, OpenProblem};

/// Pieces of work that wait for the thread; whoever brings another one waits for room.
const WAITING: usize = 64;

/// The store of a gateway; clones are the same one.
///
/// A piece of work is one transaction: after a crash, of this process or of the machine, it is there whole or not at all.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    file: PathBuf,
    work: mpsc::Sender<Message>,
    health: Mutex<Health>,
    failed: Box<dyn Fn() + Send + Sync>,
}

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Pieces of work that failed.
    pub errors: u64,
    /// Kinds of work whose last piece failed.
    pub failing: Vec<Failing>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub what: &'static str,
    /// Of the first one in a row, since 1970 UTC.
    pub since: Duration,
    pub error: String,
}

/// Why a piece of work was not done; nothing of it has happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("it panicked")]
    Panicked,
    #[error("the store is closed")]
    Closed,
}

enum Message {
    Work(Box<dyn FnOnce(&mut Connection) + Send>),
    Close(oneshot::Sender<()>),
}

impl Store {
    /// Opens the file, or makes it, readable by this user alone; `failed` is called for each piece of work that fails.
    ///
    /// It blocks, and reads the whole file once to see that it is sound.
    ///
    /// # Errors
    ///
    /// Names the setting and the file: a folder that cannot be made, a file that is damaged, of a newer version of this
    /// program, of another program, or no database.
    pub fn open(file: &Path, failed: impl Fn() + Send + Sync + 'static) -> Result<Self, OpenError> {
        let connection = schema::open(file)?;
        let (work, messages) = mpsc::channel(WAITING);
        let thread = thread::Builder::new().name("store".into()).spawn(move || serve(connection, messages));
        // It ends with the last sender, or when it is told to.
        drop(thread.map_err(|error| OpenError::new(file, OpenProblem::Thread(error)))?);
        let health = Mutex::new(Health::default());
        Ok(Self(Arc::new(Inner { file: file.to_owned(), work, health, failed: Box::new(failed) })))
    }

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    #[must_use]
    pub fn health(&self) -> Health {
        self.lock().clone()
    }

    /// Resolves when everything that was brought before is done and the file is closed. What comes later is refused.
    pub async fn close(&self) {
        let (closed, wait) = oneshot::channel();
        if self.0.work.send(Message::Close(closed)).await.is_ok() {
            // An error means that somebody else has closed it meanwhile.
            wait.await.ok();
        }
    }

    /// Does a piece of work on the thread of the store. A failure is noted, counted and logged here.
    async fn run<T, W>(&self, what: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work = move |connection: &mut Connection| {
            // An error means that whoever asked does not wait any more.
            answer.send(work(connection)).ok();
        };
        let done = match self.0.work.send(Message::Work(Box::new(work))).await {
            Err(_) => Err(StoreError::Closed),
            Ok(()) => match answered.await {
                Ok(done) => done.map_err(StoreError::Sqlite),
                Err(_) if self.0.work.is_closed() => Err(StoreError::Closed),
                Err(_) => Err(StoreError::Panicked),
            },
        };
        self.note(what, done.as_ref().err());
        done
    }

    /// Says a failure when it is a new one, not each second again.
    fn note(&self, what: &'static str, error: Option<&StoreError>) {
        let mut health = self.lock();
        let file = self.0.file.display();
        let known = health.failing.iter().position(|failing| failing.what == what);
        let known = known.map(|at| health.failing.swap_remove(at));
        let Some(error) = error else {
            if known.is_some() {
                tracing::info!(%file, what, "the store works again");
            }
            return;
        };
        health.errors += 1;
        (self.0.failed)();
        let error = error.to_string();
        if known.as_ref().is_none_or(|known| known.error != error) {
            tracing::error!(%file, what, %error, "the store failed; what it was to keep stays in memory and is tried again");
        }
        let since = known.map_or_else(clock::since_epoch, |known| known.since);
        health.failing.push(Failing { what, since, error });
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.0.file).finish()
    }
}

/// The thread of the store.
fn serve(mut connection: Connection, mut messages: mpsc::Receiver<Message>) {
    let closed = loop {
        match messages.blocking_recv() {
            // A transaction that is dropped on the way is rolled back, so the connection is good after a panic.
            Some(Message::Work(work)) => {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&mut connection))) {
                    tracing::error!(thread = "store", message = tasks::panic_message(&*panic), "work panicked");
                }
            }
            Some(Message::Close(closed)) => break Some(closed),
            None => break None,
        }
    };
    drop(messages);
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the store was not closed in order; the next start reads its journal");
    }
    if let Some(closed) = closed {
        // An error means that nobody waits.
        closed.send(()).ok();
    }
}

/// SQLite's integers have a sign.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<u64> {
    optional(row, column)?.ok_or_else(|| rusqlite::Error::InvalidColumnName(column.to_owned()))
}

fn optional(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    let number: Option<i64> = row.get(column)?;
    let unsigned = |number| u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number));
    number.map(unsigned).transpose()
}
