//! What came of it, for people and for programs.

use serde_json::{Value, json};

use super::super::chosen::{self, told};
use super::super::log::Log;
use super::super::words::{counted, foreign, line, moment, percent, rarity, table};
use super::labels::Quality;
use super::{Evaluation, Judged};
use crate::anomaly::Model;
use crate::anomaly::explanation::Explanation;
use crate::config::checked::anomaly::{Action, Ladder};

/// From here on the traffic is no longer what the model has learned.
const DRIFT: f32 = 0.25;
const QUANTILES: [(&str, f64); 5] = [("least", 0.0), ("50%", 0.5), ("90%", 0.9), ("99%", 0.99), ("most", 1.0)];
/// What is said of each, below it.
const INDENT: &str = "  ";

pub(super) struct Results<'r> {
    pub model: &'r Model,
    pub route: &'r str,
    /// Whether the route has checks, or is judged by a ladder that nobody wrote.
    pub is_written: bool,
    pub ladder: Ladder,
    pub log: &'r Log,
    /// Requests of the route that were refused before any check.
    pub unseen: usize,
    pub evaluation: Evaluation<'r>,
    pub quality: Option<Quality>,
}

/// How many requests reach a rung, or one beyond it.
struct Reached {
    action: Action,
    share: f32,
    requests: usize,
    actual: f64,
}

impl Results<'_> {
    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        line(&mut out, "model", &told(self.model));
        let (route, judged) = (self.route, counted(self.evaluation.judged.len() as u64, "request"));
        let unseen = match self.unseen {
            0 => String::new(),
            unseen => format!("; {unseen} more were refused before a check"),
        };
        line(&mut out, "log", &format!("{}, {judged} of route {route}{unseen}", counted(self.log.lines, "line")));
        let scores = self.quantiles().map(|(name, score)| format!("{name} {score:.3}"));
        line(&mut out, "score", &scores.join(", "));
        line(&mut out, "drift", &self.drift());
        self.tell_ladder(&mut out);
        if let Some(quality) = &self.quality {
            self.tell_quality(quality, &mut out);
        }
        for (at, (judged, why)) in self.rarest().enumerate() {
            line(&mut out, if at == 0 { "rarest" } else { "" }, &request(judged));
            why.reasons.iter().for_each(|because| line(&mut out, "", &format!("{INDENT}{}", because.text)));
        }
        out
    }

    fn tell_ladder(&self, out: &mut String) {
        let heading = ["rung", "expected", "actual", "requests"].map(str::to_owned);
        let rows: Vec<[String; 4]> = std::iter::once(heading)
            .chain(self.reached().map(|Reached { action, share, requests, actual }| {
                [action.as_str().to_owned(), percent(f64::from(share)), short_percent(actual), requests.to_string()]
            }))
            .collect();
        table(out, Some("ladder"), &rows);
        if !self.is_written {
            line(
                out,
                "",
                &format!("route {} has no `anomaly`: this is the ladder of one that only observes", self.route),
            );
        }
    }

    fn tell_quality(&self, quality: &Quality, out: &mut String) {
        let Quality { labels, judged, unseen, .. } = quality;
        let absent = labels.saturating_sub(judged + unseen);
        let text =
            format!("{labels}: {judged} judged, {unseen} refused before a check, {absent} not of this route or log");
        line(out, "attacks", &text);
        let heading = ["rung", "precision", "recall"].map(str::to_owned);
        let told = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"));
        let rungs = self.ladder.rungs.iter().map(|(action, share)| {
            [action.as_str().to_owned(), told(quality.precision(*share)), told(quality.recall(*share))]
        });
        let rows: Vec<[String; 3]> = std::iter::once(heading).chain(rungs).collect();
        table(out, Some(""), &rows);
        line(out, "", &format!("average precision {}", told(quality.average_precision())));
    }

    pub(super) fn to_json(&self) -> Value {
        let mut log = self.log.to_json();
        log["requests"] = json!(self.evaluation.judged.len());
        log["refused_before"] = json!(self.unseen);
        let ladder = self.reached().map(|Reached { action, share, requests, actual }| {
            json!({ "action": action.as_str(), "expected": decimal(share), "actual": actual, "requests": requests })
        });
        let quantiles = self.quantiles().map(|(name, score)| (name.to_owned(), json!(score)));
        let rarest = self.rarest().map(|(Judged { request, score, rarity }, why)| {
            json!({
                "request_id": &*request.id,
                "time": moment(request.time),
                "method": request.method.as_str(),
                "path": &*request.path,
                "status": request.status,
                "caller": Some(&*request.who).filter(|who| !who.is_empty()),
                "score": score,
                "rarity": rarity,
                "why": why.reasons.iter().map(|because| &*because.text).collect::<Vec<_>>(),
            })
        });
        json!({
            "model": chosen::to_json(&self.model.about()),
            "route": self.route,
            "log": log,
            "scores": quantiles.into_iter().collect::<serde_json::Map<_, _>>(),
            "drift": { "index": self.evaluation.drift, "alarming": self.evaluation.drift.is_some_and(|index| index > DRIFT) },
            "ladder": ladder.collect::<Vec<_>>(),
            "attacks": self.quality.as_ref().map(|quality| self.quality_json(quality)),
            "rarest": rarest.collect::<Vec<_>>(),
        })
    }

    fn quality_json(&self, quality: &Quality) -> Value {
        let rungs = self.ladder.rungs.iter().map(|(action, share)| {
            json!({ "action": action.as_str(), "precision": quality.precision(*share), "recall": quality.recall(*share) })
        });
        json!({
            "labels": quality.labels,
            "judged": quality.judged,
            "refused_before": quality.unseen,
            "rungs": rungs.collect::<Vec<_>>(),
            "average_precision": quality.average_precision(),
        })
    }

    fn reached(&self) -> impl Iterator<Item = Reached> {
        let judged = &self.evaluation.judged;
        self.ladder.rungs.iter().map(|(action, share)| {
            let requests = judged.partition_point(|one| one.rarity <= *share);
            Reached { action: *action, share: *share, requests, actual: requests as f64 / judged.len().max(1) as f64 }
        })
    }

    fn quantiles(&self) -> [(&'static str, f32); 5] {
        let mut scores: Vec<f32> = self.evaluation.judged.iter().map(|one| one.score).collect();
        scores.sort_unstable_by(f32::total_cmp);
        let last = scores.len().saturating_sub(1) as f64;
        QUANTILES.map(|(name, share)| (name, scores.get((share * last).round() as usize).copied().unwrap_or_default()))
    }

    fn drift(&self) -> String {
        match self.evaluation.drift {
            None => "not known: fewer than 500 requests".to_owned(),
            Some(index) if index > DRIFT => format!("{index:.3}, above {DRIFT}: the model is of other traffic"),
            Some(index) => format!("{index:.3}, below {DRIFT}"),
        }
    }

    fn rarest(&self) -> impl Iterator<Item = (&Judged<'_>, &Explanation)> {
        self.evaluation.judged.iter().zip(&self.evaluation.why)
    }
}

fn request(Judged { request, score, rarity: of }: &Judged<'_>) -> String {
    let by = if request.who.is_empty() { String::new() } else { format!(" by {}", foreign(&request.who)) };
    format!(
        "{} rarity {}, score {score:.3}: {} {} {} {}{by}",
        foreign(&request.id),
        rarity(*of),
        moment(request.time),
        request.method,
        foreign(&request.path),
        request.status
    )
}

/// In four digits at most behind the point.
fn short_percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// As it is written, not as the nearest number in binary.
fn decimal(share: f32) -> f64 {
    (f64::from(share) * 1e7).round() / 1e7
}
