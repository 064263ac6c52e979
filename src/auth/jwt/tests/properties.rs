use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::auth::jwt::invariants;

/// JSON of a few levels, with names that repeat.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // With few digits: the reader of numbers may be off by the last bit of many.
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-d\u{e9}\"]{0,2}", inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn good() -> &'static [String] {
    static GOOD: LazyLock<Vec<String>> =
        LazyLock::new(|| Algorithm::ALL.iter().map(|algorithm| mint::token(*algorithm, &mint::claims())).collect());
    &GOOD
}

#[test]
fn no_bit_of_a_good_token_may_be_another() {
    let (issuer, keys) = (mint::issuer(), mint::key_set());
    let good_by = |text: &str| parse(text).is_ok_and(|token| token.verify(&issuer, &keys, &[], NOW).is_ok());
    for text in good() {
        assert!(good_by(text));
        for at in 0..text.len() {
            // Each bit of some, one bit of every byte.
            let bits = if at % 16 == 0 { 0..7 } else { at % 7..at % 7 + 1 };
            for bit in bits {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(!good_by(&changed), "byte {at}, bit {bit} of {text}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,200}", bytes in vec(any::<u8>(), 0..300)) {
        invariants::check(text.as_bytes());
        invariants::check(&bytes);
    }

    #[test]
    fn any_parts_are_parsed_or_refused(parts in vec(vec(any::<u8>(), 0..60), 2..5)) {
        let parts: Vec<String> = parts.iter().map(|part| mint::encode(part)).collect();
        invariants::check(parts.join(".").as_bytes());
    }

    #[test]
    fn any_json_is_parsed_or_refused(header in value(), claims in value()) {
        let token = mint::signed(Algorithm::Hs256, &header.to_string(), &claims.to_string());
        invariants::check(token.as_bytes());
    }

    #[test]
    fn pieces_of_good_tokens_are_parsed_or_refused(of in 0_usize..11, from in 0_usize..600, length in 0_usize..600) {
        let text = &good()[of];
        let from = from.min(text.len());
        invariants::check(&text.as_bytes()[from..(from + length).min(text.len())]);
    }

    #[test]
    fn what_was_encoded_comes_back(bytes in vec(any::<u8>(), 0..100)) {
        let text = mint::encode(&bytes);
        prop_assert_eq!(base64url::decoded(&text), Some(bytes.clone()));
        // No other text stands for the same bytes.
        if let Some(last) = text.bytes().last() {
            for other in 0..128_u8 {
                let mut changed = text.clone().into_bytes();
                *changed.last_mut().unwrap() = other;
                let changed = String::from_utf8(changed).unwrap();
                prop_assert!(other == last || base64url::decoded(&changed) != Some(bytes.clone()));
            }
        }
    }

    #[test]
    fn what_was_said_is_what_is_read(
        subject in "[^\\p{Cc}]{1,100}",
        scopes in vec("[!-~]{1,12}", 0..8),
        as_text in any::<bool>(),
        lifetime in 1_u64..100_000,
        claim in value(),
        algorithm in 0_usize..11,
    ) {
        let mut claims = mint::claims_with("sub", json!(subject));
        claims["scope"] = if as_text { json!(scopes.join(" ")) } else { json!(scopes) };
        claims["exp"] = (NOW.as_secs() + lifetime).into();
        claims["anything"] = claim;
        let text = mint::token(Algorithm::ALL[algorithm], &claims);
        let kept = [mint::path(&["anything"])];
        let token = parse(&text).unwrap().verify(&mint::issuer(), &mint::key_set(), &kept, NOW).unwrap();
        let mut scopes = scopes;
        scopes.sort();
        scopes.dedup();
        prop_assert_eq!(token.subject.as_deref(), Some(&*subject));
        prop_assert_eq!(token.scopes.iter().map(|scope| scope.to_string()).collect::<Vec<_>>(), scopes);
        prop_assert_eq!(token.expires, Some(NOW.as_secs() + lifetime));
        prop_assert_eq!(token.claims[0].1.to_string(), claims["anything"].to_string());
    }
}
