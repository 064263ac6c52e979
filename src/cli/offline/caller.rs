//! Callers that are taken for known.

use std::sync::Arc;

use serde_json::Value;

use crate::auth::jwt::Token;
use crate::config::checked::expectation;
use crate::config::checked::identity::{Auth, ClaimPath};
use crate::pipeline::caller::{By, Caller};
use crate::snapshot::{CompiledMethod, CompiledRoute, Snapshot};

/// Nobody's issuer.
const SUPPOSED: &str = "supposed";

/// Reads `PARTNER[/SUBJECT][:SCOPE,SCOPE…]`; scopes may have colons, names of partners have none.
pub(crate) fn parse_as(text: &str) -> Result<expectation::Caller, String> {
    let (who, scopes) = text.split_once(':').unwrap_or((text, ""));
    let (partner, subject) = who.split_once('/').map_or((who, None), |(partner, subject)| (partner, Some(subject)));
    let named = |name: &str| (!name.is_empty()).then(|| Arc::from(name));
    let caller = expectation::Caller {
        partner: named(partner),
        subject: subject.and_then(named),
        scopes: scopes.split(',').filter_map(named).collect(),
        claims: serde_json::Map::new(),
    };
    match caller.partner.is_none() && caller.subject.is_none() && caller.scopes.is_empty() {
        true => Err("write PARTNER, PARTNER:scope,scope or PARTNER/SUBJECT:scope".to_owned()),
        false => Ok(caller),
    }
}

/// The caller as if it had shown a good credential of the kind that the route takes: a token where it takes one; otherwise
/// an API key, which has the scopes of its partner unless others are said.
pub(crate) fn as_caller(who: &expectation::Caller, route: Option<&CompiledRoute>, snapshot: &Snapshot) -> Caller {
    let partner = who.partner.as_deref().and_then(|name| snapshot.gate.partners.by_name(name)).cloned();
    let access = route.and_then(|route| route.action.as_ref().ok()?.guard.access.as_ref());
    let takes_tokens =
        access.is_none_or(|access| access.methods.iter().any(|method| matches!(method, CompiledMethod::Token { .. })));
    let mut scopes = who.scopes.clone();
    scopes.sort();
    scopes.dedup();
    let by = if takes_tokens {
        By::Token(Arc::new(Token {
            issuer: Arc::from(SUPPOSED),
            subject: who.subject.as_deref().map(Box::from),
            partner: who.partner.as_deref().map(Box::from),
            id: None,
            scopes: scopes.iter().map(|scope| Box::from(&**scope)).collect(),
            issued_at: None,
            expires: None,
            ends: std::time::Duration::MAX,
            claims: claims(who, snapshot),
        }))
    } else {
        let id = who.subject.clone().unwrap_or_else(|| Arc::from(SUPPOSED));
        By::ApiKey { id, scopes: (!scopes.is_empty()).then(|| scopes.into()) }
    };
    Caller { by, partner, vouched: true }
}

/// Those that routes have conditions on.
fn claims(who: &expectation::Caller, snapshot: &Snapshot) -> Box<[(ClaimPath, Value)]> {
    let actions = snapshot.routes.iter().filter_map(|route| route.action.as_ref().ok());
    let rules = actions.filter_map(|action| match &action.written.auth {
        Auth::Required(access) => Some(&access.claims),
        Auth::None => None,
    });
    let mut paths: Vec<&ClaimPath> = rules.flatten().map(|rule| &rule.claim).collect();
    paths.sort();
    paths.dedup();
    let value = |path: &ClaimPath| {
        let (first, rest) = path.0.split_first()?;
        rest.iter().try_fold(who.claims.get(&**first)?, |value, name| value.get(&**name)).cloned()
    };
    paths.into_iter().filter_map(|path| Some((path.clone(), value(path)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_read_from_one_word() {
        let read = |text| {
            let caller = parse_as(text).unwrap();
            let scopes: Vec<String> = caller.scopes.iter().map(ToString::to_string).collect();
            (
                caller.partner.as_deref().map(str::to_owned),
                caller.subject.as_deref().map(str::to_owned),
                scopes.join(" "),
            )
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("acme"), (some("acme"), None, String::new()));
        assert_eq!(read("acme:orders:read,orders:write"), (some("acme"), None, "orders:read orders:write".to_owned()));
        assert_eq!(read("acme/u1:a"), (some("acme"), some("u1"), "a".to_owned()));
        assert_eq!(read(":a"), (None, None, "a".to_owned()));
        assert_eq!(read("/u1"), (None, some("u1"), String::new()));
        for text in ["", ":", "/", "/:,"] {
            assert!(parse_as(text).is_err(), "{text}");
        }
    }
}
