//! Parts of a stored answer (RFC 9110 §14).

#[cfg(test)]
mod tests;

use http::StatusCode;
use http::header::{IF_RANGE, LAST_MODIFIED, RANGE};

use super::Fields;
use super::stored::{Head, StoredFields};
use super::validation::{EntityTag, entity_tag, is_strong_date, once, only};

/// A request for more parts than this gets the whole.
pub const MAX_PARTS: usize = 8;

/// What of a body a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    Whole,
    /// `from..to`, in bytes.
    One(u64, u64),
    /// Several, in the order asked for, none of them overlapping another.
    Many(Box<[(u64, u64)]>),
    /// None of what was asked for is there: 416.
    Nothing,
}

/// What `Range` of a GET asks for, given the length of the whole; `If-Range` has to hold, by strong comparison (RFC 9110
/// §13.1.5).
///
/// The field does not count, as RFC 9110 §14.2 allows, when it is malformed or of another unit than bytes, when nothing is in
/// the body, and when it asks for more than 8 parts or more bytes than there are. Parts that overlap or touch become one.
#[must_use]
pub fn select(request: &dyn Fields, head: &Head, length: u64) -> Selected {
    if head.status != StatusCode::OK || length == 0 {
        return Selected::Whole;
    }
    match once(request, &RANGE, |value| read(value, length)) {
        Some(parts) if holds(request, &head.fields) => selected(&parts, length),
        _ => Selected::Whole,
    }
}

/// Whether a request has `If-Range`: then its client has the fields of the answer already (RFC 9110 §15.3.7).
pub(super) fn is_conditional(request: &dyn Fields) -> bool {
    let mut found = false;
    request.each(&IF_RANGE, &mut |_| found = true);
    found
}

/// `If-Range` (RFC 9110 §13.1.5); it holds where it is not there. A date counts only where it is a strong validator.
fn holds(request: &dyn Fields, stored: &StoredFields) -> bool {
    let is_same = |value: &[u8]| match EntityTag::read(value) {
        Some(tag) => entity_tag(stored).is_some_and(|own| own.is_strongly(&tag)),
        None => is_strong_date(stored) && only(stored, &LAST_MODIFIED).is_some_and(|own| own.as_bytes() == value),
    };
    !is_conditional(request) || once(request, &IF_RANGE, |value| is_same(value).then_some(())).is_some()
}

/// Parts as they were asked for, as far as they are there; `None` when it is no list of byte ranges, or too long a one.
fn read(value: &[u8], length: u64) -> Option<Vec<(u64, u64)>> {
    let (unit, set) = value.split_at_checked(value.iter().position(|byte| *byte == b'=')?)?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let (mut parts, mut specs) = (Vec::new(), 0);
    let members = set.get(1..)?.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    for spec in members.filter(|spec| !spec.is_empty()) {
        let (from, to) = read_spec(spec, length)?;
        if from < to {
            parts.push((from, to));
        }
        specs += 1;
        if specs > MAX_PARTS {
            return None;
        }
    }
    (specs > 0).then_some(parts)
}

/// Empty where nothing of it is there; `None` when it is no range (RFC 9110 §14.1.2).
fn read_spec(spec: &[u8], length: u64) -> Option<(u64, u64)> {
    let (first, last) = spec.split_at_checked(spec.iter().position(|byte| *byte == b'-')?)?;
    match (first, last.get(1..)?) {
        ([], suffix) => Some((length.saturating_sub(number(suffix)?), length)),
        (first, []) => Some((number(first)?.min(length), length)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| (first.min(length), last.saturating_add(1).min(length)))
        }
    }
}

/// Of any number of digits; what is larger than any body is as large as can be.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

fn selected(parts: &[(u64, u64)], length: u64) -> Selected {
    let wanted = parts.iter().fold(0_u64, |sum, (from, to)| sum.saturating_add(to - from));
    if wanted > length {
        return Selected::Whole;
    }
    match parts {
        [] => Selected::Nothing,
        [(from, to)] => Selected::One(*from, *to),
        several => match *coalesced(several) {
            [(from, to)] => Selected::One(from, to),
            ref apart => Selected::Many(apart.into()),
        },
    }
}

/// What overlaps or touches becomes one, in the place of the first of them.
fn coalesced(parts: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut apart: Vec<(u64, u64)> = Vec::new();
    for &(from, to) in parts {
        let meets = |known: &(u64, u64)| known.0 <= to && from <= known.1;
        let place = apart.iter().position(meets).unwrap_or(apart.len());
        let (mut first, mut last) = (from, to);
        apart.retain(|known| {
            if meets(known) {
                (first, last) = (first.min(known.0), last.max(known.1));
            }
            !meets(known)
        });
        apart.insert(place, (first, last));
    }
    apart
}
