//! A signed statement about the caller for upstreams, made once and sent with many requests.

use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use serde_json::{Map, Value};

use super::{KeyError, SignError, Signer, random_id};
use crate::config::checked::identity::IdentityToken;

/// Bytes for tokens that are kept: some 20,000 of them.
const BUDGET: u64 = 16 << 20;
/// What a kept token takes beside its text and what it was made of: the cache's own table, two `Arc`s, the key.
const OVERHEAD: u64 = 192;
/// `typ` of the tokens: no service that takes other tokens takes one of these for an access token (RFC 8725 §3.11).
pub const TYPE: &str = "sluice-identity+jwt";

/// Makes tokens about callers (RFC 7519). What it states was judged by the gateway before.
pub struct IdentitySigner {
    signer: Signer,
    spec: IdentityToken,
    key_id: Option<Arc<str>>,
    made: Cache<Caller, Made, Weight>,
}

/// Why there can be no such tokens.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    Key { path: PathBuf, source: KeyError },
}

impl IdentitySigner {
    /// Reads the key. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// The file, or the key in it.
    pub fn open(spec: &IdentityToken) -> Result<Self, OpenError> {
        Ok(Self::new(read(spec)?, spec.clone(), BUDGET))
    }

    /// The one that runs, with the tokens that it has made, when it still is what is written and what is in the file of the
    /// key; else a new one. A file that cannot be read any more says nothing against the key that was read before: the one
    /// that runs goes on, and the log says so. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), when there is none that could go on.
    pub fn carry_over(spec: &IdentityToken, running: Option<&Arc<Self>>) -> Result<Arc<Self>, OpenError> {
        let running = running.filter(|running| running.spec == *spec);
        match (read(spec), running) {
            (Ok(signer), Some(running)) if running.signer.has_key_of(&signer) => Ok(Arc::clone(running)),
            (Ok(signer), _) => Ok(Arc::new(Self::new(signer, spec.clone(), BUDGET))),
            (Err(error), Some(running)) => {
                tracing::error!(%error, "identity.token.key cannot be read; the key from before goes on signing");
                Ok(Arc::clone(running))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Whether it is what is written, with the key that is in its file now. Blocks on the file system.
    #[must_use]
    pub fn is_current(&self, spec: &IdentityToken) -> bool {
        self.spec == *spec && read(spec).is_ok_and(|signer| self.signer.has_key_of(&signer))
    }

    fn new(signer: Signer, spec: IdentityToken, budget: u64) -> Self {
        let key_id = spec.key_id.clone().or_else(|| signer.thumbprint().map(Arc::from));
        let made = Cache::with_weighter((budget / 768) as usize, budget, Weight);
        Self { signer, spec, key_id, made }
    }

    /// What upstreams verify the tokens with: a JSON Web Key Set (RFC 7517 §5).
    #[must_use]
    pub fn public_keys(&self) -> Value {
        let mut key = self.signer.public_key();
        if let (Some(key), Some(id)) = (&mut key, &self.key_id) {
            key["kid"] = (**id).into();
        }
        serde_json::json!({ "keys": key.into_iter().collect::<Vec<_>>() })
    }

    /// The token about this caller: `iss`, `aud`, `sub`, `azp` (the partner), `scope`, `iat`, `exp` and `jti`, as far as
    /// there is something to say. It is meant for the audience that is configured, or else for this upstream alone, which
    /// so cannot show it to another one. The same one is given for half of its lifetime, so whoever gets it has the other half at
    /// least. `now` is since 1970 UTC.
    ///
    /// Scopes that are none by RFC 6749 §3.3 are left out: with a space inside, one would be read as two.
    ///
    /// # Errors
    ///
    /// There is no randomness for the signature.
    pub fn token_for<'a>(
        &self,
        upstream: &'a str,
        partner: Option<&'a str>,
        subject: Option<&'a str>,
        scopes: impl Iterator<Item = &'a str> + Clone,
        now: Duration,
    ) -> Result<Arc<str>, SignError> {
        // One that is meant for all is made once for all.
        let audience = self.spec.audience.is_none().then_some(upstream);
        let asked = Asked { audience, partner, subject, scopes: scopes.filter(|scope| is_scope(scope)) };
        if let Some(made) = self.made.get(&asked)
            && made.from <= now
            && now < made.renewed
        {
            return Ok(made.token);
        }
        let caller = asked.to_owned();
        let token: Arc<str> = self.sign(&caller, now)?.into();
        let made = Made { token: Arc::clone(&token), from: now, renewed: now + self.spec.lifetime / 2 };
        self.made.insert(caller, made);
        Ok(token)
    }

    #[cold]
    fn sign(&self, caller: &Caller, now: Duration) -> Result<String, SignError> {
        let mut claims = Map::new();
        let mut say = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value);
            }
        };
        let text = |text: &str| Some(Value::from(text));
        say("iss", text(&self.spec.issuer));
        say("aud", self.spec.audience.as_deref().or(caller.audience.as_deref()).and_then(text));
        say("sub", caller.subject.as_deref().and_then(text));
        say("azp", caller.partner.as_deref().and_then(text));
        say("scope", Some(&*caller.scopes).filter(|scopes| !scopes.is_empty()).and_then(text));
        say("iat", Some(now.as_secs().into()));
        say("exp", Some((now + self.spec.lifetime).as_secs().into()));
        say("jti", Some(random_id()?.into()));
        self.signer.sign(&Value::Object(claims), Some(TYPE), self.key_id.as_deref())
    }
}

impl std::fmt::Debug for IdentitySigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentitySigner").field("signer", &self.signer).field("kept", &self.made.len()).finish()
    }
}

fn read(spec: &IdentityToken) -> Result<Signer, OpenError> {
    let path = || spec.key.clone();
    let pem = std::fs::read(&spec.key).map_err(|source| OpenError::Read { path: path(), source })?;
    Signer::from_pem(&pem, Some(spec.algorithm)).map_err(|source| OpenError::Key { path: path(), source })
}

/// Characters of RFC 6749 §3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

/// All that a token says of who calls.
#[derive(PartialEq, Eq)]
struct Caller {
    /// The upstream that it is said to, unless it is said to all.
    audience: Option<Box<str>>,
    partner: Option<Box<str>>,
    subject: Option<Box<str>>,
    /// With a space between them.
    scopes: Box<str>,
}

#[derive(Clone)]
struct Made {
    token: Arc<str>,
    from: Duration,
    renewed: Duration,
}

/// A [`Caller`] that is only borrowed, so that a look-up allocates nothing.
struct Asked<'a, S> {
    audience: Option<&'a str>,
    partner: Option<&'a str>,
    subject: Option<&'a str>,
    scopes: S,
}

impl<'a, S: Iterator<Item = &'a str> + Clone> Asked<'a, S> {
    fn to_owned(&self) -> Caller {
        let mut scopes = String::new();
        for scope in self.scopes.clone() {
            if !scopes.is_empty() {
                scopes.push(' ');
            }
            scopes.push_str(scope);
        }
        Caller {
            audience: self.audience.map(Box::from),
            partner: self.partner.map(Box::from),
            subject: self.subject.map(Box::from),
            scopes: scopes.into_boxed_str(),
        }
    }
}

impl Hash for Caller {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.audience.as_deref(), self.partner.as_deref(), self.subject.as_deref()).hash(state);
        self.each_scope().for_each(|scope| scope.hash(state));
    }
}

impl Caller {
    fn each_scope(&self) -> impl Iterator<Item = &str> {
        self.scopes.split(' ').filter(|scope| !scope.is_empty())
    }
}

impl<'a, S: Iterator<Item = &'a str> + Clone> Hash for Asked<'a, S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.audience, self.partner, self.subject).hash(state);
        self.scopes.clone().for_each(|scope| scope.hash(state));
    }
}

impl<'a, S: Iterator<Item = &'a str> + Clone> Equivalent<Caller> for Asked<'a, S> {
    fn equivalent(&self, caller: &Caller) -> bool {
        self.audience == caller.audience.as_deref()
            && self.partner == caller.partner.as_deref()
            && self.subject == caller.subject.as_deref()
            && self.scopes.clone().eq(caller.each_scope())
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Caller, Made> for Weight {
    fn weight(&self, caller: &Caller, made: &Made) -> u64 {
        let length = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        let names = length(&caller.audience) + length(&caller.partner) + length(&caller.subject);
        let text = names + caller.scopes.len() + made.token.len();
        text as u64 + OVERHEAD
    }
}

#[cfg(test)]
mod tests;
