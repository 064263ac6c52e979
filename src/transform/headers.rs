//! Header edits of a route.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::lines::FieldLines;
use crate::base::field::{Known, KnownSet};
use crate::config::checked::HeaderEdits;

/// A message's header fields, whatever carries them.
pub trait FieldList {
    /// Takes away every line of this name.
    fn remove(&mut self, name: &HeaderName);
    /// Leaves exactly one line of this name.
    fn set(&mut self, name: &HeaderName, value: &HeaderValue);
    /// Adds a line behind those of the same name.
    fn append(&mut self, name: &HeaderName, value: &HeaderValue);

    /// As [`FieldList::remove`], where no line of this name has been added: only those that came are looked through.
    fn remove_received(&mut self, name: &HeaderName) {
        self.remove(name);
    }

    /// As [`FieldList::set`], for a text that is a valid value; without making one first where that can be spared.
    fn set_text(&mut self, name: &HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.set(name, &value);
        }
    }

    /// As [`FieldList::append`], likewise.
    fn append_text(&mut self, name: &HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.append(name, &value);
        }
    }
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

/// The edits of a route to requests that are written field by field: what stays behind, and what is added at the end.
#[derive(Clone, Debug, Default)]
pub struct RequestEdits {
    /// Fields that are removed or set, and those that are kept from upstreams anyway.
    pub withheld: Withheld,
    /// Fields that the edits remove or set: nobody else adds them either.
    pub own: Withheld,
    /// Fields that are set or added.
    pub lines: FieldLines,
}

impl RequestEdits {
    /// `kept` stay behind whatever the edits say, and only for clients: the edits may set them.
    #[must_use]
    pub fn compile(HeaderEdits { remove, set, add }: &HeaderEdits, kept: &[HeaderName]) -> Self {
        let own = remove.iter().chain(set.iter().map(|(name, _)| name));
        let mut edits = Self {
            withheld: Withheld::of(own.clone().chain(kept)),
            own: Withheld::of(own),
            lines: FieldLines::default(),
        };
        for (at, (name, value)) in set.iter().enumerate() {
            // Of two `set` of one name the later holds.
            if !set.iter().skip(at + 1).any(|(later, _)| later == name) {
                edits.lines.push(name.as_str(), value.as_bytes());
            }
        }
        for (name, value) in add {
            edits.lines.push(name.as_str(), value.as_bytes());
        }
        edits
    }
}

/// Names of fields that are not passed on.
#[derive(Clone, Debug, Default)]
pub struct Withheld {
    /// Of those that the gateway knows; [`Known::Other`] is never among them.
    pub known: KnownSet,
    others: Option<Arc<Names>>,
}

impl Withheld {
    fn of<'n>(names: impl Iterator<Item = &'n HeaderName>) -> Self {
        let mut withheld = Self::default();
        let mut others = Names::default();
        for name in names {
            match Known::of(name.as_str()) {
                Known::Other | Known::Claim => others.insert(name),
                known => withheld.known.insert(known),
            }
        }
        if !others.names.is_empty() {
            withheld.others = Some(Arc::new(others));
        }
        withheld
    }

    /// `field` is what the name tells by [`Known::of`].
    #[must_use]
    pub fn contains(&self, field: Known, name: &str) -> bool {
        self.known.contains(field)
            || (matches!(field, Known::Other | Known::Claim)
                && self.others.as_ref().is_some_and(|others| others.contains(name)))
    }
}

#[derive(Debug, Default)]
struct Names {
    /// A bit for each length below 64 that some name has; the last one also stands for all above.
    lengths: u64,
    names: Vec<Box<str>>,
}

impl Names {
    fn insert(&mut self, name: &HeaderName) {
        self.lengths |= length_bit(name.as_str());
        self.names.push(name.as_str().into());
    }

    fn contains(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0 && self.names.iter().any(|known| is_read_as(known, name))
    }
}

/// Many services read `_` in a field name as `-`: for them it is the same field.
fn is_read_as(known: &str, sent: &str) -> bool {
    let read = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    known.len() == sent.len() && known.bytes().zip(sent.bytes()).all(|(known, sent)| read(known) == read(sent))
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_edits_withhold_and_add_the_same() {
        let long = format!("x-{}", "long-".repeat(20));
        let edits = HeaderEdits {
            remove: vec!["x-gone".parse().unwrap(), "via".parse().unwrap(), long.parse().unwrap()],
            set: pairs(&[("x-set", "1"), ("x-forwarded-port", "8"), ("x-request-id", "2"), ("x-set", "3")]),
            add: pairs(&[("x-add", "4"), ("x-set", "5")]),
        };
        let RequestEdits { withheld, own, lines } = RequestEdits::compile(&edits, &[HeaderName::from_static("x-kept")]);
        let gone = |name: &str| withheld.contains(Known::of(name), name);
        assert!(
            own.contains(Known::Via, "via")
                && own.contains(Known::Other, "X_Gone")
                && !own.contains(Known::Other, "x-kept")
        );
        for name in [
            "X-Gone",
            "x-set",
            "X-Kept",
            "x_kept",
            "X_Gone",
            "Via",
            "X-Forwarded-Port",
            "x-request-id",
            &long,
            &long.to_uppercase(),
        ] {
            assert!(gone(name), "{name}");
        }
        for name in ["x-add", "x-gond", "x-gon", "host", "x-forwarded-for", "x-forwarded-host", "", &format!("{long}s")]
        {
            assert!(!gone(name), "{name}");
        }
        let text = "x-forwarded-port: 8\r\nx-request-id: 2\r\nx-set: 3\r\nx-add: 4\r\nx-set: 5\r\n";
        assert_eq!(lines.as_bytes(), text.as_bytes());
    }

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
