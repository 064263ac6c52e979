//! Where the body of a request ends (RFC 9112 §6 and §7), decided before anybody else sees its bytes.

mod chunked;

use crate::base::reason::Reason;
use crate::transform::headers::Withheld;
use chunked::Chunked;
pub use chunked::is_forbidden as is_forbidden_trailer;

/// How the body of a request is delimited, as the checked head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body (RFC 9112 §6.3, rule 7).
    None,
    /// This many bytes.
    Length(u64),
    Chunked,
}

/// What framed bytes carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Data(&'a [u8]),
    /// A piece of the trailer section: whole lines in the end, without the empty one behind them.
    Trailer(&'a [u8]),
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

    /// Refuses trailers of these names, too: whoever merges them into the head would take them for what was withheld from it.
    #[must_use]
    pub fn withholding(mut self, withheld: &Withheld) -> Self {
        if let State::Chunked(chunked) = &mut self.state {
            chunked.withheld = withheld.clone();
        }
        self
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
        self.feed_into(bytes, |_| {})
    }

    /// As [`BodyGuard::feed`]; what the bytes carry goes to `parts` piece by piece.
    ///
    /// # Errors
    ///
    /// Those of [`BodyGuard::feed`]; what came before the fault has gone to `parts`.
    pub fn feed_into(&mut self, bytes: &[u8], mut parts: impl FnMut(Part<'_>)) -> Result<Fed, Reason> {
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
                parts(Part::Data(bytes.get(..taken).unwrap_or_default()));
                let done = *left == 0;
                if done {
                    self.state = State::Done;
                }
                Ok(Fed { taken, done })
            }
            State::Chunked(chunked) => match chunked.feed(bytes, &mut self.body, self.max, parts) {
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

    /// As [`BodyGuard::feed`]; the same body is written to `out`, in chunks of our own when it is chunked: without extensions,
    /// which are for one connection (RFC 9112 §7.1.1), and without anything that two readers could take in two ways.
    ///
    /// # Errors
    ///
    /// Those of [`BodyGuard::feed`].
    pub fn transcribe(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Fed, Reason> {
        let State::Chunked(before) = &self.state else {
            let fed = self.feed(bytes)?;
            out.extend_from_slice(bytes.get(..fed.taken).unwrap_or_default());
            return Ok(fed);
        };
        let mut in_trailers = before.has_trailers();
        let fed = self.feed_into(bytes, |part| match part {
            Part::Data(data) => write_chunk(out, data),
            Part::Trailer(piece) => {
                if !in_trailers {
                    out.extend_from_slice(b"0\r\n");
                    in_trailers = true;
                }
                out.extend_from_slice(piece);
            }
        })?;
        if fed.done {
            out.extend_from_slice(if in_trailers { b"\r\n" } else { b"0\r\n\r\n" });
        }
        Ok(fed)
    }

    /// How much of a body with a Content-Length is to come; `None` for any other.
    #[must_use]
    pub fn length_left(&self) -> Option<u64> {
        match self.state {
            State::Length { left } => Some(left),
            State::Chunked(_) | State::Done | State::Failed(_) => None,
        }
    }

    /// Counts bytes in that were passed on without being looked at; no more of them than [`BodyGuard::length_left`] says.
    pub fn skip(&mut self, bytes: u64) {
        if let State::Length { left } = &mut self.state {
            let skipped = bytes.min(*left);
            *left -= skipped;
            self.body += skipped;
            if *left == 0 {
                self.state = State::Done;
            }
        }
    }

    /// Bytes of the body taken so far, without chunk framing and trailers.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body
    }

    /// Whether the body comes in chunks and has not ended.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        matches!(self.state, State::Chunked(_))
    }

    /// Whether the whole body has been taken; for a request without a body, from the start.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

/// Writes one chunk (RFC 9112 §7.1); none for no data, because that would be the end.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if data.is_empty() {
        return;
    }
    let length = data.len() as u64;
    let digits = (64 - length.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.extend(HEX.get((length >> (digit * 4)) as usize & 15));
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Panics when a guarantee of [`BodyGuard`] is broken for a chunked body; fuzzing and the tests share it.
#[doc(hidden)]
pub fn check_invariants(bytes: &[u8]) {
    let max = Some(4096);
    let (mut whole, mut whole_parts) = (BodyGuard::new(Framing::Chunked, max), (Vec::new(), Vec::new()));
    let at_once = whole.feed_into(bytes, |part| collect(&mut whole_parts, part));
    if let Ok(fed) = at_once {
        assert!(fed.taken <= bytes.len() && (fed.done || fed.taken == bytes.len()), "{fed:?} of {}", bytes.len());
        assert!(fed.done == whole.is_done() && whole.body_bytes() <= fed.taken as u64 && whole.body_bytes() <= 4096);
    }

    let (mut split, mut split_parts) = (BodyGuard::new(Framing::Chunked, max), (Vec::new(), Vec::new()));
    let (mut transcribing, mut transcribed) = (BodyGuard::new(Framing::Chunked, max), Vec::new());
    let (mut taken, mut result) = (0, Ok(()));
    for byte in bytes.chunks(1) {
        let again = transcribing.transcribe(byte, &mut transcribed);
        let fed = split.feed_into(byte, |part| collect(&mut split_parts, part));
        assert_eq!(fed, again, "writing it anew changed the outcome");
        match fed {
            Ok(fed) => taken += fed.taken,
            Err(reason) => {
                result = Err(reason);
                break;
            }
        }
    }
    assert_eq!(at_once.map(|_| ()), result, "the portions changed the outcome");
    assert_eq!(whole_parts, split_parts, "the portions changed the body");
    assert_eq!(whole_parts.0.len() as u64, whole.body_bytes());
    if let Ok(fed) = at_once {
        assert_eq!((fed.taken, fed.done, whole.body_bytes()), (taken, split.is_done(), split.body_bytes()));
        let (mut reader, mut read_parts) = (BodyGuard::new(Framing::Chunked, max), (Vec::new(), Vec::new()));
        let read = reader.feed_into(&transcribed, |part| collect(&mut read_parts, part));
        assert_eq!(read, Ok(Fed { taken: transcribed.len(), done: fed.done }), "what was written anew reads otherwise");
        assert_eq!(read_parts, whole_parts, "what was written anew carries something else");
    }
    if result.is_err() {
        assert_eq!(split.feed(b"").map(|_| ()), result, "an error did not stay");
    }
}

fn collect((data, trailers): &mut (Vec<u8>, Vec<u8>), part: Part<'_>) {
    match part {
        Part::Data(piece) => data.extend_from_slice(piece),
        Part::Trailer(piece) => trailers.extend_from_slice(piece),
    }
}

#[cfg(test)]
mod tests;
