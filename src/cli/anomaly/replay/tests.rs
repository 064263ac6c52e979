use super::*;
use crate::anomaly::features::feature_of;

fn request(at: u64, took: u64, fate: Fate) -> Request {
    Request {
        id: format!("r-{at}").into(),
        time: Duration::from_secs(1_800_000_000 + at),
        client: "203.0.113.7".parse().unwrap(),
        method: http::Method::GET,
        path: format!("/orders/{at}").into(),
        route: "orders".into(),
        caller: 7,
        who: "partner acme".into(),
        status: 200,
        took: Duration::from_secs(took),
        request_bytes: 0,
        response_bytes: 100 + at,
        agent: 3,
        fate,
        said: None,
    }
}

fn steps(requests: &[Request]) -> Vec<(char, Box<str>, Row)> {
    let mut steps = Vec::new();
    replay(requests, 64, None, |step| {
        steps.push(match step {
            Step::Arrived(request, row, _) => ('+', request.id.clone(), row.clone()),
            Step::Left(request, row) => ('-', request.id.clone(), row.clone()),
        });
    });
    steps
}

#[test]
fn answers_are_learned_from_when_they_were_complete() {
    let requests = [
        request(0, 5, Fate::Passed),
        request(1, 1, Fate::Passed),
        request(2, 9, Fate::Refused),
        request(3, 0, Fate::Unseen),
        request(6, 1, Fate::Passed),
    ];
    let order: Vec<_> = steps(&requests).iter().map(|(what, id, _)| format!("{what}{id}")).collect();
    assert_eq!(order, ["+r-0", "+r-1", "-r-1", "+r-2", "-r-0", "+r-6", "-r-6"]);
}

#[test]
fn what_a_log_does_not_tell_is_missing_and_everything_else_is_there() {
    let requests: Vec<Request> = (0..400).map(|at| request(at, 0, Fate::Passed)).collect();
    let (what, _, row) = steps(&requests).pop().unwrap();
    assert_eq!(what, '-');
    for (column, value) in row.0.iter().enumerate() {
        let name = feature_of(column).unwrap().name;
        assert_eq!(value.is_nan(), MISSING.contains(&name), "{name}");
    }
}

#[test]
fn paths_are_counted_by_the_window() {
    let requests: Vec<Request> = (0..40).map(|at| request(at, 0, Fate::Passed)).collect();
    let distinct = |(_, _, row): &(char, Box<str>, Row)| row.0[columns("distinct_paths").start].exp_m1();
    let most = steps(&requests).iter().map(distinct).fold(0.0, f32::max);
    assert!((8.0..10.0).contains(&most), "{most}");
}
