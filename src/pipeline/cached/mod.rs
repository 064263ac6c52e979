//! The part of the cache in a decision: whether a request is answered from memory, and what the upstream is asked otherwise.

mod key;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{AUTHORIZATION, COOKIE, EXPECT, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE};
use http::header::{CONTENT_LENGTH, IF_UNMODIFIED_SINCE, RANGE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::admit::Admitted;
use super::facts::Facts;
use super::verdict::{FetchRequest, Forward};
use super::view::{BodyLength, RequestView};
use crate::base::field::Known;
use crate::base::query;
use crate::base::reason::Reason;
use crate::cache::directives::RequestDirectives;
use crate::cache::filling::Want;
use crate::cache::key::Key;
use crate::cache::served::Served;
use crate::cache::status::{Kind, Outcome};
use crate::cache::storable::{ForRequest, NotStored};
use crate::cache::stored::{Groups, Stored};
use crate::cache::{Asked, Cache, Fields, LookUp, Moment};
use crate::config::checked::cache::{Bypass, BypassOn};
use crate::snapshot::{CompiledAction, CompiledCache};
use crate::transform::lines::FieldLines;
use crate::transform::rewrite::CompiledTemplate;

/// Conditions that caches do not judge, and fields by which some services take a request for another one.
const TO_UPSTREAM: [HeaderName; 7] = [
    IF_MATCH,
    IF_UNMODIFIED_SINCE,
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// What the cache has to do with a request.
pub struct CachePart {
    /// `None` where nobody is told: the route has no cache.
    pub outcome: Option<Outcome>,
    /// What is left of the lifetime of what was given from memory, in seconds; negative when it is over.
    pub ttl: Option<i64>,
    /// Of what was given from memory, in seconds.
    pub age: Option<u64>,
    pub work: Work,
    /// To be asked in the background.
    pub refresh: Option<Box<Ask>>,
    /// What its answer says about what is stored.
    pub hears: Option<Box<Hears>>,
}

/// What is to be done.
pub enum Work {
    /// Nothing: the request is forwarded as any other.
    Forward,
    Serve(Box<Served>),
    /// The upstream has to be asked, together with others who want the same.
    Ask(Box<Ask>),
}

/// A question to an upstream.
pub struct Ask {
    /// With what `Vary` added to it so far.
    pub key: Key,
    pub want: Want,
    pub plan: Forward,
    pub request: FetchRequest,
    /// The client wants a part: of what is too long to be kept, it gets that part from the upstream.
    pub is_partial: bool,
}

/// Why an answer is listened to on its way.
pub enum Hears {
    /// The request changes something (RFC 9111 §4.4).
    Changes { scheme: &'static str, host: String, target: String, tags: Vec<Arc<str>> },
    /// It was a HEAD, and says something about the answer to GET (RFC 9111 §4.3.5).
    Head { want: Box<Want> },
}

/// A request as the cache looks at its fields.
struct Viewed<'a, V>(&'a V);

impl<V: RequestView> Fields for Viewed<'_, V> {
    fn each(&self, name: &HeaderName, show: &mut dyn FnMut(&[u8])) {
        self.0.values(name).for_each(show);
    }
}

/// A request to a route, as far as the cache is concerned.
pub(super) struct Question<'a, 'q, V> {
    pub admitted: &'a Admitted<'q>,
    pub action: &'a CompiledAction,
    pub lasting: &'a Arc<Cache>,
    pub request: &'a V,
    pub path: &'a str,
    /// Without the credentials that stay here.
    pub query: Option<&'a str>,
    pub route: &'a Arc<str>,
}

impl<V: RequestView> Question<'_, '_, V> {
    /// What is in memory for the request; what else there is to do needs a plan, and is [`Question::ask`]ed then.
    ///
    /// # Errors
    ///
    /// `ONLY_IF_CACHED`.
    pub fn look_up(&self, key: &mut Vec<u8>, facts: &Facts) -> Result<Found, Reason> {
        let Some(cache) = self.action.cache.as_ref().filter(|_| self.lasting.is_on()) else {
            return Ok(Found::NoCache);
        };
        let fields = &Viewed(self.request);
        let directives = RequestDirectives::of(fields);
        let method = self.request.method();
        let is_head = *method == Method::HEAD;
        let passes_by = if *method != Method::GET && !(is_head && cache.policy.head) {
            Some(Kind::Method)
        } else if self.is_left_out(&cache.policy.bypass) {
            Some(Kind::Bypass)
        } else {
            None
        };
        let forwards_credential =
            self.action.guard.access.as_ref().is_some_and(|access| access.written.keep_credential);
        let scope = key::scope(cache.policy.key.per, facts, forwards_credential);
        let (None, Some(scope)) = (passes_by, scope) else {
            if directives.only_if_cached && (*method == Method::GET || is_head) {
                return Err(Reason::OnlyIfCached);
            }
            return Ok(Found::Nothing(Outcome::new(passes_by.unwrap_or(Kind::Bypass))));
        };
        self.write_key(cache, scope, facts, key);
        let now = Moment { at: facts.started, wall: facts.started_at };
        let asked = Asked { key, fields, directives, policy: &cache.policy, now };
        match self.lasting.look_up(&asked) {
            LookUp::Found { stored, kind, refresh } => {
                let served = Served::stored(&stored, fields, is_head, Outcome::new(kind), now.at);
                Ok(Found::Stored { part: part_of(&stored, served, now), stored: refresh.then_some(stored) })
            }
            LookUp::OnlyIfCached => Err(Reason::OnlyIfCached),
            LookUp::Ask { .. } if directives.no_store => {
                let mut outcome = Outcome::new(Kind::Bypass);
                outcome.stored = Some(Err(NotStored::RequestNoStore));
                Ok(Found::Nothing(outcome))
            }
            LookUp::Ask { key, stale, kind } => Ok(Found::Ask { key, stale, outcome: Outcome::new(kind) }),
        }
    }

    /// Whether the request passes the cache by: the route says so, or it has conditions that are for the upstream to judge (RFC 9111
    /// §4.3.2), or something that may get another answer although its URL is the same.
    fn is_left_out(&self, bypass: &[Bypass]) -> bool {
        // A field that is nominated counts here and does not reach the upstream.
        let is_odd = self.request.body() != BodyLength::None || self.request.nominates();
        let has = |name: &HeaderName| self.request.values(name).next().is_some();
        is_odd || has(&UPGRADE) || TO_UPSTREAM.iter().any(has) || bypass.iter().any(|bypass| self.has(bypass))
    }

    fn has(&self, Bypass { of, value }: &Bypass) -> bool {
        let fits = |found: &[u8]| value.as_ref().is_none_or(|value| value.as_bytes() == found);
        match of {
            BypassOn::Header(name) => self.request.values(name).any(fits),
            BypassOn::Cookie(name) => {
                let crumbs = self.request.known(Known::Cookie).flat_map(super::credential::crumbs);
                crumbs.filter_map(|crumb| super::credential::of_crumb(crumb, name)).any(fits)
            }
            BypassOn::Query(name) => {
                let pairs = query::pairs(self.query);
                pairs.filter(|(key, _)| query::is_named(key, name)).any(|(_, found)| {
                    let value = value.as_ref();
                    value.is_none_or(|value| query::decoded(found.as_bytes()).eq(value.bytes()))
                })
            }
        }
    }

    /// The part of the cache in a request that is forwarded, or asked for, by this plan.
    pub fn part<'p>(
        &self,
        found: Found,
        caches: bool,
        base: &[u8],
        plan: &Forward,
        facts: &Facts,
        param: impl Fn(usize) -> &'p str + Copy,
    ) -> Option<CachePart> {
        let changes = !self.request.method().is_safe() && (caches || !self.action.invalidates.is_empty());
        let changes = changes.then(|| self.changes(rendered(&self.action.invalidates, param)));
        let Some(cache) = &self.action.cache else {
            // Nobody is told of a cache that the route does not have.
            return changes.map(|changes| CachePart::forwards(None, Some(changes)));
        };
        let tags = || rendered(&cache.tags, param);
        Some(match found {
            Found::NoCache => return None,
            Found::Nothing(outcome) => CachePart::forwards(Some(outcome), changes),
            Found::Stored { mut part, stored } => {
                part.refresh = stored.map(|stored| {
                    let whole = stored.head.key.clone();
                    Box::new(self.ask(cache, plan, facts, (base, whole), Some(stored), tags()))
                });
                part
            }
            Found::Ask { outcome, .. } if *self.request.method() == Method::HEAD => {
                let want = Box::new(self.want(cache, facts, base, None, tags()));
                CachePart::forwards(Some(outcome), Some(Hears::Head { want }))
            }
            Found::Ask { key, stale, outcome } => {
                let ask = self.ask(cache, plan, facts, (base, key), stale, tags());
                let work = Work::Ask(Box::new(ask));
                CachePart { work, ..CachePart::forwards(Some(outcome), None) }
            }
        })
    }

    /// What the upstream is asked by this plan.
    fn ask(
        &self,
        cache: &CompiledCache,
        plan: &Forward,
        facts: &Facts,
        (base, whole): (&[u8], Key),
        stale: Option<Arc<Stored>>,
        tags: Vec<Arc<str>>,
    ) -> Ask {
        let mut fields = self.sent(plan);
        if let Some(stale) = &stale {
            crate::cache::validation::push_conditions(&stale.head.fields, &mut fields);
        }
        let host = plan.host.clone().or_else(|| HeaderValue::from_str(&self.host()).ok());
        Ask {
            key: whole,
            want: self.want(cache, facts, base, stale, tags),
            plan: Forward {
                target: plan.target.clone(),
                host: None,
                withheld: crate::transform::headers::Withheld::default(),
                added: FieldLines::default(),
                upstream: Arc::clone(&plan.upstream),
                timeouts: plan.timeouts.clone(),
                max_body: None,
                engine: plan.engine,
                agrees_to_bearer: false,
            },
            request: FetchRequest {
                method: Method::GET,
                host: host.unwrap_or_else(|| HeaderValue::from_static("")),
                fields,
            },
            is_partial: self.request.values(&RANGE).next().is_some(),
        }
    }

    fn want(
        &self,
        cache: &CompiledCache,
        facts: &Facts,
        base: &[u8],
        stale: Option<Arc<Stored>>,
        tags: Vec<Arc<str>>,
    ) -> Want {
        let mut fields = HeaderMap::new();
        for (name, value) in self.request.fields() {
            append(&mut fields, name, value);
        }
        let partner = facts.caller.as_ref().and_then(|caller| caller.partner.as_ref());
        Want {
            base: Key::from(base),
            unkeyed: Arc::clone(&cache.unkeyed),
            request: ForRequest {
                directives: RequestDirectives::of(&fields),
                authenticated: facts.caller.is_some() || fields.contains_key(AUTHORIZATION),
                known: facts.caller.is_some(),
            },
            fields,
            policy: Arc::clone(&cache.policy),
            groups: Groups {
                route: Arc::clone(self.route),
                partner: partner.map(|partner| Arc::clone(&partner.name)),
                tags: tags.into(),
            },
            stale,
            asked: Moment { at: facts.started, wall: facts.started_at },
            mark: self.lasting.store().mark(),
        }
    }

    /// The fields that the upstream gets: without conditions and parts, because everybody may have the answer.
    fn sent(&self, plan: &Forward) -> HeaderMap {
        let mut fields = HeaderMap::new();
        let mut cookie: Vec<u8> = Vec::new();
        for (name, value) in self.request.fields() {
            let known = Known::of(name);
            if plan.withheld.contains(known, name) {
                continue;
            }
            // HTTP/2 clients may split it (RFC 9113 §8.2.3).
            if known == Known::Cookie {
                cookie.extend_from_slice(if cookie.is_empty() { b"" } else { b"; " });
                cookie.extend_from_slice(value);
            } else {
                append(&mut fields, name, value);
            }
        }
        let for_us = [HOST, CONTENT_LENGTH, EXPECT, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE];
        for name in for_us {
            fields.remove(name);
        }
        if let Ok(cookie) = HeaderValue::from_bytes(&cookie)
            && !cookie.is_empty()
        {
            fields.insert(COOKIE, cookie);
        }
        plan.added.iter().for_each(|(name, value)| append(&mut fields, name, value));
        self.write_host(&mut fields);
        fields
    }

    /// What a request that changes something makes of what is stored.
    fn changes(&self, tags: Vec<Arc<str>>) -> Hears {
        let seen = &self.admitted.chain.facts;
        let mut target = self.path.to_owned();
        if let Some(query) = self.query {
            target.push('?');
            target.push_str(query);
        }
        Hears::Changes { scheme: seen.proto, host: self.host().into_owned(), target, tags }
    }
}

/// What [`Question::look_up`] found.
pub(super) enum Found {
    /// Given at once; `stored` when it is to be fetched anew as well.
    Stored {
        part: CachePart,
        stored: Option<Arc<Stored>>,
    },
    Ask {
        key: Key,
        stale: Option<Arc<Stored>>,
        outcome: Outcome,
    },
    /// The cache stays out of it.
    Nothing(Outcome),
    NoCache,
}

impl Found {
    /// As far as it needs nothing of an upstream that others would get as well: what an upstream makes of a request that it is told
    /// is unusual is for that request alone.
    pub fn without_asking(self) -> Self {
        match self {
            Self::Stored { part, .. } => Self::Stored { part, stored: None },
            Self::Ask { .. } => Self::Nothing(Outcome::new(Kind::Bypass)),
            nothing @ (Self::Nothing(_) | Self::NoCache) => nothing,
        }
    }
}

/// The part of the cache when it gives what is stored.
#[must_use]
pub fn part_of(stored: &Stored, served: Served, now: Moment) -> CachePart {
    CachePart {
        outcome: Some(served.outcome),
        ttl: Some(ttl(stored, now)),
        age: served.age,
        work: Work::Serve(Box::new(served)),
        refresh: None,
        hears: None,
    }
}

fn ttl(stored: &Stored, now: Moment) -> i64 {
    let freshness = &stored.head.freshness;
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match freshness.stale_for(now.at) {
        Some(stale) => -seconds(stale),
        None if stored.marks.stale.load(Ordering::Relaxed) => 0,
        None => seconds(freshness.left(now.at)),
    }
}

impl CachePart {
    #[must_use]
    pub fn forwards(outcome: Option<Outcome>, hears: Option<Hears>) -> Self {
        Self { outcome, ttl: None, age: None, work: Work::Forward, refresh: None, hears: hears.map(Box::new) }
    }
}

/// What a template of the route makes of the matched path.
pub(super) fn rendered<'p>(templates: &[CompiledTemplate], params: impl Fn(usize) -> &'p str + Copy) -> Vec<Arc<str>> {
    let render = |template: &CompiledTemplate| {
        let mut tag = String::new();
        template.render(params, None, &mut tag);
        tag.into()
    };
    templates.iter().map(render).collect()
}

fn append(fields: &mut HeaderMap, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        fields.append(name, value);
    }
}
