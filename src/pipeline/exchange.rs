//! One request from admission to its line in the log.

use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Version;

use super::shelf::{self, Memory};
use super::verdict::Forward;
use crate::base::clock;
use crate::base::deadline::Deadline;
use crate::base::reason::Reason;
use crate::config::checked::Timeouts;
use crate::listener::client_io::ConnectionFacts;
use crate::snapshot::{CompiledRoute, Snapshot};
use crate::telemetry::metrics::RouteMetrics;
use crate::transform::request_id::RequestId;
use crate::transform::trace::TraceId;

/// What is known of a request after its head, kept for the log and for answers.
#[derive(Debug)]
pub struct Facts {
    pub started: Instant,
    /// Since 1970 UTC.
    pub started_at: Duration,
    pub request_id: RequestId,
    pub trace_id: Option<TraceId>,
    /// The client by the trusted-proxies rule.
    pub client: IpAddr,
    /// As sent; empty when the head could not be read.
    pub method: String,
    /// Normalised, without a port; empty when there is none.
    pub host: String,
    /// In normal form; as sent when it has none.
    pub path: String,
    pub version: Version,
    /// UTF-8.
    pub user_agent: Option<Vec<u8>>,
    /// The client asked for plain text rather than a problem document.
    pub plain: bool,
}

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
/// Its place in memory serves one request after the other; on the shelf it holds none.
pub struct Exchange(Option<Ongoing>);

/// The request that an [`Exchange`] is about.
pub struct Ongoing {
    pub snapshot: Arc<Snapshot>,
    pub connection: Arc<ConnectionFacts>,
    pub facts: Facts,
    /// Index into the routes of the snapshot.
    pub route: Option<usize>,
    pub plan: Option<Forward>,
    pub deadline: Arc<Deadline>,
    /// How long the client may pause while it sends a body.
    pub body_pause: Duration,
    /// Pieces of the answer are to leave as they come, although its length is known.
    pub prompt: AtomicBool,
    pub(super) progress: Mutex<Progress>,
    /// What facts and plan had no use for.
    pub(super) memory: Memory,
}

impl Deref for Exchange {
    type Target = Ongoing;

    fn deref(&self) -> &Ongoing {
        #[expect(clippy::expect_used, reason = "only `recycle` takes it out, and then nobody else holds the exchange")]
        self.0.as_ref().expect("a request")
    }
}

impl DerefMut for Exchange {
    fn deref_mut(&mut self) -> &mut Ongoing {
        #[expect(clippy::expect_used, reason = "only `recycle` takes it out, and then nobody else holds the exchange")]
        self.0.as_mut().expect("a request")
    }
}

impl Exchange {
    pub(super) fn begin(ongoing: Ongoing) -> Arc<Self> {
        let mut exchange = shelf::take_exchange().unwrap_or_else(|| Arc::new(Self(None)));
        match Arc::get_mut(&mut exchange) {
            Some(place) => place.0 = Some(ongoing),
            None => exchange = Arc::new(Self(Some(ongoing))),
        }
        exchange
    }

    /// Ends a request that has been finished: it holds nothing any more, and its memory serves another request of this
    /// thread. When somebody else still holds the exchange, it ends with the last who does.
    pub fn recycle(mut exchange: Arc<Self>) {
        let Some(place) = Arc::get_mut(&mut exchange) else { return };
        if let Some(Ongoing { facts, plan, mut memory, .. }) = place.0.take() {
            let Facts { method, host, path, user_agent, .. } = facts;
            (memory.method, memory.host, memory.path) = (method, host, path);
            if let Some(user_agent) = user_agent {
                memory.user_agent = user_agent;
            }
            if let Some(Forward { target, added, .. }) = plan {
                (memory.target, memory.added) = (target, added.into_memory());
            }
            memory.give();
        }
        shelf::give_exchange(exchange);
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

    /// The plan beside the progress, for whoever has the exchange alone; `None` when nothing is forwarded.
    pub fn plan_and_progress(&mut self) -> Option<(&Forward, &mut Progress)> {
        let Ongoing { plan, progress, .. } = &mut **self;
        let progress = progress.get_mut().unwrap_or_else(PoisonError::into_inner);
        plan.as_ref().map(|plan| (plan, progress))
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
            Stage::Receiving | Stage::Delivering => self.body_pause,
            Stage::Sending | Stage::Relaying | Stage::Tunnelling => timeouts.idle,
            Stage::Answered => LAST_FLUSH,
        };
        let total = timeouts.total.filter(|_| stage != Stage::Tunnelling);
        self.deadline.set_before(pause, total.map(|total| self.facts.started + total));
    }

    /// What it means that the deadline passed now; nothing when the answer was complete.
    #[must_use]
    pub fn overdue(&self) -> Option<Reason> {
        let total = self.timeouts().and_then(|timeouts| timeouts.total);
        let stage = self.progress().stage;
        let over = |total| clock::now() >= self.facts.started + total;
        if stage == Stage::Answered {
            return None;
        }
        if stage != Stage::Tunnelling && total.is_some_and(over) {
            return Some(Reason::RequestTimeout);
        }
        Some(match stage {
            Stage::Connecting => Reason::UpstreamConnectTimeout,
            Stage::Waiting => Reason::UpstreamTimeout,
            Stage::Receiving => Reason::BodyTimeout,
            Stage::Delivering => Reason::ClientClosed,
            Stage::Sending | Stage::Relaying | Stage::Tunnelling => Reason::UpstreamIdle,
            Stage::Answered => return None,
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
