use proptest::prelude::*;

use super::*;

/// Feeds everything at once.
fn chunked(bytes: impl AsRef<[u8]>, max: Option<u64>) -> Result<(Fed, u64), Reason> {
    let mut guard = BodyGuard::new(Framing::Chunked, max);
    let fed = guard.feed(bytes.as_ref())?;
    Ok((fed, guard.body_bytes()))
}

fn complete(taken: usize, body: u64) -> Result<(Fed, u64), Reason> {
    Ok((Fed { taken, done: true }, body))
}

#[test]
fn no_body_takes_nothing() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut guard = BodyGuard::new(framing, Some(0));
        assert!(guard.is_done());
        assert_eq!(guard.feed(b"GET / HTTP/1.1\r\n"), Ok(Fed { taken: 0, done: true }));
        assert_eq!(guard.body_bytes(), 0);
    }
}

#[test]
fn a_length_is_counted_down_to_the_byte() {
    let mut guard = BodyGuard::new(Framing::Length(5), Some(5));
    assert_eq!(guard.feed(b""), Ok(Fed { taken: 0, done: false }));
    assert_eq!(guard.feed(b"abc"), Ok(Fed { taken: 3, done: false }));
    assert_eq!(guard.feed(b"deGET /"), Ok(Fed { taken: 2, done: true }));
    assert_eq!(guard.feed(b"GET /"), Ok(Fed { taken: 0, done: true }));
    assert_eq!((guard.body_bytes(), guard.is_done()), (5, true));

    let mut guard = BodyGuard::new(Framing::Length(u64::MAX), None);
    assert_eq!(guard.feed(b"abc"), Ok(Fed { taken: 3, done: false }));
}

#[test]
fn a_length_over_the_limit_fails_before_any_byte() {
    let mut guard = BodyGuard::new(Framing::Length(6), Some(5));
    assert!(!guard.is_done());
    assert_eq!(guard.feed(b""), Err(Reason::BodyTooLarge));
    assert_eq!(guard.feed(b"abc"), Err(Reason::BodyTooLarge));
    assert_eq!(guard.body_bytes(), 0);
}

#[test]
fn valid_chunked_bodies() {
    for (text, body) in [
        ("0\r\n\r\n", 0),
        ("0000000000000000\r\n\r\n", 0),
        ("5\r\nhello\r\n0\r\n\r\n", 5),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n", 20),
        ("2\r\n\r\n\r\n0\r\n\r\n", 2),
        ("5;a=b;c=\"d e\"\r\nhello\r\n0;z\r\n\r\n", 5),
        ("5 \t; a = b\r\nhello\r\n0\r\n\r\n", 5),
        ("0\r\nChecksum: abc\r\nX-Empty:\r\n\r\n", 0),
        ("0\r\nDigest:\tcaf\u{e9} \r\nContent-Digests: x\r\n\r\n", 0),
    ] {
        assert_eq!(chunked(format!("{text}GET / HTTP/1.1\r\n"), None), complete(text.len(), body), "{text:?}");
        assert_eq!(chunked(text, Some(body)), complete(text.len(), body), "{text:?}");
    }
}

#[test]
fn hostile_chunked_bodies() {
    use Reason::{BodyTooLarge, HeadersTooLarge, RequestFraming};
    let extension = format!("0;{}\r\n\r\n", "x".repeat(4096));
    let extensions = format!("1;{}\r\na\r\n", "x".repeat(999)).repeat(5);
    let trailer = format!("0\r\nA: {}\r\n\r\n", "b".repeat(8192));
    let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(1366));
    let trailer_name = format!("0\r\n{}", "A".repeat(8193));
    for (text, expected) in [
        // Sizes, RFC 9112 §7.1.
        ("\r\n", RequestFraming),
        ("\n", RequestFraming),
        (" 5\r\n", RequestFraming),
        ("g\r\n", RequestFraming),
        ("-1\r\n", RequestFraming),
        ("+5\r\n", RequestFraming),
        ("0x5\r\n", RequestFraming),
        ("5_\r\n", RequestFraming),
        ("5,\r\n", RequestFraming),
        ("5.\r\n", RequestFraming),
        ("\"5\"\r\n", RequestFraming),
        ("5 5\r\n", RequestFraming),
        ("5 \r\n", RequestFraming),
        ("5\t\r\n", RequestFraming),
        ("5\x0b\r\n", RequestFraming),
        ("5\0\r\n", RequestFraming),
        ("\u{ff15}\r\n", RequestFraming),
        ("00000000000000000\r\n", RequestFraming),
        ("10000000000000000\r\n", RequestFraming),
        (";a\r\n", RequestFraming),
        // Line ends.
        ("5\nhello\r\n", RequestFraming),
        ("5\rhello\r\n", RequestFraming),
        ("5\r\r\nhello", RequestFraming),
        ("5\r\nhello\n0\r\n\r\n", RequestFraming),
        ("5\r\nhello\r0\r\n\r\n", RequestFraming),
        ("5\r\nhello0\r\n\r\n", RequestFraming),
        ("5\r\nhelloXX0\r\n\r\n", RequestFraming),
        ("5\r\nhello!\r\n", RequestFraming),
        ("5\r\nhello\r\n\r\n", RequestFraming),
        ("0\n\r\n", RequestFraming),
        ("0\r\n\n", RequestFraming),
        ("0\r\n\rX", RequestFraming),
        ("0\r\n\r\r\n", RequestFraming),
        // Extensions, §7.1.1.
        ("5;a\nhello\r\n", RequestFraming),
        ("5;a\rb\r\n", RequestFraming),
        ("5;a\0\r\n", RequestFraming),
        ("5;\x7f\r\n", RequestFraming),
        ("5;a=\"b\r\n\"\r\n0\r\n\r\n", RequestFraming),
        (&extension, RequestFraming),
        (&extensions, RequestFraming),
        // Trailers, §7.1.2 and RFC 9110 §6.5.1.
        ("0\r\n A: b\r\n", RequestFraming),
        ("0\r\nA : b\r\n", RequestFraming),
        ("0\r\n: b\r\n", RequestFraming),
        ("0\r\nA\r\n", RequestFraming),
        ("0\r\nA: b\n", RequestFraming),
        ("0\r\nA: b\rC: d\r\n", RequestFraming),
        ("0\r\nA: b\r\n c\r\n", RequestFraming),
        ("0\r\nA: \0\r\n", RequestFraming),
        ("0\r\nContent-Length: 5\r\n\r\n", RequestFraming),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", RequestFraming),
        ("0\r\nTransfer_Encoding: chunked\r\n\r\n", RequestFraming),
        ("0\r\nhost: evil.test\r\n\r\n", RequestFraming),
        ("0\r\nA: b\r\nAUTHORIZATION: x\r\n\r\n", RequestFraming),
        ("0\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", RequestFraming),
        ("0\r\nX-Forwarded-Something-Very-Long: 1\r\n\r\n", RequestFraming),
        ("0\r\nContent-Type: x\r\n\r\n", RequestFraming),
        ("0\r\nConnection: close\r\n\r\n", RequestFraming),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", RequestFraming),
        (&trailer, HeadersTooLarge),
        (&trailers, HeadersTooLarge),
        (&trailer_name, HeadersTooLarge),
        // Sums.
        ("1\r\na\r\nffffffffffffffff\r\n", BodyTooLarge),
    ] {
        assert_eq!(chunked(text, None).map(|_| ()), Err(expected), "{:?}", &text[..text.len().min(60)]);
        check_invariants(text.as_bytes());
    }
}

#[test]
fn a_chunk_over_the_limit_fails_at_its_size() {
    assert_eq!(chunked("6\r\n", Some(5)), Err(Reason::BodyTooLarge));
    assert_eq!(chunked("3\r\nabc\r\n3\r\n", Some(5)), Err(Reason::BodyTooLarge));
    assert_eq!(chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Some(5)), complete(20, 5));
    assert_eq!(chunked("ffffffffffffffff\r\nabc", None), Ok((Fed { taken: 21, done: false }, 3)));
}

#[test]
fn limits_of_extensions_and_trailers_hold_exactly() {
    let extension = format!("0;{}\r\n\r\n", "x".repeat(4095));
    assert_eq!(chunked(&extension, None), complete(extension.len(), 0));
    let trailers = format!("0\r\nA:{}\r\n\r\n", "b".repeat(8192 - 4));
    assert_eq!(chunked(&trailers, None), complete(trailers.len(), 0));
}

#[test]
fn an_error_stays() {
    let mut guard = BodyGuard::new(Framing::Chunked, None);
    assert_eq!(guard.feed(b"x"), Err(Reason::RequestFraming));
    assert_eq!(guard.feed(b"0\r\n\r\n"), Err(Reason::RequestFraming));
    assert!(!guard.is_done());
}

#[derive(Clone, Debug)]
struct Encoded {
    bytes: Vec<u8>,
    body: u64,
}

fn encoding() -> impl Strategy<Value = Encoded> {
    let chunk = (proptest::collection::vec(any::<u8>(), 1..60), "0{0,3}", any::<bool>(), "([ \t]?;[ -~\t]{0,9})?");
    let trailers = proptest::collection::vec("X-[a-z]{1,30}:[ -~\t]{0,20}\r\n", 0..4);
    (proptest::collection::vec(chunk, 0..8), "0{1,5}(;[a-z=\"]{0,5})?", trailers).prop_map(
        |(chunks, last, trailers)| {
            let mut encoded = Encoded { bytes: Vec::new(), body: 0 };
            for (data, zeros, upper, extension) in chunks {
                let size = if upper { format!("{:X}", data.len()) } else { format!("{:x}", data.len()) };
                encoded.bytes.extend(format!("{zeros}{size}{extension}\r\n").bytes());
                encoded.bytes.extend(&data);
                encoded.bytes.extend(b"\r\n");
                encoded.body += data.len() as u64;
            }
            encoded.bytes.extend(format!("{last}\r\n{}\r\n", trailers.concat()).bytes());
            encoded
        },
    )
}

/// A valid encoding with one byte replaced, inserted or removed.
fn nearly_an_encoding() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n0;: \tf".to_vec())];
    (encoding(), any::<prop::sample::Index>(), byte, 0..3).prop_map(|(encoded, place, byte, how)| {
        let mut bytes = encoded.bytes;
        let place = place.index(bytes.len());
        match how {
            0 => bytes[place] = byte,
            1 => bytes.insert(place, byte),
            _ => drop(bytes.remove(place)),
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_gives_the_same_length_and_end(encoded in encoding(), cuts in proptest::collection::vec(0..400usize, 0..12), tail in any::<Vec<u8>>()) {
        let bytes = [&encoded.bytes[..], &tail].concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let mut guard = BodyGuard::new(Framing::Chunked, Some(encoded.body));
        let mut taken = 0;
        for pair in cuts.windows(2) {
            let fed = guard.feed(&bytes[pair[0]..pair[1]]).unwrap();
            prop_assert_eq!(fed.done, pair[1] >= encoded.bytes.len());
            taken += fed.taken;
        }
        prop_assert_eq!((taken, guard.body_bytes()), (encoded.bytes.len(), encoded.body));
    }

    #[test]
    fn a_length_never_takes_more(length in 0..300u64, portions in proptest::collection::vec(0..80usize, 0..12)) {
        let mut guard = BodyGuard::new(Framing::Length(length), None);
        let (mut taken, mut offered) = (0, 0);
        for portion in portions {
            let fed = guard.feed(&vec![b'x'; portion]).unwrap();
            (taken, offered) = (taken + fed.taken as u64, offered + portion as u64);
            prop_assert_eq!(taken, offered.min(length));
            prop_assert_eq!(fed.done, offered >= length);
            prop_assert_eq!(guard.body_bytes(), taken);
        }
    }

    #[test]
    fn one_changed_byte_keeps_the_guarantees(bytes in nearly_an_encoding()) {
        check_invariants(&bytes);
    }

    #[test]
    fn any_bytes_keep_the_guarantees(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        check_invariants(&bytes);
        check_invariants(&[b"0\r\n", &bytes[..]].concat());
    }
}

#[test]
fn chunks_carry_their_length_in_hex() {
    for (length, start) in [(1, "1"), (15, "f"), (16, "10"), (4_096, "1000"), (65_535, "ffff")] {
        let mut out = Vec::new();
        write_chunk(&mut out, &vec![b'x'; length]);
        let expected = format!("{start}\r\n{}\r\n", "x".repeat(length));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    let mut out = Vec::new();
    write_chunk(&mut out, b"");
    assert!(out.is_empty(), "that would end the body");
}
