//! `WWW-Authenticate`: how to get in, for whoever was not let in (RFC 9110 §11.6.1, RFC 6750 §3).

use std::time::Duration;

use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};

use crate::base::reason::Reason;
use crate::config::checked::identity::{ApiKeyPlaces, Method, Scopes};

/// The fields of an answer for this reason, one challenge each; none where no credential would help.
///
/// `methods` are those of the route. A token that was no good is an `invalid_token`, a request with several an `invalid_request`; without
/// any credential no error is named, as RFC 6750 §3.1 wants it. API keys and client certificates have no scheme that is registered: `ApiKey`
/// names the place of the key, and `ClientCertificate` is there because every 401 has to have a challenge.
#[must_use]
pub fn challenge(methods: &[Method], reason: Reason, detail: &str) -> Vec<(HeaderName, HeaderValue)> {
    let (token, key) = match reason {
        Reason::CredentialMissing => (None, None),
        Reason::ApiKeyUnknown | Reason::ApiKeyExpired => (None, Some("invalid_key")),
        Reason::CredentialRepeated => (Some("invalid_request"), Some("invalid_request")),
        reason if reason.status() == 401 => (Some("invalid_token"), None),
        _ => return Vec::new(),
    };
    let of = |method: &Method| match method {
        Method::Token { .. } => Challenge::new("Bearer").error(token, detail),
        Method::ApiKey(places) => Challenge::new("ApiKey").place(places).error(key, detail),
        Method::Certificate => Challenge::new("ClientCertificate"),
    };
    methods.iter().map(|method| of(method).field()).collect()
}

/// For a good token that lacks scopes (RFC 6750 §3.1). The field names what the route needs, not what is missing; of `any_of`, all, since
/// the grammar knows no choice.
pub(super) fn insufficient_scope(needed: &Scopes, detail: &str) -> (HeaderName, HeaderValue) {
    let scopes = needed.all_of.iter().chain(&needed.any_of).filter(|scope| is_scope_token(scope));
    let scopes: Vec<&str> = scopes.map(|scope| &**scope).collect();
    let challenge = Challenge::new("Bearer").error(Some("insufficient_scope"), detail);
    if scopes.is_empty() { challenge.field() } else { challenge.parameter("scope", &scopes.join(" ")).field() }
}

/// For a good token whose authentication is too long ago (RFC 9470 §3): one that is younger than `max_age`, in whole seconds, would do.
#[must_use]
pub fn insufficient_authentication(max_age: Duration, detail: &str) -> (HeaderName, HeaderValue) {
    let challenge = Challenge::new("Bearer").error(Some("insufficient_user_authentication"), detail);
    challenge.parameter("max_age", &max_age.as_secs().to_string()).field()
}

/// `scope-token` of RFC 6749 §3.3.
fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| byte != b' ' && is_quotable(byte))
}

/// What RFC 6750 §3 allows in `scope` and `error_description`: printable, neither quote nor backslash.
const fn is_quotable(byte: u8) -> bool {
    matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~')
}

/// A scheme and its parameters, as they are written.
struct Challenge(String);

impl Challenge {
    fn new(scheme: &str) -> Self {
        Self(format!("{scheme} realm=\"sluice\""))
    }

    /// `name` is a token. Characters that may not stand in the value become `'`.
    fn parameter(mut self, name: &str, value: &str) -> Self {
        self.0.push_str(", ");
        self.0.push_str(name);
        self.0.push_str("=\"");
        let safe = |character: char| u8::try_from(character).is_ok_and(is_quotable);
        self.0.extend(value.chars().map(|character| if safe(character) { character } else { '\'' }));
        self.0.push('"');
        self
    }

    fn error(self, code: Option<&str>, description: &str) -> Self {
        match code {
            Some(code) if description.is_empty() => self.parameter("error", code),
            Some(code) => self.parameter("error", code).parameter("error_description", description),
            None => self,
        }
    }

    fn place(mut self, places: &ApiKeyPlaces) -> Self {
        if let Some(header) = &places.header {
            self = self.parameter("header", header.as_str());
        }
        if let Some(query) = &places.query {
            self = self.parameter("query", query);
        }
        self
    }

    fn field(self) -> (HeaderName, HeaderValue) {
        // Every character was held to what a field may have.
        let value = HeaderValue::try_from(self.0).unwrap_or(HeaderValue::from_static("Bearer realm=\"sluice\""));
        (WWW_AUTHENTICATE, value)
    }
}

#[cfg(test)]
mod tests;
