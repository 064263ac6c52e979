//! The strict reading of an HTTP/1.x request head (RFC 9112): one parser decides what a request is and where it ends.
//!
//! RFC 9112 lets a recipient forgive much (bare LF, obsolete line folding, repeated lengths, white space in odd places). Each
//! of these has let two parsers in a row disagree about where a request ends, so none is forgiven here. Whoever forwards a
//! request writes the head anew from [`Head`]; the bytes of the client never go on.

mod authority;
mod fields;
mod request_line;
mod target;

use std::mem::MaybeUninit;

use crate::base::field::{Known, KnownSet};
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::Limits;

pub use super::framing::Framing;
pub(super) use authority::is_valid as is_authority;
pub use fields::{IMITATION, imitates_protected, is_hop_by_hop};
pub use target::Target;

/// Fields that a head may have at most; the configured limit may be lower, never higher.
pub const MOST_FIELDS: usize = 256;

/// Where the fields of a head lie while it is looked at.
pub struct Room<'b> {
    fields: [MaybeUninit<httparse::Header<'b>>; MOST_FIELDS],
    known: [Known; MOST_FIELDS],
}

impl Room<'_> {
    #[must_use]
    pub const fn new() -> Self {
        Self { fields: [const { MaybeUninit::uninit() }; MOST_FIELDS], known: [Known::Other; MOST_FIELDS] }
    }
}

impl Default for Room<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// How far the reading of a head has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<T> {
    /// Valid so far; read more.
    Partial,
    /// The head, and how many bytes of the buffer it took.
    Complete(T, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// A request head that has passed every check, borrowed from the buffer it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'b, 'h> {
    /// Any token but CONNECT and TRACE, as sent (methods are case-sensitive, RFC 9110 §9.1).
    pub method: &'b str,
    pub target: Target<'b>,
    pub version: Version,
    /// All fields in the order sent; values without white space around them, and without control characters except HTAB.
    pub fields: &'h [httparse::Header<'b>],
    pub framing: Framing,
    /// Whether the client lets the connection go on after this request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body; never set without a body (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// What to upgrade to, only when `Connection` asks for it too and the client speaks HTTP/1.1 (RFC 9110 §7.8).
    pub upgrade: Option<&'b str>,
    /// Host and port as sent; empty only for HTTP/1.0 without a Host field.
    pub host: &'b str,
    /// What each of `fields` is.
    known: &'h [Known],
    present: KnownSet,
    nominates: bool,
}

impl<'b, 'h> Head<'b, 'h> {
    /// All fields in the order sent, each with what it is.
    pub fn known_fields(&self) -> impl Iterator<Item = (Known, &'h httparse::Header<'b>)> + use<'b, 'h> {
        self.known.iter().copied().zip(self.fields)
    }

    /// The values of a field, in order; costs nothing when there is none.
    pub fn values(&self, field: Known) -> impl DoubleEndedIterator<Item = &'b [u8]> + use<'b, 'h> {
        let fields = if self.present.contains(field) { self.fields } else { &[] };
        fields.iter().zip(self.known).filter(move |(_, known)| **known == field).map(|(field, _)| field.value)
    }

    /// Whether `Connection` names other fields than those that never leave it.
    #[must_use]
    pub fn nominates(&self) -> bool {
        self.nominates
    }

    /// Whether a field stays on this connection: one of [`is_hop_by_hop`] or nominated by `Connection` (RFC 9110 §7.6.1).
    /// Such a field must not be forwarded.
    #[must_use]
    pub fn is_for_this_hop(&self, field: Known, name: &str) -> bool {
        KnownSet::HOP_BY_HOP.contains(field) || (self.nominates && fields::is_nominated(self.fields, name))
    }
}

/// Reads a head from the beginning of `buffer`; call it again with more of the same bytes while it is [`Status::Partial`].
///
/// What has once been decided stays decided, however many bytes follow, and never depends on how the bytes were split.
/// Each call reads from the beginning; `limits.head` and the deadline of the caller bound what that costs. [`MOST_FIELDS`]
/// and `limits.fields` bound the number of fields. Nothing is allocated.
///
/// # Errors
///
/// The first fault found: in the request line as soon as it is there (a target longer than `limits.target` bytes needs no end
/// of line to be `URI_TOO_LONG`), in a field at its line, and between fields at the end of the head. After an error the
/// position of the next request is unknown: the connection has to be closed.
pub fn parse<'b, 'h>(
    buffer: &'b [u8],
    room: &'h mut Room<'b>,
    limits: &Limits,
) -> Result<Status<Head<'b, 'h>>, Rejection> {
    let Some(start) = skip_empty_line(buffer)? else { return Ok(Status::Partial) };
    let rest = buffer.get(start..).unwrap_or_default();
    // A head that does not end within the limit is refused by its length, so what lies behind is not even looked at.
    let window = rest.get(..limits.head).unwrap_or(rest);
    let cut_off = window.len() == limits.head;

    let Some(line) = request_line::read(window, limits.target)? else {
        return if cut_off { Err(Reason::UriTooLong.into()) } else { Ok(Status::Partial) };
    };
    let Room { fields: slots, known } = room;
    let slots = slots.get_mut(..limits.fields.min(MOST_FIELDS)).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(window, slots);
    // `httparse` has made text of the same bytes, unless it found fault with them.
    let (method, target) = match (request.method, request.path) {
        (Some(method), Some(target)) => (method, target),
        _ => (text(line.method)?, text(line.target)?),
    };
    debug_assert_eq!((method.as_bytes(), target.as_bytes()), (line.method, line.target));
    // What is wrong with the target is said first, however much of the head is there.
    let target = target::read(method, target)?;
    let consumed = match parsed {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Ok(httparse::Status::Partial) if cut_off => return Err(Reason::HeadersTooLarge.into()),
        Ok(httparse::Status::Partial) => return Ok(Status::Partial),
        Err(error) => return Err(refuse(error)),
    };
    let fields: &'h [httparse::Header<'b>] = request.headers;
    check_line_ends(window.get(..consumed).unwrap_or_default())?;

    let known = known.get_mut(..fields.len()).unwrap_or_default();
    let noted = fields::read(fields, known, line.version)?;
    let host = fields::host(&noted, &target, line.version)?;
    let framing = fields::framing(&noted, line.version)?;
    let head = Head {
        method,
        target,
        version: line.version,
        fields,
        framing,
        keep_alive: !noted.close && (line.version == Version::Http11 || noted.keep_alive),
        expect_continue: noted.expect_continue && !matches!(framing, Framing::None | Framing::Length(0)),
        upgrade: noted.upgrade.filter(|_| noted.nominates_upgrade && line.version == Version::Http11),
        host,
        known,
        present: noted.present,
        nominates: noted.nominates_others,
    };
    Ok(Status::Complete(head, start + consumed))
}

/// Of bytes that are ASCII.
fn text(bytes: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(bytes).map_err(|_| Reason::RequestMalformed.into())
}

fn malformed(detail: &'static str) -> Rejection {
    Rejection::with_detail(Reason::RequestMalformed, detail)
}

/// One empty line before the request line is passed over (RFC 9112 §2.2): some clients send it after a body.
fn skip_empty_line(buffer: &[u8]) -> Result<Option<usize>, Rejection> {
    match buffer {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r' | b'\n', ..] => Err(malformed("A line does not end in CRLF.")),
        _ => Ok(Some(0)),
    }
}

/// `httparse` takes a bare LF for a line end; RFC 9112 §2.2 allows that, and every smuggler uses it.
fn check_line_ends(head: &[u8]) -> Result<(), Rejection> {
    // Without an early end and on bytes, so that the compiler can compare many at once.
    let pairs = head.iter().zip(head.iter().skip(1));
    let bare = pairs.fold(0, |bare, (first, second)| bare | (u8::from(*first == b'\r') ^ u8::from(*second == b'\n')));
    if bare == 0 { Ok(()) } else { Err(malformed("A line does not end in CRLF.")) }
}

fn refuse(error: httparse::Error) -> Rejection {
    match error {
        httparse::Error::TooManyHeaders => {
            Rejection::with_detail(Reason::HeadersTooLarge, "The request has too many header fields.")
        }
        httparse::Error::HeaderName => malformed(
            "A field name is not a token directly followed by a colon, or a field is folded over several lines.",
        ),
        httparse::Error::HeaderValue => malformed("A field value contains a control character."),
        httparse::Error::NewLine => malformed("A line does not end in CRLF."),
        httparse::Error::Token | httparse::Error::Status | httparse::Error::Version => Reason::RequestMalformed.into(),
    }
}

/// Panics when a guarantee of [`parse`] is broken; fuzzing and the tests share it.
#[doc(hidden)]
pub fn check_invariants(bytes: &[u8]) {
    const SMALL: Limits = Limits { head: 600, fields: 12, target: 80, connections: 1, requests_per_connection: 1 };
    let mut whole_room = Room::new();
    let whole = parse(bytes, &mut whole_room, &SMALL);
    match &whole {
        Ok(Status::Complete(head, consumed)) => {
            assert!(
                *consumed <= SMALL.head + 2
                    && head.fields.len() <= SMALL.fields
                    && head.target.length() <= SMALL.target
            );
            assert!(bytes[..*consumed].ends_with(b"\r\n\r\n"), "a head ends in an empty line");
            for field in head.fields {
                assert!(!field.name.is_empty() && field.value.iter().all(|byte| super::syntax::is_value(*byte)));
            }
            let mut room = Room::new();
            assert_eq!(parse(&bytes[..*consumed], &mut room, &SMALL), whole, "what follows a head changed it");
        }
        Ok(Status::Partial) => assert!(bytes.len() < SMALL.head + 2, "still partial after {} bytes", bytes.len()),
        Err(_) => {}
    }
    let mut decided = false;
    for length in 0..=bytes.len().min(SMALL.head + 3) {
        let mut room = Room::new();
        let part = parse(&bytes[..length], &mut room, &SMALL);
        let partial = matches!(part, Ok(Status::Partial));
        assert!(if partial { !decided } else { part == whole }, "{length} bytes: {part:?}, whole: {whole:?}");
        decided |= !partial;
    }
    assert_eq!(decided, !matches!(whole, Ok(Status::Partial)));
}

#[cfg(test)]
mod tests;
