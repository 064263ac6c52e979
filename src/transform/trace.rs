//! Trace context of a request (W3C Trace Context).

use std::ops::Deref;

/// A trace id: 32 lower-case hex digits, not all zero. Needs no heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// Of a `traceparent` value, as [`trace_id`] reads it.
    #[must_use]
    pub fn of(traceparent: &[u8]) -> Option<Self> {
        trace_id(traceparent)?.as_bytes().try_into().ok().map(Self)
    }
}

impl Deref for TraceId {
    type Target = str;

    fn deref(&self) -> &str {
        // Only hex digits are ever stored.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The trace id of a `traceparent` value: 32 lower-case hex digits, not all zero; `None` when the value is not valid.
///
/// Of versions after 00 the part that every version shares is read; version ff is not valid.
#[must_use]
pub fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let (known, further) = traceparent.split_at_checked(55)?;
    let mut parts = known.split(|byte| *byte == b'-');
    let mut next = |digits: usize| parts.next().filter(|part| part.len() == digits && part.iter().copied().all(is_hex));
    let (version, trace, parent, _flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    let complete = match version {
        b"00" => further.is_empty(),
        b"ff" => false,
        _ => further.first().is_none_or(|byte| *byte == b'-'),
    };
    let zero = |part: &[u8]| part.iter().all(|digit| *digit == b'0');
    if !complete || zero(trace) || zero(parent) {
        return None;
    }
    std::str::from_utf8(trace).ok()
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn reads_this_version_and_later_ones() {
        for value in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-what the future will be like"),
        ] {
            assert_eq!(trace_id(value.as_bytes()), Some(TRACE), "{value}");
            assert_eq!(TraceId::of(value.as_bytes()).as_deref(), Some(TRACE), "{value}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for value in [
            String::new(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01.more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("0-0{TRACE}-00f067aa0ba902b7-01"),
            format!("00_{TRACE}_00f067aa0ba902b7_01"),
            format!(" 00-{TRACE}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(trace_id(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_32_hex_digits(value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?".prop_map(String::into_bytes),
        ]) {
            if let Some(id) = trace_id(&value) {
                prop_assert!(id.len() == 32 && id.bytes().all(is_hex));
            }
        }
    }
}
