//! What is usual for one caller on one route: means and variances that forget, and what was seen of late.

use super::features::{Arrival, Outcome, Row};
use super::ladder::Standing;
use super::shift::Counts;

/// A caller on a route; bounded in size, without allocations.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Where the caller stands on the ladder.
    pub standing: Standing,
    /// What the caller did in the window that runs.
    pub counts: Counts,
}

impl Profile {
    /// Fills the columns of the arrival, by what was usual until now, and learns from it.
    pub fn arrive(&mut self, _arrival: &Arrival<'_>, _row: &mut Row) {}

    /// Fills the columns of the outcome, by what was usual until now, and learns from it.
    pub fn leave(&mut self, _outcome: &Outcome, _row: &mut Row) {}
}

/// Who and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub route: u64,
    pub caller: u64,
}

/// The profiles of a process: at most so many, in 64 shards with a lock of their own. What has not been used for longest goes first.
#[derive(Debug, Default)]
pub struct Profiles {}

impl Profiles {
    #[must_use]
    pub fn new(_capacity: usize) -> Self {
        Self {}
    }

    /// Looks at the profile of a caller, which is made when there is none.
    pub fn with<R>(&self, _place: Place, look: impl FnOnce(&mut Profile) -> R) -> R {
        look(&mut Profile::default())
    }

    /// Looks at every profile, one shard after the other.
    pub fn each(&self, mut _look: impl FnMut(Place, &mut Profile)) {}

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }
}
