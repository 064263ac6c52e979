//! One form for values of a field that mean the same.

use std::ops::Range;

use http::{HeaderName, header};

use crate::cache::Fields;

/// Fields that are no lists: white space between commas may mean something.
static SINGLE: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::FROM,
    header::HOST,
    header::ORIGIN,
    header::PROXY_AUTHORIZATION,
    header::REFERER,
    header::USER_AGENT,
];

/// `Accept-Encoding` with more members than this keeps their order.
const MAX_CODINGS: usize = 16;

/// Appends the value; false when the field is not there.
pub(super) fn push(name: &HeaderName, request: &dyn Fields, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let (is_single, mut lines) = (SINGLE.contains(name), 0);
    let mut writer = Writer::of(name, start);
    request.each(name, &mut |line| {
        lines += 1;
        if is_single {
            if lines > 1 {
                // Crumbs (RFC 9113 §8.2.3), or what RFC 9110 §5.3 makes of several lines.
                out.extend_from_slice(if *name == header::COOKIE { b"; " } else { b", " });
            }
            out.extend_from_slice(trimmed(line));
        } else {
            if lines > 1 {
                writer.push(b", ", out);
            }
            writer.push(trimmed(line), out);
        }
    });
    if writer.quoted {
        // A quoted string without an end, behind which an empty line followed.
        let value = out.get(start..).unwrap_or_default();
        out.truncate(start + value.trim_ascii_end().len());
    }
    if *name == header::ACCEPT_ENCODING {
        sort_codings(start, out);
    }
    lines > 0
}

/// Without white space at both ends (RFC 9110 §5.5).
pub(super) fn trimmed(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// How a field reads its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    List,
    /// Members have parameters, with white space around their semicolons; case means nothing.
    Languages,
    /// Likewise, but values of parameters have case.
    MediaTypes,
    Codings,
}

/// Writes a list without the white space that means nothing. Quoted strings stay as they are.
struct Writer {
    syntax: Syntax,
    quoted: bool,
    escaped: bool,
    /// Behind the `=` of a parameter.
    in_value: bool,
    after_delimiter: bool,
    /// Behind the last byte that is no white space.
    end: usize,
}

impl Writer {
    fn of(name: &HeaderName, start: usize) -> Self {
        let syntax = match *name {
            header::ACCEPT => Syntax::MediaTypes,
            header::ACCEPT_LANGUAGE => Syntax::Languages,
            header::ACCEPT_ENCODING => Syntax::Codings,
            _ => Syntax::List,
        };
        Self { syntax, quoted: false, escaped: false, in_value: false, after_delimiter: true, end: start }
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        bytes.iter().for_each(|byte| self.push_byte(*byte, out));
    }

    fn push_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.quoted {
            out.push(byte);
            self.end = out.len();
            self.quoted = byte != b'"' || self.escaped;
            self.escaped = byte == b'\\' && !self.escaped;
            return;
        }
        if matches!(byte, b' ' | b'\t') {
            if !self.after_delimiter {
                out.push(byte);
            }
            return;
        }
        self.after_delimiter = byte == b',' || byte == b';' && self.syntax != Syntax::List;
        if self.after_delimiter {
            out.truncate(self.end);
            self.in_value = false;
        }
        let has_case = match self.syntax {
            Syntax::List | Syntax::Codings => true,
            Syntax::Languages => false,
            Syntax::MediaTypes => self.in_value,
        };
        out.push(if has_case { byte } else { byte.to_ascii_lowercase() });
        self.end = out.len();
        self.in_value |= byte == b'=';
        self.quoted = byte == b'"';
    }
}

/// Where a member of `Accept-Encoding` has its coding, and its weight in thousandths.
type Coding = (Range<usize>, u16);

/// Puts the value that begins at `start` into one form: a set of codings in lower case, sorted, each with its weight unless that
/// is 1. What is not of that syntax (RFC 9110 §12.5.3), or gives one coding two weights, stays as it is.
fn sort_codings(start: usize, out: &mut Vec<u8>) {
    let mut found: [Coding; MAX_CODINGS] = std::array::from_fn(|_| (0..0, 0));
    let Some(count) = read_codings(out, start, &mut found) else { return };
    let sorted = found.get_mut(..count).unwrap_or_default();
    sorted.sort_unstable_by(|(one, _), (other, _)| lower_case(out, one).cmp(lower_case(out, other)));
    let end = out.len();
    for (at, (coding, weight)) in sorted.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_within(coding.clone());
        if *weight < WHOLE {
            out.extend_from_slice(b";q=0.");
            out.extend([100, 10, 1].map(|place| b'0' + u8::try_from(weight / place % 10).unwrap_or_default()));
        }
    }
    out.drain(start..end);
    if let Some(written) = out.get_mut(start..) {
        written.make_ascii_lowercase();
    }
}

fn lower_case(out: &[u8], coding: &Range<usize>) -> impl Iterator<Item = u8> {
    out.get(coding.clone()).unwrap_or_default().iter().map(u8::to_ascii_lowercase)
}

/// How many codings there are, each once; `None` where that is not certain.
fn read_codings(out: &[u8], start: usize, found: &mut [Coding; MAX_CODINGS]) -> Option<usize> {
    let (mut at, mut count) = (start, 0);
    for member in out.get(start..)?.split(|byte| *byte == b',') {
        let begin = at;
        at += member.len() + 1;
        if member.is_empty() {
            continue;
        }
        let mut parts = member.splitn(2, |byte| *byte == b';');
        let name = parts.next().filter(|name| !name.is_empty() && name.iter().all(|byte| is_token(*byte)))?;
        let weight = match parts.next() {
            None => WHOLE,
            Some([b'q' | b'Q', b'=', weight @ ..]) => thousandths(weight)?,
            Some(_) => return None,
        };
        let coding = begin..begin + name.len();
        let known = found.get(..count)?.iter().find(|(known, _)| lower_case(out, known).eq(lower_case(out, &coding)));
        match known {
            Some((_, known)) if *known == weight => {}
            Some(_) => return None,
            None => {
                *found.get_mut(count)? = (coding, weight);
                count += 1;
            }
        }
    }
    Some(count)
}

/// The weight 1 in thousandths.
const WHOLE: u16 = 1000;

/// A weight (RFC 9110 §12.4.2).
fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, fraction) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let digits = std::iter::once(whole).chain(fraction).chain(b"000");
    let value = digits
        .take(4)
        .try_fold(0, |value: u16, digit| digit.is_ascii_digit().then(|| value * 10 + u16::from(digit - b'0')))?;
    (value <= WHOLE).then_some(value)
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
