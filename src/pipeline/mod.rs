//! The phases of a request in their one order, on a small view of it, whatever carried it.

mod act;
mod admit;
mod anomaly;
pub mod cached;
pub mod caller;
mod credential;
pub mod exchange;
pub mod facts;
pub mod finish;
mod gate;
pub mod heard;
pub mod rescue;
pub mod respond;
mod shelf;
pub mod verdict;
pub mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::ALLOW;
use http::{HeaderName, HeaderValue, Version};

use self::act::Resource;
use self::admit::{Admitted, unread};
use self::cached::CachePart;
use self::caller::Caller;
use self::exchange::{Exchange, Held, Undecided};
use self::facts::Facts;
use self::gate::{AtGate, Stop};
use self::verdict::{Answer, Forward};
use self::view::{BodyLength, RequestView};
use crate::anomaly::Arrived;
use crate::auth::issuer::KeysAwaited;
use crate::base::deadline::Deadline;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::cache::status::Kind;
use crate::listener::client_io::ConnectionFacts;
use crate::listener::worker::Settings;
use crate::route::{self, Field, Found, Lookup, NormalPath, Params, RouteMatch};
use crate::snapshot::{CompiledAction, Snapshot};

/// What a decision takes for granted.
#[derive(Default)]
pub struct Given {
    /// Keys have been waited for, and are not waited for again.
    pub waited: bool,
    /// The caller, whatever credential the request has; for trying things out.
    pub caller: Option<Caller>,
    /// The moment at which it is decided, as both clocks would tell it; for trying things out, too.
    pub moment: Option<(Instant, Duration)>,
}

/// What the pipeline makes of a request: an answer, or a plan for forwarding it.
pub struct Decision {
    snapshot: Arc<Snapshot>,
    /// Nobody else has it.
    exchange: Arc<Exchange>,
    /// Without one the request is forwarded by the plan.
    pub answer: Option<Answer>,
    /// Nothing is decided yet: wait for this, and ask once more.
    pending: Option<KeysAwaited>,
}

impl Decision {
    /// What has to be waited for, after which the request is to be decided about anew: this decision says nothing.
    #[must_use]
    pub fn take_pending(&mut self) -> Option<KeysAwaited> {
        self.pending.take()
    }

    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.exchange.facts
    }

    /// How unusual it was found, where the route checks that.
    #[must_use]
    pub fn anomaly(&self) -> Option<&Arrived> {
        self.exchange.anomaly.as_ref()
    }

    /// Index into the routes of the snapshot.
    #[must_use]
    pub fn route(&self) -> Option<usize> {
        self.exchange.route
    }

    /// Set when the request is forwarded.
    #[must_use]
    pub fn plan(&self) -> Option<&Forward> {
        self.exchange.plan.as_ref()
    }

    /// What the cache has to do with it.
    #[must_use]
    pub fn cache(&self) -> Option<&CachePart> {
        self.exchange.cache.as_ref()
    }

    /// The key of the request, without what `Vary` of an answer may add; `None` when the cache stays out of it.
    #[must_use]
    pub fn cache_key(&self) -> Option<&[u8]> {
        let counts = |kind| !matches!(kind, Kind::Bypass | Kind::Method);
        let outcome = self.cache()?.outcome?;
        counts(outcome.kind).then(|| self.exchange.spare_key())
    }

    /// Splits off the answer; without one the request is forwarded by the plan of the exchange.
    pub fn into_exchange(
        self,
        connection: Arc<ConnectionFacts>,
        deadline: Arc<Deadline>,
        body_pause: Duration,
    ) -> (Arc<Exchange>, Option<Answer>) {
        let Self { snapshot, mut exchange, answer, pending: _ } = self;
        alone(&mut exchange).begin(Held { snapshot, connection, deadline }, body_pause);
        (exchange, answer)
    }
}

fn alone(exchange: &mut Arc<Exchange>) -> &mut Exchange {
    #[expect(clippy::expect_used, reason = "the shelf keeps what nobody else has, and a decision gives it to nobody")]
    Arc::get_mut(exchange).expect("an exchange of a decision is in one hand")
}

/// Decides about a request: admit, route, authenticate, authorize, limit, check for anomalies, then answer or forward. Waits for nothing.
pub fn decide<V: RequestView>(
    snapshot: Arc<Snapshot>,
    connection: &ConnectionFacts,
    request: &V,
    settings: &Settings,
    given: &Given,
) -> Decision {
    let mut exchange = shelf::take();
    let undecided = alone(&mut exchange).undecided();
    let admitted = Admitted::new(connection, request, settings);
    admitted.tell(request, undecided.facts);
    if let Some(moment) = given.moment {
        (undecided.facts.started, undecided.facts.started_at) = moment;
    }
    let mut pending = None;
    let answer = match admitted.run(&snapshot, connection, request, given, undecided) {
        Ok(answer) => answer,
        Err(Stop::Refused(rejection)) => {
            let mut answer = rescue::answer(&rejection, Some(&exchange.facts));
            if let Some(action) = exchange.route.and_then(|index| snapshot.action(index)) {
                respond::add_limits(&exchange.granted, action.written.limit_fields, &mut answer);
            }
            Some(answer)
        }
        Err(Stop::Pending(keys)) => {
            alone(&mut exchange).granted.undo();
            pending = Some(keys);
            None
        }
    };
    Decision { snapshot, exchange, answer, pending }
}

/// The decision about a request whose head was refused by whoever read it; `request` when it could be read.
pub fn refuse<V: RequestView>(
    snapshot: Arc<Snapshot>,
    connection: &ConnectionFacts,
    request: Option<&V>,
    rejection: &Rejection,
    settings: &Settings,
) -> Decision {
    let mut exchange = shelf::take();
    let facts = &mut alone(&mut exchange).facts;
    match request {
        Some(request) => Admitted::new(connection, request, settings).tell(request, facts),
        None => unread(connection, facts),
    }
    let answer = Some(rescue::answer(rejection, Some(facts)));
    Decision { snapshot, exchange, answer, pending: None }
}

impl Admitted<'_> {
    /// Route, pass the gate, be looked at, act; the phases that come later have their place between these lines.
    fn run<V: RequestView>(
        &self,
        snapshot: &Snapshot,
        connection: &ConnectionFacts,
        request: &V,
        given: &Given,
        mut undecided: Undecided<'_>,
    ) -> Result<Option<Answer>, Stop> {
        let path =
            self.path.as_ref().map_err(|error| Rejection::with_detail(Reason::PathInvalid, error.to_string()))?;
        let (index, params) = self.route(snapshot, request, path)?;
        *undecided.route = Some(index);
        let action = open_action(snapshot, index)?;
        if path.has_encoded_delimiter() && !action.written.allow_encoded_slash {
            return Err(Rejection::with_detail(
                Reason::PathInvalid,
                "The path contains an encoded slash, backslash or NUL.",
            )
            .into());
        }
        AtGate { gate: &snapshot.gate, action, connection, request, given }.pass(self, &mut undecided)?;
        if let (BodyLength::Known(length), Some(max)) = (request.body(), action.written.max_body)
            && length > max
        {
            return Err(Reason::BodyTooLarge.into());
        }
        let query = act::left_of_query(action, request.query());
        let query = query.as_deref();
        undecided.facts.credential_in_query = query.map(str::len) != request.query().map(str::len);
        let resource = Resource { path: path.as_str(), query, params: &params };
        if let Some(check) = &action.anomaly {
            anomaly::check(&snapshot.gate, check, request, &resource, &mut undecided)?;
        }
        Ok(self.act(snapshot, index, request, &resource, undecided)?)
    }

    fn route<V: RequestView>(
        &self,
        snapshot: &Snapshot,
        request: &V,
        path: &NormalPath<'_>,
    ) -> Result<(usize, Params), Rejection> {
        let host = match (&self.host, request.version()) {
            (Some(host), _) => host,
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

fn method_not_allowed(methods: &[http::Method]) -> Rejection {
    let allow = methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(", ");
    let mut rejection = Rejection::new(Reason::MethodNotAllowed);
    if let Ok(allow) = HeaderValue::try_from(allow) {
        rejection.fields.push((ALLOW, allow));
    }
    rejection
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
