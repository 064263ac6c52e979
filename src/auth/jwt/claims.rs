//! What the claims of a token mean (RFC 7519 §4), once its signature is known to be good.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Fault, Token};
use crate::base::reason::Reason;
use crate::config::checked::identity::{ClaimPath, Issuer};

/// Bytes of a subject, a partner or a token id.
const MAX_NAME: usize = 512;

/// Scopes of one token.
const MAX_SCOPES: usize = 1_000;

pub(in crate::auth) const EXPIRED: Fault = Fault::new(Reason::JwtExpired, "`exp` has passed.");

type Claims = Map<String, Value>;

const fn wrong(detail: &'static str) -> Fault {
    Fault::new(Reason::JwtClaims, detail)
}

/// Judges claims that have been read strictly before.
pub(super) fn judge(json: &[u8], issuer: &Issuer, kept: &[ClaimPath], now: Duration) -> Result<Token, Fault> {
    let read = str::from_utf8(json).ok().and_then(|text| serde_json::from_str::<Claims>(text).ok());
    let claims = read.ok_or(Fault::malformed("The claims of the token are not a JSON object."))?;
    check_audience(&claims, issuer)?;
    let times = Times::check(&claims, issuer, now)?;
    let names = &issuer.claims;
    Ok(Token {
        issuer: issuer.name.clone(),
        subject: name(&claims, &names.subject, "The claim of the subject is not a text of 1 to 512 bytes.")?,
        partner: name(&claims, &names.partner, "The claim of the partner is not a text of 1 to 512 bytes.")?,
        id: name(&claims, &names.token_id, "The claim of the token id is not a text of 1 to 512 bytes.")?,
        scopes: scopes(find(&claims, &names.scopes))?,
        issued_at: times.issued_at.map(|time| time.as_secs()),
        expires: times.expires.map(|time| time.as_secs()),
        ends: times.expires.map_or(Duration::MAX, |time| time.saturating_add(issuer.leeway)),
        claims: kept.iter().filter_map(|path| find(&claims, path).map(|value| (path.clone(), value.clone()))).collect(),
    })
}

fn find<'c>(claims: &'c Claims, path: &ClaimPath) -> Option<&'c Value> {
    let (first, rest) = path.0.split_first()?;
    rest.iter().try_fold(claims.get(&**first)?, |value, name| value.as_object()?.get(&**name))
}

fn check_audience(claims: &Claims, issuer: &Issuer) -> Result<(), Fault> {
    const NO_TEXT: Fault = wrong("`aud` is neither a text nor an array of texts.");
    if issuer.audiences.is_empty() {
        return Ok(());
    }
    let ours = |audience: &str| issuer.audiences.iter().any(|ours| **ours == *audience);
    let meant = match claims.get("aud") {
        None => return Err(Fault::new(Reason::JwtAudience, "The token has no `aud`.")),
        Some(Value::String(audience)) => ours(audience),
        Some(Value::Array(audiences)) => {
            let mut meant = false;
            for audience in audiences {
                meant |= ours(audience.as_str().ok_or(NO_TEXT)?);
            }
            meant
        }
        Some(_) => return Err(NO_TEXT),
    };
    if meant { Ok(()) } else { Err(Fault::new(Reason::JwtAudience, "`aud` names others only.")) }
}

/// The times of a token, since 1970 UTC.
struct Times {
    expires: Option<Duration>,
    issued_at: Option<Duration>,
}

impl Times {
    fn check(claims: &Claims, issuer: &Issuer, now: Duration) -> Result<Self, Fault> {
        let expires = time(claims, "exp", wrong("`exp` is not a number."))?;
        let begins = time(claims, "nbf", wrong("`nbf` is not a number."))?;
        let issued_at = time(claims, "iat", wrong("`iat` is not a number."))?;
        let latest = now.saturating_add(issuer.leeway);
        if expires.is_none() && (issuer.requires_expiry || issuer.max_lifetime.is_some()) {
            return Err(wrong("The token has no `exp`."));
        }
        if expires.is_some_and(|expires| now >= expires.saturating_add(issuer.leeway)) {
            return Err(EXPIRED);
        }
        if begins.is_some_and(|begins| latest < begins) {
            return Err(Fault::new(Reason::JwtNotYetValid, "`nbf` has not come yet."));
        }
        if issued_at.is_some_and(|issued_at| latest < issued_at) {
            return Err(Fault::new(Reason::JwtNotYetValid, "`iat` has not come yet."));
        }
        if let Some(longest) = issuer.max_lifetime {
            // From now on it would be good for long enough whenever its end is near.
            let issued_at = issued_at.ok_or(wrong("The token has no `iat`."))?;
            if expires.is_some_and(|expires| expires.saturating_sub(issued_at) > longest) {
                return Err(wrong("The token is good for longer than is accepted."));
            }
        }
        Ok(Self { expires, issued_at })
    }
}

/// A number of seconds, with or without a fraction (RFC 7519 §2); before 1970 is 1970, and beyond all measure is the last moment.
fn time(claims: &Claims, name: &str, fault: Fault) -> Result<Option<Duration>, Fault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_number().ok_or(fault)?;
    if let Some(seconds) = number.as_u64() {
        return Ok(Some(Duration::from_secs(seconds)));
    }
    let seconds = number.as_f64().filter(|seconds| !seconds.is_nan()).ok_or(fault)?;
    Ok(Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
}

/// A text that names somebody or something. Whole numbers count as their digits: older issuers number their users.
fn name(claims: &Claims, path: &ClaimPath, detail: &'static str) -> Result<Option<Box<str>>, Fault> {
    match find(claims, path) {
        None => Ok(None),
        Some(Value::String(text)) if (1..=MAX_NAME).contains(&text.len()) => {
            // It will stand in headers and log lines.
            if text.chars().any(char::is_control) {
                return Err(wrong("The claim of subject, partner or token id has a control character."));
            }
            Ok(Some(text.as_str().into()))
        }
        Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string().into())),
        Some(_) => Err(wrong(detail)),
    }
}

/// A text with spaces between the scopes (RFC 8693 §4.2), or an array of them.
fn scopes(claim: Option<&Value>) -> Result<Box<[Box<str>]>, Fault> {
    const NO_SCOPES: Fault = wrong("The claim of the scopes is neither a text nor an array of texts.");
    let mut scopes: Vec<&str> = match claim {
        None => Vec::new(),
        Some(Value::String(text)) => text.split(' ').filter(|scope| !scope.is_empty()).collect(),
        Some(Value::Array(members)) => {
            members.iter().map(|member| member.as_str().ok_or(NO_SCOPES)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(NO_SCOPES),
    };
    if scopes.len() > MAX_SCOPES {
        return Err(wrong("The token has more than 1000 scopes."));
    }
    // Whoever reads the list further on splits it at spaces: one scope must not become two.
    if scopes
        .iter()
        .any(|scope| scope.is_empty() || scope.chars().any(|sign| sign.is_control() || sign.is_whitespace()))
    {
        return Err(wrong("A scope of the token is empty, or has a space or a control character."));
    }
    scopes.sort_unstable();
    scopes.dedup();
    Ok(scopes.into_iter().map(Into::into).collect())
}
