//! One request from admission to its line in the log.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Version};

use super::cached::CachePart;
use super::facts::Facts;
use super::shelf;
use super::verdict::Forward;
use crate::anomaly::Arrived;
use crate::base::deadline::Deadline;
use crate::base::reason::Reason;
use crate::config::checked::Timeouts;
use crate::listener::client_io::ConnectionFacts;
use crate::rate_limit::Granted;
use crate::snapshot::{CompiledRoute, Snapshot};
use crate::telemetry::metrics::RouteMetrics;

/// Bytes of text whose memory is kept for the next request; what grew larger is freed.
const LONGEST: usize = 4 * 1024;

/// After a complete answer, how long its last bytes may take to leave although the client is still sending.
const LAST_FLUSH: Duration = Duration::from_millis(100);

/// Where a forwarded request stands; says which deadline holds and what its passing means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Getting a connection to the upstream; bounded by the connector itself.
    Connecting,
    /// Reading the request body: it is the client's turn.
    Receiving,
    /// Sending the request body: it is the upstream's turn.
    Sending,
    /// Waiting for the first byte of the answer.
    Waiting,
    /// Waiting for what the cache asks for; whoever fetches it has deadlines of its own.
    Fetching,
    /// Relaying the answer: it is the upstream's turn.
    Relaying,
    /// Relaying the answer to a client that does not take it.
    Delivering,
    /// Answered in full while the client is still sending.
    Answered,
    /// Upgraded: bytes both ways for as long as there are some.
    Tunnelling,
}

#[derive(Debug)]
pub struct Progress {
    pub stage: Stage,
    pub attempts: u8,
    pub endpoint: Option<SocketAddr>,
    /// Endpoints that could not be reached in this request.
    pub failed: Vec<SocketAddr>,
    pub reused: bool,
    pub connecting_since: Option<Instant>,
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub status: u16,
    pub reason: Option<Reason>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// The socket of an HTTP/1.1 upstream connection that this request alone uses.
    pub upstream_socket: Option<i32>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            stage: Stage::Connecting,
            attempts: 0,
            endpoint: None,
            failed: Vec::new(),
            reused: false,
            connecting_since: None,
            connect: None,
            first_byte: None,
            status: 0,
            reason: None,
            request_bytes: 0,
            response_bytes: 0,
            upstream_socket: None,
        }
    }
}

/// Shared by whoever carries the request and whoever forwards it.
///
/// Its memory serves one request after the other; on the shelf it is about none.
pub struct Exchange {
    held: Option<Held>,
    pub facts: Facts,
    /// Index into the routes of the snapshot.
    pub route: Option<usize>,
    pub plan: Option<Forward>,
    /// What the cache has to do with it.
    pub cache: Option<CachePart>,
    /// How unusual it is, where the route checks that.
    pub anomaly: Option<Arrived>,
    /// What limits have granted; permits go back with the end of the request.
    pub granted: Granted,
    /// How long the client may pause while it sends a body.
    pub body_pause: Duration,
    /// Pieces of the answer are to leave as they come, although its length is known.
    pub prompt: AtomicBool,
    /// The cache asks, not a client: the answer goes into the cache as it is, and nothing is logged.
    pub fetches: bool,
    /// The deadline stands for the whole request, not for its stage.
    by_total: AtomicBool,
    progress: Mutex<Progress>,
    spare: Spare,
}

/// What a request keeps alive until its end.
pub struct Held {
    pub snapshot: Arc<Snapshot>,
    pub connection: Arc<ConnectionFacts>,
    pub deadline: Arc<Deadline>,
}

/// The parts that a decision fills.
pub(super) struct Undecided<'e> {
    pub facts: &'e mut Facts,
    pub route: &'e mut Option<usize>,
    pub plan: &'e mut Option<Forward>,
    pub cache: &'e mut Option<CachePart>,
    pub anomaly: &'e mut Option<Arrived>,
    pub granted: &'e mut Granted,
    pub spare: &'e mut Spare,
}

/// Memory for a plan.
#[derive(Default)]
pub(super) struct Spare {
    pub target: String,
    pub added: Vec<u8>,
    /// For the key of the cache.
    pub key: Vec<u8>,
}

impl Deref for Exchange {
    type Target = Held;

    fn deref(&self) -> &Held {
        #[expect(
            clippy::expect_used,
            reason = "whoever decides sets it, and `recycle` takes it when nobody else is there"
        )]
        self.held.as_ref().expect("an exchange is about a request")
    }
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            held: None,
            facts: Facts::new(),
            route: None,
            plan: None,
            cache: None,
            anomaly: None,
            granted: Granted::default(),
            body_pause: Duration::ZERO,
            prompt: AtomicBool::new(false),
            fetches: false,
            by_total: AtomicBool::new(false),
            progress: Mutex::default(),
            spare: Spare::default(),
        }
    }

    /// The key that the decision has written last.
    pub(super) fn spare_key(&self) -> &[u8] {
        &self.spare.key
    }

    pub(super) fn undecided(&mut self) -> Undecided<'_> {
        let Self { facts, route, plan, cache, anomaly, granted, spare, .. } = self;
        Undecided { facts, route, plan, cache, anomaly, granted, spare }
    }

    /// The request is decided about and begins.
    pub(super) fn begin(&mut self, held: Held, body_pause: Duration) {
        self.held = Some(held);
        self.body_pause = body_pause;
    }

    /// An exchange of its own for what the cache asks for on behalf of this request.
    #[must_use]
    pub fn fetching(&self, plan: Forward, deadline: Arc<Deadline>) -> Arc<Self> {
        let mut exchange = Self::new();
        exchange.facts.request_id.clone_from(&self.facts.request_id);
        exchange.facts.method.push_str(Method::GET.as_str());
        exchange.facts.version = Version::HTTP_11;
        exchange.route = self.route;
        exchange.plan = Some(plan);
        exchange.fetches = true;
        let held = Held { snapshot: Arc::clone(&self.snapshot), connection: Arc::clone(&self.connection), deadline };
        exchange.begin(held, self.body_pause);
        Arc::new(exchange)
    }

    /// Ends a request that has been finished: its memory serves another one of this thread, and what it held is let go.
    /// When somebody else still holds the exchange, it ends with the last who does.
    pub fn recycle(mut exchange: Arc<Self>) {
        if let Some(ended) = Arc::get_mut(&mut exchange)
            && ended.clear() <= LONGEST
        {
            shelf::give(exchange);
        }
    }

    /// Leaves memory only, and says how much of it is for texts; what facts remain are replaced as a whole.
    fn clear(&mut self) -> usize {
        let Self {
            held,
            facts,
            route,
            plan,
            cache,
            anomaly,
            granted,
            body_pause: _,
            prompt,
            fetches,
            by_total,
            progress,
            spare,
        } = self;
        *held = None;
        *route = None;
        *cache = None;
        *anomaly = None;
        granted.clear();
        (facts.caller, facts.limit) = (None, None);
        if let Some(Forward { target, added, .. }) = plan.take() {
            (spare.target, spare.added) = (target, added.into_memory());
            spare.target.clear();
            spare.added.clear();
        }
        *prompt.get_mut() = false;
        *fetches = false;
        *by_total.get_mut() = false;
        *progress.get_mut().unwrap_or_else(PoisonError::into_inner) = Progress::default();
        facts.capacity() + spare.target.capacity() + spare.added.capacity() + spare.key.capacity()
    }

    /// Of the route, or of requests without one.
    #[must_use]
    pub fn metrics(&self) -> &RouteMetrics {
        self.route().map_or(&self.snapshot.unrouted, |route| &route.metrics)
    }

    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Exchange::progress`], for whoever has the exchange alone.
    pub fn progress_mut(&mut self) -> &mut Progress {
        self.progress.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn route(&self) -> Option<&CompiledRoute> {
        self.route.and_then(|index| self.snapshot.routes.get(index))
    }

    #[must_use]
    pub fn timeouts(&self) -> Option<&Timeouts> {
        self.plan.as_ref().map(|plan| &plan.timeouts)
    }

    /// Notes that the request moved on, and until when it has to move again.
    pub fn enter(&self, stage: Stage) {
        self.progress().stage = stage;
        self.touch_in(stage);
    }

    /// As [`Exchange::enter`], for whoever has the exchange alone.
    pub fn enter_alone(&mut self, stage: Stage) {
        self.progress_mut().stage = stage;
        self.touch_in(stage);
    }

    /// A final head from the cache goes to the client.
    pub fn begun(&mut self, status: StatusCode) {
        self.progress_mut().status = status.as_u16();
    }

    /// It is the client's turn, whatever the upstream may do: what it gets is here.
    pub fn deliver(&mut self) {
        self.progress_mut().stage = Stage::Delivering;
        self.by_total.store(false, Ordering::Relaxed);
        self.deadline.set(self.body_pause);
    }

    /// Notes what a fetch for this request knows of its upstream.
    pub fn learn(&mut self, fetch: &Self) {
        let began = fetch.facts.started.saturating_duration_since(self.facts.started);
        let told = fetch.progress();
        let progress = self.progress_mut();
        (progress.attempts, progress.endpoint, progress.reused) = (told.attempts, told.endpoint, told.reused);
        (progress.connect, progress.first_byte) = (told.connect, told.first_byte.map(|first| began + first));
    }

    /// Forgets what a fetch knew: the request is forwarded by itself.
    pub fn forget(&mut self) {
        let started = std::mem::take(self.progress_mut()).stage;
        self.progress_mut().stage = started;
    }

    /// Something was relayed: the pause allowed in this stage begins anew.
    pub fn touch(&self) {
        let stage = self.progress().stage;
        self.touch_in(stage);
    }

    /// More of the request body is being asked for: whether the client keeps us waiting. Without meaning in other stages.
    pub fn reading(&self, waiting: bool) {
        self.turn(waiting, Stage::Sending, Stage::Receiving);
    }

    /// A part of the answer is being written: whether the client keeps us waiting. Without meaning in other stages.
    pub fn writing(&self, waiting: bool) {
        self.turn(waiting, Stage::Relaying, Stage::Delivering);
    }

    fn turn(&self, waiting: bool, of_upstream: Stage, of_client: Stage) {
        let stage = self.progress().stage;
        if waiting && stage == of_upstream {
            self.enter(of_client);
        } else if !waiting && stage == of_client {
            self.enter(of_upstream);
        }
    }

    fn touch_in(&self, stage: Stage) {
        let Some(timeouts) = self.timeouts() else { return };
        let pause = match stage {
            // The connector ends first; this is the net below it, for every attempt anew.
            Stage::Connecting => timeouts.connect * 2 + Duration::from_secs(1),
            Stage::Waiting => timeouts.first_byte,
            Stage::Fetching => timeouts.connect * 6 + timeouts.first_byte + Duration::from_secs(5),
            Stage::Receiving | Stage::Delivering => self.body_pause,
            Stage::Sending | Stage::Relaying | Stage::Tunnelling => timeouts.idle,
            Stage::Answered => LAST_FLUSH,
        };
        let total = timeouts.total.filter(|_| stage != Stage::Tunnelling);
        let by_total = self.deadline.set_before(pause, total.map(|total| self.facts.started + total));
        self.by_total.store(by_total, Ordering::Relaxed);
    }

    /// What it means that the deadline passed now; nothing when the answer was complete.
    #[must_use]
    pub fn overdue(&self) -> Option<Reason> {
        let stage = self.progress().stage;
        // Not by the clock: a deadline may fire a little early.
        let by_total = self.by_total.load(Ordering::Relaxed);
        Some(match stage {
            Stage::Answered => return None,
            _ if by_total => Reason::RequestTimeout,
            Stage::Connecting => Reason::UpstreamConnectTimeout,
            Stage::Waiting | Stage::Fetching => Reason::UpstreamTimeout,
            Stage::Receiving => Reason::BodyTimeout,
            Stage::Delivering => Reason::ClientClosed,
            Stage::Sending | Stage::Relaying | Stage::Tunnelling => Reason::UpstreamIdle,
        })
    }

    /// Keeps the first reason: what failed first is what happened.
    pub fn fail(&self, reason: Reason) {
        self.progress().reason.get_or_insert(reason);
    }

    /// The deadline passed.
    pub fn expire(&self) {
        if let Some(reason) = self.overdue() {
            self.fail(reason);
        }
    }
}
