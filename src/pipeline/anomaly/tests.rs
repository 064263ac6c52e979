use http::{HeaderMap, HeaderValue, Method, Version};

use super::*;
use crate::anomaly::Row;
use crate::anomaly::explanation::{Because, Explanation};
use crate::anomaly::model::Judgement;
use crate::anomaly::profile::Met;
use crate::anomaly::profile::Place;
use crate::config::checked::anomaly::Ladder;
use crate::pipeline::caller::By;
use crate::route::Params;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn policy(explain: bool) -> AnomalyPolicy {
    let ladder = Ladder {
        rungs: vec![(Action::Tag, 0.02), (Action::Throttle, 0.005), (Action::Block, 0.0005)],
        cool_down: Duration::from_secs(300),
        throttle: Duration::from_secs(1),
    };
    AnomalyPolicy { ladder, header: HeaderName::from_static("x-anomaly-score"), explain, model: None, shadow: None }
}

fn verdict(action: Action) -> Verdict {
    Verdict { action, rarity: 0.0004, wait: None, since: None }
}

fn arrived(verdict: Verdict) -> Arrived {
    let because = |text: &str| Because { feature: "header_bytes", share: 0.4, text: text.to_owned() };
    let reasons = vec![because("header bytes 9× this caller's usual"), because("path never seen")];
    Arrived {
        place: Place { route: 1, caller: 2 },
        row: Row::default(),
        met: Met::default(),
        wall: Duration::ZERO,
        judged: Some(Judgement { score: 0.7104, rarity: 0.0002 }),
        shadow: None,
        verdict,
        held_back: None,
        explanation: (verdict.rarity < 0.02).then(|| Box::new(Explanation { reasons })),
    }
}

/// What a request with this verdict is refused with.
fn refusal(verdict: Verdict, explain: bool) -> Option<Rejection> {
    refuses(&verdict).map(|reason| rejection(reason, &policy(explain), &arrived(verdict), NOW))
}

fn fields(rejection: &Rejection) -> Vec<(&str, &str)> {
    rejection.fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

#[test]
fn only_what_the_verdict_asks_for_is_refused() {
    for action in [Action::Observe, Action::Tag, Action::Throttle] {
        assert_eq!(refusal(verdict(action), true), None, "{action:?}");
    }
    assert_eq!(refusal(verdict(Action::Block), false), Some(Rejection::new(Reason::Anomalous)));
}

#[test]
fn a_throttled_caller_is_told_when_to_come_back() {
    for (wait, told) in [(1, "1"), (1_000, "1"), (1_001, "2"), (59_000, "59")] {
        let wait = Some(Duration::from_millis(wait));
        let refused = refusal(Verdict { wait, ..verdict(Action::Throttle) }, false).unwrap();
        assert_eq!(refused.reason, Reason::AnomalyThrottled);
        assert_eq!(fields(&refused), [("retry-after", told)]);
    }
}

#[test]
fn a_challenged_caller_is_told_how_old_its_authentication_may_be() {
    for (since, max_age) in [(NOW - Duration::from_millis(41_500), 41), (NOW, 0), (NOW + Duration::from_secs(9), 0)] {
        let refused = refusal(Verdict { since: Some(since), ..verdict(Action::Challenge) }, false).unwrap();
        assert_eq!(refused.reason, Reason::ReauthenticationRequired);
        let [("www-authenticate", challenge)] = fields(&refused)[..] else { panic!("{refused:?}") };
        assert!(challenge.starts_with(r#"Bearer realm="sluice", error="insufficient_user_authentication", "#));
        assert!(challenge.ends_with(&format!(r#", max_age="{max_age}""#)), "{challenge}");
    }
}

#[test]
fn clients_learn_why_only_where_the_route_says_so() {
    let told = refusal(verdict(Action::Block), true).unwrap().detail;
    let why = "Unusual: header bytes 9× this caller's usual, path never seen.";
    assert_eq!(told, format!("{} {why}", Reason::Anomalous.detail()));
    assert_eq!(refusal(verdict(Action::Block), false).unwrap().detail, Reason::Anomalous.detail());
}

#[test]
fn the_log_says_what_was_done_and_why() {
    let told = arrived(verdict(Action::Tag));
    let Unusual { judged, action, why } = unusual(&told);
    assert_eq!((judged, action), (Some((0.7104, 0.0004)), Some("tag")));
    assert_eq!(why, ["header bytes 9× this caller's usual", "path never seen", ""]);
    // On a route that only observes, what would be unusual is marked.
    assert_eq!(unusual(&arrived(verdict(Action::Observe))).action, Some("observe"));
    let usual = Arrived { judged: None, ..arrived(Verdict { rarity: 1.0, ..verdict(Action::Observe) }) };
    let Unusual { judged, action, why } = unusual(&usual);
    assert_eq!((judged, action, why), (None, None, [""; 3]));
}

#[test]
fn upstreams_are_told_by_a_structured_field() {
    let told = |score, rarity, action| {
        let mut lines = FieldLines::default();
        Tag { header: &HeaderName::from_static("x-anomaly-score"), score, rarity, action }.write(&mut lines);
        String::from_utf8(lines.into_memory()).unwrap()
    };
    assert_eq!(told(0.7104, 0.0004, Action::Tag), "x-anomaly-score: 0.71;rarity_ppm=400;action=tag\r\n");
    assert_eq!(told(0.9999, 1e-9, Action::Throttle), "x-anomaly-score: 1.0;rarity_ppm=1;action=throttle\r\n");
    assert_eq!(told(0.0001, 1.0, Action::Tag), "x-anomaly-score: 0.0;rarity_ppm=1000000;action=tag\r\n");
}

#[test]
fn a_caller_is_one_whatever_its_credential() {
    let key = |id: &str| By::ApiKey { id: id.into(), scopes: None };
    let caller = |by| Caller { by, partner: None, vouched: true };
    assert_eq!(number_of(&caller(key("k-1")), 1), number_of(&caller(key("k-1")), 2));
    assert_ne!(number_of(&caller(key("k-1")), 1), number_of(&caller(key("k-2")), 1));
}

struct Seen {
    method: Method,
    fields: HeaderMap,
    body: BodyLength,
}

impl RequestView for Seen {
    fn method(&self) -> &Method {
        &self.method
    }

    fn path(&self) -> &str {
        "/"
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn authority(&self) -> Option<&str> {
        None
    }

    fn version(&self) -> Version {
        Version::HTTP_11
    }

    fn body(&self) -> BodyLength {
        self.body
    }

    fn values<'v, 'n>(&'v self, name: &'n HeaderName) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, 'n> {
        self.fields.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }

    fn known<'v>(&'v self, _field: Known) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v> {
        std::iter::empty()
    }

    fn fields<'v>(&'v self) -> impl Iterator<Item = (&'v str, &'v [u8])> + use<'v> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    fn nominates(&self) -> bool {
        false
    }
}

#[test]
fn what_is_known_of_a_request_is_told() {
    let fields = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_iter().collect();
    let request = Seen { method: Method::POST, fields, body: BodyLength::Known(12) };
    let resource = Resource { path: "/orders", query: Some("page=2"), params: &Params::default() };
    let mut facts = Facts::new();
    facts.started_at = NOW;
    let token = Some(NOW - Duration::from_secs(60));
    let told = arrival(&request, &resource, &facts, token);
    assert_eq!((told.method, told.path, told.query), (&Method::POST, "/orders", Some("page=2")));
    assert_eq!(told.body, Some(12));
    assert_eq!((told.caller, told.wall), (told.network, NOW), "strangers are told apart by where they are");
    assert_eq!(told.token_age, Some(Duration::from_secs(60)));
    let ahead = arrival(&request, &resource, &facts, Some(NOW + Duration::from_secs(3)));
    assert_eq!(ahead.token_age, Some(Duration::ZERO), "a clock that is ahead");
    for (body, told) in [(BodyLength::None, Some(0)), (BodyLength::Unknown, None)] {
        let request = Seen { method: Method::GET, fields: HeaderMap::new(), body };
        assert_eq!(arrival(&request, &resource, &facts, None).body, told);
    }
}

#[test]
fn the_content_type_is_noted_in_passing() {
    let fields = [("accept", "*/*"), ("Content-Type", "text/csv"), ("content-type", "text/html"), ("x-a", "1")];
    let fields = fields.map(|(name, value)| (name, value.as_bytes()));
    let mut noted = None;
    let passed: Vec<_> = noting_content_type(fields.into_iter(), &mut noted).collect();
    assert_eq!(passed, fields.map(|(name, value)| (name.as_bytes(), value)));
    assert_eq!(noted, Some(&b"text/csv"[..]));
}
