//! How the parts of a key are written: one byte that says what follows, four of its length, and its bytes. Nothing but the parts
//! that were written can be read from a key, and no part is the beginning of another.

/// What a part is. The values are bytes of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Scheme = 1,
    Host,
    Path,
    Query,
    NoQuery,
    /// The terms of the route that gave the answer.
    Route,
    Everyone,
    Public,
    Partner,
    Subject,
    Issuer,
    OfPartner,
    OfNone,
    /// A field that the route chose; its name, then its value or that there is none.
    Field,
    /// A field that `Vary` named, likewise.
    Variant,
    Value,
    NoValue,
    /// No more fields of which there can be any number.
    End,
}

impl Kind {
    const ALL: [Self; 18] = [
        Self::Scheme,
        Self::Host,
        Self::Path,
        Self::Query,
        Self::NoQuery,
        Self::Route,
        Self::Everyone,
        Self::Public,
        Self::Partner,
        Self::Subject,
        Self::Issuer,
        Self::OfPartner,
        Self::OfNone,
        Self::Field,
        Self::Variant,
        Self::Value,
        Self::NoValue,
        Self::End,
    ];
}

const LENGTH: usize = size_of::<u32>();

pub fn push(kind: Kind, bytes: &[u8], out: &mut Vec<u8>) {
    push_with(out, |out| {
        out.extend_from_slice(bytes);
        kind
    });
}

/// Writes a part in its place; `write` says what it was.
pub fn push_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Kind) {
    let start = out.len();
    out.extend_from_slice(&[0; 1 + LENGTH]);
    let kind = write(out);
    // What a request says is shorter than this by far: heads have limits.
    let length = u32::try_from(out.len() - start - 1 - LENGTH).unwrap_or(u32::MAX);
    if let Some((first, [a, b, c, d, ..])) = out.get_mut(start..).and_then(<[u8]>::split_first_mut) {
        *first = kind as u8;
        [*a, *b, *c, *d] = length.to_le_bytes();
    }
}

/// Takes the first part off; `None` at the end and where no part begins.
pub fn take<'a>(rest: &mut &'a [u8]) -> Option<(Kind, &'a [u8])> {
    let (first, after) = rest.split_first()?;
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == *first)?;
    let (length, after) = after.split_first_chunk::<LENGTH>()?;
    let (bytes, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    *rest = after;
    Some((kind, bytes))
}
