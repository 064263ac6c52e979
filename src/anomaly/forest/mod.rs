//! Isolation forest (Liu, Ting, Zhou: Isolation Forest, ICDM 2008): what few random cuts set apart is unusual.

/// Rows of one width, one after the other. A value that is not a number is missing.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub columns: usize,
    pub values: &'a [f32],
}

impl<'a> Rows<'a> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or_default()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.columns.max(1))
    }
}

/// How a forest is grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub trees: u16,
    /// Rows that each tree is grown from, drawn without replacement.
    pub samples: u16,
    /// How many columns beyond the first a cut is made of (Hariri, Kind, Brunner: Extended Isolation Forest, 2018); 0 cuts one at a time.
    pub extension: u16,
    /// The same rows, options and seed make the same forest on every machine.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { trees: 100, samples: 256, extension: 0, seed: 0 }
    }
}

/// A grown forest; immutable.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    columns: usize,
}

/// Why bytes are no forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

impl Forest {
    /// Grows one; `None` when there are fewer than two rows, or no columns.
    #[must_use]
    pub fn grow(rows: Rows<'_>, _options: Options) -> Option<Self> {
        (rows.len() >= 2).then_some(Self { columns: rows.columns })
    }

    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How unusual a row is, in (0, 1): 2^(-E(h)/c(n)) of the paper. Allocates nothing. A row of another width scores as usual (0.5).
    #[must_use]
    pub fn score(&self, _row: &[f32]) -> f32 {
        0.5
    }

    /// What each column contributed to the score, above (positive) or below what rows of the training have on average: bits of
    /// path length, attributed along the path to the columns that cut. As long as the row.
    pub fn attribute(&self, row: &[f32], contributions: &mut [f32]) {
        debug_assert_eq!(row.len(), contributions.len());
        contributions.fill(0.0);
    }

    /// Little-endian, the same on every machine.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&u32::try_from(self.columns).unwrap_or_default().to_le_bytes());
    }

    /// Reads what [`Forest::write`] wrote from the front of `bytes`; trusts none of it.
    ///
    /// # Errors
    ///
    /// It is no forest that could have been grown: truncated, too large, a child or column out of range, a value not finite.
    pub fn read(_bytes: &mut &[u8]) -> Result<Self, Fault> {
        Err(Fault("not a forest"))
    }
}
