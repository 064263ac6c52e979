//! Validators: asking the upstream whether an answer still holds, and answering clients that ask us (RFC 9111 §4.3, RFC 9110 §13).

mod entity_tag;
mod targets;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use http::header::{
    AGE, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

pub(super) use self::entity_tag::EntityTag;
pub use self::targets::also_changed;

use super::Fields;
use super::stored::{Stored, StoredFields};

/// Whether the client has what is stored (RFC 9111 §4.3.2): `If-None-Match`, by weak comparison, goes before
/// `If-Modified-Since`. Never for another status than 200: conditions are about what a 200 would bring (RFC 9110 §13.2.1, §15.4.5).
#[must_use]
pub fn is_unchanged(request: &dyn Fields, status: StatusCode, stored: &StoredFields) -> bool {
    status == StatusCode::OK
        && entity_tag::is_named(request, entity_tag(stored)).unwrap_or_else(|| is_unmodified(request, stored))
}

/// RFC 9110 §13.1.3. An answer that does not say when it was changed was so when it was made, at the latest (RFC 9111 §4.3.2).
fn is_unmodified(request: &dyn Fields, stored: &StoredFields) -> bool {
    let Some(since) = once(request, &IF_MODIFIED_SINCE, date) else { return false };
    let changed = match stored.get(&LAST_MODIFIED) {
        Some(_) => last_modified(stored),
        None => only(stored, &DATE).and_then(date_of),
    };
    changed.is_some_and(|changed| changed <= since)
}

/// Whether it can be asked for by its validators.
#[must_use]
pub fn has_validator(stored: &StoredFields) -> bool {
    entity_tag(stored).is_some() || last_modified(stored).is_some()
}

/// Asks the upstream for the answer only if it is another one (RFC 9111 §4.3.1): by both validators, in the place of the client's
/// own.
pub fn push_conditions(stored: &StoredFields, request: &mut HeaderMap) {
    let tag = only(stored, &ETAG).filter(|_| entity_tag(stored).is_some());
    let modified = only(stored, &LAST_MODIFIED).filter(|_| last_modified(stored).is_some());
    for (name, validator) in [(IF_NONE_MATCH, tag), (IF_MODIFIED_SINCE, modified)] {
        request.remove(&name);
        if let Some(validator) = validator {
            request.insert(name, validator.clone());
        }
    }
}

/// Whether a 304 to the conditions of [`push_conditions`] is about this answer (RFC 9111 §4.3.4).
///
/// Entity tags must not tell two answers apart. Beyond that, if the 304 has strong validators, one of them has to be that of the
/// answer, and otherwise a weak one. A 304 without any is about the only answer that was asked for.
#[must_use]
pub fn confirms(not_modified: &HeaderMap, stored: &StoredFields) -> bool {
    let lines = not_modified.get_all(ETAG).iter().chain(not_modified.get_all(LAST_MODIFIED));
    if lines.count() == 0 {
        return true;
    }
    let single = |name| {
        let mut lines = not_modified.get_all(name).iter();
        lines.next().filter(|_| lines.next().is_none())
    };
    let (tag, own) = (single(ETAG).and_then(|value| EntityTag::read(value.as_bytes())), entity_tag(stored));
    if let (Some(tag), Some(own)) = (tag, own)
        && !tag.is_weakly(&own)
    {
        return false;
    }
    let modified = single(LAST_MODIFIED).and_then(date_of);
    let same_date = modified.is_some() && modified == last_modified(stored);
    let by_date = |strongly: bool| same_date && (!strongly || is_strong_date(stored));
    match tag {
        Some(tag) if !tag.is_weak => own.is_some_and(|own| own.is_strongly(&tag)) || by_date(true),
        Some(_) => own.is_some() || by_date(false),
        None => by_date(false),
    }
}

/// The stored fields with those of a newer message about the same answer in their place (RFC 9111 §3.2), but for fields of one
/// hop, and those that are about the body that this message did not bring.
///
/// `Age` is what the newer message says, or nothing. A weak entity tag does not become a strong one of the same name: that would
/// promise more of the stored bytes than who sent them did.
#[must_use]
pub fn updated(stored: &StoredFields, newer: &HeaderMap) -> HeaderMap {
    let mut fields = stored.to_map();
    fields.remove(AGE);
    let replaces = |name: &HeaderName| {
        let keeps_tag = || {
            let newer = newer.get(ETAG).and_then(|value| EntityTag::read(value.as_bytes()));
            entity_tag(stored).zip(newer).is_some_and(|(own, newer)| own.is_weak && own.is_weakly(&newer))
        };
        !NOT_UPDATED.contains(name) && !is_named_by_connection(newer, name) && (*name != ETAG || !keeps_tag())
    };
    for name in newer.keys().filter(|name| replaces(name)) {
        fields.remove(name);
        newer.get_all(name).iter().for_each(|value| {
            fields.append(name.clone(), value.clone());
        });
    }
    fields
}

/// What RFC 9111 §3.1 excepts, and what tells how much the message itself brought (§3.2).
static NOT_UPDATED: [HeaderName; 12] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
];

fn is_named_by_connection(fields: &HeaderMap, name: &HeaderName) -> bool {
    let mut options = fields.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// What an answer to HEAD says about a stored answer to GET (RFC 9111 §4.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByHead {
    /// It is the same: these are its fields now.
    Updates(Box<HeaderMap>),
    /// It is another one by now.
    Invalidates,
    Nothing,
}

/// Only a 200 says anything. It is about what is stored when that is a 200, too, all validators that it has are those that are
/// stored, and so is the length if it has one.
#[must_use]
pub fn by_head(status: StatusCode, fields: &HeaderMap, stored: &Stored) -> ByHead {
    if status != StatusCode::OK {
        return ByHead::Nothing;
    }
    let head = &stored.head;
    let agrees = |name: HeaderName| {
        let mut own = head.fields.values(&name);
        !fields.contains_key(&name)
            || fields.get_all(&name).iter().all(|value| own.next() == Some(value)) && own.next().is_none()
    };
    let has_length =
        |value: &HeaderValue| value.to_str().ok().and_then(|text| text.parse().ok()) == Some(stored.body.len());
    if head.status == StatusCode::OK
        && agrees(ETAG)
        && agrees(LAST_MODIFIED)
        && fields.get_all(CONTENT_LENGTH).iter().all(has_length)
    {
        ByHead::Updates(Box::new(updated(&head.fields, fields)))
    } else {
        ByHead::Invalidates
    }
}

/// The entity tag of an answer, when it has exactly one.
pub(super) fn entity_tag(stored: &StoredFields) -> Option<EntityTag<'_>> {
    only(stored, &ETAG).and_then(|value| EntityTag::read(value.as_bytes()))
}

/// When an answer says that it was changed last.
fn last_modified(stored: &StoredFields) -> Option<SystemTime> {
    only(stored, &LAST_MODIFIED).and_then(date_of)
}

/// Whether `Last-Modified` is a strong validator: the answer was made later than in the second of the change (RFC 9110
/// §8.8.2.2).
pub(super) fn is_strong_date(stored: &StoredFields) -> bool {
    let made = only(stored, &DATE).and_then(date_of);
    let span = made.zip(last_modified(stored)).and_then(|(made, changed)| made.duration_since(changed).ok());
    span.is_some_and(|span| span >= Duration::from_secs(1))
}

/// The value of a field that has one line.
pub(super) fn only<'a>(stored: &'a StoredFields, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = stored.values(name);
    values.next().filter(|_| values.next().is_none())
}

/// What is read from a field of a request that has one line.
pub(super) fn once<T>(request: &dyn Fields, name: &HeaderName, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let (mut lines, mut found) = (0_usize, None);
    request.each(name, &mut |line| {
        lines += 1;
        found = read(line);
    });
    found.filter(|_| lines == 1)
}

/// RFC 9110 §5.6.7.
fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()
}

fn date_of(value: &HeaderValue) -> Option<SystemTime> {
    date(value.as_bytes())
}
