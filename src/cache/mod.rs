//! An HTTP cache in memory, shared by all callers that its key lets share (RFC 9111).
//!
//! It knows values only: no connection, no configuration file, no forwarder. Whoever carries a request asks
//! [`Cache::look_up`]; whoever fetches an answer writes it through a [`Filling`].

pub mod directives;
pub mod fill;
pub mod filling;
pub mod flights;
pub mod freshness;
pub mod key;
pub mod look_up;
pub mod purge;
pub mod range;
pub mod refresh;
pub mod reuse;
pub mod served;
pub mod status;
pub mod storable;
pub mod store;
pub mod stored;
pub mod validation;
pub mod vary;

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};

pub use self::filling::Filling;
pub use self::look_up::{Asked, LookUp};
pub use self::stored::{Body, Head, Stored};

use self::flights::{Flights, Joined};
use self::key::Key;
use self::refresh::Budget;
use self::store::Store;

/// Where the fields of a request are found.
pub trait Fields {
    /// Shows every value of a field, in order.
    fn each(&self, name: &HeaderName, show: &mut dyn FnMut(&[u8]));
}

impl Fields for HeaderMap {
    fn each(&self, name: &HeaderName, show: &mut dyn FnMut(&[u8])) {
        self.get_all(name).iter().for_each(|value| show(value.as_bytes()));
    }
}

/// A point in time by both clocks: ages are counted by the one that never jumps, dates by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub at: Instant,
    /// Since 1970 UTC.
    pub wall: Duration,
}

/// The cache of a process.
#[derive(Debug)]
pub struct Cache {
    store: Store,
    flights: Flights,
    /// For fetching popular answers before they expire.
    budget: Budget,
    /// Bytes of answers on their way that are to be kept.
    coming: AtomicU64,
}

impl Cache {
    /// With so many bytes for everything that is kept.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        Self {
            store: Store::new(memory),
            flights: Flights::default(),
            budget: Budget::default(),
            coming: AtomicU64::new(0),
        }
    }

    /// Brings a request together with others for the same. An answer that was asked for before something was purged that it may belong to
    /// is not waited for.
    #[must_use]
    pub fn join(&self, key: &Key, now: Instant) -> Joined {
        self.flights.join(key, now, self.store.mark(), |since| self.store.may_be_purged(key, since))
    }

    /// Whether there is any room at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.store.budget() > 0
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    #[must_use]
    pub fn flights(&self) -> &Flights {
        &self.flights
    }

    /// An answer is fetched because somebody waits for it: that pays for a part of one that is fetched ahead.
    pub fn earn(&self) {
        self.budget.earn();
    }

    /// How many answers are on their way from upstreams.
    #[must_use]
    pub fn coming(&self) -> usize {
        self.flights.running()
    }
}

#[cfg(test)]
mod tests;
