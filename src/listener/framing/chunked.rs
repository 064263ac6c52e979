//! The chunked transfer coding (RFC 9112 §7.1), read strictly.

use super::{Fed, Part};
use crate::base::field::Known;
use crate::base::reason::Reason;
use crate::listener::syntax::{is_protected, is_token, is_value, reads_as};
use crate::transform::headers::Withheld;

/// Digits that fill 64 bits; leading zeros count.
const MOST_DIGITS: u8 = 16;
/// Bytes of all chunk extensions of a message together: RFC 9112 §7.1.1 asks for such a limit.
const MOST_EXTENSION_BYTES: u16 = 4 * 1024;
/// Bytes of the whole trailer section.
const MOST_TRAILER_BYTES: u16 = 8 * 1024;

#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    at: At,
    extension_bytes: u16,
    trailer_bytes: u16,
    name: Name,
    /// Fields that are kept from whom the message is for.
    pub(super) withheld: Withheld,
}

/// What the next byte has to be.
#[derive(Clone, Copy, Debug)]
enum At {
    Size {
        size: u64,
        digits: u8,
    },
    /// White space between size and extension.
    BeforeExtension {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLineFeed {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataLineFeed,
    /// The beginning of a trailer field or of the last line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
}

impl Default for At {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Chunked {
    pub fn feed(
        &mut self,
        bytes: &[u8],
        body: &mut u64,
        max: Option<u64>,
        mut parts: impl FnMut(Part<'_>),
    ) -> Result<Fed, Reason> {
        let mut rest = bytes;
        while let [byte, after @ ..] = rest {
            if let At::Data { left } = &mut self.at {
                let available = rest.len() as u64;
                let length = available.min(*left);
                *left -= length;
                *body += length;
                if *left == 0 {
                    self.at = At::DataReturn;
                }
                let (piece, after) =
                    rest.split_at_checked(usize::try_from(length).unwrap_or(rest.len())).unwrap_or((rest, &[]));
                parts(Part::Data(piece));
                rest = after;
                continue;
            }
            rest = after;
            let done = self.step(*byte, *body, max)?;
            if self.has_trailers() && !matches!(self.at, At::LastLineFeed) {
                parts(Part::Trailer(std::slice::from_ref(byte)));
            }
            if done {
                return Ok(Fed { taken: bytes.len() - rest.len(), done: true });
            }
        }
        Ok(Fed { taken: bytes.len(), done: false })
    }

    /// Whether a trailer field has come.
    pub fn has_trailers(&self) -> bool {
        self.trailer_bytes > 0
    }

    /// Takes one byte that is not data; `true` at the end of the message.
    fn step(&mut self, byte: u8, body: u64, max: Option<u64>) -> Result<bool, Reason> {
        self.at = match (self.at, byte) {
            (At::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < MOST_DIGITS => {
                At::Size { size: size << 4 | hex(byte), digits: digits + 1 }
            }
            (At::Size { size, digits: 1.. }, b' ' | b'\t') => self.extension(At::BeforeExtension { size })?,
            (At::Size { size, digits: 1.. } | At::BeforeExtension { size }, b';') => {
                self.extension(At::Extension { size })?
            }
            (At::BeforeExtension { size }, b' ' | b'\t') => self.extension(At::BeforeExtension { size })?,
            (At::Size { size, digits: 1.. } | At::Extension { size }, b'\r') => At::SizeLineFeed { size },
            (At::Extension { size }, byte) if is_value(byte) => self.extension(At::Extension { size })?,
            (At::SizeLineFeed { size: 0 }, b'\n') => At::Trailer,
            (At::SizeLineFeed { size }, b'\n') => {
                let total = body.checked_add(size).ok_or(Reason::BodyTooLarge)?;
                if max.is_some_and(|max| total > max) {
                    return Err(Reason::BodyTooLarge);
                }
                At::Data { left: size }
            }
            (At::DataReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::default(),
            (At::Trailer, b'\r') => At::LastLineFeed,
            (At::Trailer, byte) if is_token(byte) => {
                self.name = Name::default();
                self.trailer_name(byte)?
            }
            (At::TrailerName, b':') if self.name.is_forbidden(&self.withheld) => return Err(Reason::RequestFraming),
            (At::TrailerName, b':') => self.trailer(At::TrailerValue)?,
            (At::TrailerName, byte) if is_token(byte) => self.trailer_name(byte)?,
            (At::TrailerValue, b'\r') => self.trailer(At::TrailerLineFeed)?,
            (At::TrailerValue, byte) if is_value(byte) => self.trailer(At::TrailerValue)?,
            (At::TrailerLineFeed, b'\n') => self.trailer(At::Trailer)?,
            (At::LastLineFeed, b'\n') => return Ok(true),
            _ => return Err(Reason::RequestFraming),
        };
        Ok(false)
    }

    fn extension(&mut self, next: At) -> Result<At, Reason> {
        self.extension_bytes += 1;
        if self.extension_bytes > MOST_EXTENSION_BYTES { Err(Reason::RequestFraming) } else { Ok(next) }
    }

    fn trailer_name(&mut self, byte: u8) -> Result<At, Reason> {
        self.name.push(byte);
        self.trailer(At::TrailerName)
    }

    fn trailer(&mut self, next: At) -> Result<At, Reason> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MOST_TRAILER_BYTES { Err(Reason::HeadersTooLarge) } else { Ok(next) }
    }
}

const fn hex(digit: u8) -> u64 {
    (match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }) as u64
}

/// The beginning of a trailer field's name; a longer one is refused.
#[derive(Clone, Copy, Debug)]
struct Name {
    bytes: [u8; LONGEST_NAME],
    length: usize,
}

/// Bytes of a trailer field's name, and one.
const LONGEST_NAME: usize = 65;

/// Fields that must not be sent behind the body (RFC 9110 §6.5.1) beyond those that are protected anyway: they would change
/// how the message is framed, routed, authenticated or read once somebody merges them into its head.
const FORBIDDEN: [&str; 16] = [
    "cache-control",
    "connection",
    "content-encoding",
    "content-range",
    "content-type",
    "expect",
    "keep-alive",
    "max-forwards",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "upgrade",
];

impl Default for Name {
    fn default() -> Self {
        Self { bytes: [0; LONGEST_NAME], length: 0 }
    }
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn is_forbidden(&self, withheld: &Withheld) -> bool {
        let name = self.bytes.get(..self.length).filter(|name| name.len() < LONGEST_NAME);
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        name.is_none_or(|name| is_forbidden(name) || withheld.contains(Known::of(name), name))
    }
}

/// Whether a field of this name must not be sent behind a body.
pub fn is_forbidden(name: &str) -> bool {
    is_protected(name) || FORBIDDEN.iter().any(|forbidden| reads_as(name, forbidden))
}
