//! Field lines in the form in which HTTP/1.1 sends them.

/// Field lines, one behind the other: `name: value` and CRLF each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldLines(Vec<u8>);

impl FieldLines {
    /// None yet, in memory that has served before.
    #[must_use]
    pub fn reusing(mut memory: Vec<u8>) -> Self {
        memory.clear();
        Self(memory)
    }

    #[must_use]
    pub fn into_memory(self) -> Vec<u8> {
        self.0
    }

    /// The lines as they are sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a line; the value is one of RFC 9110 §5.5.
    #[inline(always)]
    pub fn push(&mut self, name: &str, value: &[u8]) {
        self.push_with(name, |out| out.extend_from_slice(value));
    }

    /// Adds a line whose value is written by `write`: one of RFC 9110 §5.5.
    #[inline(always)]
    pub fn push_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        let began = self.0.len();
        write(&mut self.0);
        debug_assert!(self.0.iter().skip(began).all(|byte| !matches!(byte, b'\r' | b'\n' | 0)), "{self:?}");
        self.0.extend_from_slice(b"\r\n");
    }

    /// Adds a line for a text of any kind: bytes that are not visible ASCII, and `%`, are percent-encoded.
    pub fn push_text(&mut self, name: &str, text: &str) {
        self.push_texts(name, std::iter::once(text));
    }

    /// As [`FieldLines::push_text`] for several texts, with a space between two.
    pub fn push_texts<'t>(&mut self, name: &str, texts: impl Iterator<Item = &'t str>) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let hex = |value: u8| HEX.get(usize::from(value & 15)).copied().unwrap_or_default();
        self.push_with(name, |out| {
            for (at, text) in texts.enumerate() {
                if at > 0 {
                    out.push(b' ');
                }
                for byte in text.bytes() {
                    match byte {
                        b'!'..=b'~' if byte != b'%' => out.push(byte),
                        _ => out.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte)]),
                    }
                }
            }
        });
    }

    /// Adds all lines of another list.
    pub fn extend(&mut self, lines: &Self) {
        self.0.extend_from_slice(&lines.0);
    }

    /// Name and value of each line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let colon = rest.iter().position(|byte| *byte == b':')?;
            let (name, line) = rest.split_at_checked(colon)?;
            let line = line.strip_prefix(b": ")?;
            let (value, after) = line.split_at_checked(line.iter().position(|byte| *byte == b'\r')?)?;
            rest = after.strip_prefix(b"\r\n")?;
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_written_as_they_are_sent() {
        let mut lines = FieldLines::reusing(b"of another request".to_vec());
        lines.push("x-a", b"1: 2");
        lines.push_with("x-empty", |_| {});
        let mut more = FieldLines::default();
        more.push("via", "1.1 caf\u{e9}".as_bytes());
        lines.extend(&more);
        assert_eq!(lines.as_bytes(), "x-a: 1: 2\r\nx-empty: \r\nvia: 1.1 caf\u{e9}\r\n".as_bytes());
    }

    #[test]
    fn texts_cannot_end_their_line() {
        let mut lines = FieldLines::default();
        lines.push_text("x-subject", "a b\r\nx-evil: 100%\u{e9}");
        lines.push_texts("x-scopes", ["orders:read", "a b"].into_iter());
        let text = "x-subject: a%20b%0D%0Ax-evil:%20100%25%C3%A9\r\nx-scopes: orders:read a%20b\r\n";
        assert_eq!(lines.as_bytes(), text.as_bytes());
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_found_again(
            pairs in prop::collection::vec(("[a-z-]{1,9}", prop::collection::vec(prop_oneof![Just(b'\t'), b' '..=b'~', 0x80_u8..], 0..9)), 0..5),
        ) {
            let mut lines = FieldLines::default();
            for (name, value) in &pairs {
                lines.push(name, value);
            }
            let found: Vec<_> = lines.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
            prop_assert_eq!(found, pairs);
        }
    }
}
