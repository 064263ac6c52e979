//! What is looked at in a request, as numbers.
//!
//! [`FEATURES`] is the table: name, unit, when it is known, how it is made into columns of a [`Row`]. The documentation is
//! generated from it.

use std::time::Duration;

use http::Method;

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

/// All features, those of the arrival first.
pub const FEATURES: &[Feature] = &[];

/// Columns of the arrival: the first of a row.
pub const ARRIVAL: usize = 1;
/// All columns.
pub const COLUMNS: usize = 2;

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

/// The fields of a request, seen once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub count: u32,
    /// Of names and values.
    pub bytes: u32,
    /// Of the names in their order, without those that come and go with single requests.
    pub order: u64,
    /// Of `User-Agent`; 0 without.
    pub agent: u64,
}

impl Fields {
    /// Looks at every field once.
    pub fn of<'a>(_fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        Self::default()
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
    /// Who calls: equal for one caller, whatever credential; callers that nobody knows are one.
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
}
