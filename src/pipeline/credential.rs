//! Credentials as they come with a request: found where the route says that they may stand, and nowhere else.

use std::borrow::Cow;

use super::view::RequestView;
use crate::base::field::Known;
use crate::base::query;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::identity::{ApiKeyPlaces, TokenPlaces};

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

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::config::checked::Limits;
    use crate::listener::head::{self, Room, Status};
    use crate::listener::request::Http1View;

    const LIMITS: Limits = Limits { head: 4096, fields: 20, target: 1024, connections: 1, requests_per_connection: 1 };

    const ANYWHERE: fn() -> TokenPlaces = || TokenPlaces {
        authorization: true,
        query: Some("access_token".into()),
        cookie: Some("session".into()),
        websocket_protocol: true,
    };

    /// What is found, as text; `Err` when there are several.
    fn find(target: &str, fields: &str, from: &TokenPlaces) -> Result<Option<String>, Reason> {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut room = Room::new();
        let Ok(Status::Complete(head, _)) = head::parse(bytes.as_bytes(), &mut room, &LIMITS) else {
            panic!("{bytes}")
        };
        let view = Http1View { head: &head, method: Method::GET };
        let found = token(&view, from).map_err(|rejection| rejection.reason)?;
        Ok(found.map(|found| String::from_utf8_lossy(&found).into_owned()))
    }

    #[test]
    fn a_token_is_found_wherever_it_may_stand() {
        for (target, fields) in [
            ("/", "Authorization: Bearer t.o.k\r\n"),
            ("/", "authorization: bEARER   t.o.k\r\n"),
            ("/?a=1&access_token=t.o.k", ""),
            ("/?access%5Ftoken=t%2Eo.k", ""),
            ("/", "Cookie: a=1; session=t.o.k; b=2\r\n"),
            ("/", "Cookie: a=1\r\nCookie: session=\"t.o.k\"\r\n"),
            ("/", "Sec-WebSocket-Protocol: chat, bearer, t.o.k, more\r\n"),
            ("/", "Sec-WebSocket-Protocol: Bearer\r\nSec-WebSocket-Protocol: t.o.k\r\n"),
        ] {
            assert_eq!(find(target, fields, &ANYWHERE()).as_ref().map(Option::as_deref), Ok(Some("t.o.k")), "{fields}");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        for (target, fields) in [
            ("/", ""),
            ("/", "Authorization: Basic dTpw\r\n"),
            ("/", "Authorization: Bearert.o.k\r\n"),
            ("/?xaccess_token=1&access_token2=2", ""),
            ("/", "Cookie: xsession=1; session2=2; session\r\n"),
            ("/", "Sec-WebSocket-Protocol: chat, t.o.k\r\n"),
            ("/", "Sec-WebSocket-Protocol: bearer\r\n"),
        ] {
            assert_eq!(find(target, fields, &ANYWHERE()), Ok(None), "{target} {fields}");
        }
        let nowhere = TokenPlaces { authorization: false, query: None, cookie: None, websocket_protocol: false };
        let everything = "Authorization: Bearer a\r\nCookie: session=b\r\nSec-WebSocket-Protocol: bearer, c\r\n";
        assert_eq!(find("/?access_token=d", everything, &nowhere), Ok(None));
    }

    #[test]
    fn two_tokens_are_none_to_choose_from() {
        for (target, fields) in [
            ("/?access_token=a", "Authorization: Bearer a\r\n"),
            ("/?access_token=a&access_token=a", ""),
            ("/?access_token=a&access%5ftoken=b", ""),
            ("/", "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n"),
            ("/", "Cookie: session=a; session=b\r\n"),
            ("/", "Cookie: session=a\r\nSec-WebSocket-Protocol: bearer, b\r\n"),
            ("/", "Sec-WebSocket-Protocol: bearer, a, bearer, b\r\n"),
        ] {
            assert_eq!(find(target, fields, &ANYWHERE()), Err(Reason::CredentialRepeated), "{target} {fields}");
        }
    }
}
