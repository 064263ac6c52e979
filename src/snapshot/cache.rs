//! What a route keeps, compiled.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use http::HeaderName;

use crate::config::checked::RouteAction;
use crate::config::checked::cache::{CachePolicy, CacheScope};
use crate::config::checked::identity::{Auth, Identity, Issuer, Method};
use crate::transform::rewrite::{CompiledTemplate, TemplateError};

/// Fields that are another one for every request: an answer that depends on one of them is good for no other request.
const OF_ONE_REQUEST: [&str; 5] = ["x-forwarded-for", "forwarded", "x-real-ip", "x-request-id", "traceparent"];

/// Issuers as written, by name.
type Issuers = BTreeMap<Arc<str>, Arc<Issuer>>;

pub struct CompiledCache {
    pub policy: Arc<CachePolicy>,
    pub tags: Box<[CompiledTemplate]>,
    /// Fields that upstreams get from us and that the key does not have.
    pub unkeyed: Arc<[HeaderName]>,
    /// Upstreams are told the scopes of callers, so that those of other scopes may get another answer.
    pub keys_scopes: bool,
    /// A digest of all that decides what the upstream is asked and who may have the answer.
    pub terms: u64,
}

impl CompiledCache {
    /// # Errors
    ///
    /// A tag names a parameter that the route does not have.
    pub fn compile(
        route: &str,
        action: &RouteAction,
        policy: &Arc<CachePolicy>,
        params: &[&str],
        (identity, issuers): (&Identity, &Issuers),
    ) -> Result<Self, TemplateError> {
        let Identity { partner, subject, scopes, token, .. } = identity;
        let mut unkeyed: Vec<_> = OF_ONE_REQUEST.map(HeaderName::from_static).into();
        let keys_scopes = policy.key.per == CacheScope::Subject && (scopes.is_some() || token.is_some());
        if !keys_scopes {
            unkeyed.extend(scopes.clone());
        }
        unkeyed.extend(token.as_ref().map(|token| token.header.clone()));
        match policy.key.per {
            CacheScope::Subject => {}
            CacheScope::Partner => unkeyed.extend(subject.clone()),
            CacheScope::Everyone => unkeyed.extend(subject.iter().chain(partner).cloned()),
        }
        Ok(Self {
            policy: Arc::clone(policy),
            tags: tags(&policy.tags, params)?,
            unkeyed: unkeyed.into(),
            keys_scopes,
            terms: terms(route, action, policy, (identity, issuers)),
        })
    }
}

/// The same for the same words in every process: nothing that only says how long or how much is among them.
fn terms(route: &str, action: &RouteAction, policy: &CachePolicy, (identity, issuers): (&Identity, &Issuers)) -> u64 {
    let RouteAction { target, auth, addresses, request_headers, .. } = action;
    let mut hasher = DefaultHasher::new();
    // What is checked has no digest of its own, and this runs once a reload.
    format!("{route} {target:?} {auth:?} {addresses:?} {request_headers:?} {:?} {identity:?}", policy.key)
        .hash(&mut hasher);
    // A name may come to mean another issuer, with other subjects.
    if let Auth::Required(access) = auth {
        for method in &access.methods {
            if let Method::Token { issuers: named, .. } = method {
                named.iter().for_each(|name| format!("{name} {:?}", issuers.get(name)).hash(&mut hasher));
            }
        }
    }
    hasher.finish()
}

/// # Errors
///
/// One names a parameter that the route does not have.
pub fn tags(
    templates: &[crate::config::checked::Template],
    params: &[&str],
) -> Result<Box<[CompiledTemplate]>, TemplateError> {
    templates.iter().map(|template| CompiledTemplate::text(template, params)).collect()
}
