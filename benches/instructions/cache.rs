//! An answer looked up in the cache: its key written, found and judged.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use sluice::base::clock;
use sluice::cache::directives::{RequestDirectives, ResponseDirectives};
use sluice::cache::freshness::Freshness;
use sluice::cache::key::{self, Key, Resource, Scope};
use sluice::cache::purge::Mark;
use sluice::cache::served::Served;
use sluice::cache::status::{Kind, Outcome};
use sluice::cache::storable::Rules;
use sluice::cache::stored::{Body, Groups, Head, Stored, StoredFields};
use sluice::cache::{Asked, Cache, LookUp, Moment};
use sluice::config::checked::cache::{CacheKey, CachePolicy, QueryRule, Ttl};

use super::SAMPLES;

const QUERIES: [Option<&str>; 2] = [None, Some("page=2&limit=50")];

/// Writes the keys of requests of a partner's subjects, `rounds` times [`SAMPLES`] of them.
pub fn keys(rounds: usize) {
    let (policy, mut room, mut out) = (policy(), String::new(), Vec::new());
    let names = names();
    let requests = names.iter().zip(QUERIES.iter().cycle());
    for ((path, subject), query) in requests.cycle().take(rounds * SAMPLES) {
        write_key(&policy.key, path, subject, *query, &mut room, &mut out);
        black_box(&out);
    }
}

/// Looks up what is stored: 64 answers among so many, with a browser's fields.
pub fn hits(stored: usize, rounds: usize) {
    let cache = Cache::new(1 << 30);
    let policy = policy();
    let now = Moment { at: clock::now(), wall: clock::since_epoch() };
    let mut others = (0..stored.saturating_sub(SAMPLES)).map(|at| (format!("/api/others/{at}"), "u-0".to_owned()));
    let names = names();
    let (mut room, mut keys) = (String::new(), Vec::new());
    for (path, subject) in names.iter().cloned().chain(&mut others) {
        let mut key = Vec::new();
        write_key(&policy.key, &path, &subject, None, &mut room, &mut key);
        let put = cache.store().put(Arc::new(answer(&key, now)), None, Mark::default());
        assert!(put.is_ok(), "{path}: {put:?}");
        keys.push(key);
    }
    keys.truncate(SAMPLES);
    let fields = request();
    for key in keys.iter().cycle().take(rounds * SAMPLES) {
        let directives = RequestDirectives::of(&fields);
        let asked = Asked { key: black_box(key), fields: &fields, directives, policy: &policy, now };
        let LookUp::Found { stored, kind: Kind::Hit, refresh: false } = cache.look_up(&asked) else {
            panic!("it is not stored")
        };
        black_box(Served::stored(&stored, &fields, false, Outcome::new(Kind::Hit), now.at));
    }
}

/// Paths and subjects.
fn names() -> Vec<(String, String)> {
    (0..SAMPLES).map(|at| (format!("/api/orders/{}", 8_800 + at), format!("u-{at}"))).collect()
}

fn write_key(rule: &CacheKey, path: &str, subject: &str, query: Option<&str>, room: &mut String, out: &mut Vec<u8>) {
    let query = black_box(query).and_then(|query| key::counted(query, rule, room));
    out.clear();
    key::push_resource(&Resource { scheme: "https", host: "api.example.com", path, query }, out);
    key::push_route(0x00c0_ffee, out);
    key::push_scope(Scope::Subject { partner: Some("acme"), by: "main", subject }, out);
}

fn policy() -> CachePolicy {
    CachePolicy {
        ttl: Ttl { default: Some(Duration::from_secs(600)), ..Ttl::default() },
        key: CacheKey { query: QueryRule::Ignore(vec!["utm_*".into()]), ..CacheKey::default() },
        refresh_ahead: 10,
        ..CachePolicy::default()
    }
}

fn fields(of: &[(&'static str, &'static str)]) -> HeaderMap {
    let parsed = of.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    parsed.collect()
}

fn request() -> HeaderMap {
    fields(&[
        ("host", "api.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
    ])
}

/// 1 KiB of JSON, fresh.
fn answer(key: &[u8], now: Moment) -> Stored {
    let fields = fields(&[
        ("content-type", "application/json"),
        ("cache-control", "max-age=600"),
        ("etag", "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
        ("server", "origin"),
    ]);
    let directives = ResponseDirectives::of(&fields);
    let head = Head {
        key: Key::from(key),
        status: StatusCode::OK,
        version: Version::HTTP_11,
        freshness: Freshness::of(StatusCode::OK, &fields, &directives, &Ttl::default(), now, now),
        fields: StoredFields::new(&fields),
        rules: Rules::default(),
        groups: Groups { route: "orders-read".into(), partner: Some("acme".into()), tags: Box::default() },
    };
    Stored::new(Arc::new(head), Body::new(vec![Bytes::from_static(&[b'x'; 1024])]))
}
