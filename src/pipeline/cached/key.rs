//! The key of a request: all that decides which answer it gets.

use std::borrow::Cow;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Question;
use crate::base::authority;
use crate::base::field::Known;
use crate::cache::key::{self, Resource, Scope};
use crate::config::checked::cache::CacheScope;
use crate::pipeline::facts::Facts;
use crate::pipeline::view::RequestView;
use crate::snapshot::CompiledCache;
use crate::transform::forwarded::Chain;

/// Names the scopes of a caller in a key.
const SCOPE: HeaderName = HeaderName::from_static("scope");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

impl<V: RequestView> Question<'_, '_, V> {
    /// What a trusted proxy says of its client, and of the host that it was asked for.
    fn write_told(&self, out: &mut Vec<u8>) {
        let Chain { facts: seen, trusted, .. } = &self.admitted.chain;
        if self.is_told_host() {
            key::push_field(&FORWARDED_HOST, Some(seen.host.as_bytes()), out);
        }
        if *trusted {
            for (name, value) in self.request.fields() {
                let counts = matches!(Known::of(name), Known::Claim | Known::RealIp);
                if let Some(name) = counts.then(|| HeaderName::from_bytes(name.as_bytes()).ok()).flatten() {
                    key::push_field(&name, Some(value), out);
                }
            }
        }
    }

    /// Whether a trusted proxy was asked for another host than we.
    fn is_told_host(&self) -> bool {
        *self.request.authority().unwrap_or_default() != *self.admitted.chain.facts.host
    }

    /// Makes what the upstream learns of the host what the key has of it, however the client writes it.
    pub(super) fn write_host(&self, fields: &mut HeaderMap) {
        let host = self.host();
        if self.is_told_host() || self.request.authority() == Some(&*host) {
            return;
        }
        fields.remove(FORWARDED);
        if let Ok(host) = HeaderValue::from_str(&host)
            && let Some(told) = fields.get_mut(FORWARDED_HOST)
        {
            *told = host;
        }
    }

    /// As the key has it; an HTTP/1.0 client may have sent none.
    pub(super) fn host(&self) -> Cow<'_, str> {
        let authority = self.request.authority().unwrap_or_default();
        authority::normal(self.admitted.chain.facts.proto, authority).unwrap_or_default()
    }

    pub(super) fn write_key(&self, cache: &CompiledCache, scope: Scope<'_>, facts: &Facts, out: &mut Vec<u8>) {
        let policy = &cache.policy.key;
        let mut room = String::new();
        let counts = self.query.and_then(|query| key::counted(query, policy, &mut room));
        let seen = &self.admitted.chain.facts;
        let resource = Resource { scheme: seen.proto, host: &self.host(), path: self.path, query: counts };
        out.clear();
        key::push_resource(&resource, out);
        key::push_route(cache.terms, out);
        key::push_scope(scope, out);
        self.write_told(out);
        if cache.keys_scopes
            && let Some(caller) = &facts.caller
        {
            caller.scopes().for_each(|scope| key::push_field(&SCOPE, Some(scope.as_bytes()), out));
        }
        key::push_end(out);
        let mut joined = Vec::new();
        for name in &policy.headers {
            joined.clear();
            let mut is_there = false;
            for value in self.request.values(name) {
                joined.extend_from_slice(if is_there { b", " } else { b"" });
                joined.extend_from_slice(value);
                is_there = true;
            }
            key::push_field(name, is_there.then_some(&*joined), out);
        }
    }
}

/// Whose answer it is; `None` for a caller whom nothing tells from others, or whom the upstream is not told.
pub(super) fn scope(per: CacheScope, facts: &Facts, forwards_credential: bool) -> Option<Scope<'_>> {
    let caller = facts.caller.as_ref();
    if caller.is_some_and(|caller| !caller.vouched) {
        return None;
    }
    if per == CacheScope::Everyone {
        return Some(Scope::Everyone);
    }
    let Some(caller) = caller else {
        // The upstream may know the credential that nobody knows here.
        return (!forwards_credential).then_some(Scope::Public);
    };
    let partner = caller.partner.as_ref().map(|partner| &*partner.name);
    match (partner, caller.subject()) {
        (Some(partner), _) if per == CacheScope::Partner => Some(Scope::Partner(partner)),
        (_, Some(subject)) => Some(Scope::Subject { partner, by: caller.authority(), subject }),
        // The upstream is told the partner and nothing else, and so gives all such callers the same.
        (Some(partner), None) if !forwards_credential => Some(Scope::Partner(partner)),
        (_, None) => None,
    }
}
