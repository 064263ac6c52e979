//! Bytes on their way to one side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::listener::buffers;

/// A head and what comes with it, then pieces of a body; sent in this order, together where they fit.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// Follows `bytes`: a piece that is passed on in the buffer it was read into.
    piece: Vec<u8>,
    piece_end: usize,
    piece_sent: usize,
    flushed: bool,
    total: u64,
}

impl Outgoing {
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let mut outgoing = Self::default();
        outgoing.bytes = bytes;
        outgoing
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.piece_sent == self.piece_end && (self.flushed || !self.holds_buffers())
    }

    /// Whether any byte has left since the last [`Outgoing::release`].
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.sent > 0 || self.piece_sent > 0
    }

    /// Whether a part has left since the last [`Outgoing::release`], and another has not.
    #[must_use]
    pub fn is_halfway(&self) -> bool {
        self.has_begun() && (self.sent < self.bytes.len() || self.piece_sent < self.piece_end)
    }

    /// Bytes sent over its whole life, those sent again included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    fn holds_buffers(&self) -> bool {
        self.bytes.capacity() > 0 || self.piece.capacity() > 0
    }

    /// Where to append; only while nothing follows in a buffer of its own.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        self.flushed = false;
        &mut self.bytes
    }

    /// Passes on `piece[from..end]`: copied behind what is there if that costs no new room, otherwise in its own buffer.
    pub fn push(&mut self, mut piece: Vec<u8>, from: usize, end: usize) {
        self.flushed = false;
        let part = piece.get(from..end).unwrap_or_default();
        if self.bytes.capacity() > 0 && self.bytes.capacity() - self.bytes.len() >= part.len() {
            self.bytes.extend_from_slice(part);
            piece.clear();
            buffers::give(piece);
        } else {
            (self.piece, self.piece_sent, self.piece_end) = (piece, from, end);
        }
    }

    /// Sends and flushes everything. The bytes stay until [`Outgoing::release`], so that they can be sent again.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, to: &mut (impl AsyncWrite + Unpin)) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let sent = wrote(ready!(Pin::new(&mut *to).poll_write(cx, rest))?)?;
            self.sent += sent;
            self.total += sent as u64;
        }
        while let Some(rest) = self.piece.get(self.piece_sent..self.piece_end).filter(|rest| !rest.is_empty()) {
            let sent = wrote(ready!(Pin::new(&mut *to).poll_write(cx, rest))?)?;
            self.piece_sent += sent;
            self.total += sent as u64;
        }
        ready!(Pin::new(to).poll_flush(cx))?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }

    /// As before anything was sent.
    pub fn rewind(&mut self) {
        self.sent = 0;
        self.flushed = false;
    }

    /// Gives the buffers back.
    pub fn release(&mut self) {
        buffers::give(std::mem::take(&mut self.bytes));
        buffers::give(std::mem::take(&mut self.piece));
        (self.sent, self.piece_sent, self.piece_end, self.flushed) = (0, 0, 0, false);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        buffers::give(std::mem::take(&mut self.bytes));
        buffers::give(std::mem::take(&mut self.piece));
    }
}

fn wrote(length: usize) -> io::Result<usize> {
    if length == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(length) }
}
