//! Header edits of a route.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::checked::HeaderEdits;

/// A message's header fields, whatever carries them.
pub trait FieldList {
    /// Takes away every line of this name.
    fn remove(&mut self, name: &HeaderName);
    /// Leaves exactly one line of this name.
    fn set(&mut self, name: &HeaderName, value: &HeaderValue);
    /// Adds a line behind those of the same name.
    fn append(&mut self, name: &HeaderName, value: &HeaderValue);
}

/// Removes, then sets, then adds; of two `set` of one name the later holds.
pub fn apply(edits: &HeaderEdits, fields: &mut impl FieldList) {
    for name in &edits.remove {
        fields.remove(name);
    }
    for (name, value) in &edits.set {
        fields.set(name, value);
    }
    for (name, value) in &edits.add {
        fields.append(name, value);
    }
}

/// Must stay below the 32 768 names that a map can hold; limits on a message's head keep it far below.
impl FieldList for HeaderMap {
    fn remove(&mut self, name: &HeaderName) {
        Self::remove(self, name);
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.insert(name, value.clone());
    }

    fn append(&mut self, name: &HeaderName, value: &HeaderValue) {
        Self::append(self, name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(texts: &[(&'static str, &'static str)]) -> Vec<(HeaderName, HeaderValue)> {
        texts.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn map(texts: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs(texts) {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn removes_then_sets_then_adds() {
        let edits = HeaderEdits {
            remove: vec![HeaderName::from_static("x-gone"), HeaderName::from_static("x-back")],
            set: pairs(&[("x-set", "first"), ("x-set", "second"), ("x-back", "new")]),
            add: pairs(&[("x-set", "third"), ("x-back", "more"), ("x-more", "b")]),
        };
        let mut fields = map(&[
            ("x-gone", "1"),
            ("x-gone", "2"),
            ("x-back", "old"),
            ("x-set", "0"),
            ("x-set", "1"),
            ("x-more", "a"),
        ]);
        apply(&edits, &mut fields);
        let expected = map(&[
            ("x-back", "new"),
            ("x-back", "more"),
            ("x-set", "second"),
            ("x-set", "third"),
            ("x-more", "a"),
            ("x-more", "b"),
        ]);
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_header_that_is_not_there_may_be_removed() {
        let mut fields = map(&[("x-a", "1")]);
        apply(&HeaderEdits { remove: vec![HeaderName::from_static("x-b")], ..HeaderEdits::default() }, &mut fields);
        assert_eq!(fields, map(&[("x-a", "1")]));
    }
}
