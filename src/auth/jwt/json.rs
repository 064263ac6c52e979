//! JSON objects that every reader reads alike: no name twice in an object, at any depth (RFC 7515 §4, RFC 7519 §4), and
//! no more levels than any claim needs.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Levels of objects and arrays, the outermost one included.
pub(super) const MAX_DEPTH: usize = 16;

/// Up to so many names are compared with each other; more are sorted, so that no object costs the square of its length.
const FEW_NAMES: usize = 16;

/// What an object is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NoObject,
    NameTwice,
    TooDeep,
}

/// The value of a member, as far as it can be told without believing it.
#[derive(Debug)]
pub(super) enum Shape<'t> {
    Text(Cow<'t, str>),
    Other,
}

/// Reads one object to its end and shows the members of its outermost level. What was shown counts only when all is well.
pub(super) fn read<'t>(json: &'t [u8], each: impl FnMut(&str, Shape<'t>)) -> Result<(), Fault> {
    let fault = Cell::new(None);
    // Once for all of it, or else every text in it would be looked at on its own.
    let text = str::from_utf8(json).map_err(|_| Fault::NoObject)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer
        .deserialize_map(Outermost { each, fault: &fault })
        .and_then(|()| deserializer.end())
        .map_err(|_| fault.get().unwrap_or(Fault::NoObject))
}

struct Outermost<'f, F> {
    each: F,
    fault: &'f Cell<Option<Fault>>,
}

impl<'t, F: FnMut(&str, Shape<'t>)> Visitor<'t> for Outermost<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, members: A) -> Result<(), A::Error> {
        object(members, 1, self.fault, self.each)
    }
}

fn object<'t, A: MapAccess<'t>>(
    mut members: A,
    depth: usize,
    fault: &Cell<Option<Fault>>,
    mut each: impl FnMut(&str, Shape<'t>),
) -> Result<(), A::Error> {
    let mut names: Vec<Cow<'t, str>> = Vec::with_capacity(FEW_NAMES);
    while let Some(name) = members.next_key_seed(Name)? {
        let shape = members.next_value_seed(Inner { depth: depth + 1, fault })?;
        each(&name, shape);
        names.push(name);
    }
    if repeated(&mut names) {
        fault.set(Some(Fault::NameTwice));
        return Err(A::Error::custom("a name twice"));
    }
    Ok(())
}

fn repeated(names: &mut [Cow<'_, str>]) -> bool {
    if names.len() > FEW_NAMES {
        names.sort_unstable();
        return names.array_windows().any(|[a, b]| a == b);
    }
    let mut rest = &*names;
    while let [first, others @ ..] = rest {
        if others.contains(first) {
            return true;
        }
        rest = others;
    }
    false
}

struct Name;

impl<'t> DeserializeSeed<'t> for Name {
    type Value = Cow<'t, str>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'t> for Name {
    type Value = Cow<'t, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A value that is read to its end and not kept.
struct Inner<'f> {
    /// Its level, if it is an object or array.
    depth: usize,
    fault: &'f Cell<Option<Fault>>,
}

impl Inner<'_> {
    fn enter<E: Error>(&self) -> Result<(), E> {
        if self.depth > MAX_DEPTH {
            self.fault.set(Some(Fault::TooDeep));
            return Err(E::custom("too deep"));
        }
        Ok(())
    }
}

impl<'t> DeserializeSeed<'t> for Inner<'_> {
    type Value = Shape<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Inner<'_> {
    type Value = Shape<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Self::Value, E> {
        Ok(Shape::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Shape::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        self.enter()?;
        while members.next_element_seed(Inner { depth: self.depth + 1, fault: self.fault })?.is_some() {}
        Ok(Shape::Other)
    }

    fn visit_map<A: MapAccess<'t>>(self, members: A) -> Result<Self::Value, A::Error> {
        self.enter()?;
        object(members, self.depth, self.fault, |_, _| ())?;
        Ok(Shape::Other)
    }
}
