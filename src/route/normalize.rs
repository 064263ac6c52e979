//! One reading of a request path (RFC 3986 §6.2.2): before routing, before any check, and as it is forwarded.

use std::borrow::Cow;

/// A path in normal form. It begins with `/`, consists of the characters of RFC 3986 §3.3, holds no `//` and no dot
/// segment, percent-encodes nothing that is unreserved and writes hex digits in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'a> {
    path: Cow<'a, str>,
    encoded_delimiter: bool,
}

impl<'a> NormalPath<'a> {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Whether `/` or NUL was sent percent-encoded, or `\` in any form. They stay encoded, but a service may read them
    /// as the character itself; refuse the request unless its route allows them.
    #[must_use]
    pub fn has_encoded_delimiter(&self) -> bool {
        self.encoded_delimiter
    }

    /// Borrowed when the path was sent in normal form.
    #[must_use]
    pub fn into_cow(self) -> Cow<'a, str> {
        self.path
    }
}

/// Why a path has no reading that everybody would agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub enum PathError {
    NotAbsolute,
    ControlCharacter,
    QueryOrFragment,
    BrokenEncoding,
    AboveRoot,
    DotSegmentParameter,
}

impl PathError {
    /// One sentence for the client.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NotAbsolute => "The request path does not begin with a slash.",
            Self::ControlCharacter => "The request path contains a space or a control character.",
            Self::QueryOrFragment => "The request path contains `?` or `#`.",
            Self::BrokenEncoding => "The request path contains a `%` without two hexadecimal digits after it.",
            Self::AboveRoot => "The request path climbs above the root with `..` segments.",
            Self::DotSegmentParameter => "The request path contains a `.` or `..` segment with a `;` parameter.",
        }
    }
}

/// Puts a path, without its query, into normal form; does not allocate when it already is.
///
/// Merges slashes, resolves dot segments (encoded ones too), decodes percent-encoded unreserved characters and encodes
/// characters that may not stand in a path. `..;x` is refused: some servers read it as `..`.
pub fn normalise<T: AsRef<[u8]> + ?Sized>(raw: &T) -> Result<NormalPath<'_>, PathError> {
    let raw = raw.as_ref();
    match std::str::from_utf8(raw) {
        Ok(raw) => normalise_text(raw),
        Err(_) => rewritten(raw),
    }
}

/// As [`normalise`], of what is text already.
pub fn normalise_text(raw: &str) -> Result<NormalPath<'_>, PathError> {
    match scan_normal(raw.as_bytes()) {
        Some(encoded_delimiter) => Ok(NormalPath { path: Cow::Borrowed(raw), encoded_delimiter }),
        None => rewritten(raw.as_bytes()),
    }
}

fn rewritten(raw: &[u8]) -> Result<NormalPath<'_>, PathError> {
    let (path, encoded_delimiter) = rewrite(raw)?;
    Ok(NormalPath { path: Cow::Owned(path), encoded_delimiter })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// May stand in a path and is not percent-encoded for any other reason.
    Plain,
    Slash,
    Percent,
    /// May not stand in a path; its percent-encoded form may.
    Encode,
    /// Space and control characters.
    Control,
    QueryOrFragment,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Encode; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
        let character = byte as u8;
        classes[byte] = match character {
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            b'?' | b'#' => Class::QueryOrFragment,
            0..=b' ' | 0x7F => Class::Control,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' => Class::Plain,
            _ if is_unreserved(character) => Class::Plain,
            _ => Class::Encode,
        };
        byte += 1;
    }
    classes
};

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\' | 0)
}

/// Whether there is an encoded delimiter in a path that is in normal form; `None` when it is not.
fn scan_normal(raw: &[u8]) -> Option<bool> {
    let mut encoded_delimiter = false;
    let mut rest = raw;
    if rest.first() != Some(&b'/') {
        return None;
    }
    while let Some(at) = rest.iter().position(|byte| CLASSES[usize::from(*byte)] != Class::Plain) {
        let (byte, tail) = rest.get(at..)?.split_first()?;
        rest = tail;
        match CLASSES[usize::from(*byte)] {
            Class::Slash if !begins_irregular_segment(tail) => {}
            Class::Percent => {
                let [high, low, after @ ..] = tail else { return None };
                if high.is_ascii_lowercase() || low.is_ascii_lowercase() {
                    return None;
                }
                let decoded = decode(*high, *low)?;
                if is_unreserved(decoded) {
                    return None;
                }
                encoded_delimiter |= is_delimiter(decoded);
                rest = after;
            }
            _ => return None,
        }
    }
    Some(encoded_delimiter)
}

/// Whether what follows a slash is another slash or a dot segment.
fn begins_irregular_segment(after_slash: &[u8]) -> bool {
    match after_slash {
        [b'/', ..] => true,
        [b'.', b'.', after @ ..] | [b'.', after @ ..] => matches!(after, [] | [b'/' | b';', ..]),
        _ => false,
    }
}

fn decode(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

fn rewrite(raw: &[u8]) -> Result<(String, bool), PathError> {
    let Some(mut rest) = raw.strip_prefix(b"/") else { return Err(PathError::NotAbsolute) };
    let mut path = String::with_capacity(raw.len() + 16);
    path.push('/');
    // `path[..segment]` ends with a slash; what follows is the segment being read.
    let mut segment = path.len();
    let mut encoded_delimiter = false;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match CLASSES[usize::from(*byte)] {
            Class::Plain => path.push(char::from(*byte)),
            Class::Slash => segment = end_segment(&mut path, segment, true)?,
            Class::Percent => {
                let [high, low, after @ ..] = tail else { return Err(PathError::BrokenEncoding) };
                let decoded = decode(*high, *low).ok_or(PathError::BrokenEncoding)?;
                if is_unreserved(decoded) {
                    path.push(char::from(decoded));
                } else {
                    push_encoded(&mut path, decoded);
                }
                encoded_delimiter |= is_delimiter(decoded);
                rest = after;
            }
            Class::Encode => {
                push_encoded(&mut path, *byte);
                encoded_delimiter |= is_delimiter(*byte);
            }
            Class::Control => return Err(PathError::ControlCharacter),
            Class::QueryOrFragment => return Err(PathError::QueryOrFragment),
        }
    }
    end_segment(&mut path, segment, false)?;
    Ok((path, encoded_delimiter))
}

/// Keeps, drops or resolves the segment that begins at `start`; returns where the next one begins.
fn end_segment(path: &mut String, start: usize, slash_follows: bool) -> Result<usize, PathError> {
    match path.as_bytes().get(start..).unwrap_or_default() {
        b"" => {}
        b"." => path.truncate(start),
        b".." => {
            let above = path.as_bytes().get(..start - 1).unwrap_or_default();
            let parent = above.iter().rposition(|byte| *byte == b'/').ok_or(PathError::AboveRoot)?;
            path.truncate(parent + 1);
        }
        [b'.', b';', ..] | [b'.', b'.', b';', ..] => return Err(PathError::DotSegmentParameter),
        _ if slash_follows => path.push('/'),
        _ => {}
    }
    Ok(path.len())
}

fn push_encoded(path: &mut String, byte: u8) {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'A' + value - 10 });
    path.push('%');
    path.push(digit(byte >> 4));
    path.push(digit(byte & 15));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &str) -> Result<String, PathError> {
        normalise(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn a_normal_path_is_borrowed() {
        for raw in ["/", "/a", "/a/", "/a.b/..c/.well-known/...", "/%20/%C3%BC", "/a;v=1/@:!$&'()*+,=~-_"] {
            let path = normalise(raw).unwrap();
            assert!(matches!(path.clone().into_cow(), Cow::Borrowed(same) if same == raw), "{raw}");
            assert!(!path.has_encoded_delimiter());
        }
    }

    #[test]
    fn every_spelling_has_one_form() {
        for (raw, want) in [
            ("//a///b//", "/a/b/"),
            ("/a/./b/../c", "/a/c"),
            ("/a//../b", "/b"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/a/%2e/b/%2E%2e/c/.%2e/d", "/a/d"),
            ("/%7euser/%41%2d", "/~user/A-"),
            ("/%c3%bc", "/%C3%BC"),
            ("/ü", "/%C3%BC"),
            ("/\"<>^`{|}[]", "/%22%3C%3E%5E%60%7B%7C%7D%5B%5D"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/..a/.b", "/..a/.b"),
        ] {
            assert_eq!(normal(raw).as_deref(), Ok(want), "{raw}");
        }
        assert_eq!(normalise(b"/\xFF\x80").unwrap().as_str(), "/%FF%80");
    }

    #[test]
    fn encoded_delimiters_stay_and_are_told() {
        for (raw, want) in [
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/a\\b", "/a%5Cb"),
            ("/a%00", "/a%00"),
            ("/a%2f/../b", "/b"),
        ] {
            let path = normalise(raw).unwrap();
            assert_eq!((path.as_str(), path.has_encoded_delimiter()), (want, true), "{raw}");
        }
    }

    #[test]
    fn refuses_what_has_no_agreed_reading() {
        for (raw, error) in [
            ("", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("a/b", PathError::NotAbsolute),
            ("/a b", PathError::ControlCharacter),
            ("/a\t", PathError::ControlCharacter),
            ("/a\u{7f}", PathError::ControlCharacter),
            ("/a?b", PathError::QueryOrFragment),
            ("/a#b", PathError::QueryOrFragment),
            ("/%", PathError::BrokenEncoding),
            ("/%4", PathError::BrokenEncoding),
            ("/%4g", PathError::BrokenEncoding),
            ("/%%41", PathError::BrokenEncoding),
            ("/..", PathError::AboveRoot),
            ("/a/../..", PathError::AboveRoot),
            ("/a/%2e%2e/../b", PathError::AboveRoot),
            ("/./..", PathError::AboveRoot),
            ("/a/..;/b", PathError::DotSegmentParameter),
            ("/a/%2e;x", PathError::DotSegmentParameter),
        ] {
            assert_eq!(normal(raw), Err(error), "{raw}");
        }
    }
}
