//! What follows from an unusual request: one rung of a ladder, for a while, and never for more of the traffic than is allowed.

use std::time::Duration;

pub use crate::config::checked::anomaly::{Action, Ladder};

/// Where a caller stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub action: Action,
    /// How rare the request was held to be: what the ladder was asked with.
    pub rarity: f32,
    /// Set when the caller has to wait: for how long.
    pub wait: Option<Duration>,
    /// Set when it was asked to authenticate anew: credentials issued before this, since 1970 UTC, are not enough.
    pub since: Option<Duration>,
}

impl Standing {
    /// What is to be done with a request of this rarity, now (`at` by the clock that never jumps, `wall` since 1970 UTC).
    /// `issued_at` of its token, if it has one: who cannot authenticate anew is throttled where others are challenged.
    pub fn judge(
        &mut self,
        _ladder: &Ladder,
        rarity: f32,
        (_at, _wall): (Duration, Duration),
        _issued_at: Option<Duration>,
    ) -> Verdict {
        Verdict { action: Action::Observe, rarity, wait: None, since: None }
    }
}

/// Never refuses more than a share of all requests: `share · requests + burst` at most, over the life of the process.
#[derive(Debug)]
pub struct Safety {}

impl Safety {
    #[must_use]
    pub fn new(_share: f32) -> Self {
        Self {}
    }

    /// A new share; what was saved up stays.
    pub fn set_share(&self, _share: f32) {}

    /// A request came.
    pub fn earn(&self) {}

    /// Whether one more may be refused; counts it.
    #[must_use]
    pub fn spend(&self) -> bool {
        false
    }
}
