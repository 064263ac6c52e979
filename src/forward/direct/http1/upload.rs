//! The request on its way to the upstream.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::splice::{Moved, Splice, WORTHWHILE};
use crate::base::reason::Reason;
use crate::forward::direct::outgoing::Outgoing;
use crate::forward::direct::upstream::UpstreamIo;
use crate::listener::buffers;
use crate::listener::client_io::ClientIo;
use crate::listener::framing::BodyGuard;
use crate::listener::request::Carried;

/// The request side; it outlives an attempt that found its connection stale.
pub struct Upload {
    out: Outgoing,
    guard: BodyGuard,
    /// What follows the request.
    pub pending: Vec<u8>,
    pub keep_alive: bool,
    pub client_closed: bool,
    /// The client has a part of an answer's head.
    pub answer_torn: bool,
    /// It asks for another protocol.
    pub upgrade: bool,
    /// Everything read of the request is still in `out`.
    whole: bool,
    /// The upstream takes no more of it.
    refused: bool,
    splice: Option<Splice>,
    /// A piece filled its buffer: longer ones cost less.
    long: bool,
    /// The upstream takes nothing now.
    blocked: bool,
}

/// Why a request does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The upstream lets go of its side; it may have answered before.
    Untaken,
    Failed(Reason),
}

impl Upload {
    pub fn new(carried: Carried) -> Self {
        let Carried { head, guard, pending, keep_alive, upgrade, .. } = carried;
        Self {
            out: Outgoing::new(head),
            guard,
            pending,
            keep_alive,
            client_closed: false,
            answer_torn: false,
            upgrade,
            whole: true,
            refused: false,
            splice: None,
            long: false,
            blocked: false,
        }
    }

    /// The whole request was read.
    #[must_use]
    pub fn body_done(&self) -> bool {
        self.guard.is_done()
    }

    /// Bytes of the body read so far.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.guard.body_bytes()
    }

    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.guard.is_done() && self.out.is_empty() && self.splice.is_none()
    }

    /// Nothing more of it will be sent, or everything has been.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.refused || self.is_sent()
    }

    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Changes with every byte that was taken from the client or given to the upstream.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.guard.body_bytes() + self.out.total() + self.splice.as_ref().map_or(0, Splice::given)
    }

    /// Whether it can be sent again from its beginning, given whether a write that fails `tells` that nothing of it left,
    /// and whether hearing it twice is `harmless`.
    pub fn can_repeat(&self, tells: bool, harmless: impl Fn() -> bool) -> bool {
        let unheard = tells && !self.out.has_begun();
        self.whole && (unheard || (self.guard.is_done() && harmless()))
    }

    pub fn rewind(&mut self) {
        self.out.rewind();
    }

    /// Goes on with the answer alone.
    pub fn give_up(&mut self) {
        self.refused = true;
        // The client may still be sending: what follows could not be told from the rest of the request.
        self.keep_alive = false;
    }

    /// Moves the request on until one side has nothing to give or take.
    pub fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut ClientIo,
        upstream: &mut UpstreamIo,
    ) -> Result<(), Stopped> {
        self.blocked = false;
        while !self.refused {
            if !self.out.is_empty() {
                match self.out.poll_send(cx, upstream) {
                    Poll::Pending => {
                        self.blocked = true;
                        return Ok(());
                    }
                    // What can be sent again is kept until the upstream has begun to answer.
                    Poll::Ready(Ok(())) if self.whole => {}
                    Poll::Ready(Ok(())) => self.out.release(),
                    Poll::Ready(Err(_)) => return Err(Stopped::Untaken),
                }
            }
            if let Some(moved) = self.poll_splice(cx, client, upstream) {
                return moved;
            }
            if self.guard.is_done() {
                return Ok(());
            }
            let mut piece = if self.long { buffers::take_long() } else { buffers::take() };
            let room = piece.capacity();
            match buffers::poll_append(client, cx, &mut piece) {
                Poll::Pending => {
                    buffers::give(piece);
                    return Ok(());
                }
                Poll::Ready(Ok(read)) if read > 0 => self.long = read == room,
                Poll::Ready(_) => {
                    self.client_closed = true;
                    return Err(Stopped::Failed(Reason::ClientClosed));
                }
            }
            self.begin_body();
            self.take_in(piece).map_err(Stopped::Failed)?;
        }
        Ok(())
    }

    /// From here on the request cannot be sent again.
    fn begin_body(&mut self) {
        if self.whole {
            self.whole = false;
            self.out.release();
        }
    }

    /// What the client sent of the body goes on its way; what follows the body waits.
    fn take_in(&mut self, piece: Vec<u8>) -> Result<(), Reason> {
        let Self { out, guard, pending, .. } = self;
        let chunked = guard.is_chunked();
        let fed = if chunked {
            if out.bytes().capacity() == 0 {
                *out.bytes() = buffers::take();
            }
            guard.transcribe(&piece, out.bytes())?
        } else {
            guard.feed(&piece)?
        };
        pending.extend_from_slice(piece.get(fed.taken..).unwrap_or_default());
        if chunked {
            buffers::give(piece);
        } else {
            out.push(piece, 0, fed.taken);
        }
        Ok(())
    }

    /// Moves a long body through the kernel; `None` when it has to be copied, or there is none.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        client: &ClientIo,
        upstream: &UpstreamIo,
    ) -> Option<Result<(), Stopped>> {
        let (ClientIo::Plain(from), UpstreamIo::Plain(to)) = (client, upstream) else { return None };
        if self.splice.is_none() {
            let left = self.guard.length_left().filter(|left| *left >= WORTHWHILE)?;
            self.splice = Some(Splice::new(left).ok()?);
            self.begin_body();
        }
        let (splice, guard) = (self.splice.as_mut()?, &mut self.guard);
        Some(match splice.poll_move(cx, from, to, |taken| guard.skip(taken)) {
            Moved::All => {
                self.splice = None;
                Ok(())
            }
            Moved::Waiting => Ok(()),
            Moved::Blocked => {
                self.blocked = true;
                Ok(())
            }
            Moved::SenderEnded => {
                self.client_closed = true;
                Err(Stopped::Failed(Reason::ClientClosed))
            }
            Moved::ReceiverEnded => Err(Stopped::Untaken),
        })
    }

    /// As [`Upload::watch`], for as long as there is nothing else to do; ready when the client is gone.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>, client: &mut ClientIo) -> Poll<Reason> {
        match self.watch(cx, client) {
            Err(Stopped::Failed(reason)) => Poll::Ready(reason),
            Ok(()) | Err(Stopped::Untaken) => Poll::Pending,
        }
    }

    /// Once the body is read: whether the client goes away, and what it sends ahead.
    pub fn watch(&mut self, cx: &mut Context<'_>, client: &mut ClientIo) -> Result<(), Stopped> {
        if !self.guard.is_done() || self.client_closed {
            return Ok(());
        }
        while self.pending.len() < buffers::SIZE {
            let mut piece = [MaybeUninit::uninit(); 1024];
            let mut room = ReadBuf::uninit(&mut piece);
            match Pin::new(&mut *client).poll_read(cx, &mut room) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if !room.filled().is_empty() => self.pending.extend_from_slice(room.filled()),
                // One that said it would send nothing more may end its side while it waits.
                Poll::Ready(Ok(())) if !self.keep_alive => {
                    self.client_closed = true;
                    return Ok(());
                }
                Poll::Ready(_) => {
                    self.client_closed = true;
                    return Err(Stopped::Failed(Reason::ClientClosed));
                }
            }
        }
        Ok(())
    }
}
