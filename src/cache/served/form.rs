//! What an answer looks like, apart from its body: whole, in parts, or not at all.

use std::fmt::Arguments;

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::cache::stored::{Head, StoredFields};
use crate::cache::validation;

/// Of a representation, without what RFC 9110 §15.4.5 asks of a 304. The last one is left out only beside an entity tag.
static METADATA: [HeaderName; 9] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_RANGE,
    CONTENT_MD5,
    CONTENT_DIGEST,
    REPR_DIGEST,
    LAST_MODIFIED,
];

/// What is true of the whole body only: its length, and digests of the content of one message (RFC 9530 §2).
static OF_WHOLE: [HeaderName; 3] = [CONTENT_LENGTH, CONTENT_MD5, CONTENT_DIGEST];

/// What a 416 does not have: it shows no representation, and must not be kept as if it were one.
static OF_ANSWER: [HeaderName; 14] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    CONTENT_MD5,
    CONTENT_DIGEST,
    REPR_DIGEST,
    LAST_MODIFIED,
    ETAG,
    CACHE_CONTROL,
    CDN_CACHE_CONTROL,
    SURROGATE_CONTROL,
    EXPIRES,
];

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// An answer without its body.
#[derive(Debug)]
pub(super) struct Form {
    pub status: StatusCode,
    pub without: &'static [HeaderName],
    pub instead: Vec<(HeaderName, HeaderValue)>,
    pub length: Option<u64>,
}

impl Form {
    pub fn whole(head: &Head, length: Option<u64>) -> Self {
        Self { status: head.status, without: &[], instead: Vec::new(), length }
    }

    /// RFC 9110 §15.4.5.
    pub fn not_modified(head: &Head) -> Self {
        let without = known_to_client(&head.fields);
        Self { status: StatusCode::NOT_MODIFIED, without, instead: Vec::new(), length: None }
    }

    /// RFC 9110 §15.3.7. With `If-Range`, the client has the metadata already.
    pub fn part(head: &Head, if_range: bool, (from, to): (u64, u64), whole: u64) -> Self {
        let range = (CONTENT_RANGE, value(format_args!("{}", ContentRange(from, to, whole))));
        Self {
            status: StatusCode::PARTIAL_CONTENT,
            without: if if_range { known_to_client(&head.fields) } else { &OF_WHOLE },
            instead: present([range]),
            length: Some(to - from),
        }
    }

    /// RFC 9110 §15.3.7.2; `length` is that of all parts together with what is between them.
    pub fn parts(head: &Head, if_range: bool, boundary: &str, length: u64) -> Self {
        let kind = (CONTENT_TYPE, value(format_args!("multipart/byteranges; boundary={boundary}")));
        Self {
            status: StatusCode::PARTIAL_CONTENT,
            without: if if_range { known_to_client(&head.fields) } else { &OF_WHOLE },
            instead: present([kind]),
            length: Some(length),
        }
    }

    /// RFC 9110 §15.5.17.
    pub fn not_satisfiable(whole: u64) -> Self {
        let range = (CONTENT_RANGE, value(format_args!("bytes */{whole}")));
        Self {
            status: StatusCode::RANGE_NOT_SATISFIABLE,
            without: &OF_ANSWER,
            instead: present([range]),
            length: Some(0),
        }
    }
}

/// `bytes 0-499/1234`, from a part that ends before its second number.
pub(super) struct ContentRange(pub u64, pub u64, pub u64);

impl std::fmt::Display for ContentRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(from, to, whole) = self;
        write!(f, "bytes {from}-{}/{whole}", to.saturating_sub(1))
    }
}

fn known_to_client(stored: &StoredFields) -> &'static [HeaderName] {
    match METADATA.split_last() {
        Some((_, but_the_date)) if validation::entity_tag(stored).is_none() => but_the_date,
        _ => &METADATA,
    }
}

/// Numbers and words of ours, which a field may always hold.
fn value(text: Arguments<'_>) -> Option<HeaderValue> {
    HeaderValue::try_from(text.to_string()).ok()
}

fn present<const N: usize>(fields: [(HeaderName, Option<HeaderValue>); N]) -> Vec<(HeaderName, HeaderValue)> {
    fields.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
}
