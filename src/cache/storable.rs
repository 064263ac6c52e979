//! Whether an answer may be kept, and what of it (RFC 9111 §3).
//!
//! Stricter than the RFC in one thing: an answer that sets a cookie is for one client, whatever else it says (§7.3 leaves that to the
//! upstream). It is kept only when the upstream names `Set-Cookie` in `no-cache="…"` or `private="…"`, and then without the cookie.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::directives::{About, RequestDirectives, ResponseDirectives};
use super::freshness::{self, Freshness};
use crate::config::checked::cache::{CachePolicy, TtlMode};

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
    /// It sets a cookie, and does not say that it may be kept without.
    SetCookie,
    /// It says neither how long it is fresh nor how it can be validated, and no `ttl` says it either.
    NoLifetime,
    /// `Vary: *`, or by something that is another one for every request.
    Vary,
    /// Longer than `max_object`.
    TooLarge,
    /// `ttl` of this status is zero.
    ZeroTtl,
    /// The upstream gives it more tags, or longer ones, than can be purged by.
    Tags,
    /// Too much is coming in at the same time.
    NoRoom,
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
            Self::SetCookie => "set_cookie",
            Self::NoLifetime => "no_lifetime",
            Self::Vary => "vary",
            Self::TooLarge => "too_large",
            Self::ZeroTtl => "zero_ttl",
            Self::Tags => "tags",
            Self::NoRoom => "no_room",
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
/// A `ttl` that the route has for this status is the operator's permission to keep an answer for whoever the key lets share it, also when the
/// request was made for somebody (RFC 9111 §3.5): the gateway knows the caller, and the key says whose answer it is. With
/// [`TtlMode::Override`] it also outweighs `no-store`, `private`, `no-cache` and `s-maxage` of the answer, but neither `must-revalidate` nor
/// a cookie.
///
/// # Errors
///
/// Why not.
pub fn judge(
    policy: &CachePolicy,
    request: &ForRequest,
    status: StatusCode,
    fields: &HeaderMap,
    directives: &ResponseDirectives,
    freshness: &Freshness,
) -> Result<Rules, NotStored> {
    let ttl = freshness::ttl_of(&policy.ttl, status);
    let explicit = freshness::is_explicit(fields, directives);
    let overridden = ttl.is_some() && policy.ttl.mode == TtlMode::Override;
    if request.directives.no_store {
        return Err(NotStored::RequestNoStore);
    }
    let understood = is_understood(status);
    if !is_final_and_whole(status) || (directives.must_understand && !understood) {
        return Err(NotStored::Status);
    }
    if !overridden {
        // `must-understand` comes with a `no-store` for caches that do not know it (RFC 9111 §5.2.2.3).
        if directives.no_store && !directives.must_understand {
            return Err(NotStored::NoStore);
        }
        if directives.private == About::Everything {
            return Err(NotStored::Private);
        }
    }
    if fields.contains_key(header::SET_COOKIE) && !directives.name(&header::SET_COOKIE) {
        return Err(NotStored::SetCookie);
    }
    let shared = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if request.authenticated && !shared && (ttl.is_none() || !request.known) {
        return Err(NotStored::Authorization);
    }
    if !directives.public && !explicit && ttl.is_none() && !freshness::is_heuristic(status) {
        return Err(NotStored::Status);
    }
    if ttl == Some(Duration::ZERO) && (overridden || !explicit) {
        return Err(NotStored::ZeroTtl);
    }
    let rules = Rules::of(policy, directives, overridden);
    let is_fresh = !rules.always_validate && freshness.stale_for(freshness.received).is_none();
    let has = |name| fields.contains_key(&name) && !directives.name(&name);
    if is_fresh || rules.allows_stale() || has(header::ETAG) || has(header::LAST_MODIFIED) {
        Ok(rules)
    } else {
        Err(NotStored::NoLifetime)
    }
}

impl Rules {
    fn of(policy: &CachePolicy, directives: &ResponseDirectives, overridden: bool) -> Self {
        let always_validate = !overridden && directives.no_cache == About::Everything;
        // `s-maxage` says what `proxy-revalidate` says (RFC 9111 §5.2.2.10).
        let by_s_maxage = !overridden && directives.s_maxage.is_some();
        let never_stale = directives.must_revalidate || directives.proxy_revalidate || by_s_maxage;
        let stale = |of_answer: Option<Duration>, of_route| {
            if always_validate || never_stale { Duration::ZERO } else { of_answer.unwrap_or(of_route) }
        };
        Self {
            always_validate,
            never_stale,
            stale_while_revalidate: stale(directives.stale_while_revalidate, policy.stale_while_revalidate),
            stale_if_error: stale(directives.stale_if_error, policy.stale_if_error),
        }
    }

    /// Whether there is a case in which it is given although it is stale and the request says nothing.
    fn allows_stale(&self) -> bool {
        !self.stale_while_revalidate.is_zero() || !self.stale_if_error.is_zero()
    }
}

/// The fields that `no-cache` and `private` name: they go to whoever asked and are not kept.
#[must_use]
pub fn for_one(fields: &HeaderMap, directives: &ResponseDirectives) -> Vec<(HeaderName, HeaderValue)> {
    let named = fields.iter().filter(|(name, _)| directives.name(name) && !is_for_us(name));
    named.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Neither interim nor about an answer that somebody has already. Parts are never asked for, so none is completed (RFC 9111 §3.3).
fn is_final_and_whole(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Statuses with all that they ask of caches (RFC 9111 §3): those of RFC 9110 that are final and whole, RFC 6585 and RFC 7725.
fn is_understood(status: StatusCode) -> bool {
    let code = status.as_u16();
    matches!(code, 200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 451 | 500..=505 | 511)
}

/// The fields of an answer that are kept: not those for one hop (RFC 9111 §3.1), nor those that `no-cache` and `private` name, nor those that are
/// for this cache only. `Age` and `Content-Length` are made anew whenever it is given.
#[must_use]
pub fn kept(fields: &HeaderMap, directives: &ResponseDirectives) -> HeaderMap {
    let is_kept = |name: &HeaderName| !is_for_us(name) && !directives.name(name);
    let kept = for_more_than_this_hop(fields).filter(|(name, _)| is_kept(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The fields of an answer that is not kept: all but those for one hop, and the length, which is told apart.
#[must_use]
pub fn passed(fields: &HeaderMap) -> HeaderMap {
    let passed = for_more_than_this_hop(fields).filter(|(name, _)| *name != header::CONTENT_LENGTH);
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn for_more_than_this_hop(fields: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let nominations = fields.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    let nominated: HashSet<HeaderName> = nominations
        .flat_map(|names| names.split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    fields.iter().filter(move |(name, _)| !is_for_one_hop(name) && !nominated.contains(*name))
}

fn is_for_us(name: &HeaderName) -> bool {
    matches!(name.as_str(), "age" | "cache-tag" | "content-length" | "surrogate-control" | "surrogate-key" | "trailer")
}

fn is_for_one_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}
