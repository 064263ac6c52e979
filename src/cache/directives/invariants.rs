//! What holds for whatever a client and an upstream write about caching; shared by property tests and fuzzing.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{About, CDN_CACHE_CONTROL, MAX_NAMES, RequestDirectives, ResponseDirectives};
use crate::base::clock;
use crate::cache::Moment;
use crate::cache::freshness::{Freshness, LONGEST};
use crate::cache::storable::{self, ForRequest};
use crate::config::checked::cache::{CacheKey, CachePolicy, CacheScope, Ttl};

/// 2033-05-18.
const WALL: Duration = Duration::from_secs(2_000_000_000);

type Rewrite = fn(&[u8]) -> Vec<u8>;

/// Ways to write the same.
const SAME: [Rewrite; 3] =
    [<[u8]>::to_ascii_uppercase, <[u8]>::to_ascii_lowercase, |line| [b" ,\t", line, b" ,"].concat()];

/// The first two bytes are a status; then come fields, a line each.
pub fn check(bytes: &[u8]) {
    let Some(([high, low], lines)) = bytes.split_first_chunk::<2>().map(|(status, lines)| (*status, lines)) else {
        return;
    };
    let status = StatusCode::from_u16(200 + u16::from_be_bytes([high, low]) % 400).unwrap_or(StatusCode::OK);
    let fields = read(lines);
    request(&fields);
    answer(&fields);
    freshness(status, &fields);
    kept(status, &fields);
}

fn read(lines: &[u8]) -> HeaderMap {
    const NAMES: [HeaderName; 9] = [
        header::CACHE_CONTROL,
        header::CACHE_CONTROL,
        CDN_CACHE_CONTROL,
        header::AGE,
        header::EXPIRES,
        header::DATE,
        header::LAST_MODIFIED,
        header::CONNECTION,
        header::SET_COOKIE,
    ];
    let lines = lines.split(|byte| *byte == b'\n').zip(NAMES);
    lines
        .filter(|(line, _)| !line.is_empty())
        .filter_map(|(line, name)| Some((name, HeaderValue::from_bytes(line).ok()?)))
        .collect()
}

/// The fields with one value changed.
fn with(fields: &HeaderMap, name: &HeaderName, change: impl Fn(&[u8]) -> Vec<u8>) -> HeaderMap {
    let changed = |(found, value): (&HeaderName, &HeaderValue)| {
        let bytes = if found == name { change(value.as_bytes()) } else { value.as_bytes().to_vec() };
        HeaderValue::from_bytes(&bytes).ok().map(|value| (found.clone(), value))
    };
    fields.iter().filter_map(changed).collect()
}

fn request(fields: &HeaderMap) {
    let read = RequestDirectives::of(fields);
    for change in SAME {
        assert_eq!(
            RequestDirectives::of(&with(fields, &header::CACHE_CONTROL, change)),
            read,
            "case or white space counts"
        );
    }
    for seconds in [read.max_age, read.max_stale, read.min_fresh, read.stale_if_error].into_iter().flatten() {
        assert!(seconds <= LONGEST);
    }
    let mut more = fields.clone();
    more.append(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=1"));
    let more = RequestDirectives::of(&more);
    assert!(more.no_cache && more.max_age <= Some(Duration::from_secs(1)), "a line is not read");
}

fn answer(fields: &HeaderMap) {
    let read = ResponseDirectives::of(fields);
    for change in SAME {
        assert_eq!(
            ResponseDirectives::of(&with(fields, &header::CACHE_CONTROL, change)),
            read,
            "case or white space counts"
        );
    }
    for about in [&read.no_cache, &read.private] {
        assert!(!matches!(about, About::Fields(names) if names.is_empty() || names.len() > MAX_NAMES));
    }
    let mut more = fields.clone();
    more.append(header::CACHE_CONTROL, HeaderValue::from_static("no-store, private"));
    let more = ResponseDirectives::of(&more);
    if read.targeted {
        assert_eq!(more, read, "Cache-Control counts although there is a targeted field");
        let broken = ResponseDirectives::of(&with(fields, &CDN_CACHE_CONTROL, |line| [line, b","].concat()));
        assert!(!broken.targeted, "a dictionary that ends in a comma");
        let mut without = fields.clone();
        without.remove(&CDN_CACHE_CONTROL);
        assert_eq!(ResponseDirectives::of(&without), broken);
        let more = ResponseDirectives::of(&with(fields, &CDN_CACHE_CONTROL, |line| {
            [line, b", no-store;a=1, public=?0"].concat()
        }));
        assert!(more.targeted && more.no_store && !more.public, "a member is not read");
        assert_eq!((more.max_age, more.no_cache, more.private), (read.max_age, read.no_cache, read.private));
    } else {
        assert_eq!(
            more,
            ResponseDirectives { no_store: true, private: About::Everything, ..read },
            "a line is not read"
        );
    }
}

fn freshness(status: StatusCode, fields: &HeaderMap) {
    let directives = ResponseDirectives::of(fields);
    let at = clock::now();
    let asked = Moment { at, wall: WALL };
    let received = Moment { at: at + Duration::from_secs(1), wall: WALL + Duration::from_secs(1) };
    let of = |fields: &HeaderMap| Freshness::of(status, fields, &directives, &Ttl::default(), asked, received);
    let fresh = of(fields);
    assert!(fresh.lifetime <= LONGEST && fresh.initial_age <= LONGEST);
    assert!(fresh.initial_age >= Duration::from_secs(1), "younger than the question");
    let mut before: Option<(Duration, Duration)> = None;
    for seconds in [0, 1, 10, 3600, 1 << 20, 1 << 31, 1 << 33] {
        let now: Instant = received.at + Duration::from_secs(seconds);
        let (age, left) = (fresh.age(now), fresh.left(now));
        assert!(before.is_none_or(|(younger, longer)| younger <= age && longer >= left), "it grows younger");
        assert_eq!(fresh.stale_for(now).is_some(), left.is_zero());
        before = Some((age, left));
    }
    let mut unaged = fields.clone();
    unaged.remove(header::AGE);
    let unaged = of(&unaged);
    assert!(unaged.lifetime == fresh.lifetime && unaged.initial_age <= fresh.initial_age, "fresher for its age");
    let mut expired = fields.clone();
    expired.append(header::EXPIRES, HeaderValue::from_static("0"));
    assert!(of(&expired).lifetime <= fresh.lifetime || !fields.contains_key(header::EXPIRES));
}

fn kept(status: StatusCode, fields: &HeaderMap) {
    let directives = ResponseDirectives::of(fields);
    let kept = storable::kept(fields, &directives);
    for name in [header::AGE, header::CONNECTION] {
        assert!(!kept.contains_key(name));
    }
    for (name, value) in &kept {
        assert!(fields.get_all(name).iter().any(|from| from == value) && !directives.name(name));
    }
    let moment = Moment { at: clock::now(), wall: WALL };
    let freshness = Freshness::of(status, fields, &directives, &Ttl::default(), moment, moment);
    let judged = |request| storable::judge(&policy(), &request, status, fields, &directives, &freshness);
    let nobody = ForRequest::default();
    let Ok(rules) = judged(nobody) else {
        assert!(judged(ForRequest { authenticated: true, ..nobody }).is_err(), "kept because it is for somebody");
        return;
    };
    assert!(!directives.no_store || directives.must_understand, "kept against no-store");
    assert!(directives.private != About::Everything, "kept although private");
    assert!(!kept.contains_key(header::SET_COOKIE), "a cookie is kept");
    assert!(!rules.never_stale || (rules.stale_while_revalidate + rules.stale_if_error).is_zero());
}

/// What a route has that says nothing about its cache but that all share it.
pub(in crate::cache) fn policy() -> CachePolicy {
    let key = CacheKey { per: CacheScope::Everyone, ..CacheKey::default() };
    CachePolicy { key, refresh_ahead: 0, ..CachePolicy::default() }
}
