//! One line of the access log.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::anomaly::features::network_of;
use crate::base::reason::Reason;
use crate::base::timestamp;

/// As it is written; other members may be there.
#[derive(Deserialize)]
struct Line {
    time: String,
    request_id: String,
    client: IpAddr,
    method: Option<String>,
    path: Option<String>,
    route: Option<String>,
    partner: Option<String>,
    auth: Option<String>,
    subject: Option<String>,
    status: u16,
    reason: Option<String>,
    anomaly_score: Option<f32>,
    anomaly_rarity: Option<f32>,
    anomaly_action: Option<String>,
    #[serde(default)]
    anomaly_why: Vec<String>,
    upstream: Option<IgnoredAny>,
    request_bytes: u64,
    response_bytes: u64,
    total_us: u64,
    user_agent: Option<String>,
}

/// A request that was written down.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli::anomaly) struct Request {
    pub id: Box<str>,
    /// When it arrived, since 1970 UTC.
    pub time: Duration,
    pub client: IpAddr,
    pub method: Method,
    pub path: Box<str>,
    /// Empty when no route matched.
    pub route: Box<str>,
    /// A digest of who it is, the same in every run; of the network when nobody knows.
    pub caller: u64,
    /// The same for people; empty when nobody knows.
    pub who: Box<str>,
    pub status: u16,
    pub took: Duration,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// A digest of `User-Agent`; 0 without.
    pub agent: u64,
    pub fate: Fate,
    /// What the gateway said of it at that time.
    pub said: Option<Box<Said>>,
}

/// What became of it, as far as an anomaly check has to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::anomaly) enum Fate {
    /// It came through the check, or would have.
    Passed,
    /// It came through the check, or would have, and then something failed, or the client left before there was an answer.
    Failed,
    /// The check refused it, so that nothing is learned from it.
    Refused,
    /// It was refused before any check.
    Unseen,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli::anomaly) struct Said {
    pub score: f32,
    pub rarity: f32,
    /// Empty when it reached no rung.
    pub action: Box<str>,
    pub why: Vec<String>,
}

impl Request {
    /// The error says what is wrong.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let line: Line = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let time = moment(&line.time)?;
        let fate = fate(&line);
        let (caller, who) = caller(&line);
        let said = line.anomaly_score.zip(line.anomaly_rarity).map(|(score, rarity)| {
            Box::new(Said {
                score,
                rarity,
                action: line.anomaly_action.unwrap_or_default().into(),
                why: line.anomaly_why,
            })
        });
        Ok(Self {
            id: line.request_id.into(),
            time,
            client: line.client,
            method: method(line.method.as_deref().unwrap_or_default())?,
            path: line.path.unwrap_or_default().into(),
            route: line.route.unwrap_or_default().into(),
            caller,
            who: who.into(),
            status: line.status,
            took: Duration::from_micros(line.total_us),
            request_bytes: line.request_bytes,
            response_bytes: line.response_bytes,
            agent: line.user_agent.map_or(0, |agent| digest(agent).max(1)),
            fate,
            said,
        })
    }
}

/// With its microseconds.
fn moment(text: &str) -> Result<Duration, String> {
    let whole = timestamp::parse(text)?;
    let digits = text.split_once('.').map_or("", |(_, rest)| rest).bytes().take_while(u8::is_ascii_digit).take(9);
    let nanoseconds = digits.zip((0..9).rev()).map(|(digit, power)| u64::from(digit - b'0') * 10_u64.pow(power)).sum();
    Ok(whole + Duration::from_nanos(nanoseconds))
}

/// A method that was cut ends with a sign that is none of a method.
fn method(text: &str) -> Result<Method, String> {
    if text.is_empty() {
        // The head could not be read: it has no route either.
        return Ok(Method::default());
    }
    let text = text.trim_end_matches('…');
    Method::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is no method"))
}

/// The check is the last before a route acts: what has a reason and came no further was refused before.
fn fate(line: &Line) -> Fate {
    let by_check = [Reason::Anomalous, Reason::AnomalyThrottled, Reason::ReauthenticationRequired];
    let reason = line.reason.as_deref().and_then(|reason| Reason::ALL.iter().find(|known| known.as_str() == reason));
    match (&line.reason, reason) {
        (_, Some(reason)) if by_check.contains(reason) => Fate::Refused,
        (Some(_), _) if line.anomaly_score.is_none() && line.upstream.is_none() => Fate::Unseen,
        (_, Some(reason)) if reason.status() >= 500 => Fate::Failed,
        _ if line.status >= Reason::ClientClosed.status() => Fate::Failed,
        _ => Fate::Passed,
    }
}

/// The partner; who is none that is known, by whoever says who it is.
fn caller(line: &Line) -> (u64, String) {
    match (&line.partner, &line.auth) {
        (Some(partner), _) => (digest(partner).max(1), format!("partner {partner}")),
        (None, Some(auth)) => {
            let subject = line.subject.as_deref();
            (digest((auth, subject)).max(1), format!("{auth} {}", subject.unwrap_or_default()).trim_end().to_owned())
        }
        // As a gateway tells strangers apart.
        (None, None) => (digest(network_of(line.client)).max(1), String::new()),
    }
}

/// The same in every run, so that the same log makes the same model.
pub(in crate::cli::anomaly) fn digest(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
