//! An answer on its way from an HTTP/1.1 upstream into the cache.

use std::future::poll_fn;
use std::mem::{MaybeUninit, take};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::DATE;
use http::{HeaderMap, Method, StatusCode};

use super::connect::Want;
use super::http2::{fields, trailer_fields};
use super::outgoing::Outgoing;
use super::upstream::UpstreamIo;
use super::{Ended, Forwarder};
use crate::base::clock;
use crate::base::reason::Reason;
use crate::cache::Filling;
use crate::forward::fetch::{fail, now};
use crate::forward::head::{date, put};
use crate::forward::response::{self, BodyFraming, Ending, LONGEST_HEAD, MOST_FIELDS, ResponseHead};
use crate::listener::buffers;
use crate::listener::framing::Part;
use crate::pipeline::exchange::{Exchange, Stage};
use crate::pipeline::verdict::{FetchRequest, Forward};

impl Forwarder {
    /// Asks for one answer; every end of it reaches `filling`.
    pub async fn fetch(&self, exchange: &Exchange, plan: &Forward, request: &FetchRequest, mut filling: Filling) {
        match self.ask(exchange, plan, request, &mut filling).await {
            Ok(trailers) => filling.end(trailers),
            Err(reason) => fail(exchange, filling, reason),
        }
    }

    /// From a connection to the end of the answer, and its trailers.
    async fn ask(
        &self,
        exchange: &Exchange,
        plan: &Forward,
        request: &FetchRequest,
        filling: &mut Filling,
    ) -> Result<Option<HeaderMap>, Reason> {
        let mut head = buffers::take_head();
        write_head(&mut head, request, &plan.target);
        let mut out = Outgoing::new(head);
        let is_head = request.method == Method::HEAD;
        let mut want = Want::Any;
        loop {
            let mut connection = self.connect(exchange, want).await?;
            let reused = connection.reused;
            let (ended, trailers) = {
                let mut fetching = Fetching::new(&mut connection.io, exchange, filling, &mut out, is_head, reused);
                let ended = poll_fn(|cx| fetching.poll(cx)).await;
                (ended, fetching.trailers.take())
            };
            if !self.conclude(ended, connection, exchange)? {
                return Ok(trailers);
            }
            out.rewind();
            want = Want::New;
        }
    }
}

/// Writes the head of a request without a body.
fn write_head(out: &mut Vec<u8>, request: &FetchRequest, target: &str) {
    put(out, &[request.method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\nHost: "]);
    put(out, &[request.host.as_bytes(), b"\r\n"]);
    for (name, value) in &request.fields {
        put(out, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    out.extend_from_slice(b"\r\n");
}

/// What keeps the answer from moving on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Upstream,
    /// Whoever reads the answer is too far behind.
    Readers,
    /// Nothing: it is whole.
    Complete,
}

/// How far the answer has come.
enum Answer {
    Head,
    Body(Ending),
    Complete,
}

struct Fetching<'a> {
    upstream: &'a mut UpstreamIo,
    exchange: &'a Exchange,
    filling: &'a mut Filling,
    out: &'a mut Outgoing,
    is_head: bool,
    reused: bool,
    /// The upstream takes no more of the request.
    refused: bool,
    /// What was read and not yet looked at: heads, or chunks.
    read: Vec<u8>,
    piece: Piece,
    answer: Answer,
    interim: bool,
    /// Bytes that were read.
    came: u64,
    /// The upstream said that its connection goes on, and has sent nothing beyond the answer.
    kept: bool,
    /// The trailer section as it comes.
    trailer_lines: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        buffers::give(take(&mut self.read));
        buffers::give(take(&mut self.piece.bytes));
    }
}

impl<'a> Fetching<'a> {
    fn new(
        upstream: &'a mut UpstreamIo,
        exchange: &'a Exchange,
        filling: &'a mut Filling,
        out: &'a mut Outgoing,
        is_head: bool,
        reused: bool,
    ) -> Self {
        Self {
            upstream,
            exchange,
            filling,
            out,
            is_head,
            reused,
            refused: false,
            read: Vec::new(),
            piece: Piece::default(),
            answer: Answer::Head,
            interim: false,
            came: 0,
            kept: false,
            trailer_lines: Vec::new(),
            trailers: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let before = (self.out.total(), self.came);
        let waits = match self.send(cx).and_then(|()| self.receive(cx)) {
            Ok(Waits::Complete) => {
                return Poll::Ready(Ended::Answered { kept: self.kept && self.out.is_empty() });
            }
            Ok(waits) => waits,
            Err(ended) => {
                // Who reads gets all that came.
                self.piece.flush(self.filling);
                return Poll::Ready(ended);
            }
        };
        self.note_stage(waits, before != (self.out.total(), self.came));
        ready!(self.exchange.deadline.poll_expired(cx));
        Poll::Ready(Ended::Failed(self.exchange.overdue().unwrap_or(Reason::Internal)))
    }

    /// Whose turn it is, and until when.
    fn note_stage(&self, waits: Waits, moved: bool) {
        let stage = match (waits, &self.answer) {
            (Waits::Readers, _) => Stage::Delivering,
            (_, Answer::Body(_) | Answer::Complete) => Stage::Relaying,
            (_, Answer::Head) if self.refused || self.out.is_empty() => Stage::Waiting,
            (_, Answer::Head) => Stage::Sending,
        };
        // An upstream that sends interim answers for ever has still not begun to answer.
        let before = self.exchange.progress().stage;
        if stage != before || (moved && stage != Stage::Waiting) {
            self.exchange.enter(stage);
        }
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if self.refused || self.out.is_empty() {
            return Ok(());
        }
        if let Poll::Ready(Err(error)) = self.out.poll_send(cx, self.upstream) {
            tracing::debug!(request_id = self.exchange.facts.request_id.as_str(), %error, "the upstream takes no request");
            if self.can_repeat() {
                return Err(Ended::Stale);
            }
            // It may have answered before it closed.
            self.refused = true;
        }
        Ok(())
    }

    /// Hearing the request twice does no harm: it is a GET (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    fn can_repeat(&self) -> bool {
        self.reused && matches!(self.answer, Answer::Head) && self.read.is_empty() && !self.interim
    }

    /// Moves the answer on until the upstream has nothing to give or nobody takes more.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<Waits, Ended> {
        loop {
            let is_chunked = match &self.answer {
                Answer::Complete => return Ok(Waits::Complete),
                Answer::Head => true,
                Answer::Body(ending) => {
                    // Asked for each piece, not for each read.
                    if self.piece.bytes.is_empty() {
                        if self.filling.poll_room(cx).is_pending() {
                            self.rest();
                            return Ok(Waits::Readers);
                        }
                        if !self.filling.is_wanted() {
                            return Err(Ended::Failed(Reason::ClientClosed));
                        }
                    }
                    ending.is_chunked()
                }
            };
            let into = if is_chunked { &mut self.read } else { &mut self.piece.bytes };
            if into.capacity() == 0 {
                *into = if self.piece.long { buffers::take_long() } else { buffers::take() };
            }
            match buffers::poll_append(self.upstream, cx, into) {
                Poll::Pending => {
                    self.rest();
                    return Ok(Waits::Upstream);
                }
                Poll::Ready(Ok(length)) if length > 0 => {
                    self.came += length as u64;
                    match self.answer {
                        Answer::Head => self.read_heads()?,
                        Answer::Body(_) if is_chunked => {
                            let mut read = take(&mut self.read);
                            let taken = self.take_in(&read);
                            read.clear();
                            self.read = read;
                            taken?;
                        }
                        Answer::Body(_) => self.took_in(length)?,
                        Answer::Complete => {}
                    }
                }
                Poll::Ready(ended) => self.upstream_ended(ended.is_ok())?,
            }
        }
    }

    /// Passes on what there is before it waits, and holds no buffer meanwhile.
    fn rest(&mut self) {
        self.piece.flush(self.filling);
        if self.read.is_empty() {
            buffers::give(take(&mut self.read));
        }
    }

    /// The upstream closed its side, in order or not.
    fn upstream_ended(&mut self, in_order: bool) -> Result<(), Ended> {
        match &self.answer {
            Answer::Body(ending) if in_order && ending.ends_with_connection() => {
                self.kept = false;
                self.complete()
            }
            Answer::Head if self.can_repeat() => Err(Ended::Stale),
            _ => Err(Ended::Failed(Reason::UpstreamReset)),
        }
    }

    /// Reads the heads at the front of what was read: interim ones, which are for nobody, then the final one.
    fn read_heads(&mut self) -> Result<(), Ended> {
        let mut read = take(&mut self.read);
        let mut from = 0;
        loop {
            let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
            let unread = read.get(from..).unwrap_or_default();
            let parsed = response::parse(unread, &mut room).map_err(|_| Ended::Failed(Reason::UpstreamProtocol))?;
            let Some((mut head, length)) = parsed else {
                if unread.len() >= LONGEST_HEAD {
                    return Err(Ended::Failed(Reason::UpstreamProtocol));
                }
                read.drain(..from);
                self.read = read;
                return Ok(());
            };
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                // Nobody asked.
                return Err(Ended::Failed(Reason::UpstreamProtocol));
            }
            from += length;
            if head.status.is_informational() {
                self.interim = true;
                continue;
            }
            self.begin(&mut head, read.get(from..).unwrap_or_default())?;
            buffers::give(read);
            return Ok(());
        }
    }

    /// The final head has come, and this much of what follows it.
    fn begin(&mut self, head: &mut ResponseHead<'_, '_>, rest: &[u8]) -> Result<(), Ended> {
        self.kept = head.persistent;
        let mut ending = head.ending(self.is_head);
        let length = match head.framing {
            _ if head.is_bodyless(self.is_head) => Some(0),
            BodyFraming::Length(length) => Some(length),
            BodyFraming::Chunked | BodyFraming::UntilClose => None,
        };
        let mut fields = fields(head, head.status != StatusCode::NO_CONTENT).map_err(Ended::Failed)?;
        if !head.has_date {
            // RFC 9110 §6.6.1: whoever keeps or forwards an answer without one dates it.
            fields.insert(DATE, date());
        }
        {
            let mut progress = self.exchange.progress();
            progress.first_byte = Some(clock::now() - self.exchange.facts.started);
            progress.status = head.status.as_u16();
        }
        if !self.filling.head(head.status, head.version, &fields, length, now()) {
            // What is to come is read by nobody: only a body that is here already lets the connection go on.
            let fed = ending.feed(rest, |_| {});
            self.kept &= fed.is_ok_and(|(taken, done)| done && taken == rest.len());
            self.answer = Answer::Complete;
            return Ok(());
        }
        self.piece.long = length.is_some_and(|length| length > buffers::SIZE as u64);
        self.answer = Answer::Body(ending);
        self.take_in(rest)
    }

    /// Takes what was read into the body, without its framing.
    fn take_in(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let Self { answer: Answer::Body(ending), piece, filling, trailer_lines, .. } = self else { return Ok(()) };
        let fed = ending.feed(bytes, |part| match part {
            Part::Data(data) => piece.append(data, filling),
            Part::Trailer(lines) => trailer_lines.extend_from_slice(lines),
        });
        let (taken, done) = fed.map_err(Ended::Failed)?;
        self.exchange.progress().response_bytes = ending.body_bytes();
        self.kept &= taken == bytes.len();
        if done { self.complete() } else { Ok(()) }
    }

    /// As [`Fetching::take_in`], when the last `length` bytes of the piece were read into it.
    fn took_in(&mut self, length: usize) -> Result<(), Ended> {
        let Self { answer: Answer::Body(ending), piece, .. } = self else { return Ok(()) };
        let before = piece.bytes.len() - length;
        let read = piece.bytes.get(before..).unwrap_or_default();
        let (taken, done) = ending.feed(read, |_| {}).map_err(Ended::Failed)?;
        piece.bytes.truncate(before + taken);
        self.exchange.progress().response_bytes = ending.body_bytes();
        self.kept &= taken == length;
        self.piece.pass_full(self.filling);
        if done { self.complete() } else { Ok(()) }
    }

    /// The body is whole.
    fn complete(&mut self) -> Result<(), Ended> {
        self.piece.flush(self.filling);
        self.answer = Answer::Complete;
        if !self.trailer_lines.is_empty() {
            self.trailers = Some(trailer_fields(&self.trailer_lines).map_err(Ended::Failed)?);
        }
        Ok(())
    }
}

/// Gathers a body into pieces whose memory is no larger than what they hold, because they may be kept for long.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    /// More than a little is to come.
    long: bool,
}

impl Piece {
    fn append(&mut self, mut data: &[u8], filling: &mut Filling) {
        while !data.is_empty() {
            if self.bytes.capacity() == 0 {
                self.bytes = if self.long { buffers::take_long() } else { buffers::take() };
            }
            let room = (self.bytes.capacity() - self.bytes.len()).min(data.len());
            let (fits, rest) = data.split_at(room);
            self.bytes.extend_from_slice(fits);
            data = rest;
            self.pass_full(filling);
        }
    }

    /// A full buffer becomes a piece itself.
    fn pass_full(&mut self, filling: &mut Filling) {
        if !self.bytes.is_empty() && self.bytes.len() == self.bytes.capacity() {
            filling.data(Bytes::from(take(&mut self.bytes)));
            self.long = true;
        }
    }

    /// What is there goes on, copied; the buffer goes back.
    fn flush(&mut self, filling: &mut Filling) {
        let bytes = take(&mut self.bytes);
        if !bytes.is_empty() {
            filling.data(Bytes::copy_from_slice(&bytes));
        }
        buffers::give(bytes);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{ACCEPT, VIA};

    use super::*;

    #[test]
    fn the_head_of_a_question_is_what_the_upstream_is_to_get() {
        let mut fields = HeaderMap::new();
        fields.insert(ACCEPT, HeaderValue::from_static("text/html"));
        fields.append(VIA, HeaderValue::from_static("1.1 a"));
        fields.append(VIA, HeaderValue::from_static("1.1 sluice"));
        let request = FetchRequest { method: Method::GET, host: HeaderValue::from_static("a.test"), fields };
        let mut out = Vec::new();
        write_head(&mut out, &request, "/path?query");
        let head =
            "GET /path?query HTTP/1.1\r\nHost: a.test\r\naccept: text/html\r\nvia: 1.1 a\r\nvia: 1.1 sluice\r\n\r\n";
        assert_eq!(str::from_utf8(&out).unwrap(), head);
    }
}
