//! What a client gets from the cache.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::Fields;
use super::fill::Reader;
use super::status::Outcome;
use super::stored::{Head, Stored};

/// An answer from the cache, ready for whoever writes it.
#[derive(Debug)]
pub struct Served {
    /// 200 or what was stored; 206, 304 or 416 when the request asks for parts or has it already.
    pub status: StatusCode,
    pub head: Arc<Head>,
    /// Stored fields of these names are not sent.
    pub without: &'static [HeaderName],
    /// Sent beside the stored ones, in the place of those of the same name.
    pub instead: Vec<(HeaderName, HeaderValue)>,
    pub body: ServedBody,
    /// Of the body that the status comes with, whether it is sent or not (HEAD); `None` when it is not known yet.
    pub length: Option<u64>,
    /// In seconds, for `Age` (RFC 9111 §5.1); `None` for what has just come for this request.
    pub age: Option<u64>,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub enum ServedBody {
    None,
    /// Sent one after the other.
    Whole(Vec<Bytes>),
    /// As it comes: so many bytes are left out, then so many are sent.
    Coming {
        reader: Reader,
        skip: u64,
        take: Option<u64>,
    },
}

impl Served {
    /// From a stored answer, as the request asks for it: conditions, parts, HEAD.
    #[must_use]
    pub fn stored(stored: &Arc<Stored>, _request: &dyn Fields, is_head: bool, outcome: Outcome, now: Instant) -> Self {
        let length = stored.body.len();
        Self {
            status: stored.head.status,
            head: Arc::clone(&stored.head),
            without: &[],
            instead: Vec::new(),
            body: if is_head { ServedBody::None } else { ServedBody::Whole(stored.body.pieces().to_vec()) },
            length: Some(length),
            age: Some(stored.head.freshness.age(now).as_secs()),
            outcome,
        }
    }

    /// From an answer that is still coming. Of several parts, the whole is sent.
    #[must_use]
    pub fn coming(
        head: Arc<Head>,
        length: Option<u64>,
        reader: Reader,
        _request: &dyn Fields,
        outcome: Outcome,
    ) -> Self {
        Self {
            status: head.status,
            head,
            without: &[],
            instead: Vec::new(),
            body: ServedBody::Coming { reader, skip: 0, take: None },
            length,
            age: None,
            outcome,
        }
    }
}
