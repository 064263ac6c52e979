//! What holds for whatever is sent; checked by the property tests and by the fuzz target.

use super::{KeySet, MAX_TOKEN, json, keys, parse};
use crate::config::checked::identity::Algorithm;

/// Panics when a guarantee of the readers of this room is broken: `bytes` is taken for a token, for JSON, and for a key set.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(token) = parse(text)
    {
        assert!(text.len() <= MAX_TOKEN);
        let dots: Vec<usize> = text.match_indices('.').map(|(at, _)| at).collect();
        assert_eq!(dots.len(), 2, "three parts");
        assert_eq!(token.signed, dots[1], "all is signed but the signature");
        let (claims, signature) = token.body.split_at(token.claims);
        assert!(!signature.is_empty());
        assert_eq!(encoded(claims), &text[dots[0] + 1..dots[1]], "a part has one text only");
        assert_eq!(encoded(signature), &text[dots[1] + 1..]);
        // What was read strictly reads the same by the ordinary reader, which takes the last of two members of a name.
        let read: serde_json::Value = serde_json::from_slice(claims).expect("JSON");
        assert_eq!(read.get("iss").and_then(serde_json::Value::as_str), token.issuer.as_deref());
        assert!(
            token.kind.iter().chain(&token.key_id).all(|text| text.len() <= super::MAX_HEADER),
            "a header within its limit"
        );
    }
    strict_reading_agrees(bytes);
    if let Ok((set, _)) = KeySet::from_jwks(bytes, Algorithm::ALL) {
        assert!(!set.ids().is_empty());
        assert!(set.has(None));
    }
    // Any bytes for a key, in either format: no panic, and no key that is none.
    for algorithm in Algorithm::ALL {
        let _ = keys::pem_of(bytes, *algorithm);
    }
}

/// What is taken is an object for the ordinary reader, too, and reads and writes without loss.
fn strict_reading_agrees(bytes: &[u8]) {
    let mut names = Vec::new();
    let read = json::read(bytes, |name, _| names.push(name.to_owned()));
    let ordinary = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes);
    match (read, ordinary) {
        (Ok(()), Ok(object)) => assert!(object.keys().eq(&names), "{names:?}"),
        (Ok(()), Err(error)) => panic!("{error}"),
        (Err(json::Fault::NoObject), Ok(object)) => panic!("{object:?}"),
        (Err(_), _) => {}
    }
}

/// Base64url by the letter of RFC 4648 §5, as slow as it likes to be.
fn encoded(bytes: &[u8]) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let value = |six: &[u8]| (0..6).fold(0, |value, at| value << 1 | usize::from(six.get(at).copied().unwrap_or(0)));
    bits.chunks(6).map(|six| alphabet[value(six)]).collect()
}
