//! Lists of directives as `Cache-Control` has them (RFC 9111 §5.2), read with more patience than they are written.

use std::time::Duration;

use http::HeaderName;

use super::{LONGEST_NAME, MAX_NAMES, delta_seconds};

/// A directive as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directive<'a> {
    pub name: &'a [u8],
    pub argument: Option<Argument<'a>>,
}

impl Directive<'_> {
    /// Its name in lower case; empty when it is longer than any that is known.
    pub fn name_in<'b>(&self, buffer: &'b mut [u8; LONGEST_NAME]) -> &'b [u8] {
        let Some(lower) = buffer.get_mut(..self.name.len()) else { return b"" };
        lower.copy_from_slice(self.name);
        lower.make_ascii_lowercase();
        lower
    }
}

/// What is behind `=`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument<'a> {
    /// Without quotes, but with what escapes them.
    text: &'a [u8],
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Token,
    /// A quoted string, which recipients take for the same as a token.
    Quoted,
    /// The string of a Structured Field, which is never a number (RFC 9213 §2.1).
    String,
}

impl<'a> Argument<'a> {
    /// It is there, and says nothing that could be read.
    pub const UNREADABLE: Self = Self { text: b"", form: Form::Token };

    pub const fn new(text: &'a [u8], form: Form) -> Self {
        Self { text, form }
    }

    /// What its escapes stand for.
    fn bytes(self) -> impl Iterator<Item = u8> {
        let mut bytes = self.text.iter().copied();
        std::iter::from_fn(move || match bytes.next()? {
            b'\\' if self.form != Form::Token => bytes.next(),
            byte => Some(byte),
        })
    }

    pub fn seconds(self) -> Option<Duration> {
        if self.form == Form::String { None } else { delta_seconds(self.bytes()) }
    }

    /// Field names, each once; `None` when there is none, one is no name, or they are too many.
    pub fn names(self) -> Option<Vec<HeaderName>> {
        let text: Vec<u8> = self.bytes().collect();
        let mut names = Vec::new();
        for name in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
            let name = HeaderName::from_bytes(name).ok()?;
            if !names.contains(&name) {
                names.push(name);
            }
            if names.len() > MAX_NAMES {
                return None;
            }
        }
        (!names.is_empty()).then_some(names)
    }
}

/// Shows every directive of a line. What cannot be read ends at the next comma; a quote that nothing closes is no quote, so that it hides none of
/// the directives behind it.
pub(super) fn each<'a>(line: &'a [u8], mut show: impl FnMut(Directive<'a>)) {
    let mut rest = line;
    while !rest.is_empty() {
        let (name, behind) = cut(rest.trim_ascii_start(), |byte| !is_token(byte));
        let (argument, behind) = match behind.trim_ascii_start() {
            [b'=', value @ ..] => argument(value.trim_ascii_start()),
            behind @ ([] | [b',', ..]) => (None, behind),
            behind => (Some(Argument::UNREADABLE), behind),
        };
        if !name.is_empty() {
            show(Directive { name, argument });
        }
        rest = cut(behind, |byte| byte == b',').1.get(1..).unwrap_or_default();
    }
}

/// The argument that this begins with, and what is behind it.
fn argument(value: &[u8]) -> (Option<Argument<'_>>, &[u8]) {
    if let Some((text, behind)) = quoted(value) {
        let alone = matches!(behind.trim_ascii_start(), [] | [b',', ..]);
        (Some(if alone { Argument::new(text, Form::Quoted) } else { Argument::UNREADABLE }), behind)
    } else {
        let (text, behind) = cut(value, |byte| byte == b',');
        (Some(Argument::new(text.trim_ascii_end(), Form::Token)), behind)
    }
}

/// The inside of the quoted string that this begins with, and what is behind it (RFC 9110 §5.6.4).
pub(super) fn quoted(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = value.strip_prefix(b"\"")?;
    let mut escaped = false;
    let end = inside.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

/// What is before the first byte that `ends` it, and the rest.
fn cut(bytes: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, b""))
}

/// A character of a token (RFC 9110 §5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}
