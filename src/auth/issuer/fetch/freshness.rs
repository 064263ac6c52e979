//! For how long an answer says that it is fresh (RFC 9111 §4.2).

use std::time::Duration;

use http::{HeaderMap, header};

/// `max-age` less `Age`; `None` when there is no `max-age` that can be read. Zero when it is stale already.
pub(super) fn of(fields: &HeaderMap) -> Option<Duration> {
    let directives = fields.get_all(header::CACHE_CONTROL).into_iter();
    // Several: the most restrictive one counts (RFC 9111 §4.2.1).
    let fresh = directives.filter_map(|value| max_age(value.as_bytes())).min()?;
    let age = fields.get(header::AGE).and_then(|value| seconds(value.as_bytes())).unwrap_or(0);
    Some(Duration::from_secs(fresh.saturating_sub(age)))
}

/// The smallest `max-age` among the directives; a comma within quotes is not seen for what it is, and what it tears apart is
/// no `max-age`.
fn max_age(directives: &[u8]) -> Option<u64> {
    let ages = directives.split(|byte| *byte == b',').filter_map(|directive| {
        let at = directive.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (directive.get(..at)?, directive.get(at + 1..)?);
        name.trim_ascii().eq_ignore_ascii_case(b"max-age").then(|| seconds(value))?
    });
    ages.min()
}

/// Delta seconds (RFC 9111 §1.2.2), in quotes or not; too many to count are as many as can be counted.
fn seconds(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    let digits = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}
