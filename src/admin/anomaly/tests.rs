use super::*;

const NUMBERS: Numbers = Numbers { rows: 800, needed: 2_000, seen: 812, drift: None };

#[test]
fn a_route_that_has_seen_too_little_says_how_much() {
    assert_eq!(lacking(&NUMBERS).as_deref(), Some("not enough data: 812 of 2000"));
    assert_eq!(lacking(&Numbers { seen: 2_000, ..NUMBERS }), None);
}

#[test]
fn the_rate_is_of_what_was_scored_and_reached_a_rung() {
    assert_eq!(rate(&AnomalyCounts::default()), None);
    let counts =
        AnomalyCounts { actions: [90, 4, 3, 0, 2], held_back: 1, unusual: 10, refused: 3, ..AnomalyCounts::default() };
    assert_eq!(rate(&counts), Some(0.1));
    let said = requests(&counts);
    for (member, expected) in
        [("observe", 90), ("tag", 4), ("challenge", 0), ("block", 2), ("held_back", 1), ("refused", 3), ("unusual", 10)]
    {
        assert_eq!(said[member], expected, "{member}");
    }
}

#[test]
fn a_share_is_said_as_it_was_written() {
    assert_eq!(
        rung(Action::Block, 0.0005, None, false),
        json!({ "action": "block", "share": 0.0005, "score": null, "reachable": null })
    );
}

#[test]
fn what_was_tried_is_said() {
    let trained = Trained { route: None, took: Duration::from_millis(500), outcome: Outcome::TooFew };
    let expected = json!({ "route": null, "result": "too_few", "version": null, "seconds": 0.5 });
    assert_eq!(said(&trained), expected);
    note(&trained, &Metrics::new());
}
