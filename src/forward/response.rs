//! Reading the head of an HTTP/1.1 answer and knowing where its body ends (RFC 9112 §6.3).

use std::mem::MaybeUninit;

use http::{StatusCode, Version};
use httparse::Header;

use crate::base::reason::Reason;
use crate::listener::framing::{BodyGuard, Framing, Part};
use crate::listener::head::is_hop_by_hop;

/// Fields of an answer that are read; more are not HTTP that we serve.
pub const MOST_FIELDS: usize = 256;

/// The longest answer head that is read, in bytes.
pub const LONGEST_HEAD: usize = 64 * 1024;

/// Room on the stack for the fields of one head.
pub type Room<'b> = [MaybeUninit<Header<'b>>; MOST_FIELDS];

/// The head of an answer, borrowed from the bytes it was read from.
pub struct ResponseHead<'h, 'b> {
    pub status: StatusCode,
    /// As sent; often empty.
    pub phrase: &'b str,
    pub version: Version,
    /// A field that was taken off has an empty name.
    pub fields: &'h mut [Header<'b>],
    pub framing: BodyFraming,
    /// The upstream lets the connection go on (RFC 9112 §9.3).
    pub persistent: bool,
    pub has_date: bool,
    nominates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    Length(u64),
    Chunked,
    /// By the end of the connection (RFC 9112 §6.3, rule 8).
    UntilClose,
}

/// Why an answer is not valid HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The head at the front of `bytes` and its length; `None` while it is not whole. Framing that two readers could take
/// in two ways (two lengths, a length beside chunks, unknown codings) is not valid here, as RFC 9112 §6.3 lets us.
pub fn parse<'h, 'b>(
    bytes: &'b [u8],
    room: &'h mut Room<'b>,
) -> Result<Option<(ResponseHead<'h, 'b>, usize)>, Invalid> {
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, room);
    let length = match parsed.map_err(|_| Invalid)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Invalid)?;
    let version = if answer.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut head = ResponseHead {
        status,
        phrase: answer.reason.unwrap_or_default(),
        version,
        fields: answer.headers,
        framing: BodyFraming::UntilClose,
        persistent: version == Version::HTTP_11,
        has_date: false,
        nominates: false,
    };
    head.note()?;
    Ok(Some((head, length)))
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// Of an answer that was kept: its fields hold nothing that is for one hop, and a date.
    #[must_use]
    pub fn stored(status: StatusCode, version: Version, fields: &'h mut [Header<'b>], length: Option<u64>) -> Self {
        let framing = length.map_or(BodyFraming::UntilClose, BodyFraming::Length);
        Self {
            status,
            phrase: phrase(status),
            version,
            fields,
            framing,
            persistent: true,
            has_date: true,
            nominates: false,
        }
    }
}

fn phrase(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

impl ResponseHead<'_, '_> {
    fn note(&mut self) -> Result<(), Invalid> {
        let (mut length, mut chunked) = (None, false);
        for Header { name, value } in self.fields.iter() {
            match name.len() {
                4 if name.eq_ignore_ascii_case("date") => self.has_date = true,
                10 if name.eq_ignore_ascii_case("connection") => {
                    for option in options(value) {
                        if option.eq_ignore_ascii_case(b"close") {
                            self.persistent = false;
                        } else if option.eq_ignore_ascii_case(b"keep-alive") {
                            self.persistent |= self.version == Version::HTTP_10;
                        } else {
                            self.nominates = true;
                        }
                    }
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let before = length.replace(decimal(value).ok_or(Invalid)?);
                    before.map_or(Ok(()), |_| Err(Invalid))?;
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if chunked || !value.eq_ignore_ascii_case(b"chunked") || self.version == Version::HTTP_10 {
                        return Err(Invalid);
                    }
                    chunked = true;
                }
                _ => {}
            }
        }
        self.framing = match (length, chunked) {
            (None, false) => BodyFraming::UntilClose,
            (Some(length), false) => BodyFraming::Length(length),
            (None, true) => BodyFraming::Chunked,
            (Some(_), true) => return Err(Invalid),
        };
        Ok(())
    }

    /// The fields, but those that were taken off.
    pub fn carried(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let there = self.fields.iter().filter(|field| !field.name.is_empty());
        there.map(|field| (field.name.as_bytes(), field.value))
    }

    /// Takes off what is for the connection to the upstream only (RFC 9110 §7.6.1).
    pub fn drop_hop_by_hop(&mut self) {
        if self.nominates {
            self.drop_nominated();
        }
        for field in self.fields.iter_mut() {
            if is_hop_by_hop(field.name) {
                field.name = "";
            }
        }
    }

    /// `Content-Length` and `Date` stay, whatever `Connection` says of them: a recipient could not do without.
    #[cold]
    fn drop_nominated(&mut self) {
        for at in 0..self.fields.len() {
            let Some(&Header { name, value }) = self.fields.get(at) else { return };
            if !name.eq_ignore_ascii_case("connection") {
                continue;
            }
            let stays =
                |option: &[u8]| option.eq_ignore_ascii_case(b"content-length") || option.eq_ignore_ascii_case(b"date");
            for option in options(value).filter(|option| !stays(option) && !option.eq_ignore_ascii_case(b"connection"))
            {
                for field in self.fields.iter_mut().filter(|field| field.name.as_bytes().eq_ignore_ascii_case(option)) {
                    field.name = "";
                }
            }
        }
    }

    /// Whether a 101 says that it is this protocol from here on.
    #[must_use]
    pub fn switches_to(&self, protocol: &str) -> bool {
        let named = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case("upgrade"));
        named.is_some_and(|field| field.value.eq_ignore_ascii_case(protocol.as_bytes()))
    }

    /// Whether there is no body whatever the fields say (RFC 9110 §6.4.1), given whether the request was a HEAD.
    #[must_use]
    pub fn is_bodyless(&self, to_head: bool) -> bool {
        to_head
            || self.status.is_informational()
            || self.status == StatusCode::NO_CONTENT
            || self.status == StatusCode::NOT_MODIFIED
    }

    /// Where the body ends, given whether the request was a HEAD.
    #[must_use]
    pub fn ending(&self, to_head: bool) -> Ending {
        Ending::new(match self.framing {
            _ if self.is_bodyless(to_head) => Some(Framing::None),
            BodyFraming::Length(length) => Some(Framing::Length(length)),
            BodyFraming::Chunked => Some(Framing::Chunked),
            BodyFraming::UntilClose => None,
        })
    }
}

fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Finds the end of a body in its bytes as they are framed.
#[derive(Debug)]
pub struct Ending {
    /// `None`: ends with the connection.
    guard: Option<BodyGuard>,
    until_close: u64,
}

impl Ending {
    fn new(framing: Option<Framing>) -> Self {
        Self { guard: framing.map(|framing| BodyGuard::new(framing, None)), until_close: 0 }
    }

    /// How many of these bytes belong to the body, and whether it ends with them; what they carry goes to `parts`.
    ///
    /// # Errors
    ///
    /// `UPSTREAM_PROTOCOL` for chunks or trailers that are not those of RFC 9112 §7.1.
    pub fn feed(&mut self, bytes: &[u8], mut parts: impl FnMut(Part<'_>)) -> Result<(usize, bool), Reason> {
        match &mut self.guard {
            Some(guard) => match guard.feed_into(bytes, parts) {
                Ok(fed) => Ok((fed.taken, fed.done)),
                Err(_) => Err(Reason::UpstreamProtocol),
            },
            None => {
                self.until_close += bytes.len() as u64;
                parts(Part::Data(bytes));
                Ok((bytes.len(), false))
            }
        }
    }

    /// As [`BodyGuard::transcribe`].
    ///
    /// # Errors
    ///
    /// Those of [`Ending::feed`]; what came before the fault has been written.
    pub fn transcribe(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), Reason> {
        match &mut self.guard {
            Some(guard) => match guard.transcribe(bytes, out) {
                Ok(fed) => Ok((fed.taken, fed.done)),
                Err(_) => Err(Reason::UpstreamProtocol),
            },
            None => {
                out.extend_from_slice(bytes);
                self.until_close += bytes.len() as u64;
                Ok((bytes.len(), false))
            }
        }
    }

    /// As [`BodyGuard::length_left`].
    #[must_use]
    pub fn length_left(&self) -> Option<u64> {
        self.guard.as_ref().and_then(BodyGuard::length_left)
    }

    /// As [`BodyGuard::skip`].
    pub fn skip(&mut self, bytes: u64) {
        if let Some(guard) = &mut self.guard {
            guard.skip(bytes);
        }
    }

    /// Bytes of the body so far, without framing.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.guard.as_ref().map_or(self.until_close, BodyGuard::body_bytes)
    }

    /// It comes in chunks and has not ended.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.guard.as_ref().is_some_and(BodyGuard::is_chunked)
    }

    /// Nothing more belongs to the body.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.guard.as_ref().is_some_and(BodyGuard::is_done)
    }

    #[must_use]
    pub fn ends_with_connection(&self) -> bool {
        self.guard.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<usize>, Invalid> {
        parse(bytes, &mut [const { MaybeUninit::uninit() }; MOST_FIELDS]).map(|head| head.map(|(_, length)| length))
    }

    #[test]
    fn ambiguous_lengths_are_not_http() {
        for fields in [
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: +1",
            "Content-Length: ",
            "Content-Length: 18446744073709551616",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert_eq!(read(head.as_bytes()), Err(Invalid), "{fields}");
        }
        assert_eq!(read(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(Invalid));
    }

    #[test]
    fn a_head_is_found_whole_or_not_at_all() {
        let bytes = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        for cut in 0..45 {
            assert_eq!(read(&bytes[..cut]), Ok(None), "{cut}");
        }
        let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let (head, length) = parse(bytes, &mut room).unwrap().unwrap();
        assert_eq!((head.status, head.phrase, &bytes[length..]), (StatusCode::FORBIDDEN, "Forbidden", &b"no"[..]));
        assert!(head.persistent && !head.has_date);
        let fed = head.ending(false).feed(b"no, more", |part| assert_eq!(part, Part::Data(b"no")));
        assert_eq!(fed, Ok((2, true)));
        assert_eq!(head.ending(true).feed(b"", |_| {}).unwrap(), (0, true));
    }

    #[test]
    fn what_is_for_one_hop_is_taken_off() {
        let bytes = b"HTTP/1.1 200 OK\r\nConnection: close, X-Own, Content-Length\r\nX-Own: 1\r\nKeep-Alive: 5\r\n\
            Content-Length: 0\r\nX-Other: 2\r\n\r\n";
        let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let (mut head, _) = parse(bytes, &mut room).unwrap().unwrap();
        head.drop_hop_by_hop();
        let left: Vec<_> = head.fields.iter().map(|field| field.name).filter(|name| !name.is_empty()).collect();
        assert_eq!(left, ["Content-Length", "X-Other"]);
        assert!(!head.persistent);
    }
}
