//! How an explained request would be checked for being unusual. Nothing is learned here: what a model says is shown where there is
//! one, and a gateway that runs knows what is usual for its callers.

use serde_json::{Value, json};

use super::Explained;
use super::sheet::Sheet;
use crate::anomaly::{Action, Arrived};
use crate::base::duration;
use crate::config::checked::anomaly::{AnomalyPolicy, Ladder};
use crate::snapshot::CompiledAnomaly;

impl Explained<'_> {
    pub(super) fn tell_anomaly(&self, sheet: &mut Sheet) {
        let Some(check) = self.action().and_then(|action| action.anomaly.as_ref()) else { return };
        let AnomalyPolicy { ladder, header, explain, .. } = &*check.policy;
        sheet.row("anomaly", terms(ladder), self.place("anomaly"));
        if ladder.rungs.iter().any(|(action, _)| *action >= Action::Throttle) {
            let (held, pause) = (duration::format(ladder.cool_down), duration::format(ladder.throttle));
            sheet.say("  held", format!("for {held} after the last such request; throttled to one in {pause}"));
        }
        if ladder.rungs.iter().any(|(action, _)| *action >= Action::Tag) {
            let clients = if *explain { ", refused clients why" } else { "" };
            sheet.say("  told", format!("the upstream, in {header}{clients}"));
        }
        sheet.say("  model", self.model(check));
        if let Some(shadow) = &check.policy.shadow {
            sheet.say("  shadow", format!("{shadow}, which decides nothing"));
        }
        if let Some(Arrived { judged: Some(judged), verdict, explanation, .. }) = self.decision.anomaly() {
            let says = format!("{:.3}, rarity {:.6}: {}", judged.score, verdict.rarity, verdict.action.as_str());
            sheet.say("  score", says);
            let because = explanation.iter().flat_map(|explanation| &explanation.reasons);
            because.for_each(|because| sheet.say("", &*because.text));
        }
    }

    pub(super) fn anomaly_json(&self) -> Value {
        let Some(check) = self.action().and_then(|action| action.anomaly.as_ref()) else { return Value::Null };
        let AnomalyPolicy { ladder, header, explain, model, shadow } = &*check.policy;
        let rungs = ladder.rungs.iter().map(|(action, share)| (action.as_str().to_owned(), percent(*share).into()));
        let arrived = self.decision.anomaly();
        let judged = arrived.and_then(|arrived| Some((arrived, arrived.judged?))).map(|(arrived, judged)| {
            let because = arrived.explanation.iter().flat_map(|explanation| &explanation.reasons);
            json!({
                "score": judged.score,
                "rarity": arrived.verdict.rarity,
                "action": arrived.verdict.action.as_str(),
                "why": because.map(|because| &*because.text).collect::<Vec<_>>(),
            })
        });
        json!({
            "ladder": rungs.collect::<serde_json::Map<_, Value>>(),
            "cool_down": duration::format(ladder.cool_down),
            "throttle": duration::format(ladder.throttle),
            "header": header.as_str(),
            "explain": explain,
            "model": { "pinned": model.as_deref(), "asked": self.version(check) },
            "shadow": shadow.as_deref(),
            "judged": judged,
        })
    }

    /// Which model is asked.
    fn model(&self, check: &CompiledAnomaly) -> String {
        match (self.version(check), &check.policy.model) {
            (Some(version), _) => version,
            (None, Some(pinned)) => format!("{pinned}; no model offline"),
            (None, None) => "the newest of the gateway that runs; no model offline".to_owned(),
        }
    }

    /// The version of the model that is here, of the route or for all routes.
    fn version(&self, check: &CompiledAnomaly) -> Option<String> {
        let for_all = || self.snapshot.gate.lasting.anomaly.shared.fallback.load_full();
        let model = check.watch.model.load_full().or_else(for_all)?;
        Some(model.version.to_string())
    }
}

fn terms(ladder: &Ladder) -> String {
    let rung = |(action, share): &(Action, f32)| format!("{} {}", action.as_str(), percent(*share));
    let rungs: Vec<_> = ladder.rungs.iter().map(rung).collect();
    format!("{} of usual requests", rungs.join(", "))
}

/// As it is written; floats in between would show.
fn percent(share: f32) -> String {
    format!("{}%", (f64::from(share) * 1e7).round() / 1e5)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rungs_are_told_as_they_are_written() {
        let ladder = |rungs: &[_]| Ladder {
            rungs: rungs.to_vec(),
            cool_down: Duration::from_secs(300),
            throttle: Duration::from_secs(1),
        };
        assert_eq!(terms(&ladder(&[(Action::Observe, 0.005)])), "observe 0.5% of usual requests");
        let written = [(Action::Tag, 0.02), (Action::Throttle, 0.005), (Action::Block, 0.0005)];
        assert_eq!(terms(&ladder(&written)), "tag 2%, throttle 0.5%, block 0.05% of usual requests");
    }
}
