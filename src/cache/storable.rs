//! Whether an answer may be kept, and what of it (RFC 9111 §3).

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::directives::{RequestDirectives, ResponseDirectives};
use crate::config::checked::cache::CachePolicy;

/// What of the request an answer is for decides about keeping it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForRequest {
    pub directives: RequestDirectives,
    /// It had `Authorization`, or its caller was known by something else (RFC 9111 §3.5).
    pub authenticated: bool,
    /// The gateway itself knows the caller: a `ttl` of the route is the permission to keep the answer, for whomever the key lets share.
    pub known: bool,
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// `no-store` of the request.
    RequestNoStore,
    NoStore,
    Private,
    /// The status is not final, not understood, or one that nobody said may be kept.
    Status,
    /// The request was made for somebody, and nothing says that others may have the answer (RFC 9111 §3.5).
    Authorization,
    /// It says neither how long it is fresh nor how it can be validated, and no `ttl` says it either.
    NoLifetime,
    /// `Vary: *`, or by something that is another one for every request.
    Vary,
    /// Longer than `max_object`.
    TooLarge,
    /// `ttl` of this status is zero.
    ZeroTtl,
    /// Something it would have been purged by was purged while it came.
    Purged,
}

impl NotStored {
    /// As it is written in logs and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestNoStore => "request_no_store",
            Self::NoStore => "no_store",
            Self::Private => "private",
            Self::Status => "status",
            Self::Authorization => "authorization",
            Self::NoLifetime => "no_lifetime",
            Self::Vary => "vary",
            Self::TooLarge => "too_large",
            Self::ZeroTtl => "zero_ttl",
            Self::Purged => "purged",
        }
    }
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Under which conditions a stored answer may be given, whatever the request says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Only after a validation: `no-cache` without field names.
    pub always_validate: bool,
    /// Never stale: `must-revalidate`, `proxy-revalidate`, `s-maxage` (RFC 9111 §4.2.4).
    pub never_stale: bool,
    /// For so long after it went stale it may be given while it is fetched anew.
    pub stale_while_revalidate: Duration,
    /// For so long after it went stale it may be given when the upstream fails.
    pub stale_if_error: Duration,
}

/// Whether an answer may be kept.
///
/// # Errors
///
/// Why not.
pub fn judge(
    _policy: &CachePolicy,
    _request: &ForRequest,
    _status: StatusCode,
    _fields: &HeaderMap,
    _directives: &ResponseDirectives,
) -> Result<Rules, NotStored> {
    Err(NotStored::NoStore)
}

/// The fields of an answer that are kept: not those for one hop, nor those that `no-cache` and `private` name (RFC 9111 §3.1).
#[must_use]
pub fn kept(fields: &HeaderMap, _directives: &ResponseDirectives) -> HeaderMap {
    fields.clone()
}
