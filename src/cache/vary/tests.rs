use http::HeaderValue;
use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, USER_AGENT, VARY};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIST: HeaderName = HeaderName::from_static("x-list");

fn fields(name: &HeaderName, lines: &[impl AsRef<[u8]>]) -> HeaderMap {
    let value = |line: &_| HeaderValue::from_bytes(<_ as AsRef<[u8]>>::as_ref(line)).unwrap();
    lines.iter().map(|line| (name.clone(), value(line))).collect()
}

fn vary(lines: &[&str]) -> Vary {
    Vary::of(&fields(&VARY, lines))
}

fn variant(name: &HeaderName, lines: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    push_variant(std::slice::from_ref(name), &fields(name, lines), &mut out);
    assert!(out.starts_with(b"before"));
    out
}

fn named(names: &[&'static str]) -> Vary {
    Vary::Fields(names.iter().map(|name| HeaderName::from_static(name)).collect())
}

#[test]
fn rfc_9110_12_5_5_vary() {
    assert_eq!(vary(&[]), Vary::Nothing);
    assert_eq!(vary(&["", " , ,"]), Vary::Nothing);
    assert_eq!(vary(&["Accept-Encoding"]), named(&["accept-encoding"]));
    assert_eq!(vary(&["b,\tA", "c ,a, B"]), named(&["a", "b", "c"]));
    for everything in [&["*"][..], &["a, *"], &["a", "b", " * "], &["a b"], &["a", "\"b\""], &["a;b"], &["caf\u{e9}"]] {
        assert_eq!(vary(everything), Vary::Everything, "{everything:?}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("x-{number}")).collect();
    assert_eq!(vary(&[&many.join(",")]), Vary::Everything);
    let Vary::Fields(names) = vary(&[&many[1..].join(","), "x-5, X-16"]) else { panic!("16 are allowed") };
    assert_eq!(names.len(), 16);
}

#[test]
fn rfc_9111_4_1_values_that_mean_the_same() {
    for (name, same) in [
        (LIST, &[&["a,b"][..], &["a, b"], &[" a\t, b "], &["a", "b"], &["a ", " b"]][..]),
        (LIST, &[&["a, \"b , c\""], &["a", "\"b , c\""]]),
        (LIST, &[&["\"\\\" , \",c"], &["\"\\\" , \"", "c"]]),
        (COOKIE, &[&["a=1; b=2"], &["a=1", "b=2"]]),
        (ACCEPT_LANGUAGE, &[&["de-DE, en;q=0.5"], &["DE-de,EN ; Q=0.5"], &["de-de", "en;q=0.5"]]),
        (ACCEPT, &[&["text/html;level=A, */*"], &["Text/HTML ; LEVEL=A,*/*"], &["text/html; level=A", "*/*"]]),
        (ACCEPT_ENCODING, &[&["gzip, br"], &["BR,gzip"], &["br;q=1.0", "gzip ; Q=1.000"], &["gzip,br,,gzip"]]),
        (ACCEPT_ENCODING, &[&["gzip;q=0.5, identity;q=0"], &["identity;q=0.000,gzip;q=0.50"]]),
        (ACCEPT_ENCODING, &[&[""], &[" "], &[",,"], &["", ""]]),
    ] {
        for (one, other) in same.iter().zip(same.iter().skip(1)) {
            assert_eq!(variant(&name, one), variant(&name, other), "{name}: {one:?} {other:?}");
        }
    }
}

#[test]
fn rfc_9111_4_1_values_that_do_not_mean_the_same() {
    const NOTHING: &[&str] = &[];
    for (name, different) in [
        (LIST, &[NOTHING, &[""], &["a"], &["A"], &["a b"], &["a  b"], &["a,b"], &["b,a"], &["a;b"], &["a; b"]][..]),
        (LIST, &[&["\"a,b\""], &["\"a, b\""], &["\"a , b\""], &["a,b"], &["\"a\\\", b\""], &["\"a\\\",b\""]]),
        (USER_AGENT, &[&["a (b, c)"], &["a (b,c)"], &["A (b, c)"]]),
        (COOKIE, &[&["a=1, b=2"], &["a=1,b=2"], &["a=1; b=2"], &["a=1;b=2"]]),
        (ACCEPT, &[&["text/html;a=A"], &["text/html;a=a"], &["text/html;a=\"a ; b\""], &["text/html;a=\"a;b\""]]),
        (ACCEPT_LANGUAGE, &[NOTHING, &[""], &["de,en"], &["en,de"], &["de;q=1,en"]]),
        (
            ACCEPT_ENCODING,
            &[NOTHING, &[""], &["gzip"], &["gzip;q=0"], &["gzip;q=0.001"], &["gzip;q=0.01"], &["*"], &["*;q=0"]],
        ),
        (ACCEPT_ENCODING, &[&["gzip;q=0.5"], &["gzip;q=2"], &["gzip;q=0.5000"], &["gzip;q=.5"], &["gzip;a=0.5"]]),
        (ACCEPT_ENCODING, &[&["gzip;q=1, gzip;q=0"], &["gzip;q=0, gzip;q=1"], &["gzip"], &["gzip;q=0"]]),
    ] {
        for (at, one) in different.iter().enumerate() {
            for other in different.iter().skip(at + 1) {
                assert_ne!(variant(&name, one), variant(&name, other), "{name}: {one:?} {other:?}");
            }
        }
    }
}

#[test]
fn more_codings_than_are_sorted_keep_their_order() {
    let of = |numbers: &mut dyn Iterator<Item = u32>| numbers.map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    let codings = |count, turned: bool| {
        let list = if turned { of(&mut (0..count).rev()) } else { of(&mut (0..count)) };
        variant(&ACCEPT_ENCODING, &[list])
    };
    assert_eq!(codings(16, false), codings(16, true));
    assert_ne!(codings(17, false), codings(17, true));
}

#[test]
fn answers_for_one_field_are_not_found_by_another() {
    let of = |name: &'static str| variant(&HeaderName::from_static(name), &["gzip"]);
    assert_ne!(of("x-a"), of("x-b"));
    let both = [HeaderName::from_static("x-a"), HeaderName::from_static("x-b")];
    let request = |lines: &[(&'static str, &'static str)]| {
        let mut out = Vec::new();
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        push_variant(&both, &lines.iter().map(line).collect::<HeaderMap>(), &mut out);
        out
    };
    assert_ne!(request(&[("x-a", "1")]), request(&[("x-b", "1")]));
    assert_ne!(request(&[("x-a", "12"), ("x-b", "")]), request(&[("x-a", "1"), ("x-b", "2")]));
}

/// Bytes that a field value may have, most of them such as mean something in a list.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        8 => proptest::sample::select(&b"ab,; \t\"\\=q01.*"[..]),
        1 => any::<u8>().prop_filter("allowed in a value", |byte| HeaderValue::from_bytes(&[*byte]).is_ok()),
    ];
    vec(byte, 0..20)
}

/// The members of a list and whether they are quoted, by reading it whole and then again.
fn members(value: &[u8]) -> Vec<Vec<u8>> {
    let (mut members, mut quoted, mut escaped) = (vec![Vec::new()], false, false);
    for byte in value {
        let last = members.last_mut().unwrap();
        match byte {
            b',' if !quoted => members.push(Vec::new()),
            _ => last.push(*byte),
        }
        let ends = *byte == b'"' && !escaped;
        escaped = quoted && *byte == b'\\' && !escaped;
        quoted ^= ends;
    }
    let trimmed = |member: &Vec<u8>| {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let from = member.iter().position(|byte| !is_space(byte)).unwrap_or(member.len());
        let to = member.iter().rposition(|byte| !is_space(byte)).map_or(from, |last| last + 1);
        member[from..to].to_vec()
    };
    members.iter().map(trimmed).collect()
}

fn codings() -> impl Strategy<Value = Vec<(&'static str, u16)>> {
    let coding = proptest::sample::select(&["gzip", "br", "zstd", "identity", "*"][..]);
    let weight = prop_oneof![Just(1000_u16), Just(0), 0_u16..=1000];
    proptest::collection::hash_map(coding, weight, 0..5).prop_map(|codings| codings.into_iter().collect())
}

/// One of the ways to write codings; `style` chooses.
fn written(codings: &[(&str, u16)], style: u32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (at, (coding, weight)) in codings.iter().enumerate() {
        let bit = |number: u32| style.rotate_left(u32::try_from(at).unwrap() * 5) >> number & 1 == 1;
        let coding = if bit(0) { coding.to_uppercase() } else { (*coding).to_owned() };
        let weight = match (*weight, bit(1)) {
            (1000, true) => String::new(),
            (1000, false) => ";q=1.0".to_owned(),
            (0, true) => " ; Q=0".to_owned(),
            (weight, _) => format!(";q=0.{weight:03}"),
        };
        let line = lines.last_mut().unwrap();
        if !line.is_empty() {
            line.push_str(if bit(2) { " ,, " } else { "," });
        }
        line.push_str(&format!("{coding}{weight}"));
        if bit(3) {
            lines.push(String::new());
        }
    }
    lines
}

proptest! {
    #[test]
    fn any_lines_are_read(lines in vec(line(), 0..4)) {
        let vary = Vary::of(&fields(&VARY, &lines));
        if let Vary::Fields(names) = &vary {
            prop_assert!((1..=16).contains(&names.len()));
            prop_assert!(names.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
            prop_assert!(!names.iter().any(|name| name == "*"));
        }
        let names_all = |line: &Vec<u8>| line.split(|byte| *byte == b',').any(|member| normal::trimmed(member) == b"*");
        prop_assert!(vary == Vary::Everything || !lines.iter().any(names_all));
        for name in [LIST, USER_AGENT, COOKIE, ACCEPT, ACCEPT_LANGUAGE, ACCEPT_ENCODING] {
            variant(&name, &lines);
        }
    }

    #[test]
    fn lists_are_the_same_by_their_members_and_only_so(one in vec(line(), 1..3), other in vec(line(), 1..3)) {
        let means = |lines: &[Vec<u8>]| {
            let lines: Vec<&[u8]> = lines.iter().map(|line| normal::trimmed(line)).collect();
            members(&lines.join(&b", "[..]))
        };
        prop_assert_eq!(variant(&LIST, &one) == variant(&LIST, &other), means(&one) == means(&other));
        let spread: Vec<u8> = means(&one).join(&b" \t, "[..]);
        prop_assert_eq!(variant(&LIST, &[spread]), variant(&LIST, &one));
    }

    #[test]
    fn codings_are_the_same_as_sets_and_only_so(one in codings(), other in codings(), style in any::<u32>(), turn in 0_usize..5) {
        let mut turned = one.clone();
        turned.rotate_left(turn.min(one.len()));
        prop_assert_eq!(variant(&ACCEPT_ENCODING, &written(&one, style)), variant(&ACCEPT_ENCODING, &written(&turned, !style)));
        let set = |codings: &[(&'static str, u16)]| codings.iter().copied().collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(
            variant(&ACCEPT_ENCODING, &written(&one, style)) == variant(&ACCEPT_ENCODING, &written(&other, style)),
            set(&one) == set(&other)
        );
    }

    #[test]
    fn case_and_white_space_of_languages_and_types(value in "[a-c;=,]{0,12}", spaces in vec(0_usize..3, 12)) {
        let spread = |value: &str| -> String {
            let around = |(byte, count): (char, &usize)| {
                let spaces = " ".repeat(*count);
                if byte == ';' || byte == ',' { format!("{spaces}{byte}{spaces}") } else { byte.to_string() }
            };
            value.chars().zip(&spaces).map(around).collect()
        };
        prop_assert_eq!(variant(&ACCEPT_LANGUAGE, &[&value]), variant(&ACCEPT_LANGUAGE, &[spread(&value).to_uppercase()]));
        prop_assert_eq!(variant(&ACCEPT, &[&value]), variant(&ACCEPT, &[spread(&value)]));
    }
}
