//! The columns that need nothing but the request itself.

use std::f32::consts::TAU;
use std::time::Duration;

use http::Method;

use super::table::{CONTENT_TYPES, METHODS, STATUSES, column};
use super::{Arrival, Outcome, Row, Target};

const DAY: u64 = 24 * 60 * 60;

/// ln(1 + value).
pub fn log(value: f32) -> f32 {
    (1.0 + value).ln()
}

pub fn milliseconds(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}

impl Row {
    /// Fills the columns that depend on the request alone; those that depend on the caller are left as they are, for
    /// [`Profile::meet`](crate::anomaly::profile::Profile::meet).
    pub fn read(&mut self, arrival: &Arrival<'_>) -> Target {
        let target = Target::of(arrival.path, arrival.query, arrival.caller);
        let row = &mut self.0;
        one_hot(row, const { column("method") }, METHODS, Some(method(arrival.method)));
        row[const { column("method_length") }] = arrival.method.as_str().len() as f32;
        row[const { column("url_length") }] = log(target.length as f32);
        row[const { column("header_bytes") }] = log(arrival.fields.bytes as f32);
        row[const { column("header_count") }] = arrival.fields.count as f32;
        one_hot(row, const { column("content_type") }, CONTENT_TYPES, Some(content_type(arrival.content_type)));
        row[const { column("request_body") }] = arrival.body.map_or(f32::NAN, |bytes| log(bytes as f32));
        row[const { column("query_parameters") }] = log(target.parameters as f32);
        row[const { column("query_entropy") }] = target.entropy;
        row[const { column("url_punctuation") }] = log(target.punctuation as f32);
        row[const { column("path_depth") }] = target.depth as f32;
        let (sine, cosine) = (TAU * (arrival.wall.as_secs() % DAY) as f32 / DAY as f32).sin_cos();
        row[const { column("time_of_day") }] = sine;
        row[const { column("time_of_day") + 1 }] = cosine;
        row[const { column("token_age") }] = arrival.token_age.map_or(f32::NAN, |age| log(age.as_secs_f32()));
        target
    }

    /// As [`Row::read`], of what came of it.
    pub(in crate::anomaly) fn read_outcome(&mut self, outcome: &Outcome) {
        let row = &mut self.0;
        row[const { column("duration") }] = log(milliseconds(outcome.duration));
        let class = usize::from(outcome.status / 100).checked_sub(1);
        one_hot(row, const { column("status") }, STATUSES, class);
        row[const { column("error") }] = f32::from(outcome.is_error());
        row[const { column("request_bytes") }] = log(outcome.request_bytes as f32);
        row[const { column("response_bytes") }] = log(outcome.response_bytes as f32);
    }
}

impl Outcome {
    /// Answers of 400 and above.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.status >= 400
    }
}

/// `one` of the columns is 1, all others are 0.
#[inline]
fn one_hot(row: &mut [f32], start: usize, labels: &[&str], one: Option<usize>) {
    let Some(columns) = row.get_mut(start..start + labels.len()) else { return };
    columns.fill(0.0);
    if let Some(column) = one.and_then(|one| columns.get_mut(one)) {
        *column = 1.0;
    }
}

/// The place in [`METHODS`].
fn method(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::PUT => 2,
        Method::PATCH => 3,
        Method::DELETE => 4,
        Method::HEAD => 5,
        Method::OPTIONS => 6,
        _ => 7,
    }
}

/// The place in [`CONTENT_TYPES`].
fn content_type(value: Option<&[u8]>) -> usize {
    let essence = value.unwrap_or_default().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is = |known: &str| essence.eq_ignore_ascii_case(known.as_bytes());
    let begins =
        |known: &str| essence.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()));
    let ends = |known: &str| {
        let tail = essence.len().checked_sub(known.len()).and_then(|start| essence.get(start..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(known.as_bytes()))
    };
    match () {
        () if essence.is_empty() => 0,
        () if is("application/json") || ends("+json") => 1,
        () if is("application/x-www-form-urlencoded") => 2,
        () if begins("multipart/") => 3,
        () if is("application/xml") || is("text/xml") || ends("+xml") => 4,
        () if begins("text/") => 5,
        () if is("application/octet-stream") => 6,
        () => 7,
    }
}
