//! What is looked at in a request, as numbers.
//!
//! [`FEATURES`] is the table: name, unit, when it is known, how it is made into columns of a [`Row`]. The documentation is
//! generated from it. What the request alone tells is read [here](Row::read); what depends on its caller is added by the
//! [`Profile`](super::profile::Profile). Nothing here allocates.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;

mod extraction;
mod fields;
mod hash;
mod table;
mod target;

pub(super) use self::extraction::{log, milliseconds};
pub use self::fields::Fields;
pub(super) use self::hash::mix;
pub(super) use self::table::column;
pub use self::table::{ARRIVAL, COLUMNS, FEATURES, TOGETHER, columns, feature_of, label, schema, table, value};
pub use self::target::Target;

/// When a feature is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As soon as the head was read: these decide before anything is forwarded.
    Arrival,
    /// Once the answer is complete: these are learned from, and make the running score of a caller.
    Outcome,
}

/// How a value becomes columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transformation {
    /// As it is.
    None,
    /// ln(1 + value).
    Log,
    /// One column for each of these, 1 or 0.
    OneHot(&'static [&'static str]),
    /// Standard deviations from what is usual for this caller on this route, within ±16.
    ZScore,
    /// Two columns: sine and cosine of the part of a whole turn.
    Cyclic,
}

/// One feature.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    pub name: &'static str,
    pub unit: &'static str,
    /// One sentence.
    pub what: &'static str,
    pub when: When,
    pub transformation: Transformation,
}

/// One request as numbers, in the order of [`FEATURES`]; NaN is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub [f32; COLUMNS]);

impl Row {
    #[must_use]
    pub fn arrival(&self) -> &[f32] {
        self.0.split_at(ARRIVAL).0
    }

    /// What is known once the answer is complete.
    #[must_use]
    pub fn outcome(&self) -> &[f32] {
        self.0.split_at(ARRIVAL).1
    }
}

impl Default for Row {
    fn default() -> Self {
        Self([f32::NAN; COLUMNS])
    }
}

/// A request before it is forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// By a clock that never jumps, since some moment.
    pub at: Duration,
    /// Since 1970 UTC.
    pub wall: Duration,
    pub method: &'a Method,
    /// In normal form.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub fields: Fields,
    pub content_type: Option<&'a [u8]>,
    /// Bytes of the body; `None` when not told beforehand.
    pub body: Option<u64>,
    /// Who calls: equal for one caller, whatever credential; of callers that nobody knows, their network.
    pub caller: u64,
    /// /24 or /48 of the client.
    pub network: u64,
    /// Since the token was issued.
    pub token_age: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// As [`Arrival::at`], when the answer was complete.
    pub at: Duration,
    pub duration: Duration,
    pub status: u16,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// The gateway or the service failed, if only half-way, or the client left before there was an answer: it says nothing about who asked.
    pub is_failure: bool,
}

/// What [`Arrival::network`] tells apart: /24 of IPv4, /48 of IPv6, which is usually one customer's.
#[must_use]
pub fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & (!0 << 8)).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (!0 << 80)).into()),
    }
}

#[cfg(test)]
mod tests;
