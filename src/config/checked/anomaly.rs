//! What is done about unusual requests.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::super::defaults;

/// Requests of a route that a model can be made from at most.
pub const MAX_ROWS: usize = 16_384;

/// `anomaly:` of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyPolicy {
    pub ladder: Ladder,
    /// Tells upstreams the score, from the rung `tag` on.
    pub header: HeaderName,
    /// Clients that are refused are told why, too; otherwise only the log is.
    pub explain: bool,
    /// The version that judges; the newest when `None`.
    pub model: Option<Arc<str>>,
    /// The version that judges beside it, and decides nothing.
    pub shadow: Option<Arc<str>>,
}

/// What is done. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Score, log, count.
    #[default]
    Observe,
    /// Tell the upstream, in a field.
    Tag,
    /// A tighter limit for the caller on this route.
    Throttle,
    /// Ask for a credential that was issued since.
    Challenge,
    /// Refuse.
    Block,
}

/// From which rarity on what is done; the more drastic, the rarer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// In the order of actions: with the share of usual requests that is expected to reach it, in (0, 0.5].
    pub rungs: Vec<(Action, f32)>,
    /// For how long a hold on a caller lasts after the last request that renews it.
    pub cool_down: Duration,
    /// Between two throttled requests of a caller on this route that pass.
    pub throttle: Duration,
}

/// `anomaly:` of the file: what holds for all routes.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalySettings {
    /// Requests of a route before it has a model.
    pub warm_up: usize,
    /// How often a model is made.
    pub retrain: Duration,
    /// After which a request counts half as much for a model as one that comes now.
    pub half_life: Duration,
    /// The most of what is learned from that one caller may have, in (0, 1].
    pub caller_share: f32,
    /// The most of the requests of a route that may be refused as unusual, of what callers usually send, in (0, 1].
    pub max_blocked: f32,
    /// Models of a route that are kept.
    pub keep: usize,
}

impl Default for AnomalySettings {
    fn default() -> Self {
        Self {
            warm_up: defaults::WARM_UP as usize,
            retrain: defaults::RETRAIN,
            half_life: defaults::HALF_LIFE,
            caller_share: defaults::CALLER_SHARE as f32,
            max_blocked: defaults::MAX_BLOCKED as f32,
            keep: defaults::KEEP_MODELS as usize,
        }
    }
}

impl Action {
    /// All of them, the mildest first.
    pub const ALL: [Self; 5] = [Self::Observe, Self::Tag, Self::Throttle, Self::Challenge, Self::Block];

    /// As it is written, and as logs and metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Tag => "tag",
            Self::Throttle => "throttle",
            Self::Challenge => "challenge",
            Self::Block => "block",
        }
    }
}
