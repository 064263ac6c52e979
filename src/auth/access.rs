//! What a known caller may: scopes, claims, lists of partners.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Number, Value};

use super::challenge::insufficient_scope;
use super::jwt::Token;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::identity::{Access, ClaimCondition, ClaimPath, ClaimRule, Lists, Scopes};

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    pub partner: Option<&'a str>,
    pub scopes: ScopeList<'a>,
    pub token: Option<&'a Token>,
}

/// The scopes of a token or of the configuration.
#[derive(Clone, Copy, Debug)]
pub enum ScopeList<'a> {
    /// Sorted; there may be thousands.
    OfToken(&'a [Box<str>]),
    OfPartner(&'a [Arc<str>]),
}

/// Whether a caller may use a route. That it has to be a partner at all (`requires_partner`) was asked before.
///
/// # Errors
///
/// `PARTNER_DENIED`; `SCOPE_MISSING` naming the scopes, for a token with the challenge of RFC 6750 §3.1; `CLAIM_DENIED` naming the claim.
pub fn authorize(access: &Access, rights: &Rights<'_>) -> Result<(), Rejection> {
    if !is_listed(&access.partners, rights.partner) {
        return Err(Reason::PartnerDenied.into());
    }
    if !has_scopes(&access.scopes, rights.scopes) {
        return Err(scope_missing(&access.scopes, rights));
    }
    match access.claims.iter().find(|rule| !holds(rule, rights.token)) {
        Some(rule) => Err(claim_denied(&rule.claim)),
        None => Ok(()),
    }
}

/// Callers that are no partner are on no list: where some are allowed, they are not.
fn is_listed(lists: &Lists<Arc<str>>, partner: Option<&str>) -> bool {
    let within = |list: &[Arc<str>]| partner.is_some_and(|partner| list.iter().any(|listed| **listed == *partner));
    (lists.allow.is_empty() || within(&lists.allow)) && !within(&lists.deny)
}

impl ScopeList<'_> {
    /// Scopes of a token up to which looking at each is faster than searching.
    const FEW: usize = 8;

    fn has(self, wanted: &str) -> bool {
        match self {
            Self::OfToken(scopes) if scopes.len() > Self::FEW => {
                scopes.binary_search_by(|scope| (**scope).cmp(wanted)).is_ok()
            }
            Self::OfToken(scopes) => scopes.iter().any(|scope| **scope == *wanted),
            Self::OfPartner(scopes) => scopes.iter().any(|scope| **scope == *wanted),
        }
    }
}

fn has_scopes(needed: &Scopes, scopes: ScopeList<'_>) -> bool {
    needed.all_of.iter().all(|scope| scopes.has(scope))
        && (needed.any_of.is_empty() || needed.any_of.iter().any(|scope| scopes.has(scope)))
}

#[cold]
fn scope_missing(needed: &Scopes, rights: &Rights<'_>) -> Rejection {
    let missing: Vec<&str> =
        needed.all_of.iter().filter(|scope| !rights.scopes.has(scope)).map(|scope| &**scope).collect();
    let any: Vec<&str> = needed.any_of.iter().map(|scope| &**scope).collect();
    let detail = match (missing.as_slice(), any.as_slice()) {
        ([scope], _) | ([], [scope]) => format!("The credential lacks the scope `{scope}`."),
        ([], any) => format!("The credential needs one of the scopes {}.", listed(any, " or ")),
        (missing, _) => format!("The credential lacks the scopes {}.", listed(missing, " and ")),
    };
    // To callers without a token a challenge for one would be wrong.
    let fields = rights.token.map(|_| insufficient_scope(needed, &detail)).into_iter().collect();
    Rejection { fields, ..Rejection::with_detail(Reason::ScopeMissing, detail) }
}

/// As in a sentence.
fn listed(names: &[&str], before_last: &str) -> String {
    let mut list = String::new();
    for (at, name) in names.iter().enumerate() {
        let between = match at {
            0 => "",
            at if at + 1 < names.len() => ", ",
            _ => before_last,
        };
        list.push_str(between);
        list.push('`');
        list.push_str(name);
        list.push('`');
    }
    list
}

#[cold]
fn claim_denied(claim: &ClaimPath) -> Rejection {
    let mut detail = "The claim `".to_owned();
    match &*claim.0 {
        [name] if !name.starts_with('/') => detail.push_str(name),
        path => {
            for name in path {
                // Writing to a text cannot fail.
                let _ = write!(detail, "/{}", name.replace('~', "~0").replace('/', "~1"));
            }
        }
    }
    detail.push_str("` does not meet the conditions of this route.");
    Rejection::with_detail(Reason::ClaimDenied, detail)
}

/// A claim that is not there, or that nobody has made, meets no condition.
fn holds(rule: &ClaimRule, token: Option<&Token>) -> bool {
    let is_it = |path: &ClaimPath| Arc::ptr_eq(&path.0, &rule.claim.0) || *path == rule.claim;
    let claim = token.and_then(|token| token.claims.iter().find(|(path, _)| is_it(path)));
    let Some((_, claim)) = claim else { return false };
    meets(&rule.condition, claim)
        || matches!(claim, Value::Array(members) if members.iter().any(|member| meets(&rule.condition, member)))
}

fn meets(condition: &ClaimCondition, claim: &Value) -> bool {
    match condition {
        ClaimCondition::Equals(value) => is_same(value, claim),
        ClaimCondition::In(values) => values.iter().any(|value| is_same(value, claim)),
        // The whole text, however the expression is anchored.
        ClaimCondition::Matches(expression) => claim.as_str().is_some_and(|text| {
            expression.find(text.as_bytes()).is_some_and(|found| found.start() == 0 && found.end() == text.len())
        }),
    }
}

/// Equality of JSON, numbers by their value: `1`, `1.0` and `1e0` are the same.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => is_same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}

fn is_same_number(one: &Number, other: &Number) -> bool {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.as_f64() == other.as_f64(),
        _ => false,
    }
}

/// The exact value, when it is whole and no larger than JSON integers can be.
fn integer(number: &Number) -> Option<i128> {
    const LARGEST: f64 = 18_446_744_073_709_551_616.0;
    if let Some(number) = number.as_i64() {
        return Some(number.into());
    }
    if let Some(number) = number.as_u64() {
        return Some(number.into());
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= LARGEST)?;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and far within the range")]
    Some(float as i128)
}

#[cfg(test)]
mod tests;
