//! Isolation forest (Liu, Ting, Zhou: Isolation Forest, ICDM 2008): what few random cuts set apart is unusual.
//!
//! Each tree is grown from a sample of the rows: a column is drawn, a value between its least and its greatest, and rows part there, until each is
//! alone or the tree is as high as a tree of so many is on average. An unusual row is alone soon, so its path from the root is short.
//!
//! A value that is not a finite number is missing. In training it goes with the majority of its node, and when scoring, too: what is
//! missing never makes a row unusual by itself. A hyperplane of the extended forest takes it for the mean of its column.

mod file;
mod grow;
mod oblique;
mod path_length;
mod random;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

use self::oblique::Oblique;
use self::tree::Node;

/// The most columns, so that a place among them and a bit fit in 12 bits.
pub const MAX_COLUMNS: usize = 2047;
/// The most trees.
pub const MAX_TREES: u16 = 1000;
/// The most rows that a tree is grown from.
pub const MAX_SAMPLES: u16 = 4096;

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

/// How a forest is grown. What is beyond the limits of this module is taken for the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub trees: u16,
    /// Rows that each tree is grown from, drawn without replacement.
    pub samples: u16,
    /// How many columns beyond the first a cut is made of (Hariri, Kind, Brunner: Extended Isolation Forest, 2018); 0 cuts one at a time.
    pub extension: u16,
    /// Of how many columns that belong together each is one; 1 where nothing is said. All of them together are as likely to be cut as one that
    /// stands alone: a method of eight columns tells no more than a length of one.
    pub together: &'static [u16],
    /// The same rows, options and seed make the same forest on every machine.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { trees: 100, samples: 256, extension: 0, together: &[], seed: 0 }
    }
}

/// A grown forest; immutable. 12 bytes a node, 4 to 6 in a file: with 100 trees of 256 rows, 0.15 MB where all rows differ, a quarter or half of that
/// for those of requests, and never more than 0.62 MB.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    columns: u16,
    /// That each tree was grown from; at least 2.
    samples: u16,
    trees: u16,
    /// How far below its root the deepest leaf is.
    levels: u32,
    /// c(n) of the paper, for `samples`.
    usual: f64,
    /// Where trees begin. Filled up with the last node, which is a leaf of no tree and of length 0, to a multiple of [`walk::ABREAST`].
    roots: Box<[u32]>,
    /// Tree after tree, each breadth first.
    nodes: Box<[Node]>,
    /// What only explanations and files need of a node. Of a cut: the mean path length of the rows that it was made from; of a leaf:
    /// how many rows it has.
    aside: Box<[f32]>,
    /// Set when cuts are hyperplanes.
    oblique: Option<Oblique>,
}

/// Why bytes are no forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

impl Forest {
    /// Grows one; `None` when there are fewer than two rows, no columns, or more than [`MAX_COLUMNS`].
    #[must_use]
    pub fn grow(rows: Rows<'_>, options: Options) -> Option<Self> {
        grow::forest(rows, options)
    }

    #[must_use]
    pub fn columns(&self) -> usize {
        usize::from(self.columns)
    }

    /// How unusual a row is, in (0, 1): 2^(-E(h)/c(n)) of the paper. Allocates nothing. A row of another width scores as usual (0.5).
    #[must_use]
    pub fn score(&self, row: &[f32]) -> f32 {
        if row.len() == self.columns() { path_length::half_to_the(self.length(row) / self.usual) } else { 0.5 }
    }

    /// What each column contributed to the score, above (positive) or below what rows of the training have on average: bits, so that
    /// the score is 2^(sum) times the one of their mean path length. As long as the row; zero for a row of another width.
    ///
    /// Along the path of the row in each tree, every cut is credited with what it changed: the mean path length of all rows of the
    /// training that came to it, less the mean of those on the side that the row took. (As Saabas does for forests that predict, not as
    /// in Shapley values: what two columns do only together is credited to the one that cuts later.) Over the rows that a tree was
    /// grown from, the contributions of each cut are zero on average. A hyperplane's are shared out among its columns by how far each moves the
    /// row from the mean, across the plane.
    pub fn attribute(&self, row: &[f32], contributions: &mut [f32]) {
        contributions.fill(0.0);
        if row.len() == self.columns() && contributions.len() == self.columns() {
            self.credit(row, contributions);
        }
    }

    /// Little-endian, the same on every machine.
    pub fn write(&self, out: &mut Vec<u8>) {
        file::write(self, out);
    }

    /// Reads what [`Forest::write`] wrote from the front of `bytes`; trusts none of it.
    ///
    /// # Errors
    ///
    /// It is no forest that could have been grown: truncated, too large, too deep, a column out of range, a value not finite, rows that do
    /// not add up.
    pub fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        file::read(bytes)
    }
}
