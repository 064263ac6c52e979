//! What a gateway would have seen of the requests of a log, in their order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::log::{Fate, Request, digest};
use crate::anomaly::features::{Fields, columns, network_of};
use crate::anomaly::profile::{Met, Place, Profiles};
use crate::anomaly::running::Common;
use crate::anomaly::{Arrival, Model, Outcome, Row};

/// What a log does not tell as the request did: the query, the fields and the token. Columns that are missing are never cut in
/// training, and when they are missing in what is judged, each tree takes the side that most requests took.
pub(super) const MISSING: [&str; 11] = [
    "url_length",
    "url_length_z",
    "header_bytes",
    "header_bytes_z",
    "header_count",
    "header_order_new",
    "content_type",
    "query_parameters",
    "query_entropy",
    "url_punctuation",
    "token_age",
];

/// The window of a gateway, in which paths are counted.
const WINDOW: u64 = 10;

/// A moment of a request.
pub(super) enum Step<'r, 's> {
    /// With the rarity of what came of its caller's requests before it.
    Arrived(&'r Request, &'s Row, f32),
    /// Its answer is complete, and so is its row.
    Left(&'r Request, &'s Row),
}

struct Replay<'m> {
    model: Option<&'m Model>,
    profiles: Profiles,
    /// The last window in which a caller did something.
    windows: HashMap<u64, u64>,
    common: Common,
    began: Duration,
}

/// Goes through requests of one route that are in the order of their arrival. What was refused before a check is left out, as it is by
/// a gateway; what the check itself refused is seen, and nothing is learned from what came of it. The model is for the rarity of
/// outcomes.
pub(super) fn replay<'r>(
    requests: &'r [Request],
    callers: usize,
    model: Option<&Model>,
    mut visit: impl FnMut(Step<'r, '_>),
) {
    let began = requests.first().map_or(Duration::ZERO, |request| request.time);
    let (profiles, windows) = (Profiles::new(callers), HashMap::new());
    let mut replay = Replay { model, profiles, windows, common: Common::default(), began };
    // Under way, by the time of their ends.
    let mut under_way: BTreeMap<(Duration, usize), (&'r Request, Row, Met)> = BTreeMap::new();
    for (at, request) in requests.iter().enumerate().filter(|(_, request)| request.fate != Fate::Unseen) {
        while let Some(first) = under_way.first_entry().filter(|first| first.key().0 <= request.time) {
            let (request, row, met) = first.remove();
            replay.leave(request, row, met, &mut visit);
        }
        let (row, met, running) = replay.arrive(request);
        visit(Step::Arrived(request, &row, running));
        if request.fate == Fate::Passed {
            under_way.insert((request.time + request.took, at), (request, row, met));
        }
    }
    for (request, row, met) in under_way.into_values() {
        replay.leave(request, row, met, &mut visit);
    }
}

impl Replay<'_> {
    fn arrive(&mut self, request: &Request) -> (Row, Met, f32) {
        let at = request.time.saturating_sub(self.began);
        let arrival = Arrival {
            at,
            wall: request.time,
            method: &request.method,
            path: &request.path,
            query: None,
            // A client is known by its User-Agent alone.
            fields: Fields { agent: request.agent, ..Fields::default() },
            content_type: None,
            // What was refused was not read.
            body: (request.fate == Fate::Passed).then_some(request.request_bytes),
            caller: request.caller,
            network: digest(network_of(request.client)),
            token_age: None,
        };
        let mut row = Row::default();
        let target = row.read(&arrival);
        // Not what nothing at all would be: nothing usual may come of it.
        blank(&mut row);
        let window = at.as_secs() / WINDOW;
        let before = self.windows.insert(request.caller, window);
        let common = &self.common;
        let (met, running) = self.profiles.with(place(request), |profile| {
            if before.is_some_and(|before| before != window) {
                profile.close_window();
            }
            (profile.meet(&arrival, &target, &mut row), common.share(profile.running.rarity(at, common.excess())))
        });
        blank(&mut row);
        (row, met, running)
    }

    fn leave<'r>(&mut self, request: &'r Request, mut row: Row, met: Met, visit: &mut impl FnMut(Step<'r, '_>)) {
        let outcome = Outcome {
            at: (request.time + request.took).saturating_sub(self.began),
            duration: request.took,
            status: request.status,
            request_bytes: request.request_bytes,
            response_bytes: request.response_bytes,
            is_failure: false,
        };
        let excess = self.common.excess();
        let running = self.profiles.again(place(request), |profile| {
            profile.answer(&outcome, &mut row);
            profile.learn(&met, &row);
            if let Some(model) = self.model {
                profile.running.note(model.outcome.judge(row.outcome()).rarity, outcome.at, excess);
            }
            profile.running
        });
        self.common.note(request.caller, &running, outcome.at);
        visit(Step::Left(request, &row));
    }
}

fn place(request: &Request) -> Place {
    Place { route: 0, caller: request.caller }
}

fn blank(row: &mut Row) {
    for column in MISSING.into_iter().flat_map(columns) {
        if let Some(value) = row.0.get_mut(column) {
            *value = f32::NAN;
        }
    }
}

#[cfg(test)]
mod tests;
