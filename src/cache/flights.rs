//! Answers that are coming, by key: whoever asks for one that is already asked for waits for the same.

use std::time::{Duration, Instant};

use super::fill::{Reader, Writer};
use super::key::Key;

/// How long it is remembered that the answers for a key are not kept: requests for it do not wait for each other.
pub const NOT_SHARED: Duration = Duration::from_secs(10);

/// Sharded by key.
#[derive(Debug, Default)]
pub struct Flights {}

/// What an arriving request does.
#[derive(Debug)]
pub enum Joined {
    /// Ask the upstream, and write what it says.
    Leads(Flight, Reader),
    Follows(Reader),
    /// Ask the upstream for yourself: the answers for this key are not kept.
    Alone,
}

/// A flight, for whoever leads it. Dropped, it is over: the next request leads another one.
#[derive(Debug)]
pub struct Flight {
    pub writer: Writer,
}

impl Flight {
    /// The answers for this key are not kept: the flight is over for newcomers, and for a while requests do not join.
    pub fn not_shared(&self, _now: Instant) {}
}

impl Flights {
    pub fn join(&self, _key: &Key, _now: Instant) -> Joined {
        Joined::Alone
    }

    /// A flight of one's own; `None` when there is one already.
    pub fn begin(&self, _key: &Key) -> Option<(Flight, Reader)> {
        None
    }

    /// How many answers are coming.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }
}
