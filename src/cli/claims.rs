//! Claims of tokens, as they are given on the command line.

use serde_json::{Map, Value};

use crate::config::checked::identity::ClaimPath;

/// Reads `NAME=VALUE`: the name may be a JSON pointer (RFC 6901), the value is JSON, or else text.
pub(super) fn claim(text: &str) -> Result<(ClaimPath, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as tier=gold or /limits/daily=5")?;
    let path: Vec<Box<str>> = match name.strip_prefix('/') {
        // RFC 6901 §4: in this order, so that `~01` is `~1`.
        Some(pointer) => pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~").into()).collect(),
        None if name.is_empty() => return Err("a claim has a name".to_owned()),
        None => vec![name.into()],
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((ClaimPath(path.into()), value))
}

/// Sets a claim, or one within another. `false` when there is no place for it, because something on the way is no object.
pub(super) fn put(claims: &mut Map<String, Value>, path: &[Box<str>], value: Value) -> bool {
    match path {
        [] => false,
        [name] => {
            claims.insert(name.to_string(), value);
            true
        }
        [name, rest @ ..] => match claims.entry(name.to_string()).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(within) => put(within, rest, value),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_set_wherever_they_stand() {
        let mut claims = Map::new();
        for text in ["tier=gold", "n=7", "amr=[\"mfa\"]", "/a/b=true", "/a/c~1d~0=x=y", "tier=silver"] {
            let (path, value) = claim(text).unwrap();
            assert!(put(&mut claims, &path.0, value), "{text}");
        }
        let expected = json!({ "tier": "silver", "n": 7, "amr": ["mfa"], "a": { "b": true, "c/d~": "x=y" } });
        assert_eq!(Value::Object(claims.clone()), expected);
        let (path, value) = claim("/tier/x=1").unwrap();
        assert!(!put(&mut claims, &path.0, value));
        assert_eq!(claims["tier"], "silver");
        for text in ["", "tier", "=x"] {
            assert!(claim(text).is_err(), "{text}");
        }
    }
}
