//! One request and its answer between a stream of an HTTP/2 client and an HTTP/1.1 upstream, both ways at once.
//!
//! As with HTTP/1, one function that is polled, and at most one piece waits in each direction: the client may send more
//! when the upstream has taken what came, and more of the answer is read when the client's window has taken what was read.

use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::{HeaderMap, Method, StatusCode};

use super::head::{final_fields, interim_fields, trailer_fields};
use super::upload::Upload;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::forward::direct::Ended;
use crate::forward::direct::upstream::UpstreamIo;
use crate::forward::response::{self, Ending, LONGEST_HEAD, MOST_FIELDS};
use crate::listener::buffers;
use crate::listener::framing::Part;
use crate::listener::http2::{ClientStream, Piece};
use crate::pipeline::exchange::{Exchange, Stage};
use crate::pipeline::heard::heard;

/// Interim answers that are passed on; more are for nobody, and the client might not take them.
const INTERIM: u8 = 16;

/// What keeps the answer from moving on.
enum Download {
    /// The upstream has nothing for us.
    Waiting,
    /// The client takes nothing.
    Blocked,
    Complete,
}

/// How far the answer has come.
enum Answer {
    Head,
    Body { ending: Ending },
    Complete,
}

pub struct Relay<'a> {
    client: &'a mut ClientStream,
    upstream: &'a mut UpstreamIo,
    exchange: &'a mut Exchange,
    upload: &'a mut Upload,
    reused: bool,
    /// What was read of the answer and not yet passed on.
    read: Vec<u8>,
    /// What the client has not taken yet.
    piece: Option<Piece>,
    /// The trailer section as it comes.
    trailer_lines: Vec<u8>,
    /// Follow the last piece.
    trailers: Option<HeaderMap>,
    answer: Answer,
    interim: u8,
    delivered: u64,
    /// The upstream said that its connection goes on, and has sent nothing beyond the answer.
    kept: bool,
    long: bool,
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        buffers::give(std::mem::take(&mut self.read));
    }
}

impl<'a> Relay<'a> {
    pub fn new(
        client: &'a mut ClientStream,
        upstream: &'a mut UpstreamIo,
        exchange: &'a mut Exchange,
        upload: &'a mut Upload,
        reused: bool,
    ) -> Self {
        Self {
            client,
            upstream,
            exchange,
            upload,
            reused,
            read: Vec::new(),
            piece: None,
            trailer_lines: Vec::new(),
            trailers: None,
            answer: Answer::Head,
            interim: 0,
            delivered: 0,
            kept: false,
            long: false,
        }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let before = self.moved();
        let waits = match self.upload(cx).and_then(|()| self.download(cx)) {
            Ok(Download::Complete) => {
                return Poll::Ready(Ended::Answered { kept: self.kept && self.upload.is_sent() });
            }
            Ok(waits) => waits,
            Err(ended) => return Poll::Ready(ended),
        };
        if self.client.poll_given_up(cx).is_ready() {
            return Poll::Ready(Ended::Failed(Reason::ClientClosed));
        }
        self.note_stage(&waits, before != self.moved());
        ready!(self.exchange.deadline.poll_expired(cx));
        Poll::Ready(Ended::Failed(self.exchange.overdue().unwrap_or(Reason::Internal)))
    }

    /// Changes with every byte that one side gave or took.
    fn moved(&self) -> u64 {
        self.upload.moved() + self.delivered
    }

    /// Whose turn it is, and until when.
    fn note_stage(&mut self, waits: &Download, moved: bool) {
        let stage = match (waits, &self.answer) {
            (Download::Blocked, _) => Stage::Delivering,
            (_, Answer::Body { .. } | Answer::Complete) => Stage::Relaying,
            (_, Answer::Head) if self.upload.refused || self.upload.is_sent() => Stage::Waiting,
            (_, Answer::Head) if self.upload.waits_for_client() => Stage::Receiving,
            (_, Answer::Head) => Stage::Sending,
        };
        // An upstream that sends interim answers for ever has still not begun to answer.
        if stage != self.exchange.progress_mut().stage || (moved && stage != Stage::Waiting) {
            self.exchange.enter_alone(stage);
        }
    }

    /// Moves the request on until one side has nothing to give or take.
    fn upload(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if self.upload.refused || self.upload.is_sent() {
            return Ok(());
        }
        let moved = self.upload.poll(cx, self.client, self.upstream);
        self.exchange.progress_mut().request_bytes = self.upload.body_bytes();
        match moved.map_err(Ended::Failed)? {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(request_id = self.exchange.facts.request_id.as_str(), %error, "the upstream takes no request");
                if self.can_repeat() {
                    return Err(Ended::Stale);
                }
                // It may have answered before it closed.
                self.upload.refused = true;
                Ok(())
            }
        }
    }

    /// Nobody but us has heard of the request, or hearing it twice does no harm (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    fn can_repeat(&self) -> bool {
        let untouched = matches!(self.answer, Answer::Head) && self.read.is_empty() && self.interim == 0;
        let harmless = || self.exchange.facts.is_idempotent();
        self.reused && untouched && self.upload.can_repeat(self.upstream.is_plain(), harmless)
    }

    /// Moves the answer on until the upstream has nothing to give or the client takes nothing.
    fn download(&mut self, cx: &mut Context<'_>) -> Result<Download, Ended> {
        loop {
            match self.poll_deliver(cx) {
                Poll::Pending => return Ok(Download::Blocked),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(Ended::Failed(Reason::ClientClosed)),
            }
            if matches!(self.answer, Answer::Complete) {
                return Ok(Download::Complete);
            }
            if self.read.capacity() == 0 {
                self.read = if self.long { buffers::take_long() } else { buffers::take() };
            }
            let room = self.read.capacity() - self.read.len();
            match buffers::poll_append(self.upstream, cx, &mut self.read) {
                Poll::Pending => {
                    if self.read.is_empty() {
                        buffers::give(std::mem::take(&mut self.read));
                    }
                    return Ok(Download::Waiting);
                }
                Poll::Ready(Ok(read)) if read > 0 => {
                    self.long |= read == room && matches!(self.answer, Answer::Body { .. });
                }
                Poll::Ready(ended) => {
                    self.upstream_ended(ended.is_ok())?;
                    continue;
                }
            }
            if matches!(self.answer, Answer::Head) {
                self.read_heads()?;
            } else {
                self.pass_on(0)?;
            }
        }
    }

    /// Gives the client what it has not taken yet, and the end of the answer behind the last of it.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let Some(piece) = &mut self.piece else { return Poll::Ready(Ok(())) };
        let complete = matches!(self.answer, Answer::Complete);
        let before = piece.remaining();
        let sent = self.client.poll_send(cx, piece, complete && self.trailers.is_none());
        self.delivered += (before - piece.remaining()) as u64;
        ready!(sent)?;
        self.piece = None;
        Poll::Ready(self.trailers.take().map_or(Ok(()), |trailers| self.client.send_trailers(trailers)))
    }

    /// The upstream closed its side, in order or not.
    fn upstream_ended(&mut self, in_order: bool) -> Result<(), Ended> {
        match &self.answer {
            Answer::Body { ending } if in_order && ending.ends_with_connection() => {
                self.answer = Answer::Complete;
                self.kept = false;
                self.piece = Some(Piece::read(Vec::new(), 0, 0));
                Ok(())
            }
            Answer::Head if self.can_repeat() => Err(Ended::Stale),
            _ => Err(Ended::Failed(Reason::UpstreamReset)),
        }
    }

    /// Reads the heads at the front of what was read: interim ones, then the final one.
    fn read_heads(&mut self) -> Result<(), Ended> {
        let mut from = 0;
        loop {
            let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
            let unread = self.read.get(from..).unwrap_or_default();
            let parsed = response::parse(unread, &mut room).map_err(|_| Ended::Failed(Reason::UpstreamProtocol))?;
            let Some((mut head, length)) = parsed else {
                if unread.len() >= LONGEST_HEAD {
                    return Err(Ended::Failed(Reason::UpstreamProtocol));
                }
                self.read.drain(..from);
                return Ok(());
            };
            let gone = |_| Ended::Failed(Reason::ClientClosed);
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Ended::Failed(Reason::UpstreamProtocol));
            }
            if head.status.is_informational() {
                self.interim = self.interim.saturating_add(1);
                if self.interim <= INTERIM {
                    let fields = interim_fields(&mut head).map_err(Ended::Failed)?;
                    self.client.send_interim(head.status, fields).map_err(gone)?;
                }
                from += length;
                continue;
            }
            self.kept = head.persistent;
            let ending = head.ending(self.exchange.facts.method == Method::HEAD.as_str());
            heard(self.exchange, head.status, head.carried());
            let fields = final_fields(&mut head, self.exchange).map_err(Ended::Failed)?;
            self.client.send_head(head.status, fields, ending.is_done()).map_err(gone)?;
            let status = head.status.as_u16();
            let first_byte = clock::now() - self.exchange.facts.started;
            let progress = self.exchange.progress_mut();
            (progress.first_byte, progress.status) = (Some(first_byte), status);
            if ending.is_done() {
                self.kept &= self.read.len() == from + length;
                self.answer = Answer::Complete;
                return Ok(());
            }
            self.answer = Answer::Body { ending };
            return self.pass_on(from + length);
        }
    }

    /// Passes on what was read of the body, without its framing.
    fn pass_on(&mut self, from: usize) -> Result<(), Ended> {
        let Answer::Body { ending } = &mut self.answer else { return Ok(()) };
        let read = std::mem::take(&mut self.read);
        let body = read.get(from..).unwrap_or_default();
        let fed = if ending.is_chunked() {
            let mut data = if body.len() <= buffers::SIZE { buffers::take() } else { buffers::take_long() };
            let lines = &mut self.trailer_lines;
            let fed = ending.feed(body, |part| match part {
                Part::Data(piece) => data.extend_from_slice(piece),
                Part::Trailer(piece) => lines.extend_from_slice(piece),
            });
            let (beyond, end) = (fed.map_or(0, |(taken, _)| body.len() - taken), data.len());
            buffers::give(read);
            self.piece = Some(Piece::read(data, 0, end));
            fed.map(|(_, done)| (beyond, done))
        } else {
            let fed = ending.feed(body, |_| {}).map(|(taken, done)| (body.len() - taken, done));
            let end = read.len() - fed.map_or(0, |(beyond, _)| beyond);
            self.piece = Some(Piece::read(read, from, end));
            fed
        };
        self.exchange.progress_mut().response_bytes = ending.body_bytes();
        let (beyond, done) = fed.map_err(Ended::Failed)?;
        self.kept &= beyond == 0;
        if done {
            self.answer = Answer::Complete;
            if !self.trailer_lines.is_empty() {
                self.trailers = Some(trailer_fields(&self.trailer_lines).map_err(Ended::Failed)?);
            }
        }
        Ok(())
    }
}
