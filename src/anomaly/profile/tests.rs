use std::time::Duration;

use http::Method;
use proptest::prelude::*;

use super::*;
use crate::anomaly::features::{COLUMNS, Fields, columns};

const SECOND: Duration = Duration::from_secs(1);

const USUAL: Arrival<'_> = Arrival {
    at: Duration::ZERO,
    wall: Duration::from_secs(1_800_000_000),
    method: &Method::GET,
    path: "/orders/1",
    query: Some("page=2"),
    fields: Fields { count: 8, bytes: 400, order: 1, agent: 2 },
    content_type: None,
    body: Some(1_000),
    caller: 7,
    network: 3,
    token_age: None,
};

const ANSWER: Outcome = Outcome {
    at: Duration::ZERO,
    duration: Duration::from_millis(20),
    status: 200,
    request_bytes: 0,
    response_bytes: 5_000,
    is_failure: false,
};

fn one(row: &Row, name: &str) -> f32 {
    let columns = columns(name);
    assert_eq!(columns.len(), 1, "{name}");
    row.0[columns.start]
}

fn near(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 1e-3 * expected.abs().max(1.0)
}

fn arrive(profile: &mut Profile, arrival: &Arrival<'_>) -> Row {
    let mut row = Row::default();
    let target = row.read(arrival);
    let met = profile.meet(arrival, &target, &mut row);
    profile.learn(&met, &row);
    row
}

fn leave(profile: &mut Profile, outcome: &Outcome) -> Row {
    let mut row = Row::default();
    profile.answer(outcome, &mut row);
    profile.duration.learn(one(&row, "duration"));
    profile.response_bytes.learn(one(&row, "response_bytes"));
    row
}

/// After so many usual requests, one a second; and the time after these.
fn used_to(requests: u64) -> (Profile, Duration) {
    let mut profile = Profile::default();
    for number in 0..requests {
        let path = format!("/orders/{}", number % 20);
        arrive(&mut profile, &Arrival { at: SECOND * number as u32, path: &path, ..USUAL });
        leave(&mut profile, &ANSWER);
    }
    (profile, SECOND * requests as u32)
}

/// What a caller of usual requests does next.
fn next(change: impl FnOnce(&mut Arrival<'_>)) -> Row {
    let (mut profile, at) = used_to(200);
    let mut arrival = Arrival { at, ..USUAL };
    change(&mut arrival);
    arrive(&mut profile, &arrival)
}

/// What is usual for this caller, in the unit of the feature; `None` as long as it is not known.
fn usual(profile: &Profile, feature: &str) -> Option<f32> {
    let baseline = match feature {
        "url_length" => &profile.url_length,
        "header_bytes" => &profile.header_bytes,
        "request_body" => &profile.request_body,
        "inter_arrival" => &profile.pace.gap,
        "request_rate" => &profile.pace.rate,
        "duration" => &profile.duration,
        "response_bytes" => &profile.response_bytes,
        _ => return None,
    };
    baseline.usual().map(f32::exp_m1)
}

#[test]
fn a_profile_is_small() {
    assert!(size_of::<Profile>() <= 896, "{}", size_of::<Profile>());
}

#[test]
fn nothing_is_usual_or_new_for_who_is_not_known() {
    let mut profile = Profile::default();
    for number in 0..u32::from(KNOWN) {
        let path = format!("/{number}");
        let row = arrive(&mut profile, &Arrival { at: SECOND * number, path: &path, ..USUAL });
        for name in ["url_length_z", "header_bytes_z", "request_body_z", "inter_arrival_z", "request_rate_z"] {
            assert!(one(&row, name).is_nan(), "{name}");
        }
        for name in ["header_order_new", "client_new", "network_new", "path_new", "path_template_new"] {
            assert!(one(&row, name).is_nan(), "{name}");
        }
        let row = leave(&mut profile, &ANSWER);
        assert!(one(&row, "duration_z").is_nan() && one(&row, "response_bytes_z").is_nan());
    }
    let row = arrive(&mut profile, &Arrival { at: SECOND * 16, path: "/0", ..USUAL });
    assert_eq!((one(&row, "path_new"), one(&row, "network_new")), (0.0, 0.0));
    assert!(one(&row, "header_bytes_z") == 0.0 && !one(&leave(&mut profile, &ANSWER), "duration_z").is_nan());
}

#[test]
fn what_comes_beyond_the_usual_rate_is_not_missed() {
    let (mut profile, at) = used_to(1_500);
    assert!(profile.harm() > 0.95, "60 requests a minute, as ever: {}", profile.harm());
    // Ten times as many, of which nothing is learned because they are refused.
    for number in 0..3_000 {
        let arrival = Arrival { at: at + SECOND * number / 10, ..USUAL };
        let mut row = Row::default();
        let target = row.read(&arrival);
        profile.meet(&arrival, &target, &mut row);
    }
    assert!((0.08..0.12).contains(&profile.harm()), "{}", profile.harm());

    let mut stranger = Profile::default();
    for number in 0..600 {
        let harm = stranger.harm();
        assert!(if number < 60 { harm == 1.0 } else { number < 62 || harm < 1.0 }, "{number}: {harm}");
        arrive(&mut stranger, &Arrival { at: SECOND * number / 600, ..USUAL });
    }
    assert!((0.09..0.12).contains(&stranger.harm()), "{}", stranger.harm());
}

#[test]
fn the_first_request_has_no_pace() {
    let row = arrive(&mut Profile::default(), &USUAL);
    for name in ["inter_arrival", "inter_arrival_z", "request_rate", "request_rate_z"] {
        assert!(one(&row, name).is_nan(), "{name}");
    }
    assert_eq!((one(&row, "error_rate"), one(&row, "distinct_paths")), (0.0, 0.0));
}

#[test]
fn a_usual_request_is_near_zero_everywhere() {
    let row = next(|_| ());
    for name in ["url_length_z", "header_bytes_z", "request_body_z", "inter_arrival_z"] {
        assert!(one(&row, name).abs() < 1.0, "{name}: {}", one(&row, name));
    }
    for name in ["header_order_new", "client_new", "network_new", "path_new", "path_template_new"] {
        assert_eq!(one(&row, name), 0.0, "{name}");
    }
}

#[test]
fn sizes_are_held_against_the_own_baseline() {
    // Always the same, so the least deviation of a tenth holds: ln(801 / 401) / 0.1.
    let row = next(|arrival| arrival.fields.bytes = 800);
    assert!(near(one(&row, "header_bytes_z"), 6.919), "{}", one(&row, "header_bytes_z"));
    assert_eq!(one(&next(|arrival| arrival.fields.bytes = 3_600), "header_bytes_z"), 16.0);
    assert_eq!(one(&next(|arrival| arrival.body = Some(0)), "request_body_z"), -16.0);
    assert!(one(&next(|arrival| arrival.body = None), "request_body_z").is_nan());
    let injected = "page=2%27%20UNION%20SELECT%20name,password%20FROM%20users%20WHERE%20%271%27=%271";
    assert!(one(&next(|arrival| arrival.query = Some(injected)), "url_length_z") > 6.0);
}

#[test]
fn injections_move_their_columns() {
    let usual = next(|_| ());
    let injected = next(|arrival| arrival.query = Some("page=2%27%20OR%20%271%27=%271%27--"));
    assert_eq!(one(&usual, "url_punctuation"), 0.0);
    assert!(near(one(&injected, "url_punctuation"), 7_f32.ln()), "{}", one(&injected, "url_punctuation").exp());
    assert!(one(&injected, "query_entropy") > one(&usual, "query_entropy"));
}

#[test]
fn another_client_is_new() {
    // 200 seconds begin in four minutes, all with the other one.
    let new = 5_f32.ln();
    let row = next(|arrival| arrival.fields.order = 9);
    assert_eq!((one(&row, "header_order_new"), one(&row, "client_new")), (new, new));
    let row = next(|arrival| arrival.fields.agent = 9);
    assert_eq!((one(&row, "header_order_new"), one(&row, "client_new")), (0.0, new));
    assert_eq!(one(&next(|arrival| arrival.network = 9), "network_new"), new);
}

#[test]
fn another_path_is_new_once() {
    let (mut profile, at) = used_to(200);
    let mut ask = |path| {
        let row = arrive(&mut profile, &Arrival { at, path, ..USUAL });
        (one(&row, "path_new"), one(&row, "path_template_new"))
    };
    assert_eq!(ask("/orders/3"), (0.0, 0.0));
    assert_eq!(ask("/orders/4711"), (1.0, 0.0));
    assert_eq!(ask("/orders/4711"), (0.0, 0.0));
    assert_eq!(ask("/.git/config"), (1.0, 1.0));
    assert_eq!(ask("/.git/config"), (0.0, 0.0));
}

#[test]
fn path_scanning_is_new_paths_and_more_of_them() {
    let (mut profile, at) = used_to(200);
    let before = one(&arrive(&mut profile, &Arrival { at, ..USUAL }), "distinct_paths").exp_m1();
    assert!((before - 20.0).abs() < 2.0, "{before}");
    let names = ["admin", "backup", "config", "console", "debug", "env", "login", "old", "phpinfo", "private", "test"];
    let mut new = 0.0;
    for first in names {
        for second in names {
            let path = format!("/{first}/{second}");
            new += one(&arrive(&mut profile, &Arrival { at, path: &path, ..USUAL }), "path_template_new");
        }
    }
    assert!(new >= 110.0, "{new} of 121");
    let after = one(&arrive(&mut profile, &Arrival { at, ..USUAL }), "distinct_paths").exp_m1();
    assert!((after - 141.0).abs() < 20.0, "{after}");
}

#[test]
fn gaps_and_rates_of_requests() {
    let (mut profile, at) = used_to(1_000);
    let row = arrive(&mut profile, &Arrival { at: at + SECOND, ..USUAL });
    // Two seconds after the last; requests of 1/s weigh 1 / (1 - 1/e^(1/60)) = 60.501, of which e^(-2/60) is left.
    assert!(near(one(&row, "inter_arrival").exp_m1(), 2_000.0), "{}", one(&row, "inter_arrival").exp_m1());
    assert!(near(one(&row, "inter_arrival_z"), (2_001_f32 / 1_001.0).ln() / 0.1));
    assert!(near(one(&row, "request_rate").exp_m1(), 58.517), "{}", one(&row, "request_rate").exp_m1());
    assert!(one(&row, "request_rate_z").abs() < 1.0, "{}", one(&row, "request_rate_z"));
}

#[test]
fn a_burst_moves_gap_and_rate() {
    let (mut profile, at) = used_to(1_000);
    let mut last = Row::default();
    for number in 0..300 {
        last = arrive(&mut profile, &Arrival { at: at + Duration::from_millis(10) * number, ..USUAL });
        assert!(number != 1 || one(&last, "inter_arrival_z") == -16.0);
    }
    assert!(one(&last, "request_rate_z") > 6.0, "{}", one(&last, "request_rate_z"));
    // It is not usual by having been there once.
    let later = at + SECOND * 600;
    for number in 0..60 {
        arrive(&mut profile, &Arrival { at: later + SECOND * number, ..USUAL });
    }
    assert!(usual(&profile, "request_rate").is_some_and(|rate| rate < 100.0), "{:?}", usual(&profile, "request_rate"));
}

#[test]
fn time_that_goes_back_is_no_time() {
    let (mut profile, at) = used_to(100);
    let row = arrive(&mut profile, &Arrival { at: Duration::ZERO, ..USUAL });
    assert_eq!(one(&row, "inter_arrival"), 0.0);
    let row = arrive(&mut profile, &Arrival { at, ..USUAL });
    assert!(near(one(&row, "inter_arrival").exp_m1(), 1_000.0));
}

#[test]
fn errors_add_up() {
    let (mut profile, at) = used_to(100);
    for _ in 0..32 {
        leave(&mut profile, &Outcome { at, status: 401, ..ANSWER });
    }
    let row = arrive(&mut profile, &Arrival { at, ..USUAL });
    // 1 - (31/32)^32
    assert!(near(one(&row, "error_rate"), 0.6379), "{}", one(&row, "error_rate"));
    // Who is refused, or stays away, is not held to it for ever.
    let row = arrive(&mut profile, &Arrival { at: at + ERROR_HALF_LIFE, ..USUAL });
    assert!(near(one(&row, "error_rate"), 0.319), "{}", one(&row, "error_rate"));
    assert_eq!(profile.counts.errors, 32);
}

#[test]
fn outcomes_are_held_against_the_own_baseline() {
    let (mut profile, _) = used_to(200);
    let row = leave(&mut profile, &Outcome { duration: Duration::from_millis(41), response_bytes: 10_001, ..ANSWER });
    assert!(near(one(&row, "duration_z"), 2_f32.ln() / 0.1), "{}", one(&row, "duration_z"));
    assert!(near(one(&row, "response_bytes_z"), 2_f32.ln() / 0.1));
}

#[test]
fn one_outlier_does_not_make_the_next_usual() {
    let (mut profile, at) = used_to(200);
    for _ in 0..2 {
        let row = arrive(&mut profile, &Arrival { at, body: Some(u64::MAX), ..USUAL });
        assert!(one(&row, "request_body_z") == 16.0);
    }
    assert!(usual(&profile, "request_body").is_some_and(|bytes| bytes < 1_100.0));
}

#[test]
fn what_is_usual_is_told_in_its_unit() {
    assert_eq!(usual(&Profile::default(), "header_bytes"), None);
    let (profile, _) = used_to(200);
    for (name, expected) in [
        ("header_bytes", 400.0),
        ("request_body", 1_000.0),
        ("inter_arrival", 1_000.0),
        ("duration", 20.0),
        ("response_bytes", 5_000.0),
    ] {
        assert!(
            usual(&profile, name).is_some_and(|usual| near(usual, expected)),
            "{name}: {:?}",
            usual(&profile, name)
        );
    }
    assert!(usual(&profile, "url_length").is_some() && usual(&profile, "request_rate").is_some());
    assert_eq!(usual(&profile, "method"), None);
}

#[test]
fn windows_are_counted_and_closed() {
    let (mut profile, at) = used_to(200);
    leave(&mut profile, &Outcome { status: 503, response_bytes: 7, ..ANSWER });
    assert_eq!(profile.counts.rarity, 1.0);
    profile.counts.rarity = 0.25;
    let counts = profile.close_window();
    assert_eq!((counts.requests, counts.errors, counts.response_bytes), (200, 1, 1_000_007));
    assert!(counts.paths.abs_diff(20) <= 1, "{}", counts.paths);
    let next = Counts { rarity: 0.25, ..Counts::default() };
    assert_eq!((profile.counts, profile.close_window()), (next, next));
    assert_eq!(one(&arrive(&mut profile, &Arrival { at, ..USUAL }), "distinct_paths"), 0.0);
    assert_eq!((profile.close_window().requests, profile.close_window().rarity), (1, 0.25));
}

/// Whatever a request is made of.
fn any_request() -> impl Strategy<Value = (Vec<u64>, String, Option<String>, Option<Vec<u8>>, u16)> {
    let numbers = proptest::collection::vec(prop_oneof![any::<u64>(), 0..100_u64, Just(u64::MAX)], 12);
    let content_type = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..30));
    (numbers, ".{0,60}", proptest::option::of(".{0,60}"), content_type, any::<u16>())
}

proptest! {
    #[test]
    fn every_column_is_a_number_or_missing(requests in proptest::collection::vec(any_request(), 1..60)) {
        let (mut profile, mut again) = (Profile::default(), Profile::default());
        for (numbers, path, query, content_type, status) in &requests {
            let arrival = Arrival {
                at: Duration::from_nanos(numbers[0]),
                wall: Duration::from_secs(numbers[1]),
                method: &Method::POST,
                path,
                query: query.as_deref(),
                fields: Fields {
                    count: numbers[2] as u32, bytes: numbers[3] as u32, order: numbers[4], agent: numbers[5],
                },
                content_type: content_type.as_deref(),
                body: (numbers[6] % 3 > 0).then_some(numbers[6]),
                caller: numbers[7],
                network: numbers[8],
                token_age: (numbers[9] % 3 > 0).then_some(Duration::from_secs(numbers[9])),
            };
            let outcome = Outcome {
                at: arrival.at,
                duration: Duration::from_secs(numbers[10]),
                status: *status,
                request_bytes: numbers[11],
                response_bytes: numbers[10],
is_failure: false,
            };
            let mut row = arrive(&mut profile, &arrival);
            profile.answer(&outcome, &mut row);
            for (column, number) in row.0.iter().enumerate() {
                prop_assert!(number.is_nan() || number.is_finite(), "column {} is {}", column, number);
                prop_assert!(number.is_nan() || number.abs() < 1e10);
            }
            for (name, low, high) in [
                ("header_bytes_z", -16.0, 16.0), ("inter_arrival_z", -16.0, 16.0), ("request_rate_z", -16.0, 16.0),
                ("duration_z", -16.0, 16.0), ("error_rate", 0.0, 1.0), ("distinct_paths", 0.0, 8.1), ("path_new", 0.0, 1.0),
            ] {
                prop_assert!(one(&row, name).is_nan() || (low..=high).contains(&one(&row, name)), "{}", name);
            }
            let mut same = arrive(&mut again, &arrival);
            again.answer(&outcome, &mut same);
            prop_assert!((0..COLUMNS).all(|column| same.0[column].to_bits() == row.0[column].to_bits()));
        }
    }
}
