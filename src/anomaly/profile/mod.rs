//! What is usual for one caller on one route: means and variances that forget, and what was seen of late.

use std::time::Duration;

use super::features::{Arrival, Outcome, Row, Target, column, log, mix};
use super::ladder::Standing;
use super::running::Running;
use super::shift::{Counts, Usual};

mod baseline;
mod pace;
mod profiles;
mod seen;

use self::baseline::{Baseline, KNOWN};
use self::pace::Pace;
pub use self::profiles::{Place, Profiles};
use self::seen::{Distinct, Generations, Presence};

/// Requests per minute of a caller whose usual rate is not known.
const GRANTED: f32 = 60.0;

/// How much one answer moves the rate of errors.
const ERROR_WEIGHT: f32 = 1.0 / 32.0;

/// In which half of them is forgotten, when no answers come.
const ERROR_HALF_LIFE: Duration = Duration::from_secs(600);

/// A caller on a route; 896 bytes at most, and no allocation of its own.
///
/// As long as fewer than 16 requests were seen, nothing is usual and nothing is new: the columns that say so are missing.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Where the caller stands on the ladder.
    pub standing: Standing,
    /// What the caller did in the window that runs.
    pub counts: Counts,
    /// What the caller usually does in a window.
    pub usual_window: Usual,
    /// How unusual the outcomes of its requests are of late.
    pub running: Running,
    /// Up to [`KNOWN`].
    requests: u16,
    /// Share of errors among the answers.
    errors: f32,
    /// When the last answer was complete, in seconds.
    answered: f32,
    pace: Pace,
    url_length: Baseline,
    header_bytes: Baseline,
    request_body: Baseline,
    duration: Baseline,
    response_bytes: Baseline,
    orders: Presence,
    clients: Presence,
    networks: Presence,
    paths: Generations<16>,
    templates: Generations<8>,
    /// Paths of the window that runs.
    distinct: Distinct,
}

/// What of a request a profile is to remember once it may.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Met {
    at: Duration,
    order: u64,
    client: u64,
    network: u64,
    path: u64,
    template: u64,
}

impl Profile {
    /// Fills the columns of the arrival by what was usual until now. What came is counted; it becomes usual only when it is
    /// [learned](Profile::learn). The part of the row that needs no profile is [`Row::read`]'s.
    pub fn meet(&mut self, arrival: &Arrival<'_>, target: &Target, row: &mut Row) -> Met {
        let fields = arrival.fields;
        let met = Met {
            at: arrival.at,
            order: mix(fields.order),
            client: mix(fields.order ^ fields.agent.rotate_left(32)),
            network: mix(arrival.network),
            path: target.path,
            template: target.template,
        };
        self.pace.arrive(arrival.at, row);

        let row = &mut row.0;
        row[const { column("url_length_z") }] = self.url_length.z(row[const { column("url_length") }]);
        row[const { column("header_bytes_z") }] = self.header_bytes.z(row[const { column("header_bytes") }]);
        row[const { column("request_body_z") }] = self.request_body.z(row[const { column("request_body") }]);

        let is_known = self.requests >= KNOWN;
        let new = |seen: bool| if is_known { f32::from(!seen) } else { f32::NAN };
        let newness = |newness: f32| if is_known { log(newness) } else { f32::NAN };
        row[const { column("header_order_new") }] = newness(self.orders.newness(met.order));
        row[const { column("client_new") }] = newness(self.clients.newness(met.client));
        row[const { column("network_new") }] = newness(self.networks.newness(met.network));
        row[const { column("path_new") }] = new(self.paths.has(met.path));
        row[const { column("path_template_new") }] = new(self.templates.has(met.template));
        row[const { column("distinct_paths") }] = log(self.distinct.estimate());
        row[const { column("error_rate") }] = self.errors_at(arrival.at);

        self.distinct.note(met.path);
        self.counts.requests = self.counts.requests.saturating_add(1);
        met
    }

    /// Fills the columns of the outcome by what was usual until now, and counts it.
    pub fn answer(&mut self, outcome: &Outcome, row: &mut Row) {
        row.read_outcome(outcome);
        let row = &mut row.0;
        row[const { column("duration_z") }] = self.duration.z(row[const { column("duration") }]);
        row[const { column("response_bytes_z") }] = self.response_bytes.z(row[const { column("response_bytes") }]);
        let error = outcome.is_error();
        self.errors = self.errors_at(outcome.at);
        self.errors += ERROR_WEIGHT * (f32::from(error) - self.errors);
        self.answered = self.answered.max(outcome.at.as_secs_f32());
        self.counts.errors = self.counts.errors.saturating_add(u32::from(error));
        self.counts.response_bytes = self.counts.response_bytes.saturating_add(outcome.response_bytes);
    }

    /// Takes a request that was met, and its outcome, for usual from now on.
    pub fn learn(&mut self, met: &Met, row: &Row) {
        self.pace.learn(met.at, row);
        let row = &row.0;
        self.url_length.learn(row[const { column("url_length") }]);
        self.header_bytes.learn(row[const { column("header_bytes") }]);
        self.request_body.learn(row[const { column("request_body") }]);
        self.duration.learn(row[const { column("duration") }]);
        self.response_bytes.learn(row[const { column("response_bytes") }]);
        self.orders.note(met.order, met.at);
        self.clients.note(met.client, met.at);
        self.networks.note(met.network, met.at);
        self.paths.note(met.path);
        self.templates.note(met.template);
        self.requests = (self.requests + 1).min(KNOWN);
    }

    /// What refusing this caller a request costs those who do nothing wrong, of one request: the part of its requests that it usually sends. Of what comes
    /// beyond the highest rate that it has of late, nothing is missed; of a caller whose rate is not known yet, of what comes beyond one a second.
    #[must_use]
    pub fn harm(&self) -> f32 {
        (self.pace.highest().unwrap_or(GRANTED).max(1.0) / self.pace.weight.max(1.0)).min(1.0)
    }

    /// The share of errors, as far as it is not forgotten: who is refused gets no answers that could lower it.
    fn errors_at(&self, at: Duration) -> f32 {
        let pause = (at.as_secs_f32() - self.answered).max(0.0) / ERROR_HALF_LIFE.as_secs_f32();
        // Between answers that follow each other nothing is forgotten.
        if pause < 0.01 { self.errors } else { self.errors * (-pause).exp2() }
    }

    /// Ends the window that runs: tells what was counted in it, and begins the next. The rarity stays, until somebody judges the
    /// window.
    pub fn close_window(&mut self) -> Counts {
        let mut counts = self.counts;
        counts.paths = self.distinct.estimate().round() as u32;
        self.counts = Counts { rarity: counts.rarity, ..Counts::default() };
        self.distinct = Distinct::default();
        counts
    }
}

#[cfg(test)]
mod tests;
