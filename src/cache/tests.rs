//! Random histories of requests and answers through the whole engine, held against what RFC 9111 allows.

mod model;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use self::model::{Answer, Request, Seconds};
use super::directives::RequestDirectives;
use super::fill::{Begun, Part, Reader};
use super::filling::Want;
use super::flights::{Flight, Joined};
use super::key::{Key, Resource, Scope, push_resource, push_scope};
use super::purge::Purge;
use super::status::Kind;
use super::storable::ForRequest;
use super::stored::Groups;
use super::validation::push_conditions;
use super::*;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::config::checked::cache::{CacheKey, CachePolicy, CacheScope, QueryRule, Ttl};

/// Wall clock when the simulated one is zero.
const EPOCH: u64 = 1_700_000_000;

/// A field of every answer that some answers withhold from caches.
const SECRET: &str = "x-secret";

const RESOURCES: [&str; 2] = ["/a", "/b"];
const PARTNERS: [&str; 2] = ["one", "two"];

#[derive(Clone, Debug)]
enum Step {
    Ask(Box<(Request, Reply)>),
    Wait(Seconds),
    Purge { resource: usize, soft: bool },
}

/// What the upstream does should it be asked.
#[derive(Clone, Debug)]
struct Reply {
    how: How,
    status: u16,
    fields: HeaderMap,
    /// `Date`, so long before the answer is made; `None` leaves it out.
    dated: Option<u64>,
    /// `Expires`, so long after it is made.
    expires: Option<u64>,
    /// `Last-Modified`, so long before.
    modified: Option<u64>,
    /// 1 is a strong one, 2 a weak one.
    etag: u8,
    takes: Seconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    New,
    /// 304, if the request has conditions.
    Same,
    Fails,
}

fn field(name: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = HeaderMap> {
    let make = move |value: &str| {
        let value = (!value.is_empty()).then(|| HeaderValue::from_str(value).expect("value"));
        value.map(|value| (HeaderName::from_static(name), value)).into_iter().collect()
    };
    select(values).prop_map(make)
}

fn together(parts: impl IntoIterator<Item = HeaderMap>) -> HeaderMap {
    let mut all = HeaderMap::new();
    parts.into_iter().for_each(|part| all.extend(part));
    all
}

fn request() -> impl Strategy<Value = Request> {
    const CONTROL: &[&str] = &[
        "",
        "",
        "",
        "",
        "",
        "",
        "no-cache",
        "no-store",
        "max-age=0",
        "max-age=5",
        "min-fresh=4",
        "max-stale",
        "max-stale=6",
        "max-age=8, max-stale=4",
        "only-if-cached",
        "stale-if-error=20",
        "Max-Age=\"3\"",
    ];
    let fields = (
        field("cache-control", CONTROL),
        field("pragma", &["", "", "", "", "", "no-cache"]),
        field("accept-language", &["", "", "", "de", "de, en", "de,en"]),
        field("accept-encoding", &["", "", "gzip"]),
    );
    let fields =
        fields.prop_map(|(control, pragma, language, encoding)| together([control, pragma, language, encoding]));
    (select(&[0, 0, 0, 1]), select(&[0, 0, 0, 1]), prop::bool::weighted(0.1), fields)
        .prop_map(|(resource, partner, authenticated, fields)| Request { resource, partner, authenticated, fields })
}

fn reply() -> impl Strategy<Value = Reply> {
    const CONTROL: &[&str] = &[
        "",
        "max-age=10",
        "max-age=10",
        "public, max-age=30",
        "max-age=0",
        "no-store",
        "private, max-age=30",
        "no-cache",
        "no-cache=\"x-secret\", max-age=20",
        "private=\"x-secret\", max-age=20",
        "max-age=5, must-revalidate",
        "s-maxage=10, max-age=1",
        "S-MaxAge=4",
        "max-age=5, proxy-revalidate",
        "max-age=5, stale-while-revalidate=10",
        "max-age=5, stale-if-error=15",
        "max-age=nonsense",
        "no-store, must-understand, max-age=9",
        "public",
        "max-age=4, stale-while-revalidate=0, stale-if-error=0",
    ];
    let fields = (
        field("cache-control", CONTROL),
        field("cdn-cache-control", &["", "", "", "", "", "max-age=7", "no-store", "no-cache"]),
        field("vary", &["", "", "", "", "accept-language", "Accept-Encoding, accept-language", "*"]),
        field("age", &["", "", "", "0", "3", "12"]),
    );
    let fields = fields.prop_map(|(control, targeted, vary, age)| together([control, targeted, vary, age]));
    let how = select(&[How::New, How::New, How::New, How::Same, How::Same, How::Fails]);
    let status = select(&[200_u16, 200, 200, 200, 200, 203, 404, 302, 500]);
    let dated = select(&[Some(0), Some(0), Some(0), Some(5), None]);
    let expires = select(&[None, None, None, Some(0), Some(8)]);
    let modified = select(&[None, None, Some(10), Some(1000)]);
    (how, status, fields, dated, expires, modified, 0..3_u8, 0..3_u64).prop_map(
        |(how, status, fields, dated, expires, modified, etag, takes)| Reply {
            how,
            status,
            fields,
            dated,
            expires,
            modified,
            etag,
            takes,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (request(), reply()).prop_map(|ask| Step::Ask(Box::new(ask))),
        4 => (0..5_u64).prop_map(Step::Wait),
        1 => (0..40_u64).prop_map(Step::Wait),
        1 => (0..RESOURCES.len(), any::<bool>()).prop_map(|(resource, soft)| Step::Purge { resource, soft }),
    ]
}

/// Of a route that sets nothing.
fn quiet() -> CachePolicy {
    CachePolicy {
        ttl: Ttl::default(),
        key: CacheKey {
            per: CacheScope::Partner,
            headers: vec![],
            query: QueryRule::Ignore(vec![]),
            sort_query: false,
        },
        head: true,
        max_object: 64,
        bypass: vec![],
        tags: vec![],
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        refresh_ahead: 0,
    }
}

fn policy() -> impl Strategy<Value = CachePolicy> {
    let ttl = select(&[None, None, Some(6)]);
    let choice = (ttl, select(&[0, 0, 5]), select(&[0, 0, 12]), select(&[0_u8, 50]));
    choice.prop_map(|(ttl, revalidate, error, refresh_ahead)| CachePolicy {
        ttl: Ttl { default: ttl.map(Duration::from_secs), ..Ttl::default() },
        stale_while_revalidate: Duration::from_secs(revalidate),
        stale_if_error: Duration::from_secs(error),
        refresh_ahead,
        ..quiet()
    })
}

/// A gateway with one upstream, and everything that the upstream ever said.
struct World {
    cache: Arc<Cache>,
    policy: Arc<CachePolicy>,
    start: Instant,
    now: Seconds,
    /// The body of each is its place here.
    answers: Vec<Answer>,
    from_memory: usize,
}

fn date(at: u64) -> HeaderValue {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at)).parse().expect("date")
}

/// Bodies are of different lengths, some too long to be kept.
fn body(id: usize) -> Vec<Bytes> {
    vec![Bytes::from(format!("{id} ")), Bytes::from("x".repeat(id % 5 * 17))]
}

fn id_of(body: &[u8]) -> usize {
    let text = std::str::from_utf8(body).expect("text");
    let id = text.split(' ').next().and_then(|id| id.parse().ok()).expect("id");
    assert_eq!(text.as_bytes(), self::body(id).concat(), "the body is not whole");
    id
}

fn resource_of(resource: usize) -> Vec<u8> {
    let mut key = Vec::new();
    let path = RESOURCES[resource];
    push_resource(&Resource { scheme: "https", host: "api.example", path, query: None }, &mut key);
    key
}

fn base_of(request: &Request) -> Vec<u8> {
    let mut key = resource_of(request.resource);
    push_scope(Scope::Partner(PARTNERS[request.partner]), &mut key);
    key
}

fn ready<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> T {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("everything has come, and it still waits"),
    }
}

fn read(reader: &mut Reader) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        match ready(|cx| reader.poll_part(cx)) {
            Part::Data(data) => body.extend_from_slice(&data),
            Part::End(_) => return body,
            Part::Broken(reason) => panic!("broken: {}", reason.as_str()),
        }
    }
}

impl World {
    fn new(policy: CachePolicy) -> Self {
        let (cache, policy) = (Arc::new(Cache::new(16 << 20)), Arc::new(policy));
        Self { cache, policy, start: clock::now(), now: 0, answers: Vec::new(), from_memory: 0 }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.start + Duration::from_secs(self.now), wall: Duration::from_secs(EPOCH + self.now) }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(time) => self.now += time,
            Step::Purge { resource, soft } => {
                self.cache.store.purge(&Purge::Resource(resource_of(*resource).into()), *soft);
                for answer in self.answers.iter_mut().filter(|answer| answer.to.resource == *resource) {
                    answer.purged |= !soft;
                    answer.is_stale = true;
                }
            }
            Step::Ask(ask) => self.ask(&ask.0, &ask.1),
        }
    }

    fn ask(&mut self, request: &Request, reply: &Reply) {
        let base = base_of(request);
        let directives = RequestDirectives::of(&request.fields);
        let policy = Arc::clone(&self.policy);
        let now = self.moment();
        let asked = Asked { key: &base, fields: &request.fields, directives, policy: &policy, now };
        match self.cache.look_up(&asked) {
            LookUp::OnlyIfCached => {
                assert!(directives.only_if_cached);
            }
            LookUp::Found { stored, kind, refresh } => {
                self.given(&stored, request, kind);
                if refresh {
                    let (flight, _) = self.cache.flights.alone(&stored.head.key);
                    self.fetch(flight, request, reply, Some(stored));
                }
            }
            LookUp::Ask { key, stale, .. } => {
                assert!(!directives.only_if_cached);
                let (flight, mut reader) = match self.cache.join(&key, now.at) {
                    Joined::Leads(flight, reader) => (flight, reader),
                    Joined::Alone => self.cache.flights.alone(&key),
                    Joined::Follows(_) => panic!("the flight before is over"),
                };
                let sent = self.fetch(flight, request, reply, stale.clone());
                self.answered(&mut reader, request, stale.as_ref(), sent);
            }
        }
    }

    /// From memory, without asking.
    fn given(&mut self, stored: &Arc<Stored>, request: &Request, kind: Kind) {
        let (id, answer) = self.belongs_together(stored);
        if let Err(why) = answer.may_be_given(request, &self.policy, self.now) {
            panic!("{id} must not be given: {why}\n{request:#?}\n{answer:#?}\nat {}, {:#?}", self.now, self.policy);
        }
        let age = stored.head.freshness.age(self.moment().at).as_secs();
        assert!(age >= answer.age(self.now), "{age} is younger than {}", answer.age(self.now));
        assert!(matches!(kind, Kind::Hit | Kind::Stale));
        let has_secret = stored.head.fields.get(&HeaderName::from_static(SECRET)).is_some();
        assert!(!(has_secret && answer.withholds(SECRET)), "{SECRET} is not for everybody");
        self.from_memory += 1;
    }

    /// Head and body are of one answer.
    fn belongs_together(&self, stored: &Stored) -> (usize, &Answer) {
        let id = id_of(&stored.body.pieces().concat());
        let answer = &self.answers[id];
        assert_eq!(stored.head.status, answer.status);
        for name in [http::header::ETAG, http::header::LAST_MODIFIED] {
            assert_eq!(stored.head.fields.get(&name), answer.fields.get(&name), "{name} is of another body");
        }
        assert!(stored.body.len() <= self.policy.max_object);
        (id, answer)
    }

    /// Asks the upstream. What it sent; `None` when it failed.
    fn fetch(
        &mut self,
        flight: Flight,
        request: &Request,
        reply: &Reply,
        stale: Option<Arc<Stored>>,
    ) -> Option<(StatusCode, usize)> {
        let mut conditions = HeaderMap::new();
        if let Some(stale) = &stale {
            push_conditions(&stale.head.fields, &mut conditions);
        }
        let asked = self.now;
        let want = Want {
            base: Key::from(&*base_of(request)),
            fields: request.fields.clone(),
            unkeyed: Arc::new([]),
            request: ForRequest {
                directives: RequestDirectives::of(&request.fields),
                authenticated: request.authenticated,
                ..ForRequest::default()
            },
            policy: Arc::clone(&self.policy),
            groups: Groups::default(),
            stale: stale.clone(),
            asked: self.moment(),
            mark: self.cache.store.mark(),
        };
        let mut filling = Filling::new(Arc::clone(&self.cache), want, flight);
        self.now += reply.takes;
        if reply.how == How::Fails {
            filling.fail(Reason::UpstreamTimeout, self.moment());
            return None;
        }
        let made = EPOCH + asked;
        let dated = reply.dated.map(|before| (http::header::DATE, date(made - before)));
        let expires = reply.expires.map(|after| (http::header::EXPIRES, date(made + after)));
        let mut fields = reply.fields.clone();
        fields.extend(dated.into_iter().chain(expires));
        if reply.how == How::Same && !conditions.is_empty() {
            let id = id_of(&stale.as_ref().expect("conditions are about something").body.pieces().concat());
            for (condition, validator) in [("if-none-match", "etag"), ("if-modified-since", "last-modified")] {
                let known = self.answers[id].fields.get(validator);
                let asked = conditions.get(condition);
                assert!(asked.is_none() || asked == known, "{condition} is about another answer");
                fields.extend(known.map(|value| (HeaderName::from_static(validator), value.clone())));
            }
            let goes_on = filling.head(StatusCode::NOT_MODIFIED, Version::HTTP_11, &fields, Some(0), self.moment());
            if !goes_on {
                self.answers[id].confirm(request, &fields, asked, self.now);
            }
            filling.end(None);
            return Some((StatusCode::NOT_MODIFIED, id));
        }
        let id = self.answers.len();
        let etag = format!("{}\"{id}\"", if reply.etag == 2 { "W/" } else { "" });
        let etag = (reply.etag > 0).then(|| (http::header::ETAG, etag.parse().expect("value")));
        let modified = reply.modified.map(|before| (http::header::LAST_MODIFIED, date(made - before)));
        let secret = (HeaderName::from_static(SECRET), HeaderValue::from(id));
        fields.extend(etag.into_iter().chain(modified).chain([secret]));
        let status = StatusCode::from_u16(reply.status).expect("status");
        let (to, received) = (request.clone(), self.now);
        let answer = Answer {
            to,
            status,
            fields: fields.clone(),
            asked,
            received,
            epoch: EPOCH,
            purged: false,
            is_stale: false,
        };
        self.answers.push(answer);
        let length = body(id).iter().map(|piece| piece.len() as u64).sum();
        let length = id.is_multiple_of(2).then_some(length);
        if filling.head(status, Version::HTTP_11, &fields, length, self.moment()) {
            body(id).into_iter().for_each(|piece| filling.data(piece));
            filling.end(None);
        }
        Some((status, id))
    }

    /// What a request gets that asked the upstream.
    fn answered(
        &self,
        reader: &mut Reader,
        request: &Request,
        stale: Option<&Arc<Stored>>,
        sent: Option<(StatusCode, usize)>,
    ) {
        match (ready(|cx| reader.poll_begun(cx)), sent) {
            (Begun::Stored { stored, confirmed: true }, Some((StatusCode::NOT_MODIFIED, id))) => {
                let (given, answer) = self.belongs_together(&stored);
                assert_eq!(given, id, "another answer was confirmed");
                assert_eq!(answer.to.resource, request.resource);
                assert_eq!(answer.to.partner, request.partner);
            }
            (Begun::Stored { stored, confirmed: false }, sent) => {
                assert!(sent.is_none_or(|(status, _)| status.is_server_error()), "the upstream did not fail");
                assert!(stale.is_some_and(|stale| Arc::ptr_eq(stale, &stored)));
                let (id, answer) = self.belongs_together(&stored);
                if let Err(why) = answer.may_be_given_on_error(request, &self.policy, self.now) {
                    panic!("{id} must not be given on an error: {why}\n{request:#?}\n{answer:#?}\nat {}", self.now);
                }
            }
            (Begun::Coming { head, .. }, Some((status, id))) => {
                assert_eq!(head.status, status);
                if status != StatusCode::NOT_MODIFIED {
                    assert_eq!(id_of(&read(reader)), id);
                }
            }
            // Not about what is stored, or not to be kept any more: everybody asks without a condition.
            (Begun::Alone, Some((StatusCode::NOT_MODIFIED, _))) => {}
            (Begun::Failed(reason), None) => assert_eq!(reason, Reason::UpstreamTimeout),
            (begun, sent) => panic!("{begun:?} of {sent:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_is_given_that_rfc_9111_does_not_allow(policy in policy(), steps in vec(step(), 1..60)) {
        let mut world = World::new(policy);
        steps.iter().for_each(|step| world.step(step));
    }
}

fn plain(control: &'static str) -> Step {
    let request = Request { resource: 0, partner: 0, authenticated: false, fields: HeaderMap::new() };
    let fields = HeaderMap::from_iter([(http::header::CACHE_CONTROL, HeaderValue::from_static(control))]);
    let reply =
        Reply { how: How::New, status: 200, fields, dated: Some(0), expires: None, modified: None, etag: 1, takes: 0 };
    Step::Ask(Box::new((request, reply)))
}

/// Otherwise the property above would say nothing.
#[test]
fn what_may_be_given_is_given() {
    let policy = quiet();
    let mut world = World::new(policy);
    for step in [plain("max-age=10"), plain(""), Step::Wait(9), plain(""), Step::Wait(2), plain("no-store"), plain("")]
    {
        world.step(&step);
    }
    assert_eq!((world.from_memory, world.answers.len()), (2, 3));
}
