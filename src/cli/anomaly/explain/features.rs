//! What each feature has to do with a score.

use std::f32::consts::TAU;

use serde_json::{Value, json};

use super::super::words::table;
use crate::anomaly::features::{ARRIVAL, FEATURES, Feature, Transformation, When, columns, label, value};
use crate::anomaly::model::Part;

const MINUTES_OF_A_DAY: f32 = 1_440.0;

/// One feature of a request.
pub(super) struct Share {
    feature: &'static Feature,
    /// What it is here, and what it is usually; `None` when it is missing.
    value: Option<Value>,
    median: Option<Value>,
    /// By how many bits it moves the score: up when it makes the request unusual.
    bits: f32,
}

/// All features of an arrival or of an outcome, those that speak most for an unusual request first.
pub(super) fn shares(part: &Part, when: When, row: &[f32]) -> Vec<Share> {
    let mut contributions = vec![0.0; row.len()];
    part.forest.attribute(row, &mut contributions);
    let start = if when == When::Arrival { 0 } else { ARRIVAL };
    let share = |feature: &'static Feature| {
        let columns = columns(feature.name);
        let own = columns.start.checked_sub(start)?..columns.end.checked_sub(start)?;
        Some(Share {
            feature,
            value: shown(feature, columns.start, row.get(own.clone())?),
            median: shown(feature, columns.start, part.medians.get(own.clone())?),
            bits: contributions.get(own)?.iter().sum(),
        })
    };
    let mut shares: Vec<Share> = FEATURES.iter().filter(|feature| feature.when == when).filter_map(share).collect();
    shares.sort_by(|a, b| b.bits.total_cmp(&a.bits));
    shares
}

/// Those that were logged, or matter nevertheless.
pub(super) fn tell(title: &str, shares: &[Share], out: &mut String) {
    let heading = ["feature", "bits", "value", "median", ""].map(str::to_owned);
    let shown = shares.iter().filter(|share| share.value.is_some() || share.bits.abs() >= 5e-4);
    let row = |Share { feature, value, median, bits }: &Share| {
        let [value, median] = [value, median].map(|value| value.as_ref().map_or_else(|| "-".to_owned(), told));
        [feature.name.to_owned(), format!("{bits:+.3}"), value, median, feature.unit.to_owned()]
    };
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(shown.map(row)).collect();
    table(out, Some(title), &rows);
}

pub(super) fn to_json(shares: &[Share]) -> Vec<Value> {
    let told = |Share { feature, value, median, bits }: &Share| json!({ "feature": feature.name, "unit": feature.unit, "bits": bits, "value": value, "median": median });
    shares.iter().map(told).collect()
}

fn told(value: &Value) -> String {
    value.as_str().map_or_else(|| number(value.as_f64().unwrap_or(f64::NAN)), str::to_owned)
}

/// A number in the unit of the feature, or a kind, or a time of the day; the first of its columns is at `start`.
fn shown(feature: &Feature, start: usize, numbers: &[f32]) -> Option<Value> {
    let first = numbers.first().copied().filter(|number| !number.is_nan())?;
    match feature.transformation {
        Transformation::OneHot(_) => {
            // The median of a column is 1 if more than half of all requests are of this kind.
            let one = numbers.iter().position(|number| *number > 0.5)?;
            let label = label(start + one)?;
            Some(label.split_once('=').map_or(&*label, |(_, kind)| kind).into())
        }
        Transformation::Cyclic => {
            let minutes = first.atan2(*numbers.get(1)?) / TAU * MINUTES_OF_A_DAY;
            let minutes = minutes.round().rem_euclid(MINUTES_OF_A_DAY) as u32;
            Some(format!("{:02}:{:02}", minutes / 60, minutes % 60).into())
        }
        Transformation::None | Transformation::Log | Transformation::ZScore => Some(value(start, first).into()),
    }
}

/// Whole from a hundred on; two decimals otherwise, without zeros at the end.
fn number(value: f64) -> String {
    let text = if value.abs() >= 99.5 { format!("{value:.0}") } else { format!("{value:.2}") };
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_in_the_unit_of_the_feature() {
        let told = |name: &str, numbers: &[f32]| {
            let feature = FEATURES.iter().find(|feature| feature.name == name).unwrap();
            shown(feature, columns(name).start, numbers).as_ref().map(told)
        };
        assert_eq!(told("method", &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).as_deref(), Some("POST"));
        assert_eq!(told("url_length", &[f32::NAN]), None);
        assert_eq!(told("request_body", &[1_025_f32.ln()]).as_deref(), Some("1024"));
        assert_eq!(told("time_of_day", &[1.0, 0.0]).as_deref(), Some("06:00"));
        assert_eq!(told("error_rate", &[0.126]).as_deref(), Some("0.13"));
        assert_eq!(told("duration_z", &[-0.001]).as_deref(), Some("0"));
    }
}
