//! Who calls, once it is known.

use std::sync::Arc;

use crate::auth::access::{Rights, ScopeList};
use crate::auth::jwt::Token;
use crate::listener::tls::ClientCertificate;
use crate::snapshot::CompiledPartner;

/// A caller whose credential is good.
#[derive(Clone, Debug)]
pub struct Caller {
    pub by: By,
    pub partner: Option<Arc<CompiledPartner>>,
    /// Neither revoked nor switched off: upstreams may be told that it is who it says.
    pub vouched: bool,
}

/// What told who it is.
#[derive(Clone, Debug)]
pub enum By {
    Token(Arc<Token>),
    ApiKey {
        id: Arc<str>,
        /// Sorted; instead of those of the partner.
        scopes: Option<Arc<[Arc<str>]>>,
    },
    Certificate(Arc<ClientCertificate>),
}

impl Caller {
    /// As the access log has it.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self.by {
            By::Token(_) => "jwt",
            By::ApiKey { .. } => "api_key",
            By::Certificate(_) => "certificate",
        }
    }

    /// Whom the credential names: the subject of the token, the id of the key, the subject of the certificate.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match &self.by {
            By::Token(token) => token.subject.as_deref(),
            By::ApiKey { id, .. } => Some(id),
            By::Certificate(certificate) => Some(&certificate.subject),
        }
    }

    /// Within which the subject is one and the same (RFC 7519 §4.1.2): the issuer of the token, by its name in the configuration,
    /// or the kind of credential.
    #[must_use]
    pub fn authority(&self) -> &str {
        match &self.by {
            By::Token(token) => &token.issuer,
            By::ApiKey { .. } => "api_key",
            By::Certificate(_) => "certificate",
        }
    }

    #[must_use]
    pub fn token(&self) -> Option<&Token> {
        match &self.by {
            By::Token(token) => Some(token),
            By::ApiKey { .. } | By::Certificate(_) => None,
        }
    }

    /// The partner by name, also one that is only claimed.
    #[must_use]
    pub fn partner_name(&self) -> Option<&str> {
        let known = self.partner.as_ref().map(|partner| &*partner.name);
        known.or_else(|| self.token().and_then(|token| token.partner.as_deref()))
    }

    #[must_use]
    pub fn rights(&self) -> Rights<'_> {
        let of_partner = || self.partner.as_ref().map_or(&[][..], |partner| &*partner.scopes);
        let scopes = match &self.by {
            By::Token(token) => ScopeList::OfToken(&token.scopes),
            By::ApiKey { scopes: Some(scopes), .. } => ScopeList::OfPartner(scopes),
            By::ApiKey { scopes: None, .. } | By::Certificate(_) => ScopeList::OfPartner(of_partner()),
        };
        Rights { partner: self.partner.as_ref().map(|partner| &*partner.name), scopes, token: self.token() }
    }

    /// The scopes, in order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> + Clone {
        let (of_token, of_partner) = match self.rights().scopes {
            ScopeList::OfToken(scopes) => (scopes, &[][..]),
            ScopeList::OfPartner(scopes) => (&[][..], scopes),
        };
        of_token.iter().map(|scope| &**scope).chain(of_partner.iter().map(|scope| &**scope))
    }
}
