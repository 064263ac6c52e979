use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Its checksum was computed by Python's `zlib.crc32`.
const KNOWN: &str = "sk_acme00000001_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg17YqN5";

#[test]
fn the_checksum_is_the_usual_crc_32() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    assert_eq!(id_of(KNOWN.as_bytes()), Some("acme00000001"));
    assert_eq!(KNOWN.len(), LENGTH);
    check(KNOWN.as_bytes());
}

#[test]
fn a_new_key_is_known_by_its_id_and_proven_by_its_digest() {
    let new = generate(None).unwrap();
    check(new.key.reveal());
    assert_eq!(id_of(new.key.reveal()), Some(&*new.id));
    assert!(proves(new.key.reveal(), &new.sha256));
    assert!(!proves(generate(Some(&new.id)).unwrap().key.reveal(), &new.sha256));
    let shown = format!("{new:?}");
    assert!(shown.contains(&new.id) && !shown.contains(std::str::from_utf8(new.key.reveal()).unwrap()), "{shown}");
}

#[test]
fn keys_differ_and_use_every_character_about_as_often() {
    let keys: Vec<NewKey> = (0..500).map(|_| generate(None).unwrap()).collect();
    assert_eq!(keys.iter().map(|new| &new.id).collect::<BTreeSet<_>>().len(), keys.len());
    let mut seen = [0_u32; 256];
    for new in &keys {
        let (_, secret) = new.key.reveal().split_at(PREFIX.len() + ID + 1);
        secret[..SECRET].iter().for_each(|byte| seen[usize::from(*byte)] += 1);
    }
    // 347 each on average, 18 the standard deviation.
    for byte in DIGITS {
        assert!((200..500).contains(&seen[usize::from(*byte)]), "{}", char::from(*byte));
    }
}

#[test]
fn an_id_of_ones_own_stands_in_the_key() {
    assert_eq!(generate(Some("acme00000001")).unwrap().id, "acme00000001");
    for id in ["", "acme", "acme000000001", "acme-0000001", "acme_0000001", "acmé0000001", "acme 0000001"] {
        assert!(matches!(generate(Some(id)), Err(GenerateError::Id)), "{id}");
    }
}

#[test]
fn what_only_looks_like_a_key_has_no_id() {
    let longer = format!("{KNOWN}0");
    let other_case = KNOWN.to_uppercase();
    let spaced = format!(" {KNOWN}");
    let broken = KNOWN.replace("00000001_", "0000001__");
    let moved = KNOWN.replace("acme00000001_0", "acme000000010_");
    for key in [
        "",
        "sk_",
        "sk__",
        "sk_acme00000001_",
        &KNOWN[..LENGTH - 1],
        &KNOWN[1..],
        &longer,
        &other_case,
        &spaced,
        &broken,
        &moved,
        &"_".repeat(LENGTH),
        &"\0".repeat(LENGTH),
        &KNOWN.replace("sk_", "pk_"),
        &KNOWN.replace("sk_", "SK_"),
        &KNOWN.replace('B', "\u{412}"),
    ] {
        assert_eq!(id_of(key.as_bytes()), None, "{key}");
    }
    let mut bytes = KNOWN.as_bytes().to_vec();
    bytes[5] = 0xff;
    assert_eq!(id_of(&bytes), None);
}

#[test]
fn two_neighbours_that_changed_places_are_noticed() {
    let new = generate(None).unwrap();
    let key = new.key.reveal();
    for at in 0..LENGTH - 1 {
        let mut typo = key.to_vec();
        typo.swap(at, at + 1);
        assert!(typo == key || id_of(&typo).is_none());
    }
}

proptest! {
    #[test]
    fn bytes_are_a_key_or_they_are_not(key in prop::collection::vec(any::<u8>(), 0..80)) {
        check(&key);
    }

    #[test]
    fn whatever_has_the_form_and_the_checksum_is_read(text in "sk_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}", wrong in "[0-9A-Za-z]{6}") {
        let mut key = text.clone().into_bytes();
        key.extend_from_slice(&checksum(text.as_bytes()));
        prop_assert_eq!(id_of(&key), Some(&text[3..15]));
        check(&key);
        let other = format!("{text}{wrong}");
        prop_assert_eq!(id_of(other.as_bytes()).is_some(), other.as_bytes() == key);
    }
}
