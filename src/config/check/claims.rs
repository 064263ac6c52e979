//! Claims: the way to them, and what they have to be.

use serde_json::Value;

use regex::bytes::{Regex, RegexBuilder};

use super::super::checked::identity::{ClaimCondition, ClaimPath, ClaimRule};
use super::super::model::access::ClaimCondition as Written;
use super::super::model::{At, Json, Named, Text};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::not_empty;

/// Bytes of a compiled pattern; one that needs more was not written for claims.
const LARGEST_PATTERN: usize = 256 << 10;

/// The way to a claim.
pub(super) fn path(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<ClaimPath> {
    let parsed = parse_path(text);
    if parsed.is_none() {
        let message = match text {
            "" => "a claim has no name".to_owned(),
            _ => format!("`{text}` is not a claim: a name, or a JSON pointer such as `/realm_access/roles`"),
        };
        reader.note(Diagnostic::new(Code::ClaimPath, span, message));
    }
    parsed
}

fn parse_path(text: &str) -> Option<ClaimPath> {
    if text.is_empty() {
        return None;
    }
    let Some(pointer) = text.strip_prefix('/') else { return Some(ClaimPath([text.into()].into())) };
    let names: Option<Vec<Box<str>>> = pointer
        .split('/')
        .map(|name| {
            let mut escapes = name.split('~').skip(1);
            let sound = !name.is_empty() && escapes.all(|after| after.starts_with(['0', '1']));
            // In this order (RFC 6901 §4), or `~01` would become a slash.
            sound.then(|| name.replace("~1", "/").replace("~0", "~").into())
        })
        .collect();
    names.map(|names| ClaimPath(names.into()))
}

/// All conditions of a route.
pub(super) fn rules(written: Option<&At<Named<Written>>>, reader: &mut Reader<'_>) -> Vec<ClaimRule> {
    let mut rules = Vec::new();
    for (name, condition) in written.iter().flat_map(|named| &named.value.0) {
        let claim = path(&name.value, name.span, reader);
        let condition = self::condition(condition, reader);
        if let (Some(claim), Some(condition)) = (claim, condition) {
            rules.push(ClaimRule { claim, condition });
        }
    }
    rules
}

fn condition(written: &At<Written>, reader: &mut Reader<'_>) -> Option<ClaimCondition> {
    let Written { keys, equals, r#in, matches } = &written.value;
    let mut found = Written::KEYS.iter().filter_map(|key| Some((*key, keys.place(key)?)));
    let Some((first, first_place)) = found.next() else {
        if !Written::KEYS.iter().any(|key| keys.is_meant(key)) {
            let mistake = Diagnostic::new(Code::ClaimCondition, written.span, "this says nothing about the claim");
            reader.note(mistake.help("write one of `equals`, `in` and `matches`"));
        }
        return None;
    };
    if let Some((second, place)) = found.next() {
        let message = format!("a condition is one thing, and this one has `{first}` and `{second}`");
        reader.note(Diagnostic::new(Code::ClaimCondition, place, message).also(first_place, "the other one"));
        return None;
    }
    if let Some(value) = equals {
        return scalar(value, reader).map(ClaimCondition::Equals);
    }
    if let Some(list) = r#in {
        not_empty(list, "`in`", "without an entry no claim could ever meet it", reader);
        let values: Option<Vec<Value>> = list.value.0.iter().map(|value| scalar(value, reader)).collect();
        return values.map(ClaimCondition::In);
    }
    matches.as_ref().and_then(|pattern| whole(pattern, reader)).map(ClaimCondition::Matches)
}

fn scalar(written: &At<Json>, reader: &mut Reader<'_>) -> Option<Value> {
    let value = &written.value.0;
    if matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
        return Some(value.clone());
    }
    let mistake = Diagnostic::new(
        Code::ClaimCondition,
        written.span,
        "a claim is compared with text, a number, `true` or `false`",
    );
    reader.note(mistake.help("an array of a token meets a condition when one of its members does"));
    None
}

/// A pattern for the whole text. It is compiled by itself first: `a)|(b` would be sound between our brackets, and not
/// anchored.
fn whole(written: &At<Text>, reader: &mut Reader<'_>) -> Option<Regex> {
    let pattern = &*written.value.0;
    let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build();
    match compile(pattern).and_then(|_| compile(&format!("^(?:{pattern})$"))) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let why = match &error {
                regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                // The last line says what; those before draw the pattern.
                other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
            };
            let message = format!("this is not a regular expression: {why}");
            reader.note(Diagnostic::new(Code::Regex, written.span, message));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_name_or_a_pointer() {
        let names =
            |text: &str| parse_path(text).map(|path| path.0.iter().map(ToString::to_string).collect::<Vec<_>>());
        let some = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names("azp"), some(&["azp"]));
        assert_eq!(names("https://example.com/role"), some(&["https://example.com/role"]));
        assert_eq!(names("a~b"), some(&["a~b"]));
        assert_eq!(names("/realm/level"), some(&["realm", "level"]));
        assert_eq!(names("/a~1b/c~0d/~01"), some(&["a/b", "c~d", "~1"]));
        for text in ["", "/", "//a", "/a/", "/a~", "/a~2"] {
            assert_eq!(names(text), None, "{text}");
        }
    }
}
