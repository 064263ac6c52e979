//! Half-space trees: how many of the points before came where a point comes, by halves of halves of space.

use super::{FEATURES, Point};

const TREES: usize = 25;

/// Halvings from the root to a leaf.
const DEPTH: u32 = 8;

/// Of a tree, the root at 1, the halves of `i` at `2 i` and `2 i + 1`.
const NODES: usize = 1 << (DEPTH + 1);

/// Points that make a profile.
const PROFILE: u16 = 256;

/// A node with as few points is not looked into: a tenth of a profile.
const FEW: u16 = PROFILE / 10;

/// Trees, and two profiles of mass in each: of the last whole stretch of the stream, and of the one that runs.
#[derive(Clone, Debug)]
pub(super) struct Trees {
    trees: Vec<Tree>,
    /// In the profile that runs.
    points: u16,
    /// There is a whole one.
    is_ready: bool,
}

#[derive(Clone, Debug)]
struct Tree {
    space: [Range; FEATURES],
    nodes: Box<[Node]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// The feature whose range is halved here.
    feature: u8,
    reference: u16,
    latest: u16,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    from: f32,
    to: f32,
}

impl Trees {
    /// The same on every machine for the same seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let trees = (0..TREES).map(|_| Tree::new(&mut random)).collect();
        Self { trees, points: 0, is_ready: false }
    }

    /// How unusual a point is, the higher, the more; at most 0. `None` before the first whole profile.
    ///
    /// That of the paper is the sum of what the trees find, `mass · 2^depth`; this is their mean logarithm, so that the trees
    /// that happen to halve another feature do not outweigh those that set a point apart.
    pub(super) fn score(&self, point: &Point) -> Option<f32> {
        let sum: f32 = self.trees.iter().map(|tree| tree.score(point)).sum();
        self.is_ready.then_some(-sum / TREES as f32)
    }

    pub(super) fn learn(&mut self, point: &Point) {
        for tree in &mut self.trees {
            tree.learn(point);
        }
        self.points += 1;
        if self.points == PROFILE {
            self.points = 0;
            self.is_ready = true;
            for node in self.trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
                node.reference = std::mem::take(&mut node.latest);
            }
        }
    }
}

impl Tree {
    fn new(random: &mut fastrand::Rng) -> Self {
        let space = std::array::from_fn(|_| {
            let middle = random.f32();
            let half = middle.max(1.0 - middle);
            Range { from: middle - half, to: middle + half }
        });
        let node = |_| Node { feature: random.u8(..FEATURES as u8), ..Node::default() };
        Self { space, nodes: (0..NODES).map(node).collect() }
    }

    fn score(&self, point: &Point) -> f32 {
        let mut path = Path::new(self.space);
        loop {
            let node = self.nodes.get(path.node).copied().unwrap_or_default();
            if path.depth == DEPTH || node.reference <= FEW {
                return f32::from(node.reference + 1).log2() + path.depth as f32;
            }
            path.descend(node.feature, point);
        }
    }

    fn learn(&mut self, point: &Point) {
        let mut path = Path::new(self.space);
        while let Some(node) = self.nodes.get_mut(path.node) {
            node.latest = node.latest.saturating_add(1);
            path.descend(node.feature, point);
        }
    }
}

/// The way of a point down a tree.
struct Path {
    node: usize,
    depth: u32,
    space: [Range; FEATURES],
}

impl Path {
    fn new(space: [Range; FEATURES]) -> Self {
        Self { node: 1, depth: 0, space }
    }

    fn descend(&mut self, feature: u8, point: &Point) {
        let feature = usize::from(feature);
        let (Some(range), Some(value)) = (self.space.get_mut(feature), point.get(feature)) else { return };
        let middle = f32::midpoint(range.from, range.to);
        let is_above = *value >= middle;
        if is_above {
            range.from = middle;
        } else {
            range.to = middle;
        }
        self.node = 2 * self.node + usize::from(is_above);
        self.depth += 1;
    }
}
