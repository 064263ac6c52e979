use http::HeaderMap;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE,
    DATE, ETAG, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, SET_COOKIE, VARY,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::invariants::{check, example};
use super::*;
use crate::base::clock;
use crate::cache::fill;
use crate::cache::status::Kind;
use crate::cache::stored::Body;

const CHANGED: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
const MADE: &str = "Wed, 16 Nov 1994 08:00:00 GMT";
const HIT: Outcome = Outcome::new(Kind::Hit);

type Lines<'a> = &'a [(HeaderName, &'a str)];

fn map(lines: Lines<'_>) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
}

/// The alphabet, with all fields that may matter.
fn alphabet() -> HeaderMap {
    map(&[
        (ETAG, "\"a\""),
        (LAST_MODIFIED, CHANGED),
        (DATE, MADE),
        (CACHE_CONTROL, "max-age=60"),
        (EXPIRES, MADE),
        (VARY, "accept"),
        (CONTENT_LOCATION, "/a"),
        (CONTENT_LENGTH, "26"),
        (CONTENT_TYPE, "text/plain"),
        (SET_COOKIE, "a=1"),
    ])
}

fn answer(status: u16, fields: &HeaderMap) -> Arc<Stored> {
    Arc::new(example(StatusCode::from_u16(status).unwrap(), fields, 26))
}

fn get(of: &Arc<Stored>, request: Lines<'_>) -> Served {
    Served::stored(of, &map(request), false, HIT, clock::now())
}

/// Names and values that are sent, as far as they are ours to say.
fn fields(served: &Served) -> HeaderMap {
    let is_kept = |name: &HeaderName| {
        !served.without.contains(name) && !served.instead.iter().any(|(instead, _)| instead == name)
    };
    let kept = served.head.fields.iter().filter(|(name, _)| is_kept(name));
    let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
    kept.chain(served.instead.iter().cloned()).collect()
}

fn sent(served: &Served) -> Vec<u8> {
    match &served.body {
        ServedBody::Whole(pieces) => pieces.concat(),
        ServedBody::None => Vec::new(),
        ServedBody::Coming { .. } => panic!("all of it is there"),
    }
}

fn without(mut fields: HeaderMap, names: &[HeaderName]) -> HeaderMap {
    names.iter().for_each(|name| drop(fields.remove(name)));
    fields
}

#[test]
fn rfc_9110_13_2_2_precedence() {
    let of = answer(200, &alphabet());
    let range = (RANGE, "bytes=1-2");
    for (request, status) in [
        (&[][..], 200),
        (&[(IF_NONE_MATCH, "\"a\"")][..], 304),
        (&[(IF_NONE_MATCH, "\"b\"")], 200),
        (&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, MADE)], 200),
        (&[(IF_MODIFIED_SINCE, MADE)], 304),
        (&[(IF_NONE_MATCH, "\"a\""), range.clone()], 304),
        (&[(IF_MODIFIED_SINCE, MADE), range.clone(), (IF_RANGE, "\"b\"")], 304),
        (&[(IF_NONE_MATCH, "\"b\""), range.clone()], 206),
        (&[range.clone(), (IF_RANGE, "\"a\"")], 206),
        (&[range.clone(), (IF_RANGE, "\"b\"")], 200),
        (&[(IF_RANGE, "\"a\"")], 200),
        (&[(RANGE, "bytes=26-")], 416),
        (&[(RANGE, "bytes=26-"), (IF_NONE_MATCH, "*")], 304),
        // Not for a cache (RFC 9111 §4.3.2).
        (&[(http::header::IF_MATCH, "\"b\"")], 200),
        (&[(http::header::IF_UNMODIFIED_SINCE, "Tue, 15 Nov 1983 12:45:26 GMT")], 200),
    ] {
        assert_eq!(get(&of, request).status, status, "{request:?}");
    }
    for status in [203, 301, 404] {
        let request = [(IF_NONE_MATCH, "*"), (RANGE, "bytes=1-2")];
        let served = get(&answer(status, &alphabet()), &request);
        assert_eq!((served.status.as_u16(), sent(&served).len()), (status, 26));
    }
}

#[test]
fn rfc_9110_15_4_5_fields_of_a_304() {
    let request = [(IF_NONE_MATCH, "*")];
    let served = get(&answer(200, &alphabet()), &request);
    assert_eq!(fields(&served), without(alphabet(), &[CONTENT_LENGTH, CONTENT_TYPE, LAST_MODIFIED]));
    assert_eq!((served.length, served.age), (None, Some(7)));
    assert!(matches!(served.body, ServedBody::None));
    let untagged = without(alphabet(), &[ETAG]);
    let served = get(&answer(200, &untagged), &request);
    assert_eq!(fields(&served), without(untagged, &[CONTENT_LENGTH, CONTENT_TYPE]), "a date serves as validator");
}

#[test]
fn rfc_9110_15_3_7_1_a_single_part() {
    let of = answer(200, &alphabet());
    let served = get(&of, &[(RANGE, "bytes=1-3")]);
    let mut expected = without(alphabet(), &[CONTENT_LENGTH]);
    expected.insert(CONTENT_RANGE, HeaderValue::from_static("bytes 1-3/26"));
    assert_eq!(fields(&served), expected);
    assert_eq!((sent(&served), served.length), (b"bcd".to_vec(), Some(3)));
    assert!(!fields(&served).contains_key(ACCEPT_RANGES));
    // Whoever sends If-Range has the metadata.
    let served = get(&of, &[(RANGE, "bytes=-2"), (IF_RANGE, "\"a\"")]);
    let mut expected = without(alphabet(), &[CONTENT_LENGTH, CONTENT_TYPE, LAST_MODIFIED]);
    expected.insert(CONTENT_RANGE, HeaderValue::from_static("bytes 24-25/26"));
    assert_eq!((fields(&served), sent(&served)), (expected, b"yz".to_vec()));
}

#[test]
fn rfc_9110_15_3_7_2_several_parts() {
    let of = answer(200, &alphabet());
    let served = get(&of, &[(RANGE, "bytes=24-,0-1")]);
    let kind = fields(&served)[CONTENT_TYPE].to_str().unwrap().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    assert!(boundary.len() >= 16 && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert!(!fields(&served).contains_key(CONTENT_RANGE));
    let expected = format!(
        "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 24-25/26\r\n\r\nyz\r\n\
         --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/26\r\n\r\nab\r\n--{boundary}--\r\n"
    );
    assert_eq!(String::from_utf8(sent(&served)).unwrap(), expected);
    assert_eq!((served.status.as_u16(), served.length), (206, Some(expected.len() as u64)));
    let again = get(&of, &[(RANGE, "bytes=24-,0-1")]);
    assert_ne!(fields(&again)[CONTENT_TYPE], kind, "nobody foresees the boundary");
    let untyped = answer(200, &without(alphabet(), &[CONTENT_TYPE]));
    let text = String::from_utf8(sent(&get(&untyped, &[(RANGE, "bytes=24-,0-1")]))).unwrap();
    assert!(!text.contains("Content-Type"));
    let mut coded = alphabet();
    coded.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let served = get(&answer(200, &coded), &[(RANGE, "bytes=24-,0-1")]);
    assert_eq!((served.status.as_u16(), fields(&served)), (200, coded));
}

#[test]
fn rfc_9110_15_5_17_no_part_is_there() {
    let served = get(&answer(200, &alphabet()), &[(RANGE, "bytes=26-")]);
    let expected = map(&[(DATE, MADE), (VARY, "accept"), (SET_COOKIE, "a=1"), (CONTENT_RANGE, "bytes */26")]);
    assert_eq!(fields(&served), expected);
    assert_eq!((served.status.as_u16(), served.length, sent(&served).len()), (416, Some(0), 0));
}

#[test]
fn rfc_9110_14_2_range_is_for_get() {
    let of = answer(200, &alphabet());
    let head = |request| Served::stored(&of, &map(request), true, HIT, clock::now());
    for request in [&[][..], &[(RANGE, "bytes=1-2")], &[(RANGE, "bytes=26-")], &[(RANGE, "bytes=0-1,4-5")]] {
        let served = head(request);
        assert_eq!((served.status.as_u16(), served.length, fields(&served)), (200, Some(26), alphabet()));
        assert!(matches!(served.body, ServedBody::None));
    }
    assert_eq!(head(&[(IF_NONE_MATCH, "\"a\""), (RANGE, "bytes=1-2")]).status, 304);
}

/// A body is kept in pieces of this size.
const LONG: usize = 256 * 1024;

#[test]
fn parts_share_the_bytes_of_the_body() {
    let head = Arc::clone(&answer(200, &alphabet()).head);
    let of = Arc::new(Stored::new(head, Body::new(vec![Bytes::from(vec![1; 3 * LONG])])));
    let pieces = of.body.pieces();
    let (from, to) = (LONG - 1, 2 * LONG);
    let served = get(&of, &[(RANGE, &format!("bytes={from}-{to}"))]);
    let ServedBody::Whole(sent) = &served.body else { panic!("a part of it") };
    let lengths: Vec<usize> = sent.iter().map(Bytes::len).collect();
    assert_eq!(lengths, [1, LONG, 1]);
    assert!(sent.iter().zip(pieces).all(|(part, piece)| piece.as_ptr_range().contains(&part.as_ptr())));
    let ServedBody::Whole(sent) = get(&of, &[]).body else { panic!("all of it") };
    assert!(sent.iter().zip(pieces).all(|(part, piece)| part.as_ptr() == piece.as_ptr()));
}

#[test]
fn an_answer_that_is_coming() {
    let head = || Arc::clone(&answer(200, &alphabet()).head);
    let coming =
        |length, request| Served::coming(head(), length, fill::pair().1, &map(request), Outcome::new(Kind::Miss));
    let place = |served: &Served| match &served.body {
        ServedBody::Coming { skip, take, .. } => Some((*skip, *take)),
        ServedBody::None => None,
        ServedBody::Whole(_) => panic!("nothing is here yet"),
    };
    for (request, length, status, expected_length, expected) in [
        (&[][..], Some(26), 200, Some(26), Some((0, None))),
        (&[], None, 200, None, Some((0, None))),
        (&[(RANGE, "bytes=2-4")], Some(26), 206, Some(3), Some((2, Some(3)))),
        (&[(RANGE, "bytes=2-4")], None, 200, None, Some((0, None))),
        (&[(RANGE, "bytes=2-4"), (IF_RANGE, "\"b\"")], Some(26), 200, Some(26), Some((0, None))),
        (&[(RANGE, "bytes=2-4,8-9")], Some(26), 200, Some(26), Some((0, None))),
        (&[(RANGE, "bytes=26-")], Some(26), 416, Some(0), None),
        (&[(IF_NONE_MATCH, "\"a\""), (RANGE, "bytes=2-4")], Some(26), 304, None, None),
        (&[(IF_NONE_MATCH, "\"a\"")], None, 304, None, None),
    ] {
        let served = coming(length, request);
        assert_eq!((served.status.as_u16(), served.length), (status, expected_length), "{request:?}");
        assert_eq!((place(&served), served.age), (expected, None), "{request:?}");
        let range = fields(&served).get(CONTENT_RANGE).cloned();
        let expected = match status {
            206 => Some("bytes 2-4/26"),
            416 => Some("bytes */26"),
            _ => None,
        };
        assert_eq!(range.as_ref().map(|value| value.to_str().unwrap()), expected);
    }
}

/// Lines as [`check`] reads them, of which most mean something.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        "(bytes=)?([0-9]{0,2}-[0-9]{0,2}[, ]{0,2}){1,4}".prop_map(String::into_bytes),
        "(W/)?\"[ab,]{0,2}\"(, *(W/)?\"[ab,]{0,2}\"){0,2}".prop_map(String::into_bytes),
        proptest::sample::select(&[CHANGED, MADE, "*", "gzip;q=0.5, br", "utm_a=1&b=%61&a", "../x?y"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..30),
    ];
    vec((0_u8..15, value), 0..8).prop_map(|lines| {
        let lines: Vec<Vec<u8>> = lines.into_iter().map(|(kind, value)| [&[kind + 15][..], &value].concat()).collect();
        lines.join(&b'\n')
    })
}

proptest! {
    #[test]
    fn what_is_sent_is_what_was_asked_for(data in lines()) {
        check(&data);
    }

    #[test]
    fn any_bytes_are_served(data in vec(any::<u8>(), 0..200)) {
        check(&data);
    }
}
