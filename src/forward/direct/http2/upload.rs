//! The request of a stream on its way to an HTTP/1.1 upstream.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;

use super::head::{framing, write_last_chunk, write_request};
use crate::base::reason::Reason;
use crate::forward::direct::outgoing::Outgoing;
use crate::forward::direct::upstream::UpstreamIo;
use crate::listener::buffers;
use crate::listener::framing::{Framing, write_chunk};
use crate::listener::http2::ClientStream;
use crate::pipeline::verdict::Forward;
use crate::transform::headers::Withheld;

/// Size line and line ends of a chunk.
const CHUNK_FRAME: usize = 20;

/// It outlives an attempt that found its connection stale.
pub struct Upload {
    out: Outgoing,
    /// Came, and finds no room in `out` yet.
    next: Option<Bytes>,
    at: At,
    chunked: bool,
    body: u64,
    max: Option<u64>,
    /// Bytes that came and that the upstream has not taken.
    held: usize,
    /// Everything read of the request is still in `out`.
    whole: bool,
    /// The upstream takes no more of it.
    pub refused: bool,
    /// Fields that do not go behind the body either.
    withheld: Withheld,
}

/// What is to come of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Data,
    Trailers,
    End,
}

impl Upload {
    /// Writes the head by the plan; `body_done` when nothing follows it.
    #[must_use]
    pub fn new(head: &Parts, plan: &Forward, body_done: bool) -> Self {
        let (framing, mut bytes) = (framing(head, body_done), buffers::take_head());
        write_request(&mut bytes, head, plan, framing);
        Self {
            out: Outgoing::new(bytes),
            next: None,
            at: if body_done { At::End } else { At::Data },
            chunked: framing == Framing::Chunked,
            body: 0,
            max: plan.max_body,
            held: 0,
            whole: true,
            refused: false,
            withheld: plan.withheld.clone(),
        }
    }

    /// Bytes of the body that came.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body
    }

    /// The upstream has the whole request.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.at == At::End && self.out.is_empty()
    }

    #[must_use]
    pub fn waits_for_client(&self) -> bool {
        self.out.is_empty()
    }

    /// Changes with every byte that came or went.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.body + self.out.total()
    }

    /// Whether it can be sent again from its beginning, given whether a write that fails `tells` that nothing of it left,
    /// and whether hearing it twice is `harmless`.
    pub fn can_repeat(&self, tells: bool, harmless: impl Fn() -> bool) -> bool {
        let unheard = tells && !self.out.has_begun();
        self.whole && (unheard || (self.at == At::End && harmless()))
    }

    pub fn rewind(&mut self) {
        self.out.rewind();
    }

    /// Moves on until one side has nothing to give or take; the inner error is the upstream's.
    ///
    /// # Errors
    ///
    /// `CLIENT_CLOSED`; `BODY_TOO_LARGE`; `REQUEST_FRAMING` for a body that is not as long as announced.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut ClientStream,
        upstream: &mut UpstreamIo,
    ) -> Result<io::Result<()>, Reason> {
        loop {
            self.fill(cx, client)?;
            if self.out.is_empty() {
                return Ok(Ok(()));
            }
            match self.out.poll_send(cx, upstream) {
                Poll::Pending => return Ok(Ok(())),
                Poll::Ready(Err(error)) => return Ok(Err(error)),
                Poll::Ready(Ok(())) => client.give_back(std::mem::take(&mut self.held)),
            }
            if self.at == At::End {
                return Ok(Ok(()));
            }
        }
    }

    /// Takes in what the client has sent, as long as nothing is underway and there is room.
    fn fill(&mut self, cx: &mut Context<'_>, client: &mut ClientStream) -> Result<(), Reason> {
        if self.out.has_begun() && !self.out.is_empty() {
            return Ok(());
        }
        while self.at == At::Data {
            let data = match self.next.take() {
                Some(data) => data,
                None => match client.poll_data(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(None) => {
                        self.at = At::Trailers;
                        break;
                    }
                    Poll::Ready(Some(data)) => self.note(data.map_err(|error| failure(&error))?)?,
                },
            };
            if !self.make_room(data.len() + CHUNK_FRAME) {
                self.next = Some(data);
                return Ok(());
            }
            self.held += data.len();
            if self.chunked {
                write_chunk(self.out.bytes(), &data);
            } else {
                self.out.bytes().extend_from_slice(&data);
            }
        }
        if self.at == At::Trailers {
            let Poll::Ready(trailers) = client.poll_trailers(cx) else { return Ok(()) };
            let trailers = trailers.map_err(|error| failure(&error))?;
            self.at = At::End;
            // Behind a body of known length there is no place for them (RFC 9112 §7.1.2).
            if self.chunked {
                self.make_room(CHUNK_FRAME);
                write_last_chunk(self.out.bytes(), trailers.as_ref(), &self.withheld);
            }
        }
        Ok(())
    }

    fn note(&mut self, data: Bytes) -> Result<Bytes, Reason> {
        self.body += data.len() as u64;
        if self.max.is_some_and(|max| self.body > max) { Err(Reason::BodyTooLarge) } else { Ok(data) }
    }

    /// Whether this many bytes may go behind what waits to be sent.
    fn make_room(&mut self, wanted: usize) -> bool {
        if self.out.has_begun() {
            // What went before is out of hand from here on.
            self.whole = false;
            self.out.release();
        }
        let out = self.out.bytes();
        if out.capacity() - out.len() >= wanted {
            return true;
        }
        if out.len() + wanted > buffers::SIZE && !out.is_empty() {
            return false;
        }
        let mut larger = if out.len() + wanted > buffers::SIZE { buffers::take_long() } else { buffers::take() };
        larger.extend_from_slice(out);
        buffers::give(std::mem::replace(out, larger));
        true
    }
}

/// What it means that no more of a request can be read.
fn failure(error: &h2::Error) -> Reason {
    let ours = error.is_library() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR);
    if ours { Reason::RequestFraming } else { Reason::ClientClosed }
}
