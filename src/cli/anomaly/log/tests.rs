use proptest::prelude::*;

use super::*;

const LINE: &str = r#"{"time":"2026-11-23T01:45:07.000123Z","request_id":"r-1","client":"203.0.113.7","listener":"public","protocol":"HTTP/1.1","method":"GET","host":"a","path":"/api/orders/42","route":"orders","partner":"acme","auth":"jwt","subject":"u1","status":504,"reason":"UPSTREAM_TIMEOUT","anomaly_score":0.71,"anomaly_rarity":0.0004,"anomaly_action":"tag","anomaly_why":["path not seen from this caller of late"],"upstream":"orders","attempts":1,"request_bytes":0,"response_bytes":312,"total_us":2016204,"snapshot":"0a1b2c3d4e5f","user_agent":"curl/8.7.1"}"#;

fn read(text: &[u8]) -> (Vec<Request>, Counts) {
    let (mut requests, mut counts) = (Vec::new(), Counts::default());
    counts.read(text, |request| requests.push(request)).unwrap();
    (requests, counts)
}

fn parsed(line: &str) -> Request {
    Request::parse(line.as_bytes()).unwrap()
}

#[test]
fn a_line_is_read() {
    let request = parsed(LINE);
    assert_eq!(request.time.subsec_micros(), 123);
    assert_eq!((&*request.id, &*request.path, &*request.route), ("r-1", "/api/orders/42", "orders"));
    assert_eq!((request.status, request.took.as_micros(), request.response_bytes), (504, 2_016_204, 312));
    assert_eq!((&*request.who, request.fate), ("partner acme", Fate::Failed));
    let said = request.said.unwrap();
    assert_eq!((said.score, said.rarity, &*said.action), (0.71, 0.0004, "tag"));
    assert_eq!(said.why, ["path not seen from this caller of late"]);
}

#[test]
fn callers_are_who_they_are_whatever_they_show() {
    let other = parsed(&LINE.replace("jwt", "api_key").replace("u1", "u2"));
    assert_eq!(parsed(LINE).caller, other.caller, "one partner");
    let alone = |line: &str| parsed(&line.replace("\"partner\":\"acme\",", ""));
    assert_ne!(alone(LINE).caller, alone(&LINE.replace("u1", "u2")).caller);
    assert_eq!(&*alone(LINE).who, "jwt u1");
    let stranger = parsed(&LINE.replace("\"partner\":\"acme\",\"auth\":\"jwt\",\"subject\":\"u1\",", ""));
    assert_eq!(&*stranger.who, "");
    let line = LINE.replace("\"partner\":\"acme\",\"auth\":\"jwt\",\"subject\":\"u1\",", "");
    assert_eq!(parsed(&line.replace("203.0.113.7", "203.0.113.9")).caller, stranger.caller, "one network");
    assert_ne!(parsed(&line.replace("203.0.113.7", "203.0.114.7")).caller, stranger.caller);
}

#[test]
fn what_was_refused_before_the_check_is_told_from_what_it_refused() {
    let without = LINE.replace("\"upstream\":\"orders\",", "");
    let unscored = without.replace("\"anomaly_score\":0.71,\"anomaly_rarity\":0.0004,", "");
    for (line, fate) in [
        (without.as_str(), Fate::Failed),
        (&unscored.replace("UPSTREAM_TIMEOUT", "RATE_LIMITED"), Fate::Unseen),
        (&without.replace("UPSTREAM_TIMEOUT", "ANOMALOUS"), Fate::Refused),
        (&without.replace("UPSTREAM_TIMEOUT", "ANOMALY_THROTTLED"), Fate::Refused),
        (&unscored.replace("\"reason\":\"UPSTREAM_TIMEOUT\",", ""), Fate::Failed),
        (&unscored.replace("\"reason\":\"UPSTREAM_TIMEOUT\",", "").replace("504", "404"), Fate::Passed),
        (&without.replace("504", "200"), Fate::Failed),
        (&without.replace("UPSTREAM_TIMEOUT", "CLIENT_CLOSED").replace("504", "200"), Fate::Passed),
        (&without.replace("UPSTREAM_TIMEOUT", "CLIENT_CLOSED").replace("504", "499"), Fate::Failed),
    ] {
        assert_eq!(parsed(line).fate, fate, "{line}");
    }
}

#[test]
fn bad_lines_are_counted_with_their_numbers_and_nothing_else_is_lost() {
    let long = "x".repeat(3 * MAX_LINE);
    let text = format!("{LINE}\n\nno json\n{long}\n{LINE}\n{{\"time\":1}}\n{LINE}");
    let (requests, counts) = read(text.as_bytes());
    assert_eq!((requests.len(), counts.lines, counts.bad), (3, 6, 3));
    let told: Vec<u64> = counts.told.iter().map(|(line, _)| *line).collect();
    assert_eq!(told, [3, 4, 6]);
    assert_eq!(counts.told[1].1, "longer than 65536 bytes");
}

#[test]
fn the_longest_line_is_no_bad_one() {
    let room = "y".repeat(MAX_LINE - LINE.len() - 1);
    let line = LINE.replace("curl/8.7.1", &format!("{room}curl/8.7.1"));
    assert_eq!(line.len(), MAX_LINE - 1);
    assert_eq!(read(format!("{line}\n{line}").as_bytes()).0.len(), 2);
}

#[test]
fn methods_that_were_cut_are_methods() {
    let long = format!("{}…", "M".repeat(32));
    assert_eq!(parsed(&LINE.replace("GET", &long)).method.as_str().len(), 32);
    assert!(Request::parse(LINE.replace("GET", "G T").as_bytes()).is_err());
    assert_eq!(parsed(&LINE.replace("\"method\":\"GET\",", "")).method, http::Method::GET);
}

proptest! {
    #[test]
    fn any_bytes_are_lines_good_or_bad(text in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let (requests, counts) = read(&text);
        prop_assert_eq!(requests.len() as u64 + counts.bad, counts.lines);
    }

    #[test]
    fn a_line_with_anything_changed_is_read_or_refused(at in 0..LINE.len(), with in any::<u8>(), cut in any::<bool>()) {
        let mut text = LINE.as_bytes().to_vec();
        text[at] = with;
        if cut {
            text.truncate(at);
        }
        let (requests, counts) = read(&text);
        prop_assert_eq!(requests.len() as u64 + counts.bad, counts.lines);
    }

    #[test]
    fn any_numbers_are_a_request(bytes in any::<u64>(), micros in any::<u64>(), status in any::<u16>()) {
        let request = parsed(
            &LINE
                .replace(":504,", &format!(":{status},"))
                .replace(":312,", &format!(":{bytes},"))
                .replace(":2016204,", &format!(":{micros},")),
        );
        prop_assert_eq!((request.response_bytes, request.status), (bytes, status));
        prop_assert!(request.time.checked_add(request.took).is_some());
    }
}
