//! Entity tags (RFC 9110 §8.8.3).

use http::header::IF_NONE_MATCH;

use crate::cache::Fields;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) struct EntityTag<'a> {
    pub is_weak: bool,
    /// Between the quotes.
    pub opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// Reads a whole value; `None` when that is no entity tag.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        Self::take(value).and_then(|(tag, rest)| rest.is_empty().then_some(tag))
    }

    /// Reads the tag that a value begins with, and gives what follows it.
    fn take(value: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (is_weak, quoted) = match value.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let rest = quoted.strip_prefix(b"\"")?;
        let (opaque, after) = rest.split_at_checked(rest.iter().position(|byte| *byte == b'"')?)?;
        let is_opaque = opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7E | 0x80..));
        is_opaque.then_some((Self { is_weak, opaque }, after.strip_prefix(b"\"")?))
    }

    /// Strong comparison (RFC 9110 §8.8.3.2).
    pub fn is_strongly(&self, other: &EntityTag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// Weak comparison (RFC 9110 §8.8.3.2).
    pub fn is_weakly(&self, other: &EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// Whether `If-None-Match` of a request names what is there, by weak comparison (RFC 9110 §13.1.2); `None` without the field.
/// All lines are one list, and if any of it is malformed, nothing of it counts.
pub(super) fn is_named(request: &dyn Fields, current: Option<EntityTag<'_>>) -> Option<bool> {
    let (mut lines, mut any, mut is_found, mut is_sound) = (0_usize, false, false, true);
    request.each(&IF_NONE_MATCH, &mut |line| {
        lines += 1;
        if line.trim_ascii() == b"*" {
            any = true;
        } else {
            let found = members(line, &mut |tag| is_found |= current.is_some_and(|current| current.is_weakly(&tag)));
            is_sound &= found.is_some();
        }
    });
    match lines {
        0 => None,
        1 => Some(any || is_sound && is_found),
        // `*` stands alone.
        _ => Some(is_sound && is_found && !any),
    }
}

/// Shows every tag of a list; `None` when it is malformed.
fn members<'a>(list: &'a [u8], show: &mut dyn FnMut(EntityTag<'a>)) -> Option<()> {
    let mut rest = list;
    let mut after_tag = false;
    loop {
        rest = match rest {
            [] => return Some(()),
            [b' ' | b'\t', after @ ..] => after,
            [b',', after @ ..] => {
                after_tag = false;
                after
            }
            _ if after_tag => return None,
            _ => {
                let (tag, after) = EntityTag::take(rest)?;
                show(tag);
                after_tag = true;
                after
            }
        };
    }
}
