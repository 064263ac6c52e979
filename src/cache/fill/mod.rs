//! An answer while it comes: one writes, any number read, each at its own pace and on its own thread.
//!
//! Pieces are shared, never copied. While the answer is kept, all of them stay, so that a slow reader slows nobody; what is not
//! kept goes when all have read it, and the writer waits for the slowest.

mod state;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use self::state::Shared;
use super::storable::NotStored;
use super::stored::{Head, Stored};
use crate::base::reason::Reason;

/// What became of the question to the upstream.
#[derive(Clone, Debug)]
pub enum Begun {
    /// What was stored holds; or everything came at once.
    Stored { stored: Arc<Stored>, confirmed: bool },
    /// Its head is here, its body follows. It is kept when it is whole, or it is not kept and why.
    Coming { head: Arc<Head>, length: Option<u64>, kept: Result<(), NotStored>, for_first: ForFirst },
    /// It is for whoever asked first; everybody else has to ask for itself.
    Alone,
    /// There is no answer. Everybody who waited learns it.
    Failed(Reason),
}

/// Fields that are for whoever asked first alone.
pub type ForFirst = Arc<[(HeaderName, HeaderValue)]>;

/// The next part of a body.
#[derive(Clone, Debug)]
pub enum Part {
    Data(Bytes),
    End(Option<Arc<HeaderMap>>),
    /// It ends here, and is not whole.
    Broken(Reason),
}

/// Bytes that an answer that is not kept may be ahead of its reader.
pub const AHEAD: usize = 256 * 1024;

/// Writes an answer. Dropped before its end, it is broken.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

/// Reads an answer from its beginning. Each call replaces the waker of the one before.
#[derive(Debug)]
pub struct Reader {
    /// It asked first.
    pub first: bool,
    shared: Arc<Shared>,
    seat: usize,
}

impl Writer {
    /// Of an answer that nobody reads yet.
    pub(super) fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Says what comes, once. With [`Begun::Coming`] that is not kept, only the first reader has it; the others learn
    /// [`Begun::Alone`].
    pub fn begin(&mut self, begun: Begun) {
        self.shared.change(|state| state.begin(begun));
    }

    /// Appends to the body, after [`Begun::Coming`].
    pub fn push(&mut self, data: Bytes) {
        self.shared.change(|state| state.push(data));
    }

    /// Ready when more may be pushed: always for what is kept; otherwise the reader must not be too far behind. Ready, too, when
    /// nobody reads any more.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.has_room() {
            return Poll::Ready(());
        }
        let replaced = state.wait_for_room(cx.waker());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Whether anybody will still read what is pushed.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.shared.lock().is_wanted()
    }

    /// It will not be kept after all: what all readers have read is let go, and the writer waits when it is `ahead` bytes before the
    /// slowest of them. Newcomers have to ask for themselves.
    pub fn keep_no_longer(&mut self, ahead: usize) {
        self.shared.lock().keep_no_longer(ahead);
    }

    /// What was pushed, in order, as long as it is kept.
    #[must_use]
    pub fn whole(&self) -> Vec<Bytes> {
        self.shared.lock().whole()
    }

    /// Everything has come; readers go on reading it.
    pub fn end(&mut self, trailers: Option<HeaderMap>) {
        self.shared.change(|state| state.end(Part::End(trailers.map(Arc::new))));
    }

    /// The answer fails here, or does not come at all.
    pub fn fail(&mut self, reason: Reason) {
        self.shared.change(|state| state.fail(reason));
    }

    /// For whoever joins.
    pub(super) fn answer(&self) -> Answer {
        Answer(Arc::clone(&self.shared))
    }

    /// Whether its answer holds for later requests.
    pub(super) fn is_kept(&self) -> bool {
        self.shared.lock().is_kept()
    }

    fn reader(&self, first: bool) -> Reader {
        Reader { first, shared: Arc::clone(&self.shared), seat: self.shared.lock().attach(first) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.fail(Reason::UpstreamReset);
    }
}

impl Reader {
    /// What became of the question.
    pub fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Begun> {
        let mut state = self.shared.lock();
        if let Some(begun) = state.begun(self.seat) {
            return Poll::Ready(begun);
        }
        let replaced = state.wait(self.seat, cx.waker());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// The next part of the body, after [`Begun::Coming`]; never an empty piece.
    pub fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        let mut state = self.shared.lock();
        if let Some(part) = state.next(self.seat) {
            let writer = state.writer_with_room();
            drop(state);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(part);
        }
        let replaced = state.wait(self.seat, cx.waker());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let own = state.detach(self.seat);
        let writer = state.writer_with_room();
        drop(state);
        drop(own);
        writer.into_iter().for_each(Waker::wake);
    }
}

/// An answer that can be joined.
#[derive(Debug)]
pub(super) struct Answer(Arc<Shared>);

impl Answer {
    /// Reads it from the beginning. `None` when it is for others only, or known to be broken.
    pub(super) fn join(&self) -> Option<Reader> {
        let mut state = self.0.lock();
        let seat = state.is_open().then(|| state.attach(false))?;
        Some(Reader { first: false, shared: Arc::clone(&self.0), seat })
    }

    pub(super) fn is_of(&self, writer: &Writer) -> bool {
        Arc::ptr_eq(&self.0, &writer.shared)
    }
}

/// A writer and its first reader, for an answer that nobody else waits for.
#[must_use]
pub fn pair() -> (Writer, Reader) {
    let writer = Writer::new();
    let reader = writer.reader(true);
    (writer, reader)
}

#[cfg(test)]
mod tests;
