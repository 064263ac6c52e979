//! The phases of a request in their one order, on a small view of it, whatever carried it.

pub mod exchange;
pub mod finish;
pub mod rescue;
pub mod respond;
pub mod verdict;
pub mod view;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, LOCATION, USER_AGENT, VIA};
use http::{HeaderName, HeaderValue, Version};

use self::exchange::{Exchange, Facts};
use self::rescue::REQUEST_ID;
use self::verdict::{Answer, Forward, Verdict};
use self::view::{BodyLength, RequestView};
use crate::base::deadline::Deadline;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::base::{clock, host_pattern};
use crate::config::checked::{Auth, HeaderEdits, HostRewrite, RouteTarget};
use crate::listener::client_io::ConnectionFacts;
use crate::listener::worker::Settings;
use crate::route::{self, Field, Found, Lookup, NormalPath, Params, RouteMatch};
use crate::snapshot::{CompiledAction, CompiledUpstream, Snapshot, Target};
use crate::transform::forwarded::{self, Chain};
use crate::transform::headers;
use crate::transform::request_id::RequestId;
use crate::transform::rewrite::CompiledRewrite;
use crate::transform::trace::trace_id;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Fields that services take for what a proxy knows of the client. Only a trusted peer may send them; the gateway itself says
/// it in the fields of [`forwarded`].
static CLAIMS: [HeaderName; 6] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
];

/// What the pipeline makes of a request.
pub struct Decision {
    pub snapshot: Arc<Snapshot>,
    pub facts: Facts,
    /// Index into the routes of the snapshot.
    pub route: Option<usize>,
    pub verdict: Verdict,
}

impl Decision {
    /// Splits off the answer; without one the request is forwarded by the plan of the exchange.
    pub fn into_exchange(
        self,
        connection: Arc<ConnectionFacts>,
        deadline: Arc<Deadline>,
        body_pause: Duration,
    ) -> (Arc<Exchange>, Option<Answer>) {
        let Self { snapshot, facts, route, verdict } = self;
        let (plan, answer) = match verdict {
            Verdict::Forward(plan) => (Some(plan), None),
            Verdict::Answer(answer) => (None, Some(answer)),
        };
        let exchange = Exchange::new(snapshot, connection, facts, route, plan, deadline, body_pause);
        (Arc::new(exchange), answer)
    }
}

/// Decides about a request: admit, route, authenticate, then answer or forward. Waits for nothing.
pub fn decide<V: RequestView>(
    snapshot: Arc<Snapshot>,
    connection: &ConnectionFacts,
    request: &V,
    settings: &Settings,
) -> Decision {
    let admitted = Admitted::new(connection, request, settings);
    let (route, verdict) = {
        let mut found = None;
        let verdict = admitted.run(&snapshot, request, &mut found);
        (found, verdict)
    };
    let facts = admitted.into_facts(request);
    let verdict = verdict.unwrap_or_else(|rejection| Verdict::Answer(rescue::answer(&rejection, Some(&facts))));
    Decision { snapshot, facts, route, verdict }
}

/// The decision about a request whose head was refused by whoever read it; `request` when it could be read.
pub fn refuse<V: RequestView>(
    snapshot: Arc<Snapshot>,
    connection: &ConnectionFacts,
    request: Option<&V>,
    rejection: &Rejection,
    settings: &Settings,
) -> Decision {
    let facts = match request {
        Some(request) => Admitted::new(connection, request, settings).into_facts(request),
        None => unread(connection),
    };
    let verdict = Verdict::Answer(rescue::answer(rejection, Some(&facts)));
    Decision { snapshot, facts, route: None, verdict }
}

fn unread(connection: &ConnectionFacts) -> Facts {
    Facts {
        started: clock::now(),
        started_at: clock::since_epoch(),
        request_id: RequestId::new_random(),
        trace_id: None,
        client: connection.client.ip().to_canonical(),
        method: String::new(),
        host: String::new(),
        path: String::new(),
        version: Version::HTTP_11,
        user_agent: None,
        plain: false,
    }
}

/// A request whose sender is known.
struct Admitted<'a> {
    started: std::time::Instant,
    started_at: Duration,
    chain: Chain<'a>,
    request_id: RequestId,
    host: Option<String>,
    path: Result<NormalPath<'a>, route::PathError>,
}

impl<'a> Admitted<'a> {
    fn new<V: RequestView>(connection: &ConnectionFacts, request: &'a V, settings: &Settings) -> Self {
        let authority = request.authority().unwrap_or_default();
        let peer = forwarded::Peer { address: connection.client.ip(), tls: connection.tls.is_some(), host: authority };
        let chain = forwarded::assess(peer, &settings.trusted_proxies, |field| request.values(forwarded_name(field)));
        Self {
            started: clock::now(),
            started_at: clock::since_epoch(),
            chain,
            request_id: RequestId::accept_or_new(request.values(&REQUEST_ID).next()),
            host: host_pattern::normalise(without_port(authority)),
            path: route::normalise(request.path()),
        }
    }

    /// Route, authenticate, limit, act; the phases that come later have their place between these lines.
    fn run<V: RequestView>(
        &self,
        snapshot: &Snapshot,
        request: &V,
        route: &mut Option<usize>,
    ) -> Result<Verdict, Rejection> {
        let path =
            self.path.as_ref().map_err(|error| Rejection::with_detail(Reason::PathInvalid, error.to_string()))?;
        let (index, params) = self.route(snapshot, request, path)?;
        *route = Some(index);
        let action = open_action(snapshot, index)?;
        if path.has_encoded_delimiter() && !action.written.allow_encoded_slash {
            return Err(Rejection::with_detail(
                Reason::PathInvalid,
                "The path contains an encoded slash, backslash or NUL.",
            ));
        }
        authenticate(action.written.auth)?;
        if let (BodyLength::Known(length), Some(max)) = (request.body(), action.written.max_body)
            && length > max
        {
            return Err(Reason::BodyTooLarge.into());
        }
        self.act(action, request, path.as_str(), &params)
    }

    fn route<V: RequestView>(
        &self,
        snapshot: &Snapshot,
        request: &V,
        path: &NormalPath<'_>,
    ) -> Result<(usize, Params), Rejection> {
        let host = match (&self.host, request.version()) {
            (Some(host), _) => host.as_str(),
            (None, Version::HTTP_10) if request.authority().is_none() => "",
            (None, _) => return Err(Reason::HostInvalid.into()),
        };
        let routed = Routed { request, host, path: path.as_str() };
        match snapshot.table.find(&routed) {
            Lookup::Found(Found { index, params, .. }) => Ok((index, params)),
            Lookup::MethodNotAllowed(methods) => Err(method_not_allowed(&methods)),
            Lookup::NotFound => Err(Reason::RouteNotFound.into()),
        }
    }

    fn act<V: RequestView>(
        &self,
        action: &CompiledAction,
        request: &V,
        path: &str,
        params: &Params,
    ) -> Result<Verdict, Rejection> {
        let param = |position| params.get(path, position).unwrap_or_default();
        Ok(match (&action.target, &action.written.target) {
            (Target::Forward { upstream, rewrite }, RouteTarget::Forward { host, .. }) => {
                let target = forwarded_target(rewrite.as_ref(), path, request.query(), param);
                Verdict::Forward(Box::new(self.forward(action, upstream, host, target, request)))
            }
            (Target::Redirect { location: template }, RouteTarget::Redirect { status, .. }) => {
                let mut location = String::new();
                template.render(param, request.query(), &mut location);
                let location = HeaderValue::try_from(location).map_err(|_| Rejection::new(Reason::Internal))?;
                self.answer(action, *status, vec![(LOCATION, location)], Bytes::new())
            }
            (_, RouteTarget::Respond { status, content_type, body }) => self.answer(
                action,
                *status,
                vec![(CONTENT_TYPE, content_type.clone())],
                Bytes::from_owner(Arc::clone(body)),
            ),
            _ => return Err(Reason::Internal.into()),
        })
    }

    fn answer(
        &self,
        action: &CompiledAction,
        status: http::StatusCode,
        fields: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Verdict {
        let mut edited: http::HeaderMap = fields.into_iter().collect();
        if let Ok(id) = HeaderValue::from_str(self.request_id.as_str()) {
            edited.insert(REQUEST_ID, id);
        }
        headers::apply(&action.written.response_headers, &mut edited);
        let fields = edited.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Verdict::Answer(Answer { status, fields, body, reason: None })
    }

    fn forward<V: RequestView>(
        &self,
        action: &CompiledAction,
        upstream: &Arc<CompiledUpstream>,
        host: &HostRewrite,
        target: String,
        request: &V,
    ) -> Forward {
        let HeaderEdits { remove, set, add } = &action.written.request_headers;
        let mut removed: Vec<Cow<'static, HeaderName>> = vec![Cow::Owned(REQUEST_ID)];
        let mut append = Vec::with_capacity(8 + set.len() + add.len());
        for field in forwarded::Field::ALL {
            let name = forwarded_name(field);
            removed.push(Cow::Borrowed(name));
            let mut value = Vec::new();
            match field {
                forwarded::Field::For => self.chain.write_for(&mut value),
                forwarded::Field::Forwarded => self.chain.write_forwarded(&mut value),
                forwarded::Field::Proto => value.extend_from_slice(self.chain.facts.proto.as_bytes()),
                forwarded::Field::Host => value.extend_from_slice(self.chain.facts.host.as_bytes()),
            }
            if let Some(value) =
                HeaderValue::from_maybe_shared(Bytes::from(value)).ok().filter(|value| !value.is_empty())
            {
                append.push((name.clone(), value));
            }
        }
        if !self.chain.trusted {
            removed.extend(CLAIMS.iter().map(Cow::Borrowed));
        }
        if let Ok(id) = HeaderValue::from_str(self.request_id.as_str()) {
            append.push((REQUEST_ID, id));
        }
        append.push((VIA, HeaderValue::from_static(via_entry(request.version()))));
        for name in remove.iter().chain(set.iter().map(|(name, _)| name)) {
            append.retain(|(ours, _)| ours != name);
            removed.push(Cow::Owned(name.clone()));
        }
        append.extend(set.iter().chain(add).cloned());
        let host = match host {
            HostRewrite::Set(value) => Some(value.clone()),
            // An HTTP/1.0 client may have sent none, which no HTTP/1.1 upstream accepts.
            HostRewrite::Keep if request.authority().is_none() => upstream.fallback_host.clone(),
            HostRewrite::Keep => None,
        };
        Forward {
            target,
            host,
            remove: removed,
            append,
            upstream: Arc::clone(upstream),
            timeouts: action.written.timeouts.clone(),
            max_body: action.written.max_body,
            engine: action.written.engine,
        }
    }

    fn into_facts<V: RequestView>(self, request: &V) -> Facts {
        Facts {
            started: self.started,
            started_at: self.started_at,
            request_id: self.request_id,
            trace_id: request.values(&TRACEPARENT).next().and_then(trace_id).map(Box::from),
            client: self.chain.facts.client,
            method: request.method().as_str().to_owned(),
            host: self.host.unwrap_or_default(),
            path: match self.path {
                Ok(path) => path.into_cow().into_owned(),
                Err(_) => request.path().to_owned(),
            },
            version: request.version(),
            user_agent: request.first_value(&USER_AGENT).map(str::to_owned),
            plain: prefers_plain(request),
        }
    }
}

/// Which route wins and why the nearest others lose, for a request that was decided about.
pub fn explain_route<V: RequestView>(rules: &[&RouteMatch], request: &V, facts: &Facts) -> Vec<route::Candidate> {
    route::explain(rules, &Routed { request, host: &facts.host, path: &facts.path })
}

/// A faulty route is closed, whatever else may match.
fn open_action(snapshot: &Snapshot, index: usize) -> Result<&CompiledAction, Rejection> {
    let route = snapshot.routes.get(index).ok_or(Reason::Internal)?;
    route.action.as_ref().map_err(|_| Reason::RouteFaulty.into())
}

fn authenticate(auth: Auth) -> Result<(), Rejection> {
    match auth {
        Auth::None => Ok(()),
    }
}

fn method_not_allowed(methods: &[http::Method]) -> Rejection {
    let allow = methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(", ");
    let mut rejection = Rejection::new(Reason::MethodNotAllowed);
    if let Ok(allow) = HeaderValue::try_from(allow) {
        rejection.fields.push((ALLOW, allow));
    }
    rejection
}

fn forwarded_target<'p>(
    rewrite: Option<&CompiledRewrite>,
    path: &str,
    query: Option<&str>,
    param: impl Fn(usize) -> &'p str,
) -> String {
    let mut target = String::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
    match rewrite {
        Some(rewrite) => rewrite.apply(path, query, param, &mut target),
        None => {
            target.push_str(path);
            if let Some(query) = query {
                target.push('?');
                target.push_str(query);
            }
        }
    }
    target
}

fn forwarded_name(field: forwarded::Field) -> &'static HeaderName {
    static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    static FORWARDED: HeaderName = http::header::FORWARDED;
    match field {
        forwarded::Field::For => &FOR,
        forwarded::Field::Proto => &PROTO,
        forwarded::Field::Host => &HOST,
        forwarded::Field::Forwarded => &FORWARDED,
    }
}

/// The version a request was received by (RFC 9110 §7.6.3); the pseudonym keeps host names inside.
fn via_entry(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2 sluice",
        Version::HTTP_10 => "1.0 sluice",
        _ => "1.1 sluice",
    }
}

/// Host without its port; an address in brackets keeps its colons.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

/// Whether plain text is asked for and JSON is not; browsers and most clients take `*/*` and get the problem document.
fn prefers_plain<V: RequestView>(request: &V) -> bool {
    let mut plain = false;
    for value in request.values(&ACCEPT) {
        for range in value.split(|byte| *byte == b',') {
            let media = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            if media.eq_ignore_ascii_case(b"application/problem+json")
                || media.eq_ignore_ascii_case(b"application/json")
            {
                return false;
            }
            plain |= media.eq_ignore_ascii_case(b"text/plain");
        }
    }
    plain
}

/// As much of a request as the table looks at.
struct Routed<'a, V> {
    request: &'a V,
    host: &'a str,
    path: &'a str,
}

impl<V: RequestView> route::Request for Routed<'_, V> {
    fn host(&self) -> &str {
        self.host
    }

    fn path(&self) -> &str {
        self.path
    }

    fn method(&self) -> &http::Method {
        self.request.method()
    }

    fn header(&self, name: &HeaderName) -> Field<'_> {
        let mut values = self.request.values(name);
        match (values.next(), values.next()) {
            (None, _) => Field::Absent,
            (Some(value), None) => Field::Once(value),
            (Some(_), Some(_)) => Field::Repeated,
        }
    }

    fn query(&self) -> Option<&str> {
        self.request.query()
    }
}
