//! One request and its answer between a client and an upstream, both ways at once.
//!
//! One task, one function that is polled: whichever side can move, moves. At most one piece waits in each direction, so a
//! slow side stops the other one, and buffers are held only while there are bytes in them.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Method, StatusCode, Version};
use tokio::io::{AsyncRead, ReadBuf};

use super::answer::{self, Reframing};
use super::outgoing::Outgoing;
use super::upstream_io::UpstreamIo;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::forward::response::{self, Ending, LONGEST_HEAD, MOST_FIELDS};
use crate::listener::buffers;
use crate::listener::client_io::ClientIo;
use crate::listener::framing::{BodyGuard, Part, write_chunk};
use crate::listener::request::Carried;
use crate::listener::worker::Drain;
use crate::pipeline::exchange::{Exchange, Stage};

/// How one attempt ended.
#[derive(Debug)]
pub enum Ended {
    /// The client has the whole answer.
    Answered {
        /// The upstream connection may carry another request.
        kept: bool,
    },
    /// The upstream agreed to the upgrade and the client knows: what it sent after its head.
    Switched(Vec<u8>),
    /// A connection that an earlier request left was closed before anything came back: the request can be sent again.
    Stale,
    Failed(Reason),
}

/// The request side; it outlives an attempt that found its connection stale.
pub struct Upload {
    out: Outgoing,
    guard: BodyGuard,
    /// What follows the request.
    pub pending: Vec<u8>,
    pub keep_alive: bool,
    pub client_closed: bool,
    /// Everything read of the request is still in `out`.
    whole: bool,
    /// It asks for another protocol.
    pub upgrade: bool,
    /// The upstream takes no more of it.
    refused: bool,
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
            whole: true,
            upgrade,
            refused: false,
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

    pub fn rewind(&mut self) {
        self.out.rewind();
    }

    fn is_sent(&self) -> bool {
        self.guard.is_done() && self.out.is_empty()
    }
}

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
    Body { ending: Ending, reframing: Reframing },
    Switched,
    Complete,
}

pub struct Relay<'a> {
    client: &'a mut ClientIo,
    upstream: &'a mut UpstreamIo,
    exchange: &'a mut Exchange,
    upload: &'a mut Upload,
    drain: &'a Drain,
    reused: bool,
    out: Outgoing,
    /// What was read of the answer and not yet passed on.
    read: Vec<u8>,
    answer: Answer,
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
        client: &'a mut ClientIo,
        upstream: &'a mut UpstreamIo,
        exchange: &'a mut Exchange,
        upload: &'a mut Upload,
        drain: &'a Drain,
        reused: bool,
    ) -> Self {
        let (out, answer) = (Outgoing::default(), Answer::Head);
        Self {
            client,
            upstream,
            exchange,
            upload,
            drain,
            reused,
            out,
            read: Vec::new(),
            answer,
            kept: false,
            long: false,
        }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let before = self.moved();
        let waits = match self.upload(cx).and_then(|()| self.download(cx)) {
            Ok(Download::Complete) if matches!(self.answer, Answer::Switched) => {
                return Poll::Ready(Ended::Switched(std::mem::take(&mut self.read)));
            }
            Ok(Download::Complete) => {
                return Poll::Ready(Ended::Answered { kept: self.kept && self.upload.is_sent() });
            }
            Ok(waits) => waits,
            Err(ended) => return Poll::Ready(ended),
        };
        if let Err(ended) = self.watch(cx) {
            return Poll::Ready(ended);
        }
        self.note_stage(&waits, before != self.moved());
        ready!(self.exchange.deadline.poll_expired(cx));
        Poll::Ready(Ended::Failed(self.exchange.overdue().unwrap_or(Reason::Internal)))
    }

    /// Changes with every byte that one side gave or took.
    fn moved(&self) -> u64 {
        self.upload.guard.body_bytes() + self.upload.out.total() + self.out.total()
    }

    /// Whose turn it is, and until when.
    fn note_stage(&mut self, waits: &Download, moved: bool) {
        let stage = match (waits, &self.answer) {
            (Download::Blocked, _) => Stage::Delivering,
            (_, Answer::Body { .. } | Answer::Switched | Answer::Complete) => Stage::Relaying,
            (_, Answer::Head) if self.upload.refused || self.upload.is_sent() => Stage::Waiting,
            (_, Answer::Head) if self.upload.out.is_empty() => Stage::Receiving,
            (_, Answer::Head) => Stage::Sending,
        };
        // An upstream that sends interim answers for ever has still not begun to answer.
        if stage != self.exchange.progress_mut().stage || (moved && stage != Stage::Waiting) {
            self.exchange.enter_alone(stage);
        }
    }

    /// Moves the request on until one side has nothing to give or take.
    fn upload(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        while !self.upload.refused {
            if !self.upload.out.is_empty() {
                match self.upload.out.poll_send(cx, self.upstream) {
                    Poll::Pending => return Ok(()),
                    // What can be sent again is kept until the upstream has begun to answer.
                    Poll::Ready(Ok(())) if self.upload.whole => {}
                    Poll::Ready(Ok(())) => self.upload.out.release(),
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(request_id = self.exchange.facts.request_id.as_str(), %error, "the upstream takes no request");
                        if self.can_repeat() {
                            return Err(Ended::Stale);
                        }
                        // It may have answered before it closed.
                        self.upload.refused = true;
                        return Ok(());
                    }
                }
            }
            if self.upload.guard.is_done() {
                return Ok(());
            }
            let mut piece = buffers::take();
            match buffers::poll_append(self.client, cx, &mut piece) {
                Poll::Pending => {
                    buffers::give(piece);
                    return Ok(());
                }
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => {
                    self.upload.client_closed = true;
                    return Err(Ended::Failed(Reason::ClientClosed));
                }
            }
            if self.upload.whole {
                self.upload.whole = false;
                self.upload.out.release();
            }
            self.take_in(piece).map_err(Ended::Failed)?;
        }
        Ok(())
    }

    /// What the client sent of the body goes on its way; what follows the body waits.
    fn take_in(&mut self, piece: Vec<u8>) -> Result<(), Reason> {
        let Upload { out, guard, pending, .. } = self.upload;
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
        self.exchange.progress_mut().request_bytes = guard.body_bytes();
        if chunked {
            buffers::give(piece);
        } else {
            out.push(piece, 0, fed.taken);
        }
        Ok(())
    }

    /// Nobody but us has heard of the request, or hearing it twice does no harm (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    fn can_repeat(&self) -> bool {
        let untouched = matches!(self.answer, Answer::Head) && self.read.is_empty();
        let harmless =
            || Method::from_bytes(self.exchange.facts.method.as_bytes()).is_ok_and(|method| method.is_idempotent());
        self.reused
            && self.upload.whole
            && untouched
            && (!self.upload.out.has_begun() || (self.upload.guard.is_done() && harmless()))
    }

    /// Moves the answer on until the upstream has nothing to give or the client takes nothing.
    fn download(&mut self, cx: &mut Context<'_>) -> Result<Download, Ended> {
        loop {
            if !self.out.is_empty() {
                match self.out.poll_send(cx, self.client) {
                    Poll::Pending => return Ok(Download::Blocked),
                    Poll::Ready(Ok(())) => self.out.release(),
                    Poll::Ready(Err(_)) => return Err(Ended::Failed(Reason::ClientClosed)),
                }
            }
            if matches!(self.answer, Answer::Complete | Answer::Switched) {
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
                Poll::Ready(ended) => self.upstream_ended(ended.is_ok())?,
            }
            if matches!(self.answer, Answer::Head) {
                self.read_heads()?;
            } else {
                self.pass_on(0)?;
            }
        }
    }

    /// The upstream closed its side, in order or not.
    fn upstream_ended(&mut self, in_order: bool) -> Result<(), Ended> {
        match &self.answer {
            Answer::Body { ending, reframing } if in_order && ending.ends_with_connection() => {
                if *reframing == Reframing::Chunk {
                    self.out.bytes().extend_from_slice(b"0\r\n\r\n");
                }
                self.answer = Answer::Complete;
                self.kept = false;
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
            let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
            if switched && !(self.upload.upgrade && head.switches_to("websocket")) {
                return Err(Ended::Failed(Reason::UpstreamProtocol));
            }
            // A final answer is written in one go with what came with it.
            if self.out.bytes().capacity() == 0 {
                *self.out.bytes() = buffers::take();
            }
            if switched {
                answer::write_switched(self.out.bytes(), &mut head, self.exchange);
                self.note_answer(StatusCode::SWITCHING_PROTOCOLS);
                self.read.drain(..from + length);
                self.answer = Answer::Switched;
                return Ok(());
            }
            if head.status.is_informational() {
                // RFC 9110 §15.2: clients of HTTP/1.0 know no interim answers.
                if self.exchange.facts.version != Version::HTTP_10 {
                    answer::write_interim(self.out.bytes(), &mut head);
                }
                from += length;
                continue;
            }
            let to_head = self.exchange.facts.method == Method::HEAD.as_str();
            let reframing = answer::reframing(&head, to_head, self.exchange.facts.version);
            let goes_on = reframing.delimits(&head, to_head, self.exchange.facts.version);
            self.upload.keep_alive &= goes_on && !self.drain.is_leaving();
            self.kept = head.persistent;
            let ending = head.ending(to_head);
            answer::write_head(self.out.bytes(), &mut head, to_head, reframing, self.upload.keep_alive, self.exchange);
            let status = head.status;
            self.note_answer(status);
            self.answer = Answer::Body { ending, reframing };
            return self.pass_on(from + length);
        }
    }

    fn note_answer(&mut self, status: StatusCode) {
        let first_byte = clock::now() - self.exchange.facts.started;
        let progress = self.exchange.progress_mut();
        progress.first_byte = Some(first_byte);
        progress.status = status.as_u16();
    }

    /// Passes on what was read of the body, framed for the client.
    fn pass_on(&mut self, from: usize) -> Result<(), Ended> {
        let Answer::Body { ending, reframing } = &mut self.answer else { return Ok(()) };
        let out = &mut self.out;
        let read = std::mem::take(&mut self.read);
        let body = read.get(from..).unwrap_or_default();
        let fed = match reframing {
            Reframing::None => ending.feed(body, |_| {}),
            Reframing::Unchunk => ending.feed(body, |part| {
                if let Part::Data(data) = part {
                    out.bytes().extend_from_slice(data);
                }
            }),
            Reframing::Chunk => ending.feed(body, |part| {
                if let Part::Data(data) = part {
                    write_chunk(out.bytes(), data);
                }
            }),
        };
        let (taken, done) = fed.map_err(Ended::Failed)?;
        self.exchange.progress_mut().response_bytes = ending.body_bytes();
        self.kept &= taken == body.len();
        if *reframing == Reframing::None {
            self.out.push(read, from, from + taken);
        } else {
            buffers::give(read);
        }
        if done {
            self.answer = Answer::Complete;
        }
        Ok(())
    }

    /// While nothing else is to be read from the client: whether it goes away, and what it sends ahead.
    fn watch(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if !self.upload.guard.is_done() || self.upload.client_closed {
            return Ok(());
        }
        while self.upload.pending.len() < buffers::SIZE {
            let mut piece = [MaybeUninit::uninit(); 1024];
            let mut room = ReadBuf::uninit(&mut piece);
            match Pin::new(&mut *self.client).poll_read(cx, &mut room) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                    self.upload.pending.extend_from_slice(room.filled());
                }
                // One that said it would send nothing more may end its side while it waits.
                Poll::Ready(Ok(())) if !self.upload.keep_alive => {
                    self.upload.client_closed = true;
                    return Ok(());
                }
                Poll::Ready(_) => {
                    self.upload.client_closed = true;
                    return Err(Ended::Failed(Reason::ClientClosed));
                }
            }
        }
        Ok(())
    }
}
