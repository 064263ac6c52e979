//! What outlives every snapshot.

use arc_swap::ArcSwapOption;

use super::Safety;
use super::profile::Profiles;
use super::watch::Shared;

#[derive(Debug)]
pub struct Registry {
    pub shared: Shared,
}

impl Default for Registry {
    fn default() -> Self {
        let (profiles, safety) = (Profiles::new(100_000), Safety::new(0.01));
        Self { shared: Shared { profiles, fallback: ArcSwapOption::empty(), safety } }
    }
}
