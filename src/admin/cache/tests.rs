use std::time::Duration;

use http::{StatusCode, Version};

use super::*;
use crate::cache::freshness::Freshness;
use crate::cache::key::Key;
use crate::cache::status::Kind;
use crate::cache::storable::Rules;
use crate::cache::stored::{Body, Groups, Head, StoredFields};
use crate::telemetry::metrics::CACHE_RESULTS;

#[test]
fn every_kind_is_one_that_metrics_and_log_know() {
    let (mut kinds, mut results) = (Kind::ALL.map(Kind::as_str), CACHE_RESULTS);
    kinds.sort_unstable();
    results.sort_unstable();
    assert_eq!(kinds, results);
}

#[test]
fn a_purge_has_one_target() {
    let read = |text: &str| Target::read(text.as_bytes());
    let group = |purge: Purge| Target::Group(purge);
    assert_eq!(read(r#"{"all": true}"#), Ok((group(Purge::All), false)));
    assert_eq!(read(r#"{"tag": "order:7", "soft": true}"#), Ok((group(Purge::Tag("order:7".into())), true)));
    assert_eq!(read(r#"{"route": "r", "soft": false}"#), Ok((group(Purge::Route("r".into())), false)));
    assert_eq!(read(r#"{"partner": "acme"}"#), Ok((group(Purge::Partner("acme".into())), false)));
    let url = Url::read("https://a.test/x").unwrap();
    assert_eq!(read(r#"{"url": "HTTPS://a.test:443/./x"}"#), Ok((Target::Url(url), false)));
    for (text, said) in [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "Name one of"),
        (r#"{"soft": true}"#, "Name one of"),
        (r#"{"tag": null}"#, "Name one of"),
        (r#"{"all": false}"#, "only be true"),
        (r#"{"all": true, "tag": "a"}"#, "not several"),
        (r#"{"route": "a", "partner": "a"}"#, "not several"),
        (r#"{"tag": "a", "tag": "b"}"#, "duplicate field `tag`"),
        (r#"{"tags": ["a"]}"#, "unknown field `tags`"),
        (r#"{"url": "/x"}"#, "whole URL"),
        (r#"{"all": true} x"#, "cannot be read"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn the_log_has_no_query() {
    let (target, _) = Target::read(br#"{"url": "https://a.test/x?token=secret"}"#).unwrap();
    assert_eq!(what(&target), "url https://a.test/x");
}

#[test]
fn a_look_up_names_a_url() {
    let asked = Asked::read(Some("url=https://a.test/x%3Fa=1%26b=2&partner=acme&subject=7")).ok().unwrap();
    assert_eq!(asked.url, Url::read("https://a.test/x?a=1&b=2").unwrap());
    assert_eq!((asked.partner.as_deref(), asked.subject.as_deref()), (Some("acme"), Some("7")));
    for (text, said) in [
        (None, "Say which"),
        (Some("partner=acme"), "Say which"),
        (Some("url=https://a.test/x?a=1&b=2"), "%26"),
        (Some("url=https://a.test/&url=https://a.test/"), "twice"),
        (Some("url=https://a.test/&partner=%FF"), "not UTF-8"),
        (Some("url=a.test"), "whole URL"),
    ] {
        let error = Asked::read(text).err().unwrap();
        assert!(error.contains(said), "{text:?}: {error}");
    }
}

#[test]
fn what_is_listed_is_said_without_bodies_and_fields() {
    let now = clock::now();
    let stored = |partner: Option<&str>| {
        let head = Head {
            key: Key::from(&b"secret"[..]),
            status: StatusCode::OK,
            version: Version::HTTP_11,
            fields: StoredFields::default(),
            freshness: Freshness {
                lifetime: Duration::from_secs(60),
                initial_age: Duration::from_secs(20),
                received: now,
            },
            rules: Rules::default(),
            groups: Groups { route: "orders".into(), partner: partner.map(Into::into), tags: Box::new(["a".into()]) },
        };
        Arc::new(Stored::new(Arc::new(head), Body::new(vec![Bytes::from_static(b"hello")])))
    };
    let mut asked = Asked { url: Url::read("https://a.test/").unwrap(), partner: None, subject: None };
    let answers = || vec![stored(Some("acme")), stored(None)];
    assert_eq!(listed(answers(), &asked, now)["count"], 2);
    asked.partner = Some("acme".to_owned());
    let list = listed(answers(), &asked, now + Duration::from_secs(15));
    assert_eq!(list["count"], 1);
    let entry = &list["entries"][0];
    for (member, expected) in [
        ("route", json!("orders")),
        ("partner", json!("acme")),
        ("tags", json!(["a"])),
        ("status", json!(200)),
        ("age", json!(35)),
        ("fresh_for", json!(25)),
        ("stale", json!(false)),
        ("body_bytes", json!(5)),
        ("hits", json!(0)),
    ] {
        assert_eq!(entry[member], expected, "{member}");
    }
    assert!(!list.to_string().contains("hello") && !list.to_string().contains("secret"), "{list}");
    let late = listed(answers(), &asked, now + Duration::from_secs(50));
    assert_eq!((&late["entries"][0]["fresh_for"], &late["entries"][0]["stale"]), (&json!(0), &json!(true)));
    asked.subject = Some("7".to_owned());
    assert_eq!(listed(answers(), &asked, now)["count"], 0);
}
