//! Models as bytes, the same on every machine.
//!
//! ```text
//! magic                  8 bytes
//! version of the format  u32
//! SHA-256 of the rest    32 bytes
//! digest of the features u64
//! route                  u16 length and UTF-8; none for length 0
//! made, window           three times u64 seconds and u32 nanoseconds since 1970 UTC
//! rows                   u32
//! arrival, outcome       each a forest, its table of scores, and an f32 for each column: the medians
//! ```
//!
//! Numbers are little-endian. The checksum tells damage, not who wrote it: whoever may write into the folder of models decides
//! what is usual.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Model, Part, Tails};
use crate::anomaly::features::{ARRIVAL, COLUMNS, schema};
use crate::anomaly::forest::Forest;
use crate::base::timestamp;

pub use crate::anomaly::forest::Fault;

/// The most bytes of a model: several times what two forests of 100 trees take.
pub const MAX_BYTES: usize = 8 << 20;

const MAGIC: &[u8; 8] = b"\x89sluiceM";
const FORMAT: u32 = 1;
const CHECKSUM: usize = 32;
/// More than any name of a route has.
const MAX_ROUTE: usize = 256;
/// Of the year 9999, the last that versions can be made of.
const LAST_SECOND: u64 = 253_402_300_799;

impl Model {
    /// Little-endian, the same on every machine; equal models have equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(&self.payload())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; trusts none of it.
    ///
    /// # Errors
    ///
    /// It is no model, one of another format or for another table of features, truncated or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let (payload, checksum) = opened(bytes)?;
        let mut from = Reader(payload);
        if from.u64()? != schema() {
            return Err(Fault("made for another table of features"));
        }
        let length = usize::from(from.u16()?);
        if length > MAX_ROUTE {
            return Err(Fault("the name of its route is too long"));
        }
        let route = str::from_utf8(from.take(length)?).map_err(|_| Fault("the name of its route is no text"))?;
        let model = Self {
            version: "".into(),
            route: (!route.is_empty()).then(|| Arc::from(route)),
            made_at: from.time()?,
            window: (from.time()?, from.time()?),
            rows: from.u32()?,
            arrival: Part::read(&mut from, ARRIVAL)?,
            outcome: Part::read(&mut from, COLUMNS - ARRIVAL)?,
        };
        if !from.0.is_empty() {
            return Err(Fault("bytes follow the model"));
        }
        Ok(Self { version: version(model.made_at, checksum), ..model })
    }

    /// The version that goes with what it is made of.
    #[must_use]
    pub(super) fn numbered(self) -> Self {
        let version = version(self.made_at, digest(&SHA256, &self.payload()).as_ref());
        Self { version, ..self }
    }

    fn payload(&self) -> Vec<u8> {
        let mut out = schema().to_le_bytes().to_vec();
        let route = self.route.as_deref().unwrap_or_default();
        let route = route.get(..route.floor_char_boundary(MAX_ROUTE)).unwrap_or_default();
        out.extend_from_slice(&(route.len() as u16).to_le_bytes());
        out.extend_from_slice(route.as_bytes());
        for time in [self.made_at, self.window.0, self.window.1] {
            out.extend_from_slice(&time.as_secs().to_le_bytes());
            out.extend_from_slice(&time.subsec_nanos().to_le_bytes());
        }
        out.extend_from_slice(&self.rows.to_le_bytes());
        for part in [&self.arrival, &self.outcome] {
            part.forest.write(&mut out);
            part.tails.write(&mut out);
            part.medians.iter().for_each(|median| out.extend_from_slice(&median.to_le_bytes()));
        }
        out
    }
}

impl Part {
    fn read(from: &mut Reader<'_>, columns: usize) -> Result<Self, Fault> {
        let forest = Forest::read(&mut from.0)?;
        if forest.columns() != columns {
            return Err(Fault("made for another table of features"));
        }
        let tails = Tails::read(from)?;
        let medians = (0..columns).map(|_| from.f32()).collect::<Result<Box<[f32]>, _>>()?;
        if medians.iter().any(|median| median.is_infinite()) {
            return Err(Fault("a median that is infinite"));
        }
        Ok(Self { forest, tails, medians })
    }
}

/// `20261123T140000Z-1a2b3c4d`.
fn version(made_at: Duration, checksum: &[u8]) -> Arc<str> {
    let mut version = moment(made_at);
    version.push('-');
    for byte in checksum.iter().take(4) {
        version.push_str(&format!("{byte:02x}"));
    }
    version.into()
}

/// How versions of this second begin: those of later ones are greater.
pub(super) fn moment(made_at: Duration) -> String {
    timestamp::format(made_at).replace(['-', ':'], "")
}

/// With all that stands before it.
pub(super) fn sealed(payload: &[u8]) -> Vec<u8> {
    [MAGIC, &FORMAT.to_le_bytes()[..], digest(&SHA256, payload).as_ref(), payload].concat()
}

/// What is under the seal, and the checksum that it agrees with.
pub(super) fn opened(bytes: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if bytes.len() > MAX_BYTES {
        return Err(Fault("too large for a model"));
    }
    let mut from = Reader(bytes.strip_prefix(MAGIC).ok_or(Fault("not a model"))?);
    if from.u32()? != FORMAT {
        return Err(Fault("a model of another version of the format"));
    }
    let checksum = from.take(CHECKSUM)?;
    if digest(&SHA256, from.0).as_ref() != checksum {
        return Err(Fault("damaged or truncated: its checksum is another one"));
    }
    Ok((from.0, checksum))
}

/// Bytes that are read from the front.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault("truncated"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Fault("truncated"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn f32(&mut self) -> Result<f32, Fault> {
        self.array().map(f32::from_le_bytes)
    }

    fn time(&mut self) -> Result<Duration, Fault> {
        let (seconds, nanoseconds) = (self.u64()?, self.u32()?);
        if seconds > LAST_SECOND || nanoseconds >= 1_000_000_000 {
            return Err(Fault("a time that cannot be"));
        }
        Ok(Duration::new(seconds, nanoseconds))
    }
}
