//! An issuer as it runs: its rules, and its keys, kept fresh behind the requests' back.

use std::sync::Arc;
use std::time::Duration;

use super::jwt::{Fault, KeySet, Token, Unverified};
use crate::config::checked::identity::{self as checked, ClaimPath};

/// Long-lived: carried over from snapshot to snapshot as long as its configuration is the same.
#[derive(Debug)]
pub struct Issuer {
    pub spec: checked::Issuer,
    kept: Box<[ClaimPath]>,
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
    /// # Errors
    ///
    /// Keys that cannot be read.
    pub fn start(
        spec: Arc<checked::Issuer>,
        kept: Vec<ClaimPath>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Arc<Self>, String> {
        let _ = runtime;
        Ok(Arc::new(Self { spec: (*spec).clone(), kept: kept.into() }))
    }

    #[must_use]
    pub fn is_same(&self, spec: &checked::Issuer, kept: &[ClaimPath]) -> bool {
        let _ = spec;
        *self.kept == *kept
    }

    /// Tells the keys that tokens are verified with now; another one for every change of keys, over all issuers.
    /// What was verified under one generation says nothing under the next.
    #[must_use]
    pub fn generation(&self) -> u64 {
        0
    }

    /// Verifies a token whose `iss` is this issuer's. Waits for nothing.
    ///
    /// # Errors
    ///
    /// Why it is not good, or for what to wait; the same token asks to wait only once for each fetch.
    pub fn verify(&self, token: &Unverified<'_>, now: Duration) -> Result<Token, Refused> {
        token.verify(&self.spec, &KeySet::default(), &self.kept, now).map_err(Refused::Fault)
    }

    /// Resolves when it has keys, or a second is over.
    pub async fn ready(&self) {
        std::future::ready(()).await;
    }
}

/// All issuers that a route accepts, in the order of the file.
pub type Accepted = Box<[Arc<Issuer>]>;
