//! What a client gets from the cache.

mod form;
#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, clippy::panic, reason = "it is there to fail where a guarantee is broken")]
pub mod invariants;
mod multipart;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderName, HeaderValue, StatusCode};

use self::form::Form;
use super::Fields;
use super::fill::Reader;
use super::range::{self, Selected};
use super::status::Outcome;
use super::stored::{Head, Stored};
use super::validation::is_unchanged;

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
    /// Of the body that the status comes with, whether it is sent or not (HEAD); `None` when it is not known yet, and with 304,
    /// which says nothing about a length.
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
    /// From a stored answer, as the request asks for it (RFC 9110 §13.2.2): conditions go before parts, and HEAD asks for no
    /// parts. Of a coded representation, several parts are not sent, but the whole.
    #[must_use]
    pub fn stored(stored: &Arc<Stored>, request: &dyn Fields, is_head: bool, outcome: Outcome, now: Instant) -> Self {
        let (head, body) = (&stored.head, &stored.body);
        let (form, body) = if is_unchanged(request, head.status, &head.fields) {
            (Form::not_modified(head), ServedBody::None)
        } else if is_head {
            (Form::whole(head, Some(body.len())), ServedBody::None)
        } else {
            let if_range = range::is_conditional(request);
            match range::select(request, head, body.len()) {
                Selected::One(from, to) => {
                    (Form::part(head, if_range, (from, to), body.len()), ServedBody::Whole(body.slice(from, to)))
                }
                Selected::Many(parts) if head.fields.get(&CONTENT_ENCODING).is_none() => {
                    let (boundary, pieces) = multipart::write(stored, &parts);
                    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
                    (Form::parts(head, if_range, &boundary, length), ServedBody::Whole(pieces))
                }
                Selected::Nothing => (Form::not_satisfiable(body.len()), ServedBody::None),
                Selected::Whole | Selected::Many(_) => {
                    (Form::whole(head, Some(body.len())), ServedBody::Whole(body.pieces().to_vec()))
                }
            }
        };
        Self::new(form, Arc::clone(head), body, Some(head.freshness.age(now).as_secs()), outcome)
    }

    /// From an answer to GET that is still coming. Of several parts, the whole is sent, and so it is as long as its length is not
    /// known. Who needs no body lets go of the reader.
    #[must_use]
    pub fn coming(
        head: Arc<Head>,
        length: Option<u64>,
        reader: Reader,
        request: &dyn Fields,
        outcome: Outcome,
    ) -> Self {
        let (form, body) = if is_unchanged(request, head.status, &head.fields) {
            (Form::not_modified(&head), ServedBody::None)
        } else {
            match length.map(|length| (length, range::select(request, &head, length))) {
                Some((whole, Selected::One(from, to))) => (
                    Form::part(&head, range::is_conditional(request), (from, to), whole),
                    ServedBody::Coming { reader, skip: from, take: Some(to - from) },
                ),
                Some((whole, Selected::Nothing)) => (Form::not_satisfiable(whole), ServedBody::None),
                Some((_, Selected::Whole | Selected::Many(_))) | None => {
                    (Form::whole(&head, length), ServedBody::Coming { reader, skip: 0, take: None })
                }
            }
        };
        Self::new(form, head, body, None, outcome)
    }

    fn new(form: Form, head: Arc<Head>, body: ServedBody, age: Option<u64>, outcome: Outcome) -> Self {
        let Form { status, without, instead, length } = form;
        Self { status, head, without, instead, body, length, age, outcome }
    }
}
