use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use proptest::prelude::*;

use super::{freshness, invariants, redirect};

fn fresh(fields: &[(HeaderName, &str)]) -> Option<u64> {
    let fields: HeaderMap =
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
    freshness::of(&fields).map(|fresh| fresh.as_secs())
}

#[test]
fn an_answer_is_fresh_for_its_smallest_max_age_less_its_age() {
    for (cache_control, age, expected) in [
        ("max-age=600", None, Some(600)),
        ("public, Max-Age = \"600\" , immutable", None, Some(600)),
        ("max-age=600", Some("100"), Some(500)),
        ("max-age=600", Some("900"), Some(0)),
        ("max-age=600", Some("soon"), Some(600)),
        ("max-age=600, max-age=60", None, Some(60)),
        ("max-age=0, no-store", None, Some(0)),
        ("no-cache", None, None),
        ("s-maxage=600", None, None),
        ("max-age", None, None),
        ("max-age=", None, None),
        ("max-age=-1", None, None),
        ("max-age=1.5", None, None),
        ("max-age=99999999999999999999999", None, Some(u64::MAX)),
    ] {
        let mut fields = vec![(CACHE_CONTROL, cache_control)];
        fields.extend(age.map(|age| (AGE, age)));
        assert_eq!(fresh(&fields), expected, "{fields:?}");
    }
    assert_eq!(fresh(&[(AGE, "1")]), None);
    let mut twice = HeaderMap::new();
    twice.append(CACHE_CONTROL, HeaderValue::from_static("max-age=600"));
    twice.append(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    assert_eq!(freshness::of(&twice), Some(Duration::from_secs(60)));
}

#[test]
fn a_redirect_leads_anywhere_on_the_same_server_and_nowhere_else() {
    let base = Uri::from_static("https://issuer.test/old?x=1");
    for (location, expected) in [
        ("/keys", Some("https://issuer.test/keys")),
        ("/keys?v=2#top", Some("https://issuer.test/keys?v=2")),
        ("https://issuer.test/keys", Some("https://issuer.test/keys")),
        ("https://ISSUER.test:443/keys", Some("https://issuer.test/keys")),
        ("https://issuer.test", Some("https://issuer.test/")),
        ("https://issuer.test:8443/keys", None),
        ("http://issuer.test/keys", None),
        ("https://elsewhere.test/keys", None),
        ("https://issuer.test@elsewhere.test/keys", None),
        ("https://elsewhere.test@issuer.test/keys", None),
        ("https://issuer.test.elsewhere.test/keys", None),
        ("//elsewhere.test/keys", None),
        ("//issuer.test/keys", None),
        ("/\\elsewhere.test", None),
        ("keys", None),
        ("", None),
        ("file:///etc/passwd", None),
        ("/k\u{fc}", None),
    ] {
        let followed = redirect::follow(&base, location.as_bytes()).ok().map(|uri| uri.to_string());
        // What a path may hold beyond ASCII is the library's business; that it stays on the server is ours.
        if expected.is_some() || !location.starts_with('/') || location.starts_with("//") {
            assert_eq!(followed.as_deref(), expected, "{location}");
        } else {
            assert!(followed.is_none_or(|followed| followed.starts_with("https://issuer.test/")), "{location}");
        }
    }
    assert!(redirect::follow(&base, b"/\xff").is_err());
}

proptest! {
    #[test]
    fn whatever_a_server_says_it_is_asked_nowhere_else(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        invariants::answer(&bytes);
    }

    #[test]
    fn whatever_a_server_says_in_its_own_words(text in "(max-age|https://|/|issuer\\.test|:8443|=|,|[0-9]{1,4}|\"|@|\n| |#|\\?){0,12}") {
        invariants::answer(text.as_bytes());
    }
}
