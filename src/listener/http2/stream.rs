//! One stream of an HTTP/2 client: the body of its request, and the answer.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Error, Reason, RecvStream, SendStream};
use http::{HeaderMap, Response, StatusCode};

use crate::listener::buffers;

/// A part of an answer's body: in the buffer it was read into, or shared.
#[derive(Debug)]
pub enum Piece {
    Read { buffer: Vec<u8>, at: usize, end: usize },
    Shared(Bytes),
}

impl Piece {
    /// `buffer[at..end]`; the buffer goes back to the thread when the piece has been sent.
    #[must_use]
    pub fn read(buffer: Vec<u8>, at: usize, end: usize) -> Self {
        let end = end.min(buffer.len());
        Self::Read { at: at.min(end), end, buffer }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        match self {
            Self::Read { at, end, .. } => end - at,
            Self::Shared(bytes) => bytes.len(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Read { buffer, at, end } => buffer.get(*at..*end).unwrap_or_default(),
            Self::Shared(bytes) => bytes,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Read { at, end, .. } => *at = end.min(&mut (*at + count)).to_owned(),
            Self::Shared(bytes) => bytes.advance(count),
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Self::Read { buffer, .. } = self {
            buffers::give(std::mem::take(buffer));
        }
    }
}

/// Dropped before its end, it resets the stream: with `NO_ERROR` after a whole answer to a request that is still being sent
/// (RFC 9113 §8.1), otherwise with `CANCEL`.
pub struct ClientStream {
    body: RecvStream,
    respond: SendResponse<Piece>,
    /// There when the final head has been sent.
    answer: Option<SendStream<Piece>>,
}

impl ClientStream {
    #[must_use]
    pub fn new(body: RecvStream, respond: SendResponse<Piece>) -> Self {
        Self { body, respond, answer: None }
    }

    /// The whole request has come and was taken.
    #[must_use]
    pub fn is_body_done(&self) -> bool {
        self.body.is_end_stream()
    }

    /// A final answer has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.answer.is_some()
    }

    /// The next part of the request body. The client may send more only after [`ClientStream::give_back`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.body.poll_data(cx)
    }

    /// Allows the client as many bytes more.
    pub fn give_back(&mut self, length: usize) {
        // Fails only for more than was taken, or when the stream is over and nobody needs the window.
        let _ = self.body.flow_control().release_capacity(length);
    }

    /// The trailers of the request, once there is no more data.
    pub fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Error>> {
        self.body.poll_trailers(cx)
    }

    /// Ready when the client has given the stream up or is gone.
    pub fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.answer {
            Some(answer) => answer.poll_reset(cx).map(|_| ()),
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }

    /// Sends an interim answer (RFC 9110 §15.2).
    ///
    /// # Errors
    ///
    /// The stream is over.
    pub fn send_interim(&mut self, status: StatusCode, fields: HeaderMap) -> Result<(), Error> {
        self.respond.send_informational(response(status, fields))
    }

    /// Sends the head of the final answer; nothing follows when it is the `end`.
    ///
    /// # Errors
    ///
    /// The stream is over.
    pub fn send_head(&mut self, status: StatusCode, fields: HeaderMap, end: bool) -> Result<(), Error> {
        self.answer = Some(self.respond.send_response(response(status, fields), end)?);
        Ok(())
    }

    /// Sends a part of the body as the client's window allows; ready when `piece` is empty.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, piece: &mut Piece, end: bool) -> Poll<Result<(), Error>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(Reason::INTERNAL_ERROR.into())) };
        while piece.has_remaining() {
            let wanted = piece.remaining();
            answer.reserve_capacity(wanted);
            let room = answer.capacity();
            if room >= wanted {
                let whole = std::mem::replace(piece, Piece::Shared(Bytes::new()));
                return Poll::Ready(answer.send_data(whole, end));
            }
            if room > 0 {
                let part = Bytes::copy_from_slice(piece.chunk().get(..room).unwrap_or_default());
                piece.advance(room);
                answer.send_data(Piece::Shared(part), false)?;
                continue;
            }
            match ready!(answer.poll_capacity(cx)) {
                Some(room) => room.map(drop)?,
                None => return Poll::Ready(Err(Reason::CANCEL.into())),
            }
        }
        Poll::Ready(if end { answer.send_data(Piece::Shared(Bytes::new()), true) } else { Ok(()) })
    }

    /// Ends the answer with trailers.
    ///
    /// # Errors
    ///
    /// The stream is over, or no answer has begun.
    pub fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Error> {
        let answer = self.answer.as_mut().ok_or(Reason::INTERNAL_ERROR)?;
        answer.send_trailers(trailers)
    }

    pub fn reset(&mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }
}

fn response(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
