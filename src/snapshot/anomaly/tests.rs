use std::time::Duration;

use super::*;
use crate::anomaly::Action;
use crate::anomaly::Row;
use crate::anomaly::ladder::{Ladder, Verdict};
use crate::anomaly::profile::{Met, Place};
use crate::config::read_routes;
use crate::snapshot::{Builder, LongLived, Snapshot, Snapshots};
use crate::telemetry::metrics::{AnomalyCounts, Metrics};
use crate::upstream::SystemResolver;

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

fn builder() -> Builder {
    Builder {
        metrics: Metrics::new(),
        resolver: Arc::new(SystemResolver),
        runtime: tokio::runtime::Handle::current(),
        lasting: LongLived::new(1 << 20, 1 << 20),
    }
}

fn built(builder: &Builder, text: &str, previous: Option<&Snapshot>) -> Snapshot {
    let reading = read_routes(text, "routes.yaml");
    assert!(reading.report.is_ok(), "{}", reading.report);
    builder.build(reading.routes.unwrap(), reading.report, previous)
}

#[tokio::test]
async fn a_snapshot_that_is_never_published_changes_nothing_of_what_judges() {
    let routes = |settings: &str| {
        format!(
            "version: 1\nroutes:\n  - name: orders\n    match: {{ path: /orders }}\n    auth: none\n    respond: {{ body: good }}\n    \
             anomaly: observe\nanomaly: {{ {settings} }}\n"
        )
    };
    let builder = builder();
    let registry = &builder.lasting.anomaly;
    let snapshots = Snapshots::new(built(&builder, &routes("warm_up: 512"), None));
    assert_eq!(registry.settings().warm_up, 512);
    let next = built(&builder, &routes("warm_up: 1024"), Some(&snapshots.load()));
    assert_eq!(registry.settings().warm_up, 512, "whoever asked for the reload may be gone before its end");
    drop(snapshots.publish(next));
    assert_eq!(registry.settings().warm_up, 1_024);
}
