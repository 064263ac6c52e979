//! The access log: one line of JSON for each finished request.
//!
//! A thread that finishes a request appends the line to a buffer of its own; one writer thread collects the buffers
//! every 100 ms, or as soon as one is well filled, and writes each with one call. So a request never waits
//! for the disk, the writer can find every line at shutdown, and nobody has to flush. A buffer that is full because the
//! writer cannot keep up drops the line and counts it.
//!
//! Lines of one thread stand in the order in which its requests ended; across threads, `time` tells the order.

mod address;
mod line;
mod losses;
mod output;
mod page;
#[cfg(test)]
mod tests;
mod timestamp;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

pub use line::{Escaped, FIELDS, Field};

use self::losses::Losses;
use self::output::Output;
use self::page::Page;
use self::timestamp::Timestamp;
use super::{Metrics, Record};
use crate::base::clock;
use crate::config::checked;

/// The longest time that a line waits while the writer is free.
const COLLECT_INTERVAL: Duration = Duration::from_millis(100);
/// A buffer with this many bytes wakes the writer before its time.
const WAKE_BYTES: usize = 64 << 10;
/// A buffer that a burst has made larger than this is made small again.
const KEEP_BYTES: usize = 1 << 20;
/// `buffer` counts lines; what they hold is bounded too, at this many bytes a line on average.
const BYTES_PER_LINE: usize = 1 << 10;
/// How long dropping the log waits for the writer, when nobody has called `shutdown`.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// Why the access log cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot open the access log {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot write the access log to stdout: {0}")]
    Stdout(io::Error),
    #[error("cannot start the thread that writes the access log: {0}")]
    Thread(io::Error),
}

/// Some lines had not been written when shutdown ran out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access log could not be written to its end in time")]
pub struct ShutdownTimedOut;

/// The access log of a process; shared by all threads.
pub struct AccessLog {
    /// `None` when the log is off.
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    writer: Thread,
}

struct Shared {
    buffers: Mutex<Buffers>,
    limits: Limits,
    losses: Losses,
    errors: IntCounter,
    reopen: AtomicBool,
    stop: AtomicBool,
    finished: Mutex<bool>,
    on_finished: Condvar,
}

/// Of one buffer.
#[derive(Clone, Copy)]
struct Limits {
    lines: usize,
    bytes: usize,
}

/// One buffer for each thread that has written a line.
struct Buffers {
    all: Vec<Arc<Mutex<Buffer>>>,
    closed: bool,
}

/// In cache lines that no other thread's buffer touches.
#[repr(align(128))]
struct Buffer {
    page: Page,
    lines: usize,
    /// The writer has been told about this fill.
    announced: bool,
    /// The writer has been here for the last time.
    closed: bool,
    timestamp: Timestamp,
}

enum Written {
    Buffered,
    /// The writer should come.
    WellFilled,
    Dropped,
}

/// A thread's buffers by log: one, but for tests that run several.
type Own = Vec<(Weak<Shared>, Arc<Mutex<Buffer>>)>;

thread_local! {
    static OWN: RefCell<Own> = const { RefCell::new(Vec::new()) };
}

impl AccessLog {
    /// Opens the target and starts the writer.
    ///
    /// `threads` is the number of threads that serve requests: each gets its part of `buffer`.
    pub fn start(config: &checked::AccessLog, threads: usize, metrics: &Metrics) -> Result<Self, StartError> {
        let output = match &config.target {
            checked::AccessLogTarget::Off => return Ok(Self { running: None }),
            checked::AccessLogTarget::Stdout => Output::stdout().map_err(StartError::Stdout)?,
            checked::AccessLogTarget::File(path) => {
                Output::file(path).map_err(|source| StartError::Open { path: path.clone(), source })?
            }
        };
        Self::with_output(output, config.buffer, threads, metrics)
    }

    fn with_output(output: Output, lines: usize, threads: usize, metrics: &Metrics) -> Result<Self, StartError> {
        let lines = (lines / threads.max(1)).max(1);
        let shared = Arc::new(Shared {
            buffers: Mutex::new(Buffers { all: Vec::new(), closed: false }),
            limits: Limits { lines, bytes: lines.saturating_mul(BYTES_PER_LINE) },
            losses: Losses::new(metrics.access_log_dropped(), clock::now()),
            errors: metrics.access_log_errors(),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            finished: Mutex::new(false),
            on_finished: Condvar::new(),
        });
        let of_writer = Writer { shared: Arc::clone(&shared), output, batch: Page::default(), reported_at: None };
        let writer = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || of_writer.run())
            .map_err(StartError::Thread)?;
        Ok(Self { running: Some(Running { shared, writer: writer.thread().clone() }) })
    }

    /// Appends a line to this thread's buffer. Never waits for the target; a line without room is dropped and counted.
    pub fn write(&self, record: &Record<'_>) {
        let Some(Running { shared, writer }) = &self.running else { return };
        // A thread on its way out has no buffer any more.
        let written =
            OWN.try_with(|own| Shared::write(shared, &mut own.borrow_mut(), record)).unwrap_or(Written::Dropped);
        match written {
            Written::Buffered => {}
            Written::WellFilled => writer.unpark(),
            Written::Dropped => {
                shared.losses.count(1);
                shared.report_losses();
            }
        }
    }

    /// Asks the writer to open the file anew, for log rotation. Returns at once.
    pub fn reopen(&self) {
        if let Some(Running { shared, writer }) = &self.running {
            shared.reopen.store(true, Ordering::Release);
            writer.unpark();
        }
    }

    /// Writes what is buffered and ends; lines that come later are dropped and counted.
    ///
    /// Waits at most `patience`. May be called again.
    pub fn shutdown(&self, patience: Duration) -> Result<(), ShutdownTimedOut> {
        let Some(Running { shared, writer }) = &self.running else { return Ok(()) };
        shared.stop.store(true, Ordering::Release);
        writer.unpark();
        let (finished, _) = shared
            .on_finished
            .wait_timeout_while(lock(&shared.finished), patience, |finished| !*finished)
            .unwrap_or_else(PoisonError::into_inner);
        if *finished { Ok(()) } else { Err(ShutdownTimedOut) }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if let Err(error) = self.shutdown(DROP_PATIENCE) {
            tracing::warn!(%error, "access log left behind");
        }
    }
}

impl Shared {
    fn write(this: &Arc<Self>, own: &mut Own, record: &Record<'_>) -> Written {
        let mine = |(log, _): &&(Weak<Self>, _)| std::ptr::eq(log.as_ptr(), Arc::as_ptr(this));
        if let Some((_, buffer)) = own.iter().find(mine) {
            return lock(buffer).append(record, this.limits);
        }
        own.retain(|(log, _)| log.strong_count() > 0);
        let buffer = Arc::new(Mutex::new(Buffer::new()));
        {
            let mut buffers = lock(&this.buffers);
            if buffers.closed {
                return Written::Dropped;
            }
            buffers.all.push(Arc::clone(&buffer));
        }
        let written = lock(&buffer).append(record, this.limits);
        own.push((Arc::downgrade(this), buffer));
        written
    }

    fn report_losses(&self) {
        if let Some(lines) = self.losses.due(clock::now()) {
            tracing::warn!(lines, "access log lines dropped");
        }
    }
}

impl Buffer {
    fn new() -> Self {
        Self { page: Page::default(), lines: 0, announced: false, closed: false, timestamp: Timestamp::new() }
    }

    fn append(&mut self, record: &Record<'_>, limits: Limits) -> Written {
        if self.closed || self.lines >= limits.lines || self.page.filled().len() >= limits.bytes {
            return Written::Dropped;
        }
        line::append(&mut self.page, &mut self.timestamp, record);
        self.lines += 1;
        if !self.announced && (self.page.filled().len() >= WAKE_BYTES || self.lines * 2 >= limits.lines) {
            self.announced = true;
            return Written::WellFilled;
        }
        Written::Buffered
    }

    /// Takes everything out, leaving an empty page in its place.
    fn take(&mut self, batch: &mut Page) {
        std::mem::swap(&mut self.page, batch);
        self.lines = 0;
        self.announced = false;
    }
}

struct Writer {
    shared: Arc<Shared>,
    output: Output,
    /// Empty between two buffers; changes places with the buffer that is collected, so that neither allocates again.
    batch: Page,
    /// When the last error was reported.
    reported_at: Option<Instant>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let stop = self.shared.stop.load(Ordering::Acquire);
            if self.shared.reopen.swap(false, Ordering::AcqRel)
                && let Err(error) = self.output.reopen()
            {
                self.failed(&error, "cannot reopen the access log, the old file stays in use");
            }
            self.collect(stop);
            if stop {
                break;
            }
            self.shared.report_losses();
            thread::park_timeout(COLLECT_INTERVAL);
        }
        match self.shared.losses.rest() {
            0 => {}
            lines => tracing::warn!(lines, "access log lines dropped"),
        }
        // `finished` is set when `self` is dropped, so that a panic here does not leave shutdown waiting.
    }

    fn collect(&mut self, last_time: bool) {
        let buffers = {
            let mut buffers = lock(&self.shared.buffers);
            buffers.closed = last_time;
            buffers.all.clone()
        };
        for buffer in &buffers {
            {
                let mut buffer = lock(buffer);
                buffer.closed = last_time;
                buffer.take(&mut self.batch);
            }
            if !self.batch.filled().is_empty() {
                self.write_batch();
            }
        }
        drop(buffers);
        // A buffer that only the list holds belonged to a thread that has ended.
        lock(&self.shared.buffers)
            .all
            .retain(|buffer| Arc::strong_count(buffer) > 1 || !lock(buffer).page.filled().is_empty());
    }

    fn write_batch(&mut self) {
        if let Err(error) = self.output.follow_rename(clock::now()) {
            self.failed(&error, "cannot follow the access log, which was moved away; the old file stays in use");
        }
        if let Err(failed) = self.output.write(self.batch.filled()) {
            self.shared.losses.count(failed.lines);
            self.failed(&failed.error, "cannot write the access log");
        }
        self.batch.clear(KEEP_BYTES);
    }

    fn failed(&mut self, error: &io::Error, what: &'static str) {
        self.shared.errors.inc();
        let now = clock::now();
        if self.reported_at.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1)) {
            self.reported_at = Some(now);
            tracing::error!(%error, "{what}");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        *lock(&self.shared.finished) = true;
        self.shared.on_finished.notify_all();
    }
}

/// Locks here guard no invariant that a panic could break half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
