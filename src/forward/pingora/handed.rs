//! A client connection lent to Pingora for exactly one request.
//!
//! Pingora reads the head that we wrote and the body that belongs to it, never a byte of the next request;
//! when it lets go, however that happens, the connection is back in the [`Loan`].

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::base::reason::Reason;
use crate::listener::buffers;
use crate::listener::client_io::ClientIo;
use crate::listener::framing::BodyGuard;
use crate::listener::request::Carried;
use crate::pipeline::exchange::Exchange;

/// Written pieces are gathered up to this size, so that head and body leave together.
const GATHER: usize = buffers::SIZE;

/// Where a lent connection returns to.
#[derive(Debug, Default)]
pub struct Loan {
    returned: Mutex<Option<Back>>,
    refused: Mutex<Option<Reason>>,
    answered: AtomicBool,
}

/// A connection that is ours again.
#[derive(Debug)]
pub struct Back {
    pub io: ClientIo,
    /// Bytes of the next request that came with the last of this one.
    pub pending: Vec<u8>,
    /// The whole request body was read.
    pub body_done: bool,
    /// The client closed its side.
    pub client_closed: bool,
    /// A part of what was written last has left and the rest has not.
    pub torn: bool,
}

impl Loan {
    /// The connection, once Pingora has let go of it.
    pub fn take(&self) -> Option<Back> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Why the body of the request was refused, when it was.
    pub fn refused(&self) -> Option<Reason> {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any byte of an answer has left, be it an interim one.
    pub fn answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }
}

/// The IO that Pingora sees.
pub struct Handed {
    /// `None` only after it went back to the loan.
    io: Option<ClientIo>,
    /// The head as we wrote it and the part of the body that came with the client's.
    prefix: Vec<u8>,
    prefix_read: usize,
    guard: BodyGuard,
    pending: Vec<u8>,
    /// The client said that this is its last request: it may end its side while it waits for the answer.
    last: bool,
    client_closed: bool,
    written: Vec<u8>,
    flushed: usize,
    /// A head was written; what follows it may leave at once.
    begun: bool,
    exchange: Arc<Exchange>,
    loan: Arc<Loan>,
}

impl Handed {
    pub fn new(io: ClientIo, carried: Carried, exchange: Arc<Exchange>, loan: Arc<Loan>) -> Self {
        let Carried { head, guard, pending, keep_alive, .. } = carried;
        Self {
            io: Some(io),
            prefix: head,
            prefix_read: 0,
            guard,
            pending,
            last: !keep_alive,
            client_closed: false,
            written: Vec::new(),
            flushed: 0,
            begun: false,
            exchange,
            loan,
        }
    }

    fn refuse(&self, reason: Reason) -> io::Error {
        *self.loan.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        io::Error::new(io::ErrorKind::InvalidData, reason.as_str())
    }

    /// After the body: watch for the client going away, and keep what it sends ahead.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.client_closed {
            return if self.last { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        if self.pending.len() >= buffers::SIZE {
            return Poll::Pending;
        }
        let Some(io) = self.io.as_mut() else { return Poll::Ready(Ok(())) };
        loop {
            let mut piece = [0_u8; 1024];
            let mut room = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut room))?;
            if room.filled().is_empty() {
                self.client_closed = true;
                return if self.last { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            self.pending.extend_from_slice(room.filled());
            if self.pending.len() >= buffers::SIZE {
                return Poll::Pending;
            }
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = self.io.as_mut() else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        while self.flushed < self.written.len() {
            let polled = Pin::new(&mut *io).poll_write(cx, &self.written[self.flushed..]);
            if polled.is_pending() {
                self.exchange.writing(true);
            }
            let sent = ready!(polled)?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.loan.answered.store(true, Ordering::Release);
            self.flushed += sent;
            // Only what was taken counts: this is called again and again while the client takes nothing.
            self.exchange.writing(false);
        }
        self.flushed = 0;
        self.written.clear();
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for Handed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handed").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl AsyncRead for Handed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix_read < this.prefix.len() {
            let rest = &this.prefix[this.prefix_read..];
            let take = rest.len().min(out.remaining());
            out.put_slice(&rest[..take]);
            this.prefix_read += take;
            if this.prefix_read == this.prefix.len() {
                buffers::give(std::mem::take(&mut this.prefix));
                this.prefix_read = 0;
            }
            return Poll::Ready(Ok(()));
        }
        if this.guard.is_done() {
            return this.poll_watch(cx);
        }
        let Some(io) = this.io.as_mut() else { return Poll::Ready(Ok(())) };
        let before = out.filled().len();
        let polled = Pin::new(io).poll_read(cx, out);
        this.exchange.reading(polled.is_pending());
        ready!(polled)?;
        let read = &out.filled()[before..];
        if read.is_empty() {
            this.client_closed = true;
            return Poll::Ready(Ok(()));
        }
        match this.guard.feed(read) {
            Ok(fed) => {
                if fed.taken < read.len() {
                    this.pending.extend_from_slice(&read[fed.taken..]);
                    out.set_filled(before + fed.taken);
                }
                // A read that ends exactly before the next request must not look like the end of the stream.
                if fed.taken == 0 { this.poll_watch(cx) } else { Poll::Ready(Ok(())) }
            }
            Err(reason) => {
                out.set_filled(before);
                Poll::Ready(Err(this.refuse(reason)))
            }
        }
    }
}

impl AsyncWrite for Handed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.written.len() + bytes.len() > GATHER {
            ready!(this.poll_drain(cx))?;
            if bytes.len() >= GATHER {
                let Some(io) = this.io.as_mut() else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
                let polled = Pin::new(io).poll_write(cx, bytes);
                this.exchange.writing(polled.is_pending());
                let sent = ready!(polled)?;
                this.loan.answered.store(true, Ordering::Release);
                return Poll::Ready(Ok(sent));
            }
        }
        if this.written.capacity() == 0 {
            this.written = buffers::take();
        }
        this.written.extend_from_slice(bytes);
        // Pingora flushes an answer of known length at its end only; a slow one would look dead until then.
        if this.begun
            && this.exchange.prompt.load(Ordering::Relaxed)
            && let Poll::Ready(Err(error)) = this.poll_drain(cx)
        {
            return Poll::Ready(Err(error));
        }
        this.begun = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        buffers::give(std::mem::take(&mut this.written));
        match this.io.as_mut() {
            Some(io) => Pin::new(io).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// The connection is ours to close, so that a client still sending can read the answer first.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        buffers::give(std::mem::take(&mut self.written));
        buffers::give(std::mem::take(&mut self.prefix));
        if let Some(io) = self.io.take() {
            let returned = Back {
                io,
                pending: std::mem::take(&mut self.pending),
                body_done: self.guard.is_done(),
                client_closed: self.client_closed,
                torn: self.flushed > 0,
            };
            *self.loan.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(returned);
        }
    }
}

/// What else Pingora wants to know of a connection; ours knows it better (`ConnectionFacts`).
macro_rules! nothing_to_tell {
    ($connection:ty) => {
        #[async_trait]
        impl Shutdown for $connection {
            async fn shutdown(&mut self) {}
        }

        impl UniqueID for $connection {
            fn id(&self) -> i32 {
                0
            }
        }

        impl Ssl for $connection {}

        #[async_trait]
        impl Peek for $connection {}

        impl GetTimingDigest for $connection {
            fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
                Vec::new()
            }
        }

        impl GetProxyDigest for $connection {
            fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
                None
            }
        }

        impl GetSocketDigest for $connection {
            fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
                None
            }
        }
    };
}

nothing_to_tell!(Handed);
