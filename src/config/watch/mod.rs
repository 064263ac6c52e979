//! Noticing that files have changed: configuration, certificates and keys.
//!
//! Folders are watched, never files, because editors and deployments put a new file in the place of the old one.
//! Symlinks are followed at every step: Kubernetes mounts `routes.yaml → ..data/routes.yaml` and swaps `..data`.
//! Whatever an event says, only the bytes decide; and where events do not arrive (network file systems), a slow look
//! finds the change.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256};
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecursiveMode, Watcher as _};

use crate::base::clock;

#[cfg(test)]
mod tests;

/// Symlinks followed for one file; more are a loop.
const MAX_STEPS: usize = 64;

/// When to look.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// A change has settled when nothing happened for this long.
    quiet: Duration,
    /// Look at the latest this long after the first event, however busy the folder is.
    most: Duration,
    /// Look without any event.
    poll: Duration,
}

const TIMING: Timing =
    Timing { quiet: Duration::from_millis(150), most: Duration::from_secs(1), poll: Duration::from_secs(5) };

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("the system does not let this process watch files")]
    Notify(#[from] notify::Error),
    #[error("the thread `config-watch` cannot be started")]
    Thread(#[source] std::io::Error),
}

/// Watches files on a thread of its own, `config-watch`, until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    messages: mpsc::Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Changed(notify::Result<notify::Event>),
    Stop,
}

impl Watcher {
    /// Calls `changed` whenever the bytes of any of these files differ from what they were when it was last called,
    /// or at this start. A file that is gone is not a change; a different one in its place is.
    ///
    /// Start watching before the first reading: then no change falls between the two.
    ///
    /// # Errors
    /// When the system has no more watches or threads. A folder that is not there is no error; the slow look waits
    /// for it.
    pub fn start(paths: Vec<PathBuf>, changed: impl Fn() + Send + Sync + 'static) -> Result<Self, WatchError> {
        Self::start_with(paths, TIMING, changed)
    }

    fn start_with(
        paths: Vec<PathBuf>,
        timing: Timing,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, WatchError> {
        let (messages, inbox) = mpsc::channel();
        let events = messages.clone();
        // Sending fails only when the thread has ended, and then nobody is interested.
        let notify = notify::recommended_watcher(move |event| drop(events.send(Message::Changed(event))))?;
        let files = paths.into_iter().map(File::new).collect();
        let mut watch = Watch { notify, files, steps: BTreeSet::new(), folders: BTreeSet::new(), timing };
        watch.follow();
        watch.look_first();
        let body = move || watch.run(&inbox, &changed);
        let thread = thread::Builder::new().name("config-watch".into()).spawn(body).map_err(WatchError::Thread)?;
        Ok(Self { messages, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It fails when the thread has ended already.
        drop(self.messages.send(Message::Stop));
        // From within `changed`, the thread ends after it has returned.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!(thread = "config-watch", "thread panicked");
        }
    }
}

struct File {
    path: PathBuf,
    /// SHA-256 of the bytes last seen.
    seen: Option<[u8; 32]>,
    /// Why it could not be read when last looked at; said once, not at every look.
    failing: Option<ErrorKind>,
}

impl File {
    fn new(path: PathBuf) -> Self {
        let path = std::path::absolute(&path).unwrap_or(path);
        Self { path, seen: None, failing: None }
    }

    /// Whether the bytes differ from those last seen.
    fn look(&mut self) -> bool {
        let before = self.failing;
        self.read().unwrap_or_else(|error| {
            if before != self.failing {
                tracing::warn!(
                    file = %self.path.display(), %error,
                    "a watched file cannot be read; what was read last stays in force"
                );
            }
            false
        })
    }

    fn read(&mut self) -> io::Result<bool> {
        let bytes = std::fs::read(&self.path);
        self.failing = bytes.as_ref().err().map(io::Error::kind);
        let now = digest::digest(&SHA256, &bytes?).as_ref().try_into().ok();
        Ok(std::mem::replace(&mut self.seen, now) != now)
    }
}

struct Watch {
    notify: notify::RecommendedWatcher,
    files: Vec<File>,
    /// The files and every symlink on the way to them.
    steps: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    timing: Timing,
}

impl Watch {
    fn run(mut self, inbox: &mpsc::Receiver<Message>, changed: &(impl Fn() + Send + Sync)) {
        loop {
            match inbox.recv_timeout(self.timing.poll) {
                Ok(Message::Changed(event)) if self.concerns(&event) => {
                    if self.settle(inbox).is_err() {
                        return;
                    }
                }
                Ok(Message::Changed(_)) => continue,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.follow();
            if self.look() {
                changed();
            }
        }
    }

    /// Waits until nothing concerning happens any more; `Err` is the end.
    fn settle(&self, inbox: &mpsc::Receiver<Message>) -> Result<(), ()> {
        let end = clock::now() + self.timing.most;
        let mut quiet_at = clock::now() + self.timing.quiet;
        loop {
            let wait = quiet_at.min(end).saturating_duration_since(clock::now());
            match inbox.recv_timeout(wait) {
                Ok(Message::Changed(event)) => {
                    if self.concerns(&event) {
                        quiet_at = clock::now() + self.timing.quiet;
                    }
                    if clock::now() >= end {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(()),
            }
        }
    }

    /// Reading is no change, and the folder may hold busy files of others, such as a log.
    fn concerns(&self, event: &notify::Result<notify::Event>) -> bool {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, "watching files failed; changes are found more slowly");
                return true;
            }
        };
        let reading = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        !reading && (event.need_rescan() || event.paths.iter().any(|path| self.is_on_the_way(path)))
    }

    fn is_on_the_way(&self, path: &Path) -> bool {
        self.steps.contains(path) || self.folders.contains(path)
    }

    /// Watches the folders that lead to the files as they are now. Watching one again costs nothing and mends the
    /// watch of a folder that was replaced.
    fn follow(&mut self) {
        let steps: BTreeSet<PathBuf> = self.files.iter().flat_map(|file| steps(&file.path)).collect();
        let folders: BTreeSet<PathBuf> = steps.iter().filter_map(|step| step.parent()).map(Path::to_owned).collect();
        for folder in self.folders.difference(&folders) {
            if let Err(error) = self.notify.unwatch(folder) {
                tracing::debug!(folder = %folder.display(), %error, "no longer watched");
            }
        }
        for folder in &folders {
            if let Err(error) = self.notify.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), %error, "cannot be watched yet");
            }
        }
        (self.steps, self.folders) = (steps, folders);
    }

    /// Takes the files as they are at the start. What cannot be read then is said by whoever needs it: a file of
    /// routes may well be missing where built-in ones serve.
    fn look_first(&mut self) {
        for file in &mut self.files {
            if let Err(error) = file.read() {
                tracing::debug!(file = %file.path.display(), %error, "a watched file cannot be read yet");
            }
        }
    }

    fn look(&mut self) -> bool {
        // Every file is looked at, so that one change is told once.
        self.files.iter_mut().map(File::look).fold(false, |any, one| any | one)
    }
}

/// A path and every other path on the way to the file: symlinks, and what they lead to.
fn steps(path: &Path) -> BTreeSet<PathBuf> {
    let mut known = BTreeSet::new();
    let mut next = vec![path.to_owned()];
    while let Some(path) = next.pop() {
        if known.len() >= MAX_STEPS || known.contains(&path) {
            continue;
        }
        for ancestor in path.ancestors() {
            let Ok(target) = std::fs::read_link(ancestor) else { continue };
            let (Some(folder), Ok(rest)) = (ancestor.parent(), path.strip_prefix(ancestor)) else { continue };
            known.insert(ancestor.to_owned());
            let target = folder.join(target);
            next.push(if rest.as_os_str().is_empty() { target } else { target.join(rest) });
        }
        known.insert(path);
    }
    known
}
