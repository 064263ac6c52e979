//! The bytes of an HTTP/2 connection. What is written is gathered, and leaves when its task has nothing more to do.
//!
//! `h2` flushes after every larger frame, and a flush of its own would be a TLS record and a system call for each stream.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listener::buffers;
use crate::listener::client_io::ClientIo;

/// The connection as `h2` sees it: a flush does nothing.
pub struct Wire(Arc<Mutex<Ends>>);

/// Lets what was written go; the only one who does, so it has to be asked before its task waits.
pub struct Outlet(Arc<Mutex<Ends>>);

struct Ends {
    io: ClientIo,
    /// What was read before `h2` had the connection.
    read: Vec<u8>,
    read_taken: usize,
    /// Not sent yet; no buffer while empty.
    written: Vec<u8>,
    sent: usize,
}

/// A connection of which `read` was read already.
pub fn open(io: ClientIo, read: Vec<u8>) -> (Wire, Outlet) {
    let ends = Arc::new(Mutex::new(Ends { io, read, read_taken: 0, written: Vec::new(), sent: 0 }));
    (Wire(Arc::clone(&ends)), Outlet(ends))
}

impl Outlet {
    /// Sends what has been gathered.
    pub fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_drain(cx)
    }
}

fn lock(ends: &Mutex<Ends>) -> MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ends {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.written.capacity() == 0 {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = self.written.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        buffers::give(std::mem::take(&mut self.written));
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Makes room for at least one byte, if that takes nothing but memory up to one long piece; else by sending.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let (length, capacity) = (self.written.len(), self.written.capacity());
        if capacity == 0 {
            self.written = if wanted <= buffers::SIZE { buffers::take() } else { buffers::take_long() };
        } else if capacity - length < wanted {
            if capacity < buffers::LONG {
                let mut longer = buffers::take_long();
                longer.extend_from_slice(&self.written);
                buffers::give(std::mem::replace(&mut self.written, longer));
            } else if capacity == length {
                ready!(self.poll_drain(cx))?;
                return self.poll_room(cx, wanted);
            }
        }
        Poll::Ready(Ok(self.written.capacity() - self.written.len()))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        buffers::give(std::mem::take(&mut self.read));
        buffers::give(std::mem::take(&mut self.written));
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ends = lock(&self.0);
        let ends = &mut *ends;
        let rest = ends.read.get(ends.read_taken..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut ends.io).poll_read(cx, out);
        }
        let taken = rest.len().min(out.remaining());
        out.put_slice(rest.get(..taken).unwrap_or_default());
        ends.read_taken += taken;
        if ends.read_taken == ends.read.len() {
            buffers::give(std::mem::take(&mut ends.read));
            ends.read_taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut ends = lock(&self.0);
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut room = ready!(ends.poll_room(cx, wanted))?;
        let mut taken = 0;
        for slice in slices {
            let part = slice.get(..slice.len().min(room)).unwrap_or_default();
            ends.written.extend_from_slice(part);
            room -= part.len();
            taken += part.len();
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ends = lock(&self.0);
        ready!(ends.poll_drain(cx))?;
        Pin::new(&mut ends.io).poll_shutdown(cx)
    }
}
