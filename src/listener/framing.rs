//! Where the body of a request ends (RFC 9112 §6 and §7), decided before anybody else sees its bytes.

mod chunked;

use crate::base::reason::Reason;
use chunked::Chunked;

/// How the body of a request is delimited, as the checked head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body (RFC 9112 §6.3, rule 7).
    None,
    /// This many bytes.
    Length(u64),
    Chunked,
}

/// How much of what was fed belongs to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes from the front that belong to this body, chunk framing and trailers included; what follows is the next request.
    pub taken: usize,
    /// The body is complete.
    pub done: bool,
}

/// Follows a request body through the bytes that the client sends after the head, and says where it ends.
///
/// Bytes of the next request are never counted in, and nothing malformed is: what has been taken can be handed on as it is.
/// It holds no part of the body and allocates nothing.
#[derive(Clone, Debug)]
pub struct BodyGuard {
    state: State,
    body: u64,
    max: Option<u64>,
}

#[derive(Clone, Debug)]
enum State {
    Length { left: u64 },
    Chunked(Chunked),
    Done,
    Failed(Reason),
}

impl BodyGuard {
    /// `max` is the largest body in bytes, without chunk framing and trailers.
    #[must_use]
    pub fn new(framing: Framing, max: Option<u64>) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) if max.is_some_and(|max| length > max) => State::Failed(Reason::BodyTooLarge),
            Framing::Length(length) => State::Length { left: length },
            Framing::Chunked => State::Chunked(Chunked::default()),
        };
        Self { state, body: 0, max }
    }

    /// Takes the next bytes, in any portions; a Content-Length over the limit fails at the first call, even of no bytes, and a
    /// chunk over it at its size line.
    ///
    /// # Errors
    ///
    /// `BODY_TOO_LARGE`; `REQUEST_FRAMING` for chunks or trailers that are not exactly those of RFC 9112 §7.1;
    /// `HEADERS_TOO_LARGE` for trailers over 8 KiB. The error stays, and where the next request begins is unknown: the
    /// connection has to be closed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Reason> {
        match &mut self.state {
            State::Done => Ok(Fed { taken: 0, done: true }),
            State::Failed(reason) => Err(*reason),
            State::Length { left } => {
                let available = bytes.len() as u64;
                let (taken, length) = if *left <= available {
                    (usize::try_from(*left).unwrap_or(bytes.len()), *left)
                } else {
                    (bytes.len(), available)
                };
                *left -= length;
                self.body += length;
                let done = *left == 0;
                if done {
                    self.state = State::Done;
                }
                Ok(Fed { taken, done })
            }
            State::Chunked(chunked) => match chunked.feed(bytes, &mut self.body, self.max) {
                Ok(fed) => {
                    if fed.done {
                        self.state = State::Done;
                    }
                    Ok(fed)
                }
                Err(reason) => {
                    self.state = State::Failed(reason);
                    Err(reason)
                }
            },
        }
    }

    /// Bytes of the body taken so far, without chunk framing and trailers.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body
    }

    /// Whether the whole body has been taken; for a request without a body, from the start.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

/// Panics when a guarantee of [`BodyGuard`] is broken for a chunked body; fuzzing and the tests share it.
#[doc(hidden)]
pub fn check_invariants(bytes: &[u8]) {
    let max = Some(4096);
    let mut whole = BodyGuard::new(Framing::Chunked, max);
    let at_once = whole.feed(bytes);
    if let Ok(fed) = at_once {
        assert!(fed.taken <= bytes.len() && (fed.done || fed.taken == bytes.len()), "{fed:?} of {}", bytes.len());
        assert!(fed.done == whole.is_done() && whole.body_bytes() <= fed.taken as u64 && whole.body_bytes() <= 4096);
    }

    let mut split = BodyGuard::new(Framing::Chunked, max);
    let (mut taken, mut result) = (0, Ok(()));
    for byte in bytes.chunks(1) {
        match split.feed(byte) {
            Ok(fed) => taken += fed.taken,
            Err(reason) => {
                result = Err(reason);
                break;
            }
        }
    }
    assert_eq!(at_once.map(|_| ()), result, "the portions changed the outcome");
    if let Ok(fed) = at_once {
        assert_eq!((fed.taken, fed.done, whole.body_bytes()), (taken, split.is_done(), split.body_bytes()));
    }
    if result.is_err() {
        assert_eq!(split.feed(b"").map(|_| ()), result, "an error did not stay");
    }
}

#[cfg(test)]
mod tests;
