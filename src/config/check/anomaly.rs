//! What is done about unusual requests, on a route and over all of them.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::super::checked::Anomaly;
use super::super::checked::anomaly::{Action, AnomalyPolicy, AnomalySettings, Ladder, MAX_ROWS};
use super::super::checked::identity::{Auth, Method};
use super::super::defaults;
use super::super::model::anomaly::{self as written, AnomalyAction, ModelVersion, RouteAnomaly, Share};
use super::super::model::limits::RateText;
use super::super::model::{At, OrOff, gateway, routes};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::callers::Callers;
use super::{LONGEST, count, headers, out_of_range, resolve, time};

/// The smallest that a model of as many requests as are kept can tell, rounded up, and the largest that is not usual.
const UNUSUAL: RangeInclusive<u32> = 200..=500_000;
/// With fewer rows a forest says little, and nothing about what one request in a hundred is.
const WARM_UPS: RangeInclusive<u64> = 256..=MAX_ROWS as u64;
/// A model that is made more often learns nothing new, and grows costly.
const SHORTEST_RETRAIN: Duration = Duration::from_secs(60);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// What of a route its anomaly checks have to know.
pub(super) struct Of<'a> {
    pub(super) route: &'a routes::Route,
    pub(super) otherwise: Option<&'a At<OrOff<Box<RouteAnomaly>>>>,
    pub(super) auth: Option<&'a Auth>,
    pub(super) callers: &'a Callers<'a>,
}

/// The policy of a route, its own or that of the defaults; only to be used when no error was noted.
pub(super) fn check(of: &Of<'_>, reader: &mut Reader<'_>) -> Option<Arc<AnomalyPolicy>> {
    // What is written wrongly here is no reason to take what holds otherwise.
    let own = of.route.keys.has("anomaly");
    let At { value, span, .. } = if own { of.route.anomaly.as_ref() } else { of.otherwise }?;
    let OrOff::On(anomaly) = value else { return None };
    let RouteAnomaly(anomaly) = &**anomaly;
    let policy = policy(anomaly, reader)?;
    if let Some(header) = &anomaly.header {
        of.callers.not_identity(&policy.header, header.span, reader);
        let edits = headers::written(of.route.request_headers.as_ref());
        if let Some((name, place)) = edits.into_iter().find(|(name, _)| *name == policy.header) {
            let message = format!("header `{name}` tells the upstream the score, and cannot be edited");
            reader.note(Diagnostic::new(Code::ForbiddenHeader, place, message).also(header.span, "as is written here"));
        }
    }
    if let Some(auth) = of.auth {
        callers(&policy, anomaly, auth, *span, of.route.keys.place("auth"), reader);
    }
    Some(Arc::new(policy))
}

/// Checks what holds for all routes by itself, so that a mistake in it is one in `defaults`.
pub(super) fn defaults(written: Option<&At<OrOff<Box<RouteAnomaly>>>>, reader: &mut Reader<'_>) {
    let Some(At { value: OrOff::On(anomaly), .. }) = written else { return };
    let RouteAnomaly(anomaly) = &**anomaly;
    policy(anomaly, reader);
    for key in ["model", "shadow"] {
        if let Some(place) = anomaly.keys.place(key) {
            let message = format!("`{key}` names one model, and a model is made for one route");
            reader.note(Diagnostic::new(Code::ModelVersion, place, message).help("write it in the route"));
        }
    }
}

fn policy(anomaly: &written::AnomalyPolicy, reader: &mut Reader<'_>) -> Option<AnomalyPolicy> {
    let rungs = match &anomaly.ladder {
        Some(ladder) => rungs(anomaly, ladder, reader),
        // Written, and noted by the reader.
        None if anomaly.keys.is_meant("ladder") => return None,
        None => vec![(action(anomaly.action.as_ref()), contamination(anomaly.contamination.as_ref(), reader))],
    };
    no_effect(anomaly, &rungs, reader);
    let version = |version: &Option<At<ModelVersion>>| version.as_ref().map(|version| Arc::from(&*version.value.0));
    let (model, shadow) = (version(&anomaly.model), version(&anomaly.shadow));
    if let (true, Some(shadow)) = (model.is_some() && model == shadow, &anomaly.shadow) {
        let mistake = Diagnostic::new(Code::NoEffect, shadow.span, "`shadow` is the model that judges already");
        reader.note(match &anomaly.model {
            Some(model) => mistake.also(model.span, "the same"),
            None => mistake,
        });
    }
    let header = anomaly.header.as_ref();
    Some(AnomalyPolicy {
        ladder: Ladder {
            rungs,
            cool_down: time(anomaly.cool_down.as_ref(), defaults::COOL_DOWN, Duration::from_secs(1)..=LONGEST, reader),
            throttle: anomaly.throttle.as_ref().map_or(defaults::THROTTLE, |rate| pause(&rate.value)),
        },
        header: match header {
            Some(header) => self::header(&header.value.0, header.span, reader)?,
            None => HeaderName::from_bytes(defaults::SCORE_HEADER.as_bytes()).ok()?,
        },
        explain: anomaly.explain.as_ref().is_some_and(|explain| explain.value.0),
        model,
        shadow,
    })
}

const fn checked(action: AnomalyAction) -> Action {
    match action {
        AnomalyAction::Observe => Action::Observe,
        AnomalyAction::Tag => Action::Tag,
        AnomalyAction::Throttle => Action::Throttle,
        AnomalyAction::Challenge => Action::Challenge,
        AnomalyAction::Block => Action::Block,
    }
}

fn action(written: Option<&At<AnomalyAction>>) -> Action {
    written.map_or(Action::Observe, |action| checked(action.value))
}

fn contamination(written: Option<&At<Share>>, reader: &mut Reader<'_>) -> f32 {
    let Some(share) = written else { return defaults::CONTAMINATION as f32 };
    if !UNUSUAL.contains(&share.value.0) {
        out_of_range(share, "0.02%", "50%", reader);
    }
    share.value.fraction()
}

/// The rungs that are written, the mildest first.
fn rungs(
    anomaly: &written::AnomalyPolicy,
    ladder: &At<written::AnomalyLadder>,
    reader: &mut Reader<'_>,
) -> Vec<(Action, f32)> {
    let place = anomaly.keys.place("ladder").unwrap_or(ladder.span);
    for key in ["action", "contamination"] {
        if let Some(other) = anomaly.keys.place(key) {
            let message = format!("`ladder` says what is done and when, and so does `{key}`");
            reader.note(Diagnostic::new(Code::AnomalyClash, other, message).also(place, "the ladder"));
        }
    }
    let At { value: written::AnomalyLadder { keys, tag, throttle, challenge, block }, .. } = ladder;
    if keys.written.is_empty() && keys.meant.is_empty() {
        let mistake = Diagnostic::new(Code::AnomalyLadder, ladder.span, "a ladder needs at least one rung");
        reader.note(mistake.help("write `tag`, `throttle`, `challenge` or `block` with a part such as `0.5%`"));
    }
    let written =
        [(Action::Tag, tag), (Action::Throttle, throttle), (Action::Challenge, challenge), (Action::Block, block)];
    let mut rungs = Vec::new();
    let mut milder: Option<(Action, &At<Share>)> = None;
    for (action, share) in written.into_iter().filter_map(|(action, share)| Some((action, share.as_ref()?))) {
        rungs.push((action, contamination(Some(share), reader)));
        if let Some((before, more)) = milder.filter(|(_, more)| share.value.0 > more.value.0) {
            let message = format!(
                "`{}` would be reached by more requests than the milder `{}`",
                action.as_str(),
                before.as_str()
            );
            let mistake = Diagnostic::new(Code::AnomalyLadder, share.span, message);
            reader.note(mistake.label("the more drastic, the rarer").also(more.span, "the milder one"));
        }
        milder = Some((action, share));
    }
    rungs
}

/// Notes keys that say how something is done that never is.
fn no_effect(anomaly: &written::AnomalyPolicy, rungs: &[(Action, f32)], reader: &mut Reader<'_>) {
    let most = rungs.iter().map(|(action, _)| *action).max();
    let holds = rungs.iter().any(|(action, _)| matches!(action, Action::Throttle | Action::Challenge));
    let never = [
        ("header", most < Some(Action::Tag), "`tag` or more"),
        ("explain", most < Some(Action::Throttle), "`throttle` or more"),
        ("throttle", !holds, "`throttle` or `challenge`"),
        ("cool_down", !holds, "`throttle` or `challenge`"),
    ];
    for (key, is_idle, needed) in never {
        if let (Some(place), true, Some(_)) = (anomaly.keys.place(key), is_idle, most) {
            let message = format!("`{key}` has no effect without an action of {needed}");
            reader.note(Diagnostic::new(Code::NoEffect, place, message));
        }
    }
}

/// A field that means nothing yet, so that nothing else is lost when clients cannot send it.
fn header(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<HeaderName> {
    let name = headers::free(text, span, reader)?;
    if headers::has_meaning(&name) {
        let message = format!("header `{name}` cannot be used for this");
        let mistake = Diagnostic::new(Code::ForbiddenHeader, span, message);
        reader.note(
            mistake.note("it means something already").help("choose a name of your own, such as `X-Anomaly-Score`"),
        );
        return None;
    }
    Some(name)
}

/// Between two requests; a rate is never faster than this says.
fn pause(RateText(rate): &RateText) -> Duration {
    let permits = u128::from(rate.permits.get());
    // Not longer than the period, which is a day at most.
    let nanos = rate.period.as_nanos().div_ceil(permits);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Notes actions on callers where there are none to act on.
fn callers(
    policy: &AnomalyPolicy,
    anomaly: &written::AnomalyPolicy,
    auth: &Auth,
    whole: Span,
    asked: Option<Span>,
    reader: &mut Reader<'_>,
) {
    let in_ladder = |key| anomaly.ladder.as_ref().and_then(|ladder| ladder.value.keys.place(key));
    let place = |key| in_ladder(key).or_else(|| Some(anomaly.action.as_ref()?.span)).unwrap_or(whole);
    let has = |action| policy.ladder.rungs.iter().any(|(rung, _)| *rung == action);
    let has_token = |method: &Method| matches!(method, Method::Token { .. });
    for (action, key) in [(Action::Throttle, "throttle"), (Action::Challenge, "challenge")] {
        if !has(action) {
            continue;
        }
        let mistake = match auth {
            Auth::None => {
                let message = format!("`{key}` is about callers, and this route asks nobody who they are");
                Diagnostic::new(Code::AnomalyCallers, place(key), message)
                    .label(if action == Action::Challenge {
                        "the caller would be a network, which cannot get a new token"
                    } else {
                        "the caller would be a network, which many customers may share"
                    })
                    .help("write `tag` or `block`, which are about single requests, or ask callers for a credential")
            }
            Auth::Required(access) if action == Action::Challenge && !access.methods.iter().any(has_token) => {
                Diagnostic::new(Code::AnomalyCallers, place(key), "`challenge` asks for a newer token")
                    .label("callers of this route have none, and would be throttled for ever instead")
                    .help("write `throttle`, or accept tokens")
            }
            Auth::Required(_) => continue,
        };
        reader.note(match asked {
            Some(asked) if matches!(auth, Auth::None) => mistake.also(asked, "nobody is asked here"),
            Some(asked) => mistake.also(asked, "what callers show"),
            None => mistake,
        });
    }
}

/// What holds for all routes.
pub(super) fn settings(written: Option<&At<written::AnomalySettings>>, reader: &mut Reader<'_>) -> AnomalySettings {
    let otherwise = AnomalySettings::default();
    let Some(At { value: written, .. }) = written else { return otherwise };
    let part = |written: Option<&At<Share>>, otherwise: f32| written.map_or(otherwise, |share| share.value.fraction());
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    AnomalySettings {
        warm_up: whole(count(written.warm_up.as_ref(), defaults::WARM_UP, WARM_UPS, reader)),
        retrain: time(written.retrain.as_ref(), otherwise.retrain, SHORTEST_RETRAIN..=MONTH, reader),
        half_life: time(written.half_life.as_ref(), otherwise.half_life, SHORTEST_RETRAIN..=YEAR, reader),
        caller_share: part(written.caller_share.as_ref(), otherwise.caller_share),
        max_blocked: part(written.max_blocked.as_ref(), otherwise.max_blocked),
        keep: whole(count(written.keep.as_ref(), defaults::KEEP_MODELS, 1..=1_000, reader)),
    }
}

/// Of the bootstrap file.
pub(super) fn folder_and_callers(
    written: &gateway::Anomaly,
    folder: &std::path::Path,
    reader: &mut Reader<'_>,
) -> Anomaly {
    let callers = count(written.callers.as_ref(), defaults::CALLERS, 64..=100_000_000, reader);
    Anomaly {
        folder: written.folder.as_ref().map(|path| resolve(folder, &path.value.0)),
        callers: usize::try_from(callers).unwrap_or(usize::MAX),
    }
}
