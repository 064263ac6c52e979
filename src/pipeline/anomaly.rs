//! How unusual a request is, and what follows: the last phase before a route acts.

use std::hash::BuildHasher;
use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use foldhash::quality::RandomState;
use http::HeaderName;
use http::header::{CONTENT_TYPE, RETRY_AFTER};

use super::act::Resource;
use super::caller::Caller;
use super::exchange::{Exchange, Undecided};
use super::facts::Facts;
use super::view::{BodyLength, RequestView};
use crate::anomaly::features::{Fields, network_of};
use crate::anomaly::ladder::Verdict;
use crate::anomaly::{Action, Arrival, Arrived, Outcome};
use crate::auth::challenge::insufficient_authentication;
use crate::base::clock;
use crate::base::field::Known;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::anomaly::AnomalyPolicy;
use crate::snapshot::{CompiledAction, CompiledAnomaly, Gate};
use crate::telemetry::{REASONS_TOLD, Unusual};
use crate::transform::lines::FieldLines;

/// Makes numbers of callers and networks: the same ones as long as the process, which nobody outside can foresee.
static NUMBERS: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// Scores a request, and refuses it when it is too unusual. To be asked once for each: it learns.
///
/// # Errors
///
/// `ANOMALOUS`, `ANOMALY_THROTTLED`, `REAUTHENTICATION_REQUIRED`.
pub(super) fn check<V: RequestView>(
    gate: &Gate,
    CompiledAnomaly { policy, watch, .. }: &CompiledAnomaly,
    request: &V,
    resource: &Resource<'_>,
    Undecided { facts, anomaly, .. }: &mut Undecided<'_>,
) -> Result<(), Rejection> {
    let issued_at = facts.caller.as_ref().and_then(issued_at);
    let arrival = arrival(request, resource, facts, issued_at);
    let arrived = watch.arrive(&gate.lasting.anomaly.shared, &policy.ladder, &arrival, issued_at);
    let arrived = anomaly.insert(arrived);
    if let Some(reason) = arrived.held_back.and_then(reason_of) {
        gate.metrics.observed(reason);
        facts.observed.push(reason);
    }
    match refuses(&arrived.verdict) {
        Some(reason) => Err(rejection(reason, policy, arrived, facts.started_at)),
        None => Ok(()),
    }
}

fn arrival<'a, V: RequestView>(
    request: &'a V,
    resource: &Resource<'a>,
    facts: &Facts,
    issued_at: Option<Duration>,
) -> Arrival<'a> {
    // Strangers are told apart by it: what one does is not held against all.
    let network = NUMBERS.hash_one(network_of(facts.client));
    let mut content_type = None;
    let fields = Fields::of(noting_content_type(request.fields(), &mut content_type));
    Arrival {
        at: clock::since_start(facts.started),
        wall: facts.started_at,
        method: request.method(),
        path: resource.path,
        query: resource.query,
        fields,
        content_type,
        body: match request.body() {
            BodyLength::None => Some(0),
            BodyLength::Known(length) => Some(length),
            BodyLength::Unknown => None,
        },
        caller: facts.caller.as_ref().map_or(network, |caller| number_of(caller, network)),
        network,
        token_age: issued_at.map(|issued_at| facts.started_at.saturating_sub(issued_at)),
    }
}

/// The fields as they come; the first `Content-Type` is noted when it passes, so that nobody has to look for it.
fn noting_content_type<'v>(
    fields: impl Iterator<Item = (&'v str, &'v [u8])>,
    noted: &mut Option<&'v [u8]>,
) -> impl Iterator<Item = (&'v [u8], &'v [u8])> {
    fields.map(|(name, value)| {
        if name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()) {
            noted.get_or_insert(value);
        }
        (name.as_bytes(), value)
    })
}

fn issued_at(caller: &Caller) -> Option<Duration> {
    caller.token()?.issued_at.map(Duration::from_secs)
}

/// The partner; who is none that is known, by whoever says who it is. A token may name nobody: then it is one of its network's.
fn number_of(caller: &Caller, network: u64) -> u64 {
    match (&caller.partner, caller.subject()) {
        (Some(partner), _) => NUMBERS.hash_one(&*partner.name),
        (None, Some(subject)) => NUMBERS.hash_one((caller.authority(), subject)),
        (None, None) => NUMBERS.hash_one((caller.authority(), network)),
    }
}

/// What this is refused for, when it is refused.
fn refuses(verdict: &Verdict) -> Option<Reason> {
    reason_of(verdict.action).filter(|_| verdict.refuses())
}

/// What an action refuses for.
const fn reason_of(action: Action) -> Option<Reason> {
    match action {
        Action::Observe | Action::Tag => None,
        Action::Throttle => Some(Reason::AnomalyThrottled),
        Action::Challenge => Some(Reason::ReauthenticationRequired),
        Action::Block => Some(Reason::Anomalous),
    }
}

#[cold]
fn rejection(reason: Reason, policy: &AnomalyPolicy, arrived: &Arrived, now: Duration) -> Rejection {
    let because = arrived.explanation.as_ref().map_or(&[][..], |explanation| &explanation.reasons);
    let mut rejection = Rejection::new(reason);
    if policy.explain && !because.is_empty() {
        let because: Vec<&str> = because.iter().map(|because| &*because.text).collect();
        rejection.detail = format!("{} Unusual: {}.", reason.detail(), because.join(", ")).into();
    }
    let Verdict { wait, since, .. } = arrived.verdict;
    rejection.fields.extend(match (reason, wait, since) {
        (Reason::AnomalyThrottled, Some(wait), _) => Some((RETRY_AFTER, whole_seconds(wait).into())),
        (Reason::ReauthenticationRequired, _, Some(since)) => {
            Some(insufficient_authentication(now.saturating_sub(since), reason.detail()))
        }
        _ => None,
    });
    rejection
}

/// Rounded up, and at least one.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// What an upstream is told, from the rung `tag` on: `0.71;rarity_ppm=400;action=tag`, an item with parameters (RFC 9651 §3.3).
#[derive(Clone, Copy)]
pub(super) struct Tag<'a> {
    header: &'a HeaderName,
    score: f32,
    rarity: f32,
    action: Action,
}

impl<'a> Tag<'a> {
    /// Of a request that is forwarded; `None` when it is usual, or the route keeps the field from upstreams.
    pub(super) fn of(action: &'a CompiledAction, arrived: Option<&Arrived>) -> Option<Self> {
        let (Arrived { judged, verdict, .. }, check) = (arrived?, action.anomaly.as_ref()?);
        let header = &check.policy.header;
        let own = &action.request_edits.own;
        let is_told = verdict.action >= Action::Tag && !own.contains(Known::of(header.as_str()), header.as_str());
        let score = judged.filter(|_| is_told)?.score;
        Some(Self { header, score, rarity: verdict.rarity, action: verdict.action })
    }

    pub(super) fn write(&self, added: &mut FieldLines) {
        added.push_with(self.header.as_str(), |out| {
            let thousandths = (self.score * 1e3).round() as u32;
            let millionths = (self.rarity * 1e6).round() as u32;
            // Writing to memory cannot fail.
            let _ = write!(out, "{}.{:03}", thousandths / 1_000, thousandths % 1_000);
            // A decimal has no zeros at its end but the first (RFC 9651 §4.1.5).
            while out.ends_with(b"0") && !out.ends_with(b".0") {
                out.pop();
            }
            let _ = write!(out, ";rarity_ppm={};action={}", millionths.max(1), self.action.as_str());
        });
    }
}

/// Learns from what came of a request, and counts what was made of it.
pub(super) fn leave(exchange: &Exchange, outcome: &Outcome) {
    let Some((check, arrived)) = of(exchange) else { return };
    check.watch.leave(&exchange.snapshot.gate.lasting.anomaly.shared, &mut arrived.clone(), outcome);
    check.count(arrived);
}

fn of(exchange: &Exchange) -> Option<(&CompiledAnomaly, &Arrived)> {
    let action = exchange.route()?.action.as_ref().ok()?;
    Some((action.anomaly.as_ref()?, exchange.anomaly.as_ref()?))
}

/// What the access log says of it.
pub(super) fn unusual(arrived: &Arrived) -> Unusual<'_> {
    let Arrived { judged, verdict, explanation, .. } = arrived;
    let because = explanation.as_ref().map_or(&[][..], |explanation| &explanation.reasons);
    let mut why = [""; REASONS_TOLD];
    why.iter_mut().zip(because).for_each(|(why, because)| *why = &because.text);
    Unusual {
        judged: judged.map(|judged| (judged.score, verdict.rarity)),
        action: (verdict.action > Action::Observe || explanation.is_some()).then(|| verdict.action.as_str()),
        why,
    }
}

#[cfg(test)]
mod tests;
