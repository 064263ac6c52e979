//! One feature of a request in words that an operator understands.

use std::f32::consts::TAU;

use crate::anomaly::features::{Feature, Transformation};

/// Beyond this many standard deviations nothing is told apart.
const MOST_DEVIATIONS: f32 = 16.0;

const MINUTES_OF_A_DAY: f32 = 1_440.0;

/// How the text of a feature ends that is as usual.
pub(super) const IN_COMBINATION: &str = ", in this combination";

/// What a feature is like in a request, and what it usually is; columns of the row, and of the medians.
pub(super) fn text(feature: &Feature, values: &[f32], medians: &[f32]) -> String {
    let name = spelt_out(feature.name);
    let (value, median) = (first(values), first(medians));
    match feature.transformation {
        Transformation::OneHot(labels) => kind(&name, labels, values, medians),
        Transformation::ZScore => deviation(&name, value),
        Transformation::Cyclic => time_of_day(&name, values, medians),
        Transformation::None if feature.unit == "0 or 1" => flag(&name, value),
        Transformation::Log if name.ends_with(" new") => newness(&name, value.exp_m1()),
        Transformation::None => size(&name, feature.unit, value, median),
        Transformation::Log => size(&name, feature.unit, value.exp_m1(), median.exp_m1()),
    }
}

fn first(columns: &[f32]) -> f32 {
    columns.first().copied().unwrap_or(f32::NAN)
}

/// `header_bytes_z` is about header bytes.
fn spelt_out(name: &str) -> String {
    match name.strip_suffix("_z").unwrap_or(name) {
        "inter_arrival" => "time since the request before".to_owned(),
        name => name.replace('_', " ").replace("url", "URL"),
    }
}

fn kind(name: &str, labels: &[&str], values: &[f32], medians: &[f32]) -> String {
    let one = values.iter().position(|value| *value > 0.5);
    let Some(label) = one.and_then(|one| labels.get(one)) else { return format!("{name} of no known kind") };
    // The median of a column is 1 if more than half of all requests are of this kind.
    let is_usual = one.and_then(|one| medians.get(one)).is_some_and(|median| *median > 0.5);
    if is_usual { format!("{name} {label}, in this combination") } else { format!("{name} {label}, rarely seen here") }
}

fn deviation(name: &str, z: f32) -> String {
    let side = if z > 0.0 { "above" } else { "below" };
    match z.abs() {
        z if z.is_nan() => format!("{name} without anything usual for this caller yet"),
        z if z < 0.95 => format!("{name} as usual for this caller, in this combination"),
        z if z >= MOST_DEVIATIONS => format!("{name} 16 or more standard deviations {side} this caller's usual"),
        z => format!("{name} {} standard deviations {side} this caller's usual", number(z)),
    }
}

/// `path_new` and its like; other flags by their name.
fn flag(name: &str, value: f32) -> String {
    match (name.strip_suffix(" new"), value > 0.5) {
        (Some(name), true) => format!("{name} not seen from this caller of late"),
        (Some(name), false) => format!("{name} known from this caller, in this combination"),
        (None, true) => name.to_owned(),
        (None, false) => format!("no {name}"),
    }
}

/// `network_new` and its like.
fn newness(name: &str, minutes: f32) -> String {
    let name = name.strip_suffix(" new").unwrap_or(name);
    match minutes {
        minutes if minutes.is_nan() => format!("{name} not known"),
        minutes if minutes >= 1.0 => {
            format!("{name} new to this caller, known for {} minutes of late", number(1.0 + minutes))
        }
        _ => format!("{name} known from this caller, in this combination"),
    }
}

fn time_of_day(name: &str, values: &[f32], medians: &[f32]) -> String {
    let clock = |columns: &[f32]| {
        let [sine, cosine] = columns else { return None };
        // A short vector is a mean of everything.
        (sine.hypot(*cosine) > 0.3).then(|| {
            let minutes = (sine.atan2(*cosine) / TAU * MINUTES_OF_A_DAY).round().rem_euclid(MINUTES_OF_A_DAY) as u32;
            format!("{:02}:{:02}", minutes / 60, minutes % 60)
        })
    };
    match (clock(values), clock(medians)) {
        (Some(value), Some(usual)) => format!("{name} {value} UTC, usually about {usual}"),
        (Some(value), None) => format!("{name} {value} UTC"),
        (None, _) => format!("{name} not known"),
    }
}

fn size(name: &str, unit: &str, value: f32, median: f32) -> String {
    // "query parameters 14", not "14 parameters".
    let unit = if name.ends_with(unit) && unit != "bytes" { "" } else { unit };
    let is_measured = matches!(unit, "bytes" | "s" | "ms" | "share");
    let is = quantity(unit, value);
    let usual = if is_measured { quantity(unit, median) } else { number(median) };
    let is_usual = number(value) == number(median) || is == usual;
    let is = match name {
        _ if value.is_nan() => format!("{name} not known"),
        "token age" => format!("token {is} old"),
        _ => format!("{name} {is}"),
    };
    let ratio = value / median;
    match () {
        () if median.is_nan() => is,
        () if median <= 0.0 && value > 0.0 => format!("{is}, usually none"),
        () if !matches!(unit, "s" | "ms" | "share") && ratio.is_finite() && ratio >= 1.95 => {
            format!("{is}, {}x the usual {usual}", number(ratio))
        }
        () if is_usual => format!("{is}, in this combination"),
        () => format!("{is}, usually {usual}"),
    }
}

/// With its unit, in two or three digits.
fn quantity(unit: &str, value: f32) -> String {
    const BYTES: &[(f32, &str)] = &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")];
    const SECONDS: &[(f32, &str)] =
        &[(86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"), (1e-3, "ms")];
    let largest = |units: &[(f32, &'static str)], value: f32| {
        let fits = units.iter().find(|(size, _)| value >= *size * 0.999).or(units.last());
        fits.map_or((String::new(), ""), |(size, name)| (number(value / size), *name))
    };
    match unit {
        "bytes" => {
            let (number, unit) = largest(BYTES, value);
            format!("{number} {unit}")
        }
        "s" | "ms" => {
            let (number, unit) = largest(SECONDS, if unit == "ms" { value / 1e3 } else { value });
            let plural = if unit == "ms" || number == "1" { "" } else { "s" };
            format!("{number} {unit}{plural}")
        }
        "share" => format!("{} %", number(value * 100.0)),
        "" => number(value),
        unit if number(value) == "1" => format!("1 {}", unit.strip_suffix('s').unwrap_or(unit)),
        unit => format!("{} {unit}", number(value)),
    }
}

/// Whole from ten on, otherwise with one decimal, or two when it is small.
fn number(value: f32) -> String {
    let decimals = match value.abs() {
        value if value >= 9.95 => 0,
        value if value >= 0.095 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let short = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}
