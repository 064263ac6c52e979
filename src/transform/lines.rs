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
