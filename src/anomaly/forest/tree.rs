//! Nodes, and how trees are put together from what was grown or read.

use super::oblique::Oblique;
use super::walk::ABREAST;
use super::{Fault, Forest, path_length};

/// Eight bytes, of which a row needs all at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Node {
    /// Of a cut: smaller values go to the first child, others to the second. Of a leaf: the length of the path that ends here, which
    /// is its depth and what a tree of its rows would have below.
    pub(super) threshold: f32,
    /// Of a cut at one column: 1 + 2 · column, and 1 more when missing values go to the second child. Of a leaf: [`LEAF`].
    pub(super) slot: u16,
    /// How many nodes further the first child is, with the second behind it; 0 of a leaf.
    pub(super) child: u16,
}

/// Where a row has -∞, so that a walk that came to a leaf stays there.
pub(super) const LEAF: u16 = 0;

/// A leaf of no tree and no length.
pub(super) const NOWHERE: Node = Node { threshold: 0.0, slot: LEAF, child: 0 };

/// A node as it is grown or read, breadth first: the children of the k-th cut of a tree, from 0, are its nodes 2k + 1 and 2k + 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sprout {
    Leaf { rows: u16 },
    Cut { slot: u16, threshold: f32 },
}

/// Of a cut at this column.
pub(super) fn slot(column: u16, missing_second: bool) -> u16 {
    1 + 2 * column + u16::from(missing_second)
}

/// The column of a slot that is no leaf's, and whether missing values go to the second child.
pub(super) fn column(slot: u16) -> (u16, bool) {
    let place = slot.saturating_sub(1);
    (place / 2, place % 2 == 1)
}

/// Trees that stand so far.
pub(super) struct Plantation {
    samples: u16,
    /// c(n) for every number of rows that a leaf may have.
    averages: Vec<f64>,
    levels: u32,
    roots: Vec<u32>,
    nodes: Vec<Node>,
    aside: Vec<f32>,
}

impl Plantation {
    pub(super) fn new(samples: u16) -> Self {
        let averages = path_length::averages(samples);
        Self { samples, averages, levels: 0, roots: Vec::new(), nodes: Vec::new(), aside: Vec::new() }
    }

    /// # Errors
    ///
    /// It is not whole, too deep, or its rows are not those that a tree is grown from.
    pub(super) fn plant(&mut self, tree: &[Sprout]) -> Result<(), Fault> {
        let root = u32::try_from(self.nodes.len()).map_err(|_| Fault("too many nodes"))?;
        let deepest = path_length::height_limit(self.samples);
        let mut depths = Vec::with_capacity(tree.len());
        depths.push(0_u32);
        for (at, sprout) in tree.iter().enumerate() {
            let depth = *depths.get(at).ok_or(Fault("a node that no cut leads to"))?;
            self.nodes.push(match *sprout {
                Sprout::Leaf { rows } => {
                    self.levels = self.levels.max(depth);
                    let below = self.averages.get(usize::from(rows)).ok_or(Fault("a leaf with too many rows"))?;
                    #[expect(clippy::cast_possible_truncation, reason = "rounds")]
                    let threshold = (f64::from(depth) + below) as f32;
                    Node { threshold, slot: LEAF, child: 0 }
                }
                Sprout::Cut { slot, threshold } => {
                    if depth >= deepest {
                        return Err(Fault("a tree that is too deep"));
                    }
                    let child = u16::try_from(depths.len() - at).map_err(|_| Fault("a tree that is too large"))?;
                    depths.extend([depth + 1; 2]);
                    Node { threshold, slot, child }
                }
            });
        }
        if depths.len() != tree.len() {
            return Err(Fault("a tree that is not whole"));
        }
        self.roots.push(root);
        self.reckon(tree)
    }

    /// Rows and mean path lengths of the nodes of the last tree, children before parents.
    fn reckon(&mut self, tree: &[Sprout]) -> Result<(), Fault> {
        let mut sums = vec![(0_u32, 0.0_f64); tree.len()];
        let nodes = self.nodes.get(self.nodes.len() - tree.len()..).unwrap_or_default();
        for (at, (sprout, node)) in tree.iter().zip(nodes).enumerate().rev() {
            let sum = match *sprout {
                Sprout::Leaf { rows: 0 } => return Err(Fault("a leaf without rows")),
                Sprout::Leaf { rows } => (u32::from(rows), f64::from(rows) * f64::from(node.threshold)),
                Sprout::Cut { .. } => {
                    let children = sums.iter().skip(at + usize::from(node.child)).take(2);
                    children.fold((0, 0.0), |sum, child| (sum.0 + child.0, sum.1 + child.1))
                }
            };
            if let Some(place) = sums.get_mut(at) {
                *place = sum;
            }
        }
        if sums.first().is_none_or(|root| root.0 != u32::from(self.samples)) {
            return Err(Fault("a tree of another number of rows"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounds")]
        self.aside.extend(tree.iter().zip(sums).map(|(sprout, (rows, length))| match sprout {
            Sprout::Leaf { rows } => f32::from(*rows),
            Sprout::Cut { .. } => (length / f64::from(rows)) as f32,
        }));
        Ok(())
    }

    /// # Errors
    ///
    /// There is no tree, or too many.
    pub(super) fn finish(mut self, columns: u16, oblique: Option<Oblique>) -> Result<Forest, Fault> {
        let trees = u16::try_from(self.roots.len()).map_err(|_| Fault("too many trees"))?;
        let nowhere = u32::try_from(self.nodes.len()).map_err(|_| Fault("too many nodes"))?;
        let usual = *self.averages.last().filter(|usual| **usual >= 1.0).ok_or(Fault("too few rows"))?;
        if trees == 0 {
            return Err(Fault("no trees"));
        }
        self.nodes.push(NOWHERE);
        self.aside.push(0.0);
        self.roots.resize(self.roots.len().next_multiple_of(ABREAST), nowhere);
        Ok(Forest {
            columns,
            samples: self.samples,
            trees,
            levels: self.levels,
            usual,
            roots: self.roots.into(),
            nodes: self.nodes.into(),
            aside: self.aside.into(),
            oblique,
        })
    }
}
