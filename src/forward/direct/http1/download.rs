//! The answer on its way to the client.

use std::mem::MaybeUninit;
use std::task::{Context, Poll};

use http::{Method, StatusCode, Version};

use super::splice::{Moved, Splice, WORTHWHILE};
use crate::base::clock;
use crate::base::reason::Reason;
use crate::forward::answer::{self, Reframing};
use crate::forward::direct::outgoing::Outgoing;
use crate::forward::direct::upstream::UpstreamIo;
use crate::forward::response::{self, Ending, LONGEST_HEAD, MOST_FIELDS, ResponseHead};
use crate::listener::buffers;
use crate::listener::client_io::ClientIo;
use crate::listener::framing::{Part, write_chunk};
use crate::pipeline::exchange::Exchange;
use crate::pipeline::heard::heard;

/// What keeps the answer from moving on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The upstream has nothing for us.
    Upstream,
    /// The client takes nothing.
    Client,
    /// Nothing: the client has all of it.
    Complete,
}

/// Why an answer does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The upstream closed before anything came.
    Unanswered,
    Failed(Reason),
}

/// How far the answer has come.
enum State {
    Head,
    Body {
        ending: Ending,
        reframing: Reframing,
    },
    /// The body is not valid; the client gets what came before, and then the end of its connection.
    Broken(Reason),
    Switched,
    Complete,
}

/// What the answer needs to know of its request, and what it decides for the client's connection.
pub struct Terms<'a> {
    pub exchange: &'a mut Exchange,
    /// The request asks for another protocol.
    pub upgrade: bool,
    /// Whether the client's connection goes on; turned off when it cannot.
    pub keep_alive: &'a mut bool,
}

pub struct Download {
    out: Outgoing,
    /// What was read and not yet passed on.
    read: Vec<u8>,
    state: State,
    /// An interim answer has come.
    interim: bool,
    /// The upstream said that its connection goes on, and has sent nothing beyond the answer.
    kept: bool,
    long: bool,
    splice: Option<Splice>,
}

impl Drop for Download {
    fn drop(&mut self) {
        buffers::give(std::mem::take(&mut self.read));
    }
}

impl Download {
    pub fn new() -> Self {
        Self {
            out: Outgoing::default(),
            read: Vec::new(),
            state: State::Head,
            interim: false,
            kept: false,
            long: false,
            splice: None,
        }
    }

    /// Changes with every byte that was given to the client, or taken for it.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.out.total() + self.splice.as_ref().map_or(0, Splice::given)
    }

    /// Whether a final head has come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Whether not a byte has come.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.has_begun() && self.read.is_empty() && !self.interim
    }

    /// Whether the client has a part of a head, and nothing else may follow than its rest.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.out.is_halfway()
    }

    /// Whether the upstream connection may carry another request, as far as the answer goes.
    #[must_use]
    pub fn kept(&self) -> bool {
        self.kept
    }

    /// What came behind the agreement to an upgrade; `None` when there was none.
    pub fn take_switched(&mut self) -> Option<Vec<u8>> {
        matches!(self.state, State::Switched).then(|| std::mem::take(&mut self.read))
    }

    /// Moves the answer on until the upstream has nothing to give or the client takes nothing.
    pub fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut UpstreamIo,
        client: &mut ClientIo,
        terms: &mut Terms<'_>,
    ) -> Result<Waits, Broken> {
        loop {
            if !self.out.is_empty() {
                match self.out.poll_send(cx, client) {
                    Poll::Pending => return Ok(Waits::Client),
                    Poll::Ready(Ok(())) => self.out.release(),
                    Poll::Ready(Err(_)) => return Err(Broken::Failed(Reason::ClientClosed)),
                }
            }
            match self.state {
                State::Complete | State::Switched => return Ok(Waits::Complete),
                State::Broken(reason) => return Err(Broken::Failed(reason)),
                State::Head | State::Body { .. } => {}
            }
            if let Some(moved) = self.poll_splice(cx, upstream, client, terms) {
                return moved;
            }
            if self.read.capacity() == 0 {
                self.read = if self.long { buffers::take_long() } else { buffers::take() };
            }
            let room = self.read.capacity() - self.read.len();
            match buffers::poll_append(upstream, cx, &mut self.read) {
                Poll::Pending => {
                    if self.read.is_empty() {
                        buffers::give(std::mem::take(&mut self.read));
                    }
                    return Ok(Waits::Upstream);
                }
                Poll::Ready(Ok(read)) if read > 0 => self.long = read == room && self.has_begun(),
                Poll::Ready(ended) => self.upstream_ended(ended.is_ok())?,
            }
            if self.has_begun() {
                self.pass_on(0, terms);
            } else {
                self.read_heads(terms)?;
            }
        }
    }

    /// The upstream closed its side, in order or not.
    fn upstream_ended(&mut self, in_order: bool) -> Result<(), Broken> {
        match &self.state {
            State::Body { ending, reframing } if in_order && ending.ends_with_connection() => {
                if *reframing == Reframing::Chunk {
                    self.out.bytes().extend_from_slice(b"0\r\n\r\n");
                }
                self.state = State::Complete;
                self.kept = false;
                Ok(())
            }
            State::Head if self.is_untouched() => Err(Broken::Unanswered),
            _ => Err(Broken::Failed(Reason::UpstreamReset)),
        }
    }

    /// Reads the heads at the front of what was read: interim ones, then the final one.
    fn read_heads(&mut self, terms: &mut Terms<'_>) -> Result<(), Broken> {
        let read = std::mem::take(&mut self.read);
        let mut from = 0;
        loop {
            let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
            let unread = read.get(from..).unwrap_or_default();
            let Ok(parsed) = response::parse(unread, &mut room) else {
                // Interim answers before it were valid.
                self.state = State::Broken(Reason::UpstreamProtocol);
                buffers::give(read);
                return Ok(());
            };
            let Some((mut head, length)) = parsed else {
                if unread.len() >= LONGEST_HEAD {
                    return Err(Broken::Failed(Reason::UpstreamProtocol));
                }
                self.read = read;
                self.read.drain(..from);
                return Ok(());
            };
            if self.out.bytes().capacity() == 0 {
                *self.out.bytes() = buffers::take();
            }
            from += length;
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                // Unasked, or to something else.
                if !(terms.upgrade && head.switches_to("websocket")) {
                    return Err(Broken::Failed(Reason::UpstreamProtocol));
                }
                answer::write_switched(self.out.bytes(), &mut head, terms.exchange);
                note(terms.exchange, head.status);
                self.read = read;
                self.read.drain(..from);
                self.state = State::Switched;
                return Ok(());
            }
            if !head.status.is_informational() {
                self.begin(&mut head, terms);
                self.read = read;
                self.pass_on(from, terms);
                return Ok(());
            }
            self.interim = true;
            // RFC 9110 §15.2: clients of HTTP/1.0 know no interim answers.
            if terms.exchange.facts.version != Version::HTTP_10 {
                answer::write_interim(self.out.bytes(), &mut head);
            }
        }
    }

    fn begin(&mut self, head: &mut ResponseHead<'_, '_>, terms: &mut Terms<'_>) {
        let to_head = terms.exchange.facts.method == Method::HEAD.as_str();
        let client = terms.exchange.facts.version;
        let (ending, reframing) = (head.ending(to_head), answer::reframing(head, to_head, client));
        *terms.keep_alive &= answer::is_delimited(head, to_head, client);
        self.kept = head.persistent;
        note(terms.exchange, head.status);
        heard(terms.exchange, head.status, head.carried());
        answer::write_head(self.out.bytes(), head, to_head, reframing, *terms.keep_alive, terms.exchange);
        self.state = State::Body { ending, reframing };
    }

    /// Passes on what was read of the body, framed for the client.
    fn pass_on(&mut self, from: usize, terms: &mut Terms<'_>) {
        let State::Body { ending, reframing } = &mut self.state else { return };
        let out = &mut self.out;
        let read = std::mem::take(&mut self.read);
        let body = read.get(from..).unwrap_or_default();
        let fed = match reframing {
            Reframing::None => ending.feed(body, |_| {}),
            Reframing::Rechunk => {
                if out.bytes().capacity() == 0 {
                    *out.bytes() = if self.long { buffers::take_long() } else { buffers::take() };
                }
                ending.transcribe(body, out.bytes())
            }
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
        let (taken, done) = match fed {
            Ok(fed) => fed,
            Err(reason) => {
                self.state = State::Broken(reason);
                return buffers::give(read);
            }
        };
        terms.exchange.progress_mut().response_bytes = ending.body_bytes();
        self.kept &= taken == body.len();
        if *reframing == Reframing::None {
            self.out.push(read, from, from + taken);
        } else {
            buffers::give(read);
        }
        if done {
            self.state = State::Complete;
        }
    }

    /// Moves a long body through the kernel; `None` when it has to be copied, or there is none.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &UpstreamIo,
        client: &ClientIo,
        terms: &mut Terms<'_>,
    ) -> Option<Result<Waits, Broken>> {
        let (UpstreamIo::Plain(from), ClientIo::Plain(to)) = (upstream, client) else { return None };
        let State::Body { ending, reframing: Reframing::None } = &mut self.state else { return None };
        if self.splice.is_none() {
            let left = ending.length_left().filter(|left| *left >= WORTHWHILE)?;
            self.splice = Some(Splice::new(left).ok()?);
        }
        let splice = self.splice.as_mut()?;
        let moved = splice.poll_move(cx, from, to, |taken| ending.skip(taken));
        terms.exchange.progress_mut().response_bytes = ending.body_bytes() - splice.held();
        Some(match moved {
            Moved::All => {
                self.state = State::Complete;
                Ok(Waits::Complete)
            }
            Moved::Waiting => Ok(Waits::Upstream),
            Moved::Blocked => Ok(Waits::Client),
            Moved::SenderEnded => Err(Broken::Failed(Reason::UpstreamReset)),
            Moved::ReceiverEnded => Err(Broken::Failed(Reason::ClientClosed)),
        })
    }
}

fn note(exchange: &mut Exchange, status: StatusCode) {
    let first_byte = clock::now() - exchange.facts.started;
    let progress = exchange.progress_mut();
    progress.first_byte = Some(first_byte);
    progress.status = status.as_u16();
}
