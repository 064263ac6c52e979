//! Tokens that have been verified, so that the next request with the same one costs a look-up.

mod weight;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter, Weighter};

use super::issuer::{Issuer, Refused};
use super::jwt::{self, Fault, Token, Unverified};
use crate::base::reason::Reason;

/// Of the budget, the part that remembers bad tokens.
const BAD_SHARE: usize = 16;

/// Bytes that a bad token is remembered in, with what a growing table keeps free.
const BAD_BYTES: usize = 320;

/// Verified tokens of the whole gateway, within a budget of bytes. Tokens themselves are not kept, only their digests.
///
/// An entry counts as long as its issuer's generation is what it was and the token has not ended. What is wrong for good is
/// kept, too, in a small part of its own: who repeats a forged token costs no verification, and who invents many of them
/// pushes no good one out.
///
/// 100,000 tokens with a subject, a partner, an id and four scopes take 60 MB: 592 bytes each of resident memory, weighed as 624.
#[derive(Debug)]
pub struct Tokens {
    good: Cache<Digest, Known, ByWeight>,
    bad: Cache<Digest, Bad>,
}

/// SHA-256 of a token: nobody can bring about that two have the same.
type Digest = [u8; 32];

#[derive(Clone, Debug)]
struct Known {
    token: Arc<Token>,
    generation: u64,
    /// Bytes of the entry and all that hangs on it.
    weight: u32,
}

#[derive(Clone, Copy, Debug)]
struct Bad {
    fault: Fault,
    generation: u64,
    /// Since 1970 UTC; before, the fault was none.
    from: Duration,
}

#[derive(Clone, Debug)]
struct ByWeight;

impl Weighter<Digest, Known> for ByWeight {
    fn weight(&self, _: &Digest, known: &Known) -> u64 {
        known.weight.into()
    }
}

/// A good token, and whether it was known already.
#[derive(Clone, Debug)]
pub struct Good {
    pub token: Arc<Token>,
    pub cached: bool,
}

impl Tokens {
    /// `budget` in bytes, over all entries and what they take to keep.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        let bad = budget / BAD_SHARE;
        // Keys that were pushed out lately are remembered for a while, in places that no entry pays for.
        let good = budget - bad - budget / 16;
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(good / 1024).weight_capacity(good as u64);
        // A quarter for newcomers: tokens follow each other, and those that ended are never asked for again.
        options.hot_allocation(0.75).ghost_allocation(0.25);
        let mut bad_options = OptionsBuilder::new();
        bad_options.estimated_items_capacity(bad / BAD_BYTES).weight_capacity((bad / BAD_BYTES) as u64);
        bad_options.hot_allocation(0.75).ghost_allocation(0.0);
        #[expect(clippy::expect_used, reason = "both capacities are given, and nothing else can be missing")]
        let [options, bad_options] = [options, bad_options].map(|options| options.build().expect("capacities"));
        Self {
            good: Cache::with_options(options, ByWeight, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            bad: Cache::with_options(
                bad_options,
                UnitWeighter,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
        }
    }

    /// Judges a token by those of `issuers` that its `iss` names: the first that takes it for good. Waits for nothing.
    /// `now` is since 1970 UTC.
    ///
    /// # Errors
    ///
    /// Why it is not good, or for what to wait. Of several issuers, what the one says that got farthest with it.
    pub fn check(&self, text: &str, issuers: &[Arc<Issuer>], now: Duration) -> Result<Good, Refused> {
        if text.len() > jwt::MAX_TOKEN {
            return Err(Refused::Fault(jwt::TOO_LONG));
        }
        let digest = digest_of(text);
        if let Some(known) = self.good.get(&digest)
            && let Some(place) = Place::find(issuers, known.generation)
        {
            if now < known.token.ends && place.first {
                return Ok(Good { token: known.token, cached: true });
            }
            if now >= known.token.ends {
                self.good.remove(&digest);
                if place.only {
                    let ended = Bad { fault: jwt::EXPIRED, generation: known.generation, from: known.token.ends };
                    self.bad.insert(digest, ended);
                    return Err(Refused::Fault(jwt::EXPIRED));
                }
            }
        } else if let Some(bad) = self.bad.get(&digest)
            && now >= bad.from
            && Place::find(issuers, bad.generation).is_some_and(|place| place.only)
        {
            return Err(Refused::Fault(bad.fault));
        }
        let token = jwt::parse(text).map_err(Refused::Fault)?;
        self.verify(digest, &token, issuers, now)
    }

    fn verify(
        &self,
        digest: Digest,
        token: &Unverified<'_>,
        issuers: &[Arc<Issuer>],
        now: Duration,
    ) -> Result<Good, Refused> {
        let mut refused: Option<Refused> = None;
        let mut asked =
            issuers.iter().filter(|issuer| issuer.spec.issuer.as_deref() == token.issuer.as_deref()).peekable();
        while let Some(issuer) = asked.next() {
            // Before the keys are looked at: should they change meanwhile, the entry is one of the keys that were.
            let generation = issuer.generation();
            let fault = match issuer.verify(token, now) {
                Ok(token) => return Ok(self.keep(digest, token, generation)),
                Err(fault) => fault,
            };
            let only = refused.is_none() && asked.peek().is_none();
            if let Refused::Fault(fault) = &fault
                && only
                && is_final(fault.reason)
            {
                let from = if fault.reason == Reason::JwtExpired { now } else { Duration::ZERO };
                self.bad.insert(digest, Bad { fault: *fault, generation, from });
            }
            let farther = refused.as_ref().is_none_or(|known| progress(&fault) > progress(known));
            if farther {
                refused = Some(fault);
            }
        }
        let detail = match token.issuer {
            Some(_) => "`iss` is none of the issuers that are accepted here.",
            None => "The token has no `iss`.",
        };
        Err(refused.unwrap_or(Refused::Fault(Fault { reason: Reason::JwtIssuer, detail })))
    }

    fn keep(&self, digest: Digest, token: Token, generation: u64) -> Good {
        let weight = u32::try_from(weight::of(&token)).unwrap_or(u32::MAX);
        let token = Arc::new(token);
        self.good.insert(digest, Known { token: Arc::clone(&token), generation, weight });
        Good { token, cached: false }
    }

    /// Bytes that the entries weigh, of the budget.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.good.weight().saturating_add(self.bad.weight().saturating_mul(BAD_BYTES as u64))
    }

    /// Good tokens that are known, ended ones among them that nobody has asked for since.
    #[must_use]
    pub fn len(&self) -> usize {
        self.good.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.good.is_empty()
    }
}

fn digest_of(text: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    bytes
}

/// Where the issuer of an entry stands among those that are accepted.
struct Place {
    /// Nobody before it would be asked about the same token.
    first: bool,
    /// Nor anybody behind it.
    only: bool,
}

impl Place {
    fn find(issuers: &[Arc<Issuer>], generation: u64) -> Option<Self> {
        let at = issuers.iter().position(|issuer| issuer.generation() == generation)?;
        let (before, rest) = issuers.split_at_checked(at)?;
        let (found, behind) = rest.split_first()?;
        let rival = |other: &Arc<Issuer>| other.spec.issuer == found.spec.issuer;
        let first = !before.iter().any(rival);
        Some(Self { first, only: first && !behind.iter().any(rival) })
    }
}

/// What the same keys and rules would say again of the same token at any later time, and what costs a verification to find out.
fn is_final(reason: Reason) -> bool {
    matches!(reason, Reason::JwtSignature | Reason::JwtExpired | Reason::JwtType | Reason::JwtAudience)
}

/// How far a token came; who is still waiting for a key may come to anything.
fn progress(refused: &Refused) -> u8 {
    match refused {
        Refused::Pending(_) => 5,
        Refused::Fault(fault) => match fault.reason {
            Reason::JwtAlgorithm => 0,
            Reason::JwtKeyUnknown => 1,
            Reason::JwtSignature => 2,
            Reason::KeysUnavailable => 3,
            _ => 4,
        },
    }
}

#[cfg(test)]
mod tests;
