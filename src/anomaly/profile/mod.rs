//! What is usual for one caller on one route: means and variances that forget, and what was seen of late.

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
use self::seen::{Distinct, Generations, Recent};

/// How much one answer moves the rate of errors.
const ERROR_WEIGHT: f32 = 1.0 / 32.0;

/// A caller on a route; 696 bytes and where it stands, 768 at most, and no allocation of its own.
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
    pace: Pace,
    url_length: Baseline,
    header_bytes: Baseline,
    request_body: Baseline,
    duration: Baseline,
    response_bytes: Baseline,
    orders: Recent,
    clients: Recent,
    networks: Recent,
    paths: Generations<16>,
    templates: Generations<8>,
    /// Paths of the window that runs.
    distinct: Distinct,
}

impl Profile {
    /// Fills the columns of the arrival, by what was usual until now, and learns from it.
    pub fn arrive(&mut self, arrival: &Arrival<'_>, row: &mut Row) {
        let target = row.read(arrival);
        self.meet(arrival, &target, row);
    }

    /// The part of [`Profile::arrive`] that needs the profile, for who holds a lock meanwhile: the rest is [`Row::read`].
    pub fn meet(&mut self, arrival: &Arrival<'_>, target: &Target, row: &mut Row) {
        self.pace.arrive(arrival.at, row);

        let row = &mut row.0;
        row[const { column("url_length_z") }] = self.url_length.judge(row[const { column("url_length") }]);
        row[const { column("header_bytes_z") }] = self.header_bytes.judge(row[const { column("header_bytes") }]);
        row[const { column("request_body_z") }] = match arrival.body {
            Some(_) => self.request_body.judge(row[const { column("request_body") }]),
            None => f32::NAN,
        };

        let is_known = self.requests >= KNOWN;
        let new = |seen: bool| if is_known { f32::from(!seen) } else { f32::NAN };
        let client = mix(arrival.fields.order ^ arrival.fields.agent.rotate_left(32));
        row[const { column("header_order_new") }] = new(self.orders.note(mix(arrival.fields.order)));
        row[const { column("client_new") }] = new(self.clients.note(client));
        row[const { column("network_new") }] = new(self.networks.note(mix(arrival.network)));
        row[const { column("path_new") }] = new(self.paths.note(target.path));
        row[const { column("path_template_new") }] = new(self.templates.note(target.template));
        row[const { column("distinct_paths") }] = log(self.distinct.estimate());
        row[const { column("error_rate") }] = self.errors;

        self.requests = (self.requests + 1).min(KNOWN);
        self.distinct.note(target.path);
        self.counts.requests = self.counts.requests.saturating_add(1);
    }

    /// Fills the columns of the outcome, by what was usual until now, and learns from it.
    pub fn leave(&mut self, outcome: &Outcome, row: &mut Row) {
        row.read_outcome(outcome);
        let row = &mut row.0;
        row[const { column("duration_z") }] = self.duration.judge(row[const { column("duration") }]);
        row[const { column("response_bytes_z") }] = self.response_bytes.judge(row[const { column("response_bytes") }]);
        let error = outcome.is_error();
        self.errors += ERROR_WEIGHT * (f32::from(error) - self.errors);
        self.counts.errors = self.counts.errors.saturating_add(u32::from(error));
        self.counts.response_bytes = self.counts.response_bytes.saturating_add(outcome.response_bytes);
    }

    /// What is usual for this caller, in the unit of the feature, of a feature that has z-scores (`header_bytes`, not
    /// `header_bytes_z`); `None` as long as it is not known.
    #[must_use]
    pub fn usual(&self, feature: &str) -> Option<f32> {
        let baseline = match feature {
            "url_length" => &self.url_length,
            "header_bytes" => &self.header_bytes,
            "request_body" => &self.request_body,
            "inter_arrival" => &self.pace.gap,
            "request_rate" => &self.pace.rate,
            "duration" => &self.duration,
            "response_bytes" => &self.response_bytes,
            _ => return None,
        };
        baseline.usual().map(f32::exp_m1)
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
