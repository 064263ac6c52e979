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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair(read: &[u8]) -> (Wire, Outlet, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (wire, outlet) = open(ClientIo::Plain(server), read.to_vec());
        (wire, outlet, client)
    }

    #[tokio::test]
    async fn what_is_written_leaves_when_it_is_let_go() {
        let (mut wire, outlet, mut client) = pair(b"").await;
        for part in [&b"one "[..], b"two ", b"three"] {
            wire.write_all(part).await.unwrap();
            wire.flush().await.unwrap();
        }
        let mut read = [0; 13];
        assert!(client.read_exact(&mut read).now_or_never().is_none());
        poll_fn(|cx| outlet.poll_drain(cx)).await.unwrap();
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one two three");
        assert_eq!(lock(&outlet.0).written.capacity(), 0, "no buffer is held");
    }

    #[tokio::test]
    async fn what_does_not_fit_leaves_at_once_and_in_order() {
        let (mut wire, outlet, mut client) = pair(b"").await;
        let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut received = Vec::new();
        let sending = async {
            for part in sent.chunks(20_001) {
                wire.write_all(part).await.unwrap();
            }
            wire.shutdown().await.unwrap();
        };
        let (_, read) = tokio::join!(sending, client.read_to_end(&mut received));
        read.unwrap();
        assert!(received == sent);
        poll_fn(|cx| outlet.poll_drain(cx)).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_waited_for() {
        let (mut wire, outlet, _client) = pair(b"").await;
        let part = vec![0; 1 << 16];
        while wire.write_all(&part).now_or_never().is_some() {}
        assert!(poll_fn(|cx| outlet.poll_drain(cx)).now_or_never().is_none());
        assert!(lock(&outlet.0).written.capacity() <= 2 * buffers::LONG);
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        let (mut wire, _outlet, mut client) = pair(b"before").await;
        client.write_all(b" and after").await.unwrap();
        let mut read = vec![0; 16];
        wire.read_exact(&mut read).await.unwrap();
        assert_eq!(read, b"before and after");
    }
}
