//! An answer while it comes: one writes, any number read, each at its own pace.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use super::storable::NotStored;
use super::stored::{Head, Stored};
use crate::base::reason::Reason;

/// What became of the question to the upstream.
#[derive(Clone, Debug)]
pub enum Begun {
    /// What was stored holds; or everything came at once.
    Stored { stored: Arc<Stored>, confirmed: bool },
    /// Its head is here, its body follows. It is kept when it is whole, or it is not kept and why.
    Coming { head: Arc<Head>, length: Option<u64>, kept: Result<(), NotStored> },
    /// It is for whoever asked first; everybody else has to ask for itself.
    Alone,
    /// There is no answer. Everybody who waited learns it.
    Failed(Reason),
}

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
pub struct Writer {}

/// Reads an answer from its beginning.
#[derive(Debug)]
pub struct Reader {
    /// It asked first.
    pub first: bool,
}

impl Writer {
    /// Says what comes. With [`Begun::Coming`] that is not kept, only the first reader has it; the others learn [`Begun::Alone`].
    pub fn begin(&mut self, _begun: Begun) {}

    /// Appends to the body.
    pub fn push(&mut self, _data: Bytes) {}

    /// Ready when more may be pushed: always for what is kept; otherwise the reader must not be too far behind. Ready, too, when
    /// nobody reads any more.
    pub fn poll_room(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Whether anybody will still read what is pushed.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        true
    }

    /// It will not be kept after all: what all readers have read is let go, and the writer waits when it is `ahead` bytes before the
    /// slowest of them.
    pub fn keep_no_longer(&mut self, _ahead: usize) {}

    /// Everything has come. What was pushed, in order, as long as it was kept.
    pub fn end(&mut self, _trailers: Option<HeaderMap>) -> Vec<Bytes> {
        Vec::new()
    }

    /// The answer fails here, or does not come at all.
    pub fn fail(&mut self, _reason: Reason) {}
}

impl Reader {
    /// What became of the question.
    pub fn poll_begun(&mut self, _cx: &mut Context<'_>) -> Poll<Begun> {
        Poll::Ready(Begun::Alone)
    }

    /// The next part of the body, after [`Begun::Coming`].
    pub fn poll_part(&mut self, _cx: &mut Context<'_>) -> Poll<Part> {
        Poll::Ready(Part::Broken(Reason::Internal))
    }
}

/// A writer and its first reader, for an answer that nobody else waits for.
#[must_use]
pub fn pair() -> (Writer, Reader) {
    (Writer {}, Reader { first: true })
}
