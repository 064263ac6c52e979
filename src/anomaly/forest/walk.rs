//! Walking from the roots: what a request waits for.

use super::oblique::{Oblique, project, shares};
use super::tree::{LEAF, NOWHERE, Node, column};
use super::{Forest, MAX_COLUMNS};

/// Trees that are walked at once. Each step of a walk waits for the one before, but not for those in other trees.
pub(super) const ABREAST: usize = 8;

/// A row as nodes look at it: at [`LEAF`] what is smaller than anything; for each column its value twice, in place of a missing one
/// once what is smaller and once what is greater than anything. So a step is one comparison, whatever it meets.
struct Slots<const N: usize>([f32; N]);

/// Places for 127 columns, in 1 KiB, and for as many as there may be.
const FEW: usize = 256;
const MANY: usize = (2 * MAX_COLUMNS + 1).next_power_of_two();

impl<const N: usize> Slots<N> {
    fn of(row: &[f32]) -> Self {
        let mut slots = [f32::NEG_INFINITY; N];
        if let Some((_, places)) = slots.split_first_mut() {
            for (place, value) in places.as_chunks_mut().0.iter_mut().zip(row) {
                *place = if value.is_finite() { [*value; 2] } else { [f32::NEG_INFINITY, f32::INFINITY] };
            }
        }
        Self(slots)
    }

    /// `N` is a power of two, so that no place has to be looked for.
    #[expect(clippy::indexing_slicing, reason = "a remainder of N is below N")]
    fn is_second(&self, node: Node) -> bool {
        self.0[usize::from(node.slot) % N] >= node.threshold
    }
}

impl Forest {
    /// The mean length of the paths of a row.
    pub(super) fn length(&self, row: &[f32]) -> f64 {
        let sum = match &self.oblique {
            Some(oblique) => self.across(oblique, row),
            None if row.len() * 2 < FEW => self.along::<FEW>(row),
            None => self.along::<MANY>(row),
        };
        sum / f64::from(self.trees)
    }

    /// The sum of the lengths of all paths, when each cut is at one column.
    fn along<const N: usize>(&self, row: &[f32]) -> f64 {
        let slots = Slots::<N>::of(row);
        let mut sum = 0.0;
        for roots in self.roots.as_chunks::<ABREAST>().0 {
            let mut places = *roots;
            for _ in 0..self.levels {
                for place in &mut places {
                    let node = self.node(*place);
                    *place += u32::from(node.child) + u32::from(slots.is_second(node));
                }
            }
            sum += places.iter().map(|place| f64::from(self.node(*place).threshold)).sum::<f64>();
        }
        sum
    }

    /// The sum of the lengths of all paths, when each cut is a hyperplane.
    fn across(&self, oblique: &Oblique, row: &[f32]) -> f64 {
        let scaled = oblique.scaled(row);
        let ends = self.roots().enumerate().map(|(tree, root)| {
            let (mut place, mut node) = (root, self.node(root));
            while node.slot != LEAF {
                place += u32::from(node.child);
                place += u32::from(project(oblique.plane(tree, place), &scaled) >= node.threshold);
                node = self.node(place);
            }
            f64::from(node.threshold)
        });
        ends.sum()
    }

    /// Credits columns with what cuts changed, in bits of the score.
    pub(super) fn credit(&self, row: &[f32], contributions: &mut [f32]) {
        let scaled = self.oblique.as_ref().map(|oblique| (oblique, oblique.scaled(row)));
        let per_length = 1.0 / (f64::from(self.trees) * self.usual);
        let mut add = |column: u16, length: f64| {
            if let Some(contribution) = contributions.get_mut(usize::from(column)) {
                #[expect(clippy::cast_possible_truncation, reason = "rounds")]
                let bits = (length * per_length) as f32;
                *contribution += bits;
            }
        };
        for (tree, root) in self.roots().enumerate() {
            let (mut place, mut node, mut mean) = (root, self.node(root), self.mean_at(root));
            while node.slot != LEAF {
                place += u32::from(node.child);
                let before = mean;
                if let Some((oblique, scaled)) = &scaled {
                    let plane = oblique.plane(tree, place);
                    place += u32::from(project(plane, scaled) >= node.threshold);
                    mean = self.mean_at(place);
                    for (column, share) in shares(plane, scaled) {
                        add(column, (before - mean) * f64::from(share));
                    }
                } else {
                    let (column, missing_second) = column(node.slot);
                    let value = row.get(usize::from(column)).copied().filter(|value| value.is_finite());
                    place += u32::from(value.map_or(missing_second, |value| value >= node.threshold));
                    mean = self.mean_at(place);
                    add(column, before - mean);
                }
                node = self.node(place);
            }
        }
    }

    /// The mean length of all paths of all rows that trees were grown from: what contributions are relative to.
    #[cfg(test)]
    pub(super) fn mean_length(&self) -> f64 {
        self.roots().map(|root| self.mean_at(root)).sum::<f64>() / f64::from(self.trees)
    }

    /// The mean length of the paths of the rows that came by here.
    fn mean_at(&self, place: u32) -> f64 {
        let node = self.node(place);
        let mean = if node.slot == LEAF { Some(node.threshold) } else { self.aside.get(place as usize).copied() };
        f64::from(mean.unwrap_or_default())
    }

    /// Of the trees, without what fills them up.
    fn roots(&self) -> impl Iterator<Item = u32> {
        self.roots.iter().copied().take(usize::from(self.trees))
    }

    fn node(&self, place: u32) -> Node {
        self.nodes.get(place as usize).copied().unwrap_or(NOWHERE)
    }
}
