use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::document::read;
use super::*;

const NOW: u64 = 1_800_000_000;

fn now() -> Duration {
    Duration::from_secs(NOW)
}

fn token(issuer: &str, id: &str, subject: &str, partner: &str, issued_at: Option<u64>) -> Token {
    let some = |text: &str| (!text.is_empty()).then(|| text.into());
    Token {
        issuer: issuer.into(),
        subject: some(subject),
        partner: some(partner),
        id: some(id),
        scopes: Box::new([]),
        issued_at,
        expires: None,
        ends: Duration::MAX,
        claims: Box::new([]),
    }
}

fn ann() -> Token {
    token("main", "t1", "ann", "client-7", Some(NOW - 100))
}

fn one(json: &str) -> Revocation {
    read_one(json.as_bytes(), NOW).unwrap_or_else(|mistakes| panic!("{json}: {mistakes:?}"))
}

fn revoking(json: &str) -> Revocations {
    let revocations = Revocations::default();
    revocations.add(one(json), NOW).unwrap();
    revocations
}

#[test]
fn nothing_is_revoked_at_first() {
    assert!(!Revocations::default().revokes(Some(&ann()), Some("acme"), now()));
}

#[test]
fn what_is_named_is_revoked_and_nothing_else() {
    // Of ann, a partner acme's token, issued a hundred seconds ago by main.
    for (json, holds) in [
        (r#"{"token_id": "t1"}"#, true),
        (r#"{"token_id": "t2"}"#, false),
        (r#"{"token_id": "T1"}"#, false),
        (r#"{"token_id": "t1", "issuer": "main"}"#, true),
        (r#"{"token_id": "t1", "issuer": "other"}"#, false),
        (r#"{"token_id": "ann"}"#, false),
        (r#"{"subject": "ann"}"#, true),
        (r#"{"subject": "t1"}"#, false),
        (r#"{"subject": "ann", "issuer": "other"}"#, false),
        (r#"{"subject": "ann", "issued_before": 1799999900}"#, false),
        (r#"{"subject": "ann", "issued_before": 1799999901}"#, true),
        (r#"{"partner": "acme"}"#, true),
        (r#"{"partner": "acme", "issuer": "main"}"#, true),
        (r#"{"partner": "acme", "issuer": "other"}"#, false),
        (r#"{"partner": "acme", "issued_before": 1799999901}"#, true),
        (r#"{"partner": "acme", "issued_before": 1799999900}"#, false),
        // A claim that is mapped to a partner is not its name.
        (r#"{"partner": "client-7"}"#, false),
        (r#"{"issued_before": 1799999901}"#, true),
        (r#"{"issued_before": 1799999900}"#, false),
        (r#"{"issued_before": 1799999901, "issuer": "main"}"#, true),
        (r#"{"issued_before": 1799999901, "issuer": "other"}"#, false),
        (r#"{"issued_before": "2027-01-15T07:58:20Z"}"#, false),
        // Within the second in which it was issued.
        (r#"{"issued_before": "2027-01-15T07:58:20.001Z"}"#, true),
        (r#"{"token_id": "t1", "until": 1800000001}"#, true),
        (r#"{"token_id": "t1", "until": 1800000000}"#, false),
    ] {
        assert_eq!(revoking(json).revokes(Some(&ann()), Some("acme"), now()), holds, "{json}");
    }
}

#[test]
fn a_token_that_does_not_say_when_it_was_issued_is_older_than_any() {
    let timeless = token("main", "", "", "", None);
    assert!(revoking(r#"{"issued_before": 1}"#).revokes(Some(&timeless), None, now()));
    assert!(!revoking(r#"{"token_id": "t1"}"#).revokes(Some(&timeless), None, now()));
}

#[test]
fn a_partner_that_nobody_knows_is_the_one_that_the_token_names() {
    let revocations = revoking(r#"{"partner": "client-7"}"#);
    assert!(revocations.revokes(Some(&ann()), None, now()));
    assert!(!revocations.revokes(Some(&ann()), Some("acme"), now()));
}

#[test]
fn keys_and_certificates_of_a_partner_are_revoked_with_it() {
    for (json, holds) in [
        (r#"{"partner": "acme"}"#, true),
        (r#"{"partner": "other"}"#, false),
        // These are about tokens.
        (r#"{"partner": "acme", "issuer": "main"}"#, false),
        (r#"{"partner": "acme", "issued_before": 1800000000}"#, false),
        (r#"{"issued_before": 1800000000}"#, false),
        (r#"{"subject": "acme"}"#, false),
    ] {
        assert_eq!(revoking(json).revokes(None, Some("acme"), now()), holds, "{json}");
    }
    assert!(!revoking(r#"{"partner": "acme"}"#).revokes(None, None, now()));
}

#[test]
fn the_same_again_is_one_revocation_with_the_later_end() {
    let revocations = revoking(r#"{"token_id": "t1", "until": 1800000100, "reason": "lost"}"#);
    let again = revocations.add(one(r#"{"token_id": "t1", "until": 1800000050}"#), NOW + 1).unwrap();
    assert!(!again.is_new);
    assert_eq!(again.entry.revocation, one(r#"{"token_id": "t1", "until": 1800000100, "reason": "lost"}"#));
    let again = revocations.add(one(r#"{"token_id": "t1", "reason": "stolen"}"#), NOW + 1).unwrap();
    assert_eq!((again.entry.revocation.until, again.entry.at), (None, NOW));
    assert_eq!(again.entry.revocation.reason.as_deref(), Some("stolen"));
    assert_eq!(revocations.counts(), Counts { file: 0, api: 1, unsaved: 1 });
    assert!(revocations.revokes(Some(&ann()), None, Duration::from_secs(NOW + 1_000)));
}

#[test]
fn file_and_api_add_up() {
    let revocations = revoking(r#"{"token_id": "t1", "until": 1800000010}"#);
    let other = token("main", "t2", "", "", None);
    revocations.replace_file(vec![one(r#"{"token_id": "t1"}"#), one(r#"{"token_id": "t2"}"#)], NOW);
    let id = one(r#"{"token_id": "t1"}"#).id();
    assert_eq!(revocations.counts(), Counts { file: 2, api: 1, unsaved: 1 });
    assert_eq!(revocations.get(id).unwrap().revocation().until, None, "the one that holds longer");
    let later = Duration::from_secs(NOW + 20);
    assert!(revocations.revokes(Some(&ann()), None, later));
    // The API's part of it ends, the file's goes on.
    revocations.sweep(NOW + 20);
    assert_eq!(revocations.counts().api, 0);
    assert!(revocations.revokes(Some(&ann()), None, later));
    assert_eq!(revocations.remove(id), Removed::OnlyInFile);
    revocations.replace_file(vec![one(r#"{"token_id": "t2"}"#)], NOW);
    assert!(!revocations.revokes(Some(&ann()), None, later));
    assert!(revocations.revokes(Some(&other), None, later));
    revocations.replace_file(vec![], NOW);
    assert!(!revocations.revokes(Some(&other), None, later));
    assert_eq!(revocations.kinds.load(Ordering::Relaxed), 0, "as if nothing had been revoked");
}

#[test]
fn a_revocation_of_both_stays_until_both_have_taken_it_off() {
    let revocations = revoking(r#"{"subject": "ann"}"#);
    revocations.replace_file(vec![one(r#"{"subject": "ann"}"#)], NOW);
    let id = one(r#"{"subject": "ann"}"#).id();
    assert_eq!(revocations.remove(id), Removed::Yes { in_file: true });
    assert!(revocations.revokes(Some(&ann()), None, now()));
    let revocations = revoking(r#"{"subject": "ann"}"#);
    assert_eq!(revocations.remove(id), Removed::Yes { in_file: false });
    assert!(!revocations.revokes(Some(&ann()), None, now()));
    assert_eq!(revocations.remove(id), Removed::Unknown);
}

#[test]
fn what_a_restart_would_lose_is_told_until_it_is_saved() {
    let revocations = revoking(r#"{"token_id": "t1", "until": 1800000010}"#);
    let first = revocations.unsaved(9);
    assert_eq!(first[0].entry.as_ref().unwrap().revocation, one(r#"{"token_id": "t1", "until": 1800000010}"#));
    // It changes while it is being saved.
    revocations.add(one(r#"{"token_id": "t1", "until": 1800000020}"#), NOW).unwrap();
    revocations.saved(&first);
    let second = revocations.unsaved(9);
    assert_eq!(second.len(), 1);
    revocations.saved(&second);
    assert_eq!(revocations.counts().unsaved, 0);
    // What has ended is deleted there, too.
    revocations.sweep(NOW + 20);
    assert!(revocations.unsaved(9)[0].entry.is_none());
    // The file is its own memory.
    let revocations = Revocations::default();
    revocations.replace_file(vec![one(r#"{"token_id": "t1"}"#)], NOW);
    assert!(revocations.unsaved(9).is_empty());
    // What was there at the last start is saved.
    revocations.restore([(one(r#"{"token_id": "t2"}"#), 5)]);
    assert_eq!(revocations.counts(), Counts { file: 1, api: 1, unsaved: 0 });
    assert!(revocations.revokes(Some(&token("x", "t2", "", "", None)), None, now()));
}

#[test]
fn a_name_has_a_bounded_number_of_revocations() {
    let revocations = Revocations::default();
    let before = |at| one(&format!(r#"{{"subject": "ann", "issued_before": {at}}}"#));
    let full = (1..).find(|at| revocations.add(before(*at), NOW).is_err()).unwrap();
    assert_eq!(full, 2 * MAX_FOR_ONE as u64 + 1);
    assert_eq!(revocations.add(before(full), NOW).unwrap_err(), Full::ForOne);
    assert!(revocations.add(before(1), NOW).is_ok(), "it is there already");
    assert!(revocations.add(one(r#"{"subject": "bob"}"#), NOW).is_ok());
    let line = |at: usize| format!(r#"{{"subject": "ann", "issued_before": {at}}}"#);
    let list: Vec<String> = (1..=MAX_FOR_ONE + 1).map(line).collect();
    let mistakes = read(format!(r#"{{"revocations": [{}]}}"#, list.join(",")).as_bytes(), NOW).unwrap_err();
    assert!(mistakes.to_string().contains("1001 revocations with subject \"ann\""), "{mistakes}");
}

#[test]
fn lists_go_on_where_the_last_one_ended() {
    let revocations = Revocations::default();
    for number in 0..25 {
        revocations.add(one(&format!(r#"{{"token_id": "t{number}"}}"#)), NOW).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = revocations.list(after, 10, |_| true);
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        seen.extend(page.into_iter().map(|(id, _)| id));
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted());
    let found = revocations.list(None, 10, |revocation| revocation.target.name() == "t7");
    assert_eq!(found.len(), 1);
}

#[test]
fn ids_tell_what_is_revoked_and_nothing_else() {
    let different = [
        r#"{"token_id": "a"}"#,
        r#"{"subject": "a"}"#,
        r#"{"partner": "a"}"#,
        r#"{"token_id": "a", "issuer": "b"}"#,
        r#"{"token_id": "ab"}"#,
        r#"{"subject": "a", "issued_before": 5}"#,
        r#"{"issued_before": 5}"#,
        r#"{"issued_before": 5, "issuer": "a"}"#,
    ];
    let ids: std::collections::BTreeSet<Id> = different.iter().map(|json| one(json).id()).collect();
    assert_eq!(ids.len(), different.len());
    assert_eq!(one(r#"{"token_id": "a"}"#).id(), one(r#"{"token_id": "a", "until": 1800000009, "reason": "x"}"#).id());
    for text in ["", "0", "+0000000000000000000000000000001", "0000000000000000000000000000000G"] {
        assert_eq!(Id::parse(text), None, "{text}");
    }
}

#[test]
fn a_revocation_says_everything_that_is_wrong_with_it() {
    let long = format!(r#"{{"token_id": "{}"}}"#, "x".repeat(MAX_NAME + 1));
    for (json, expected) in [
        ("{}", "nothing is named"),
        (r#"{"issuer": "main"}"#, "nothing is named"),
        (r#"{"reason": "because"}"#, "nothing is named"),
        (r#"{"token_id": ""}"#, "`token_id` is empty"),
        (&long, "longer than 1024 bytes"),
        (r#"{"token_id": "a", "subject": "b"}"#, "each in a revocation of its own"),
        (r#"{"subject": "a", "partner": "b"}"#, "each in a revocation of its own"),
        (r#"{"token_id": "a", "issued_before": 5}"#, "leave `issued_before` out"),
        (r#"{"token_id": null}"#, "expected a string"),
        (r#"{"token_id": 7}"#, "expected a string"),
        (r#"{"tokenid": "a"}"#, "unknown field `tokenid`"),
        (r#"{"token_id": "a", "token_id": "b"}"#, "duplicate field"),
        (r#"{"issued_before": 0}"#, "nothing was issued before"),
        (r#"{"issued_before": -1}"#, "expected whole seconds"),
        (r#"{"issued_before": 1.5}"#, "expected whole seconds"),
        (r#"{"issued_before": "yesterday"}"#, "is not a point in time"),
        (r#"{"issued_before": 1800000301}"#, "in the future"),
        (r#"{"issued_before": 1800000000000}"#, "in the future"),
        (r#"{"token_id": "a", "until": 1800000000000}"#, "not in milliseconds"),
        ("[]", "expected a revocation"),
        (r#"["a"]"#, "expected a revocation"),
        ("", "EOF"),
        (r#"{"token_id": "a"} {}"#, "trailing characters"),
    ] {
        let mistakes = read_one(json.as_bytes(), NOW).unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.contains(expected)), "{json}: {mistakes:?}");
    }
    assert_eq!(read_one(br#"{"token_id": "", "issued_before": 0}"#, NOW).unwrap_err().len(), 3);
}

#[test]
fn a_file_says_every_mistake_with_its_line() {
    let file = r#"{
  "revocations": [
    {"token_id": "good"},
    {"token_id": "a",
     "tokenid": "b"},
    {},
    "text", 7, {"subject": ""}
  ]
}"#;
    let mistakes = read(file.as_bytes(), NOW).unwrap_err();
    let lines: Vec<usize> = mistakes.told.iter().map(|mistake| mistake.line).collect();
    assert_eq!((lines.as_slice(), mistakes.count), ([5, 6, 7, 7, 7].as_slice(), 5), "{mistakes}");
    assert!(mistakes.to_string().starts_with("line 5: unknown field `tokenid`"), "{mistakes}");

    for (file, line, expected) in [
        ("", 1, "expected `{"),
        ("{}", 1, "expected the key"),
        ("\n\n[]", 3, "expected `{"),
        (r#"{"revocation": []}"#, 1, "unknown key \"revocation\""),
        ("{\"revocations\":\n {}}", 2, "expected `[`"),
        (r#"{"revocations": [{"token_id": "a"}]"#, 1, "expected `}`"),
        (r#"{"revocations": [], "more": 1}"#, 1, "there is no other key"),
        (r#"{"revocations": []} x"#, 1, "something follows"),
        (r#"{"revocations": [,]}"#, 1, "expected value"),
        ("{\"revocations\": [\n{\"token_id\": \"a\"},\n]}", 3, "expected value"),
        ("{\"revocations\": [\n{\"token_id\": \"a\"}\n{}]}", 3, "expected `,` or `]`"),
        ("{\"revocations\": [\n{\"token_id\": \"a\n", 2, "control character"),
        ("{\"revocations\": [{\"token_id\": \"\u{1}\"}]}", 1, "control character"),
    ] {
        let mistakes = read(file.as_bytes(), NOW).unwrap_err();
        let Mistake { line: found, message } = &mistakes.told[0];
        assert_eq!((*found, message.contains(expected)), (line, true), "{file}: {mistakes}");
    }
    assert!(read(b"{\"revocations\": [{\"token_id\": \"\xFF\"}]}", NOW).is_err());
    assert_eq!(read(b" {\"revocations\" : [ ] } \n", NOW), Ok(vec![]));
    let many = format!(r#"{{"revocations": [{}]}}"#, vec!["{}"; 200].join(","));
    let mistakes = read(many.as_bytes(), NOW).unwrap_err();
    assert_eq!((mistakes.told.len(), mistakes.count), (50, 200));
    assert!(mistakes.to_string().ends_with("; and 150 more"));
}

#[test]
fn a_file_that_is_refused_keeps_what_was_revoked() {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("sluice-revocations-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let revocations = Revocations::default();
    let missing = File::open(&path, &revocations).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("credentials.revocations: {}: ", path.display())), "{missing}");

    std::fs::write(&path, r#"{"revocations": [{"token_id": "t1"}]}"#).unwrap();
    let file = File::open(&path, &revocations).unwrap();
    assert!(revocations.revokes(Some(&ann()), None, now()));
    std::fs::write(&path, r#"{"revocations": ["#).unwrap();
    file.reload(&revocations).unwrap_err();
    assert!(revocations.revokes(Some(&ann()), None, now()));
    assert_eq!(file.status().count, 1);
    assert!(file.status().refused.unwrap().1.contains("line 1: "));
    std::fs::remove_file(&path).unwrap();
    file.reload(&revocations).unwrap_err();
    assert!(revocations.revokes(Some(&ann()), None, now()));

    std::fs::write(&path, r#"{"revocations": []}"#).unwrap();
    assert_eq!(file.reload(&revocations).unwrap(), Reloaded { count: 0 });
    assert!(!revocations.revokes(Some(&ann()), None, now()));
    assert_eq!(file.status().refused, None);
    std::fs::remove_file(&path).unwrap();
}

/// One thread asks all the time while another one changes what is around the name.
#[test]
fn a_revocation_that_stays_holds_at_every_moment() {
    let revocations = Arc::new(Revocations::default());
    let stays = || one(r#"{"subject": "ann"}"#);
    revocations.replace_file(vec![stays()], NOW);
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (revocations, done) = (Arc::clone(&revocations), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut asked = 0_u64;
            while !done.load(Ordering::Relaxed) || asked == 0 {
                assert!(revocations.revokes(Some(&ann()), None, now()));
                asked += 1;
            }
        })
    };
    for round in 0_u64..200 {
        let mut listed: Vec<_> = (0..20).map(|n| one(&format!(r#"{{"subject": "s{}"}}"#, round * 7 + n))).collect();
        listed.push(stays());
        revocations.replace_file(listed, NOW);
        let made = revocations.add(stays(), NOW).unwrap();
        revocations.remove(made.id);
        revocations.sweep(NOW);
    }
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]", "[ab]", "\\PC{1,4}"]
}

fn revocations() -> impl Strategy<Value = Revocation> {
    let target = prop_oneof![
        names().prop_map(|name| Target::Token(name.into())),
        names().prop_map(|name| Target::Subject(name.into())),
        names().prop_map(|name| Target::Partner(name.into())),
        Just(Target::Everybody),
    ];
    let times = || proptest::option::of(NOW - 3..NOW + 3);
    (target, proptest::option::of(names()), times(), times()).prop_map(|(target, issuer, before, until)| {
        let issued_before = match target {
            Target::Token(_) => None,
            Target::Everybody => before.or(Some(NOW)),
            _ => before,
        };
        Revocation { target, issuer: issuer.map(Arc::from), issued_before, until, reason: None }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Add(Revocation),
    Remove(Revocation),
    File(Vec<Revocation>),
    Sweep,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => revocations().prop_map(Step::Add),
        2 => revocations().prop_map(Step::Remove),
        2 => proptest::collection::vec(revocations(), 0..5).prop_map(Step::File),
        1 => Just(Step::Sweep),
    ]
}

fn tokens() -> impl Strategy<Value = Token> {
    let name = || prop_oneof![Just(String::new()), names()];
    (names(), name(), name(), name(), proptest::option::of(NOW - 5..NOW + 5))
        .prop_map(|(issuer, id, subject, partner, at)| token(&issuer, &id, &subject, &partner, at))
}

/// What the documentation says, one after the other.
fn covers(revocation: &Revocation, token: Option<&Token>, partner: Option<&str>, now: u64) -> bool {
    let is_about_tokens = revocation.issuer.is_some() || revocation.issued_before.is_some();
    let issued = match token {
        None => !is_about_tokens,
        Some(token) => {
            revocation.issuer.as_ref().is_none_or(|issuer| *issuer == token.issuer)
                && revocation.issued_before.is_none_or(|before| token.issued_at.unwrap_or(0) < before)
        }
    };
    let named = match &revocation.target {
        Target::Token(id) => token.is_some_and(|token| token.id.as_deref() == Some(id)),
        Target::Subject(subject) => token.is_some_and(|token| token.subject.as_deref() == Some(subject)),
        Target::Partner(name) => partner.or(token.and_then(|token| token.partner.as_deref())) == Some(name),
        Target::Everybody => token.is_some(),
    };
    named && issued && !revocation.has_ended(now)
}

proptest! {
    #[test]
    fn the_tables_say_what_a_search_says(
        steps in proptest::collection::vec(steps(), 0..12),
        asked in proptest::collection::vec((proptest::option::of(tokens()), proptest::option::of(names())), 1..12),
    ) {
        let revocations = Revocations::default();
        let (mut api, mut file): (Vec<Revocation>, Vec<Revocation>) = Default::default();
        for step in steps {
            match step {
                Step::Add(new) => {
                    revocations.add(new.clone(), NOW).unwrap();
                    match api.iter_mut().find(|old| old.id() == new.id()) {
                        Some(old) => old.until = old.until.zip(new.until).map(|(a, b)| a.max(b)),
                        None => api.push(new),
                    }
                }
                Step::Remove(gone) => {
                    revocations.remove(gone.id());
                    api.retain(|old| old.id() != gone.id());
                }
                Step::File(listed) => {
                    revocations.replace_file(listed.clone(), NOW);
                    file = listed;
                }
                Step::Sweep => {
                    revocations.sweep(NOW);
                    api.retain(|old| !old.has_ended(NOW));
                }
            }
            prop_assert_eq!(revocations.counts().api, api.len());
            for (token, partner) in &asked {
                let (token, partner) = (token.as_ref(), partner.as_deref());
                let expected = api.iter().chain(&file).any(|one| covers(one, token, partner, NOW));
                prop_assert_eq!(revocations.revokes(token, partner, now()), expected, "{:?} {:?}", api, file);
            }
        }
        for (id, _) in revocations.list(None, usize::MAX, |_| true) {
            revocations.remove(id);
        }
        revocations.replace_file(vec![], NOW);
        prop_assert_eq!(revocations.kinds.load(Ordering::Relaxed), 0);
        prop_assert!(revocations.list(None, usize::MAX, |_| true).is_empty());
        prop_assert!(revocations.lock().ended(u64::MAX).is_empty());
    }

    #[test]
    fn any_bytes_are_read_or_refused_with_a_word(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_invariants(&bytes);
    }

    #[test]
    fn what_looks_like_a_file_is_read_or_refused_with_a_word(
        parts in proptest::collection::vec(
            prop_oneof![
                Just(r#"{"revocations":["#.to_owned()),
                Just("]}".to_owned()),
                "[\\[\\]{},:\n ]{1,3}",
                Just(r#"{"token_id":"a","until":"2099-01-01T00:00:00.5Z"}"#.to_owned()),
                revocations().prop_map(|revocation| revocation.to_json().to_string()),
                revocations().prop_map(|revocation| format!("{},\n", revocation.to_json())),
                "\"\\PC{0,5}\"",
            ],
            0..8,
        ),
        whole in any::<bool>(),
    ) {
        let text = parts.concat();
        let text = if whole { format!(r#"{{"revocations":[{text}]}}"#) } else { text };
        check_invariants(text.as_bytes());
    }

    #[test]
    fn what_is_listed_is_what_was_written(listed in proptest::collection::vec(revocations(), 0..20)) {
        let written: Vec<_> = listed.iter().map(Revocation::to_json).collect();
        let text = serde_json::json!({ "revocations": written }).to_string();
        prop_assert_eq!(read(text.as_bytes(), NOW), Ok(listed));
        check_invariants(text.as_bytes());
    }
}
