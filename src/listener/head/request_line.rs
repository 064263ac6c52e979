//! `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3), judged byte by byte as it arrives.

use super::{Version, malformed};
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::listener::syntax::{is_target, is_token};

/// The longest registered method has 17 bytes.
const LONGEST_METHOD: usize = 32;

pub(super) struct RequestLine<'b> {
    /// ASCII, as the target is.
    pub method: &'b [u8],
    pub target: &'b [u8],
    pub version: Version,
}

/// `None` while the line is incomplete and valid so far.
pub(super) fn read(bytes: &[u8], longest_target: usize) -> Result<Option<RequestLine<'_>>, Rejection> {
    let Some((method, bytes)) = take(bytes, is_token, LONGEST_METHOD, Reason::MethodUnsupported)? else {
        return Ok(None);
    };
    let bytes = match bytes {
        [b' ', rest @ ..] if !method.is_empty() => rest,
        _ => return Err(malformed("The request does not begin with a method and one space.")),
    };
    let Some((target, bytes)) = take(bytes, is_target, longest_target, Reason::UriTooLong)? else { return Ok(None) };
    let bytes = match bytes {
        [b' ', rest @ ..] if !target.is_empty() => rest,
        [b'#', ..] => return Err(malformed("The request target contains a fragment (`#`).")),
        [b'\r' | b'\n', ..] => return Err(malformed("The request line has no HTTP version.")),
        _ => return Err(malformed("The request target contains a character that has to be percent-encoded.")),
    };
    Ok(version(bytes)?.map(|version| RequestLine { method, target, version }))
}

/// What was taken, and what follows it.
type Split<'b> = (&'b [u8], &'b [u8]);

/// Splits off all bytes of a kind; `None` when more of them may follow, `too_long` when there are more than `longest`.
fn take(
    bytes: &[u8],
    is_kind: impl Fn(u8) -> bool,
    longest: usize,
    too_long: Reason,
) -> Result<Option<Split<'_>>, Rejection> {
    let looked_at = bytes.get(..=longest).unwrap_or(bytes);
    let Some(end) = looked_at.iter().position(|byte| !is_kind(*byte)) else {
        return if looked_at.len() > longest { Err(too_long.into()) } else { Ok(None) };
    };
    Ok(Some(bytes.split_at(end)))
}

/// RFC 9112 §2.3: `HTTP/` DIGIT `.` DIGIT, case-sensitive, and the end of the line right behind it.
fn version(bytes: &[u8]) -> Result<Option<Version>, Rejection> {
    let (version, end) = match bytes {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', end @ ..] => (Version::Http11, end),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', end @ ..] => (Version::Http10, end),
        _ => return no_version(bytes),
    };
    match end {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(version)),
        _ => Err(malformed("The request line does not end in CRLF directly behind the version.")),
    }
}

/// What is wrong with the end of a request line that names neither version; `None` when it may still become one.
fn no_version(bytes: &[u8]) -> Result<Option<Version>, Rejection> {
    const SHAPE: &[u8; 8] = b"HTTP/0.0";
    let fits =
        bytes.iter().zip(SHAPE).all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape });
    match fits {
        true if bytes.len() < SHAPE.len() => Ok(None),
        true => Err(Reason::VersionUnsupported.into()),
        false => Err(malformed("The request line does not end in an HTTP version.")),
    }
}
