use proptest::prelude::*;

use super::*;
use crate::anomaly::features::When;

const KINDS: &[&str] = &["none", "json", "xml"];

const fn feature(name: &'static str, unit: &'static str, transformation: Transformation) -> Feature {
    Feature { name, unit, what: "", when: When::Arrival, transformation }
}

use Transformation::{Cyclic, Log, None as AsIs, OneHot, ZScore};

const HEADER_BYTES: Feature = feature("header_bytes", "bytes", Log);
const HEADER_BYTES_Z: Feature = feature("header_bytes_z", "sd", ZScore);
const HEADER_COUNT: Feature = feature("header_count", "fields", AsIs);
const URL_LENGTH_Z: Feature = feature("url_length_z", "sd", ZScore);
const CONTENT_TYPE: Feature = feature("content_type", "", OneHot(KINDS));
const QUERY_PARAMETERS: Feature = feature("query_parameters", "parameters", Log);
const QUERY_ENTROPY: Feature = feature("query_entropy", "bits per byte", AsIs);
const PUNCTUATION: Feature = feature("url_punctuation", "marks", Log);
const PATH_DEPTH: Feature = feature("path_depth", "segments", AsIs);
const PATH_NEW: Feature = feature("path_new", "0 or 1", AsIs);
const ERROR: Feature = feature("error", "0 or 1", AsIs);
const TIME_OF_DAY: Feature = feature("time_of_day", "day", Cyclic);
const INTER_ARRIVAL: Feature = feature("inter_arrival", "ms", Log);
const REQUEST_RATE: Feature = feature("request_rate", "requests per minute", Log);
const ERROR_RATE: Feature = feature("error_rate", "share", AsIs);
const TOKEN_AGE: Feature = feature("token_age", "s", Log);

fn said(feature: &Feature, value: f32, median: f32) -> String {
    let column = |value: f32| if feature.transformation == Log { value.ln_1p() } else { value };
    words::text(feature, &[column(value)], &[column(median)])
}

#[test]
fn values_are_told_beside_what_is_usual() {
    const NAN: f32 = f32::NAN;
    for (feature, value, median, expected) in [
        (&HEADER_BYTES, 4_050.0, 450.0, "header bytes 4 kB, 9x the usual 450 B"),
        (&HEADER_BYTES, 12_345.0, 8_000.0, "header bytes 12 kB, usually 8 kB"),
        (&HEADER_BYTES, 120.0, 450.0, "header bytes 120 B, usually 450 B"),
        (&HEADER_BYTES, 451.0, 451.0, "header bytes 451 B, in this combination"),
        (&HEADER_BYTES, 2.5e6, 0.0, "header bytes 2.5 MB, usually none"),
        (&HEADER_BYTES, 0.0, 450.0, "header bytes 0 B, usually 450 B"),
        (&HEADER_BYTES, NAN, 450.0, "header bytes not known, usually 450 B"),
        (&HEADER_BYTES, 450.0, NAN, "header bytes 450 B"),
        (&HEADER_COUNT, 31.0, 12.0, "header count 31 fields, 2.6x the usual 12"),
        (&HEADER_COUNT, 1.0, 12.0, "header count 1 field, usually 12"),
        (&QUERY_PARAMETERS, 14.0, 2.0, "query parameters 14, 7x the usual 2"),
        (&QUERY_ENTROPY, 5.2, 3.1, "query entropy 5.2 bits per byte, usually 3.1"),
        (&PUNCTUATION, 7.0, 0.0, "URL punctuation 7 marks, usually none"),
        (&PATH_DEPTH, 3.0, 3.0, "path depth 3 segments, in this combination"),
        (&PATH_DEPTH, 9.0, 3.0, "path depth 9 segments, 3x the usual 3"),
        (&INTER_ARRIVAL, 3.0, 1_200.0, "time since the request before 3 ms, usually 1.2 seconds"),
        (&REQUEST_RATE, 310.0, 12.0, "request rate 310 requests per minute, 26x the usual 12"),
        (&ERROR_RATE, 0.8, 0.02, "error rate 80 %, usually 2 %"),
        (&TOKEN_AGE, 259_200.0, 1_200.0, "token 3 days old, usually 20 minutes"),
        (&TOKEN_AGE, 1_800.0, 1_200.0, "token 30 minutes old, usually 20 minutes"),
        (&TOKEN_AGE, 60.0, 1_200.0, "token 1 minute old, usually 20 minutes"),
        (&TOKEN_AGE, NAN, 1_200.0, "token age not known, usually 20 minutes"),
        (&HEADER_BYTES_Z, 9.04, 0.0, "header bytes 9 standard deviations above this caller's usual"),
        (&HEADER_BYTES_Z, -2.53, 0.0, "header bytes 2.5 standard deviations below this caller's usual"),
        (&URL_LENGTH_Z, 16.0, 0.0, "URL length 16 or more standard deviations above this caller's usual"),
        (&URL_LENGTH_Z, 0.3, 0.0, "URL length as usual for this caller, in this combination"),
        (&URL_LENGTH_Z, NAN, 0.0, "URL length without anything usual for this caller yet"),
        (&PATH_NEW, 1.0, 0.0, "path not seen from this caller of late"),
        (&PATH_NEW, 0.0, 1.0, "path known from this caller, in this combination"),
        (&ERROR, 1.0, 0.0, "error"),
        (&ERROR, 0.0, 1.0, "no error"),
    ] {
        assert_eq!(said(feature, value, median), expected);
    }
}

#[test]
fn kinds_are_told_by_their_name() {
    for (values, medians, expected) in [
        ([0.0, 0.0, 1.0], [0.0, 1.0, 0.0], "content type xml, rarely seen here"),
        ([0.0, 1.0, 0.0], [0.0, 1.0, 0.0], "content type json, in this combination"),
        ([0.0, 0.0, 0.0], [0.0, 1.0, 0.0], "content type of no known kind"),
    ] {
        assert_eq!(words::text(&CONTENT_TYPE, &values, &medians), expected);
    }
}

#[test]
fn times_of_day_are_told_as_a_clock_shows_them() {
    let at = |hours: f32| {
        let (sine, cosine) = (std::f32::consts::TAU * hours / 24.0).sin_cos();
        [sine, cosine]
    };
    for (values, medians, expected) in [
        (at(3.2), at(14.0), "time of day 03:12 UTC, usually about 14:00"),
        (at(23.999), at(0.0), "time of day 00:00 UTC, usually about 00:00"),
        (at(18.5), [0.1, -0.1], "time of day 18:30 UTC"),
        ([f32::NAN; 2], at(1.0), "time of day not known"),
    ] {
        assert_eq!(words::text(&TIME_OF_DAY, &values, &medians), expected);
    }
}

const TABLE: &[Feature] = &[CONTENT_TYPE, HEADER_BYTES, PATH_NEW, TIME_OF_DAY, TOKEN_AGE];
const VALUES: [f32; 8] = [0.0, 0.0, 1.0, 8.3, 1.0, 0.0, -1.0, 5.0];
const MEDIANS: [f32; 8] = [0.0, 1.0, 0.0, 6.1, 0.0, 0.0, 1.0, 5.0];

fn shares(explanation: &Explanation) -> String {
    let shares = explanation.reasons.iter().map(|because| format!("{}:{:.2}", because.feature, because.share));
    shares.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_three_that_contributed_most_are_named() {
    // By feature: 0.3, 0.41, -0.2, 0.17, 0.12.
    let contributions = [0.5, -0.3, 0.1, 0.41, -0.2, 0.3, -0.13, 0.12];
    let explanation = Explanation::among(TABLE, &contributions, &VALUES, &MEDIANS);
    assert_eq!(shares(&explanation), "header_bytes:0.41 content_type:0.30 time_of_day:0.17");
    let texts: Vec<_> = explanation.reasons.iter().map(|because| because.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "header bytes 4 kB, 9x the usual 445 B",
            "content type xml, rarely seen here",
            "time of day 12:00 UTC, usually about 00:00",
        ]
    );
}

#[test]
fn what_spoke_for_a_usual_request_is_no_reason() {
    let explanation = Explanation::among(TABLE, &[-0.1; 8], &VALUES, &MEDIANS);
    assert_eq!(explanation.reasons, []);
    assert_eq!(shares(&explanation), "");
    let only = [-0.1, -0.1, -0.1, 0.2, 0.0, f32::NAN, 0.0, -1.0];
    assert_eq!(shares(&Explanation::among(TABLE, &only, &VALUES, &MEDIANS)), "header_bytes:1.00");
}

#[test]
fn what_lies_outside_of_the_request_goes_first() {
    let mut explanation = Explanation::among(TABLE, &[0.5, -0.3, 0.1, 0.41, -0.2, 0.3, -0.13, 0.12], &VALUES, &MEDIANS);
    explanation.put_first("window", "more than usual");
    assert_eq!(shares(&explanation), "window:1.00 header_bytes:0.41 content_type:0.30");
    explanation.put_first_of_hold();
    assert_eq!(shares(&explanation), "hold:1.00 window:1.00 header_bytes:0.41");
}

proptest! {
    #[test]
    fn whatever_the_numbers_reasons_are_few_short_and_plain(
        contributions in proptest::collection::vec(proptest::num::f32::ANY, 0..10),
        values in proptest::collection::vec(proptest::num::f32::ANY, 0..10),
        medians in proptest::collection::vec(proptest::num::f32::ANY, 0..10),
    ) {
        let explanation = Explanation::among(TABLE, &contributions, &values, &medians);
        prop_assert!(explanation.reasons.len() <= 3);
        for because in &explanation.reasons {
            prop_assert!(because.text.len() <= 250 && because.text.is_ascii(), "{}", because.text);
        }
    }
}

#[test]
fn what_follows_from_another_feature_counts_for_that() {
    let table: &[Feature] = FEATURES.split_at(2).0;
    assert_eq!(table.iter().map(|feature| feature.name).collect::<Vec<_>>(), ["method", "method_length"]);
    let (mut values, mut contributions) = ([0.0; 9], [0.0; 9]);
    (values[4], values[8], contributions[4], contributions[8]) = (1.0, 6.0, 0.1, 0.4);
    let explanation = Explanation::among(table, &contributions, &values, &[0.0; 9]);
    assert_eq!(shares(&explanation), "method:1.00");
    assert_eq!(explanation.reasons[0].text, "method DELETE, rarely seen here");
}
