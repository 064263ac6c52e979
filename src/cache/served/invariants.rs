//! What holds for whatever is sent; checked by the property tests and by the fuzz target.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, LAST_MODIFIED, LOCATION, RANGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use super::{Served, ServedBody};
use crate::base::clock;
use crate::base::query::decoded;
use crate::cache::freshness::Freshness;
use crate::cache::key::{self, Key, Resource};
use crate::cache::status::{Kind, Outcome};
use crate::cache::storable::Rules;
use crate::cache::stored::{Body, Groups, Head, Stored, StoredFields};
use crate::cache::validation::{also_changed, confirms, is_unchanged, push_conditions, updated};
use crate::cache::vary::{Vary, push_variant};
use crate::config::checked::cache::{CacheKey, CacheScope, QueryRule};

/// Fields of a request, then those of an answer.
const FIELDS: [HeaderName; 13] = [
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_RANGE,
    RANGE,
    ACCEPT_ENCODING,
    HeaderName::from_static("x-list"),
    VARY,
    ETAG,
    LAST_MODIFIED,
    DATE,
    CONTENT_TYPE,
    LOCATION,
    CONTENT_LOCATION,
];

const OF_REQUEST: usize = 6;

/// Panics when a guarantee is broken. Lines are separated by a byte that no field value holds; the first byte of each says
/// which field it belongs to, or that it is a query, or how long the body is.
pub fn check(data: &[u8]) {
    let (mut request, mut answer, mut length) = (HeaderMap::new(), HeaderMap::new(), 26);
    for line in data.split(|byte| *byte == b'\n') {
        let Some((kind, value)) = line.split_first() else { continue };
        let kind = usize::from(*kind) % (FIELDS.len() + 2);
        match (FIELDS.get(kind), HeaderValue::from_bytes(value.trim_ascii())) {
            (Some(name), Ok(value)) if kind < OF_REQUEST => drop(request.append(name, value)),
            (Some(name), Ok(value)) => drop(answer.append(name, value)),
            (None, Ok(_)) if kind == FIELDS.len() => length = value.len(),
            _ => str::from_utf8(value).map_or((), query),
        }
    }
    vary(&request, &answer);
    served(&request, &answer, length);
    let stored = StoredFields::new(&answer);
    push_conditions(&stored, &mut request);
    let once = updated(&stored, &request);
    assert_eq!(updated(&StoredFields::new(&once), &request), once, "what is new already stays");
    assert!(confirms(&HeaderMap::new(), &stored), "a 304 without validators is about what was asked for");
    for target in also_changed("https", "api.example.com", "/a/b?c", &answer) {
        assert!(target.starts_with('/') && target.len() <= 9 * 1024);
    }
}

/// What counts of a query is a fixed point, and does not depend on the order of names when it is sorted.
fn query(query: &str) {
    let ignored = vec![Box::from("utm_*"), Box::from("a b")];
    for (rule, sort_query) in [
        (QueryRule::Ignore(Vec::new()), false),
        (QueryRule::Ignore(ignored.clone()), false),
        (QueryRule::Only(ignored), true),
        (QueryRule::Ignore(Vec::new()), true),
    ] {
        let rule = CacheKey { per: CacheScope::Everyone, headers: Vec::new(), query: rule, sort_query };
        let counted = |query: &str| key::counted(query, &rule, &mut String::new()).map(str::to_owned);
        let once = counted(query);
        assert_eq!(once.as_deref().and_then(counted), once);
        if sort_query {
            let mut turned: Vec<&str> = query.split('&').collect();
            // Parameters of one name keep their order.
            turned.sort_by_key(|pair| std::cmp::Reverse(decoded(name(pair).as_bytes()).collect::<Vec<_>>()));
            assert_eq!(counted(&turned.join("&")), once);
        }
        let mut bytes = Vec::new();
        key::push_resource(&Resource { scheme: "http", host: "a", path: "/", query: once.as_deref() }, &mut bytes);
        assert_eq!(key::resource_of(&bytes), Some(&*bytes));
        assert!(!Key::from(&*bytes).to_string().contains(char::is_control));
    }
}

fn name(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

/// A variant does not depend on how lines are divided.
fn vary(request: &HeaderMap, answer: &HeaderMap) {
    if let Vary::Fields(names) = Vary::of(answer) {
        assert!((1..=16).contains(&names.len()));
        assert!(names.is_sorted_by(|one, other| one.as_str() < other.as_str()), "sorted, and each once");
    }
    let names = [ACCEPT_ENCODING, HeaderName::from_static("x-list")];
    let mut joined = HeaderMap::new();
    for name in &names {
        let lines: Vec<&[u8]> = request.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        if !lines.is_empty() {
            joined.insert(name, HeaderValue::from_bytes(&lines.join(&b", "[..])).expect("lines of values"));
        }
    }
    let [divided, joined] = [request, &joined].map(|request| {
        let mut out = Vec::new();
        push_variant(&names, request, &mut out);
        out
    });
    assert_eq!(divided, joined);
}

/// What is sent is what was asked for, of the bytes that are stored.
fn served(request: &HeaderMap, answer: &HeaderMap, length: usize) {
    let stored = Arc::new(example(StatusCode::OK, answer, length));
    let whole = bytes(stored.body.pieces());
    let served = Served::stored(&stored, request, false, Outcome::new(Kind::Hit), clock::now());
    let unchanged = is_unchanged(request, StatusCode::OK, &stored.head.fields);
    assert_eq!(served.status == StatusCode::NOT_MODIFIED, unchanged, "304 if, and only if, nothing changed");
    let sent = match &served.body {
        ServedBody::Whole(pieces) => bytes(pieces),
        ServedBody::None => Vec::new(),
        ServedBody::Coming { .. } => panic!("all of it is there"),
    };
    if !unchanged {
        assert_eq!(served.length, Some(sent.len() as u64));
    }
    let instead = |name| served.instead.iter().find(|(found, _)| *found == name).map(|(_, value)| value);
    match (served.status.as_u16(), instead(CONTENT_RANGE), instead(CONTENT_TYPE)) {
        (200, None, None) => assert_eq!(sent, whole),
        (206, Some(range), None) => assert_eq!(sent, part(&whole, range.as_bytes())),
        (206, None, Some(kind)) => multipart(&sent, kind.as_bytes(), &whole, &stored.head.fields),
        (416, Some(range), None) => assert_eq!(range, &format!("bytes */{length}")),
        (304, None, None) => {}
        other => panic!("an answer that is none: {other:?}"),
    }
    // HEAD gets the same, but for parts and bytes.
    let head = Served::stored(&stored, request, true, Outcome::new(Kind::Hit), clock::now());
    assert!(matches!(head.body, ServedBody::None) && head.instead.is_empty());
    assert_eq!(head.status.as_u16(), if unchanged { 304 } else { 200 });
    assert_eq!(head.length, (!unchanged).then_some(length as u64));
}

/// The bytes that a `Content-Range` speaks of.
fn part<'a>(whole: &'a [u8], range: &[u8]) -> &'a [u8] {
    let text = str::from_utf8(range).expect("digits");
    let (part, length) = text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).expect("a range");
    assert_eq!(length, whole.len().to_string());
    let (first, last) = part.split_once('-').expect("a range");
    let [first, last]: [usize; 2] = [first, last].map(|number| number.parse().expect("a number"));
    whole.get(first..=last).expect("a part of the body")
}

/// Every part is those bytes of the whole that it says.
fn multipart(sent: &[u8], kind: &[u8], whole: &[u8], stored: &StoredFields) {
    let kind = str::from_utf8(kind).expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    assert!(boundary.len() >= 16);
    let mut rest = sent.strip_prefix(b"--").expect("a delimiter");
    let mut parts = 0;
    while let Some(after) = rest.strip_prefix(format!("{boundary}\r\n").as_bytes()) {
        let mut fields = [httparse::EMPTY_HEADER; 2];
        let Ok(httparse::Status::Complete((read, found))) = httparse::parse_headers(after, &mut fields) else {
            panic!("a part without a head")
        };
        let field = |name| found.iter().find(|field| field.name == name).map(|field| field.value);
        assert_eq!(field("Content-Type"), stored.get(&CONTENT_TYPE).map(HeaderValue::as_bytes));
        let bytes = part(whole, field("Content-Range").expect("the place of the part"));
        let after = after.get(read..).and_then(|after| after.strip_prefix(bytes)).expect("the bytes of the part");
        rest = after.strip_prefix(b"\r\n--").expect("a delimiter");
        parts += 1;
    }
    assert_eq!(rest, format!("{boundary}--\r\n").as_bytes());
    assert!(parts > 1);
}

fn bytes(pieces: &[Bytes]) -> Vec<u8> {
    pieces.concat()
}

/// An answer with these fields, and a body of so many bytes, each of which tells where it is.
#[must_use]
pub(super) fn example(status: StatusCode, fields: &HeaderMap, length: usize) -> Stored {
    let head = Head {
        key: Key::from(&b"key"[..]),
        status,
        version: Version::HTTP_11,
        fields: StoredFields::new(fields),
        freshness: Freshness { lifetime: Duration::ZERO, initial_age: Duration::from_secs(7), received: clock::now() },
        rules: Rules::default(),
        groups: Groups::default(),
    };
    let body: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
    Stored::new(Arc::new(head), Body::new(vec![Bytes::from(body)]))
}
