//! Query parameters, read only when a condition asks for one.

use super::Field;
use crate::base::query::{is_named, pairs};

/// How often a parameter of this (decoded) name occurs; the value is as it was sent, to be read by
/// [`decoded`](crate::base::query::decoded). A parameter without `=` has an empty value.
pub(super) fn parameter<'q>(query: Option<&'q str>, name: &str) -> Field<'q> {
    let named = pairs(query).filter(|(key, _)| is_named(key, name));
    named.map(|(_, value)| value.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::query::decoded;

    #[test]
    fn names_and_values_are_decoded() {
        let query = Some("a%62=1&&flag&x=+%2b%zz%4&=none&x%3D=2");
        assert_eq!(parameter(query, "ab"), Field::Once(b"1"));
        assert_eq!(parameter(query, "flag"), Field::Once(b""));
        assert_eq!(parameter(query, ""), Field::Once(b"none"));
        assert_eq!(parameter(query, "x="), Field::Once(b"2"));
        assert_eq!(parameter(query, "y"), Field::Absent);
        assert_eq!(parameter(None, ""), Field::Absent);
        let Field::Once(raw) = parameter(query, "x") else { panic!("x occurs once") };
        assert_eq!(decoded(raw).collect::<Vec<_>>(), b" +%zz%4");
    }

    #[test]
    fn the_same_name_spelt_twice_is_repeated() {
        assert_eq!(parameter(Some("a=1&%61=1"), "a"), Field::Repeated);
    }
}
