use std::time::Duration;

use super::*;
use crate::anomaly::Row;
use crate::anomaly::ladder::{Ladder, Verdict};
use crate::anomaly::profile::{Met, Place};
use crate::telemetry::metrics::{AnomalyCounts, Metrics};

fn arrived(by_model: f32, by_shadow: f32) -> Arrived {
    let judged = |rarity| Some(Judgement { score: 0.6, rarity });
    Arrived {
        place: Place { route: 1, caller: 2 },
        row: Row::default(),
        met: Met::default(),
        wall: Duration::ZERO,
        judged: judged(by_model),
        shadow: judged(by_shadow),
        verdict: Verdict { action: Action::Observe, rarity: 1.0, wait: None, since: None },
        held_back: None,
        explanation: None,
    }
}

#[test]
fn a_shadow_is_compared_by_what_the_ladder_would_be_asked_with() {
    let policy = AnomalyPolicy {
        ladder: Ladder {
            rungs: vec![(Action::Tag, 0.01), (Action::Block, 0.001)],
            cool_down: Duration::from_secs(300),
            throttle: Duration::from_secs(1),
        },
        header: http::HeaderName::from_static("x-anomaly-score"),
        explain: false,
        model: None,
        shadow: None,
    };
    let (registry, metrics) = (Registry::default(), Metrics::new());
    let of = CompiledAnomaly::compile(&"orders".into(), &Arc::new(policy), &registry, metrics.anomaly("orders"));
    let of = of.unwrap();
    // An arrival has half of what a rung allows.
    for (by_model, by_shadow) in [(0.006, 0.006), (0.005, 0.006), (0.009, 0.004), (0.005, 0.005), (0.02, 0.004)] {
        of.count(&arrived(by_model, by_shadow));
    }
    let counted = of.metrics.counts();
    let expected = AnomalyCounts { neither: 1, only_model: 1, only_shadow: 2, both: 1, ..AnomalyCounts::default() };
    assert_eq!(AnomalyCounts { actions: [0; Action::ALL.len()], ..counted }, expected);
}
