//! Credentials as they come with a request: found where the route says that they may stand, and nowhere else.

use std::borrow::Cow;

use super::view::RequestView;
use crate::base::field::Known;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::identity::{ApiKeyPlaces, TokenPlaces};
use crate::route::query;

/// Precedes a token in `Sec-WebSocket-Protocol`.
pub(super) const BEARER: &str = "bearer";

/// The token of a request, if it has one.
///
/// # Errors
///
/// `CREDENTIAL_REPEATED` when there are several (RFC 6750 §2): two readers could take different ones.
pub(super) fn token<'r, V: RequestView>(
    request: &'r V,
    from: &TokenPlaces,
) -> Result<Option<Cow<'r, [u8]>>, Rejection> {
    let mut found = Only(None);
    if from.authorization {
        for value in request.known(Known::Authorization) {
            if let Some(token) = of_authorization(value) {
                found.put(Cow::Borrowed(token))?;
            }
        }
    }
    if let Some(name) = &from.query {
        found.put_all(of_query(request.query(), name))?;
    }
    if let Some(name) = &from.cookie {
        for value in request.known(Known::Cookie).flat_map(crumbs) {
            if let Some(token) = of_crumb(value, name) {
                found.put(Cow::Borrowed(token))?;
            }
        }
    }
    if from.websocket_protocol {
        let mut is_next = false;
        for offered in request.known(Known::WebSocketProtocol).flat_map(offers) {
            if is_next {
                found.put(Cow::Borrowed(offered))?;
            }
            is_next = !is_next && offered.eq_ignore_ascii_case(BEARER.as_bytes());
        }
    }
    Ok(found.0)
}

/// The API key of a request, if it has one.
///
/// # Errors
///
/// `CREDENTIAL_REPEATED` when there are several.
pub(super) fn api_key<'r, V: RequestView>(
    request: &'r V,
    from: &ApiKeyPlaces,
) -> Result<Option<Cow<'r, [u8]>>, Rejection> {
    let mut found = Only(None);
    if let Some(name) = &from.header {
        found.put_all(request.values(name).map(Cow::Borrowed))?;
    }
    if let Some(name) = &from.query {
        found.put_all(of_query(request.query(), name))?;
    }
    Ok(found.0)
}

/// One thing at most.
struct Only<'r>(Option<Cow<'r, [u8]>>);

impl<'r> Only<'r> {
    fn put(&mut self, credential: Cow<'r, [u8]>) -> Result<(), Rejection> {
        match self.0.replace(credential) {
            None => Ok(()),
            Some(_) => Err(Reason::CredentialRepeated.into()),
        }
    }

    fn put_all(&mut self, credentials: impl Iterator<Item = Cow<'r, [u8]>>) -> Result<(), Rejection> {
        let mut credentials = credentials;
        credentials.try_for_each(|credential| self.put(credential))
    }
}

/// What follows `Bearer` (RFC 9110 §11.6.2); other schemes are somebody else's.
fn of_authorization(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(BEARER.len())?;
    let token = rest.strip_prefix(b" ").or_else(|| rest.is_empty().then_some(rest))?;
    scheme.eq_ignore_ascii_case(BEARER.as_bytes()).then(|| token.trim_ascii_start())
}

fn of_query<'r>(query: Option<&'r str>, name: &str) -> impl Iterator<Item = Cow<'r, [u8]>> {
    query::pairs(query).filter(move |(key, _)| query::is_named(key, name)).map(|(_, value)| {
        if value.contains(['%', '+']) {
            Cow::Owned(query::decoded(value.as_bytes()).collect())
        } else {
            Cow::Borrowed(value.as_bytes())
        }
    })
}

/// The pairs of a `Cookie` field (RFC 6265 §4.2.1).
pub(super) fn crumbs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|crumb| !crumb.is_empty())
}

/// The value, when it is the cookie of this name.
pub(super) fn of_crumb<'r>(crumb: &'r [u8], name: &str) -> Option<&'r [u8]> {
    let value = crumb.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

/// The members of a list (RFC 9110 §5.6.1).
pub(super) fn offers(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|offer| !offer.is_empty())
}
