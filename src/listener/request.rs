//! From the bytes of a head to a decision about it, without waiting for anything.

use std::sync::Arc;

use http::{HeaderName, Method, Version};

use super::buffers;
use super::client_io::ConnectionFacts;
use super::framing::{BodyGuard, Framing};
use super::head::{self, Head, Room, Status};
use super::worker::Worker;
use crate::auth::issuer::KeysAwaited;
use crate::base::deadline::Deadline;
use crate::base::field::Known;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::UpstreamProtocol;
use crate::forward::head::{Connection, write_request};
use crate::forward::is_direct;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::rescue;
use crate::pipeline::verdict::{Answer, Forward};
use crate::pipeline::view::{BodyLength, RequestView};
use crate::pipeline::{self, Decision, Given};

/// What the bytes so far amount to.
pub enum Read {
    Partial,
    /// To be read again when this is done.
    Awaits(KeysAwaited),
    Refused(Refused),
    Request(Request),
}

/// A head that cannot be served; the connection ends with its answer.
pub struct Refused {
    pub exchange: Arc<Exchange>,
    pub answer: Answer,
}

/// A request that was decided about.
pub struct Request {
    pub exchange: Arc<Exchange>,
    /// `None`: forward by the plan of the exchange.
    pub verdict: Option<Answer>,
    pub carried: Carried,
}

/// What carrying the request on needs of its head.
pub struct Carried {
    /// The head as it is forwarded and the part of the body that came with it.
    pub head: Vec<u8>,
    /// Knows where the body ends; has been told of the part in `head`.
    pub guard: BodyGuard,
    /// What follows the body.
    pub pending: Vec<u8>,
    pub keep_alive: bool,
    pub expects_continue: bool,
    pub upgrade: bool,
}

impl Refused {
    /// For a head that was never complete.
    pub fn unread(
        worker: &Worker,
        connection: &Arc<ConnectionFacts>,
        reason: Reason,
        deadline: &Arc<Deadline>,
    ) -> Self {
        Self::new(worker, connection, None::<&Http1View<'_, '_>>, reason.into(), deadline)
    }

    fn new<V: RequestView>(
        worker: &Worker,
        connection: &Arc<ConnectionFacts>,
        view: Option<&V>,
        rejection: Rejection,
        deadline: &Arc<Deadline>,
    ) -> Self {
        let decision = pipeline::refuse(worker.snapshots.load(), connection, view, &rejection, &worker.settings);
        let (exchange, verdict) = into_exchange(decision, worker, connection, deadline);
        let answer = verdict.unwrap_or_else(|| rescue::answer(&rejection, Some(&exchange.facts)));
        Self { exchange, answer }
    }
}

fn into_exchange(
    decision: Decision,
    worker: &Worker,
    connection: &Arc<ConnectionFacts>,
    deadline: &Arc<Deadline>,
) -> (Arc<Exchange>, Option<Answer>) {
    decision.into_exchange(Arc::clone(connection), Arc::clone(deadline), worker.settings.deadlines.body)
}

impl Request {
    /// Reads the head at the front of `buffer`, which is emptied when the head is whole.
    pub fn read(
        buffer: &mut Vec<u8>,
        worker: &Worker,
        connection: &Arc<ConnectionFacts>,
        last: bool,
        deadline: &Arc<Deadline>,
        given: &Given,
    ) -> Read {
        let mut room = Room::new();
        let (head, length) = match head::parse(buffer, &mut room, &worker.settings.limits) {
            Ok(Status::Partial) => return Read::Partial,
            Ok(Status::Complete(head, length)) => (head, length),
            Err(rejection) => {
                return Read::Refused(Refused::new(
                    worker,
                    connection,
                    None::<&Http1View<'_, '_>>,
                    rejection,
                    deadline,
                ));
            }
        };
        let Ok(method) = Method::from_bytes(head.method.as_bytes()) else {
            let rejection = Reason::RequestMalformed.into();
            return Read::Refused(Refused::new(worker, connection, None::<&Http1View<'_, '_>>, rejection, deadline));
        };
        let view = Http1View { head: &head, method };
        let mut decision = pipeline::decide(worker.snapshots.load(), connection, &view, &worker.settings, given);
        if let Some(keys) = decision.take_pending() {
            return Read::Awaits(keys);
        }
        let max_body = decision.plan().and_then(|plan| plan.max_body);
        let mut guard = BodyGuard::new(head.framing, max_body);
        if let Some(plan) = decision.plan() {
            guard = guard.withholding(&plan.withheld);
        }
        let came_with = &buffer[length..];
        let direct = decision.plan().is_some_and(is_direct);
        let (anew, mut body) = (direct && guard.is_chunked(), Vec::new());
        let fed = if anew { guard.transcribe(came_with, &mut body) } else { guard.feed(came_with) };
        let taken = match fed {
            Ok(fed) => fed.taken,
            Err(reason) => {
                return Read::Refused(Refused::new(worker, connection, Some(&view), reason.into(), deadline));
            }
        };
        let keep_alive = head.keep_alive && !last && !worker.drain.is_leaving();
        let upgrade = is_websocket(&head, decision.plan());
        let mut forwarded = Vec::new();
        if let Some(plan) = decision.plan() {
            forwarded = buffers::take_head();
            let kind = match keep_alive {
                _ if upgrade => Connection::Upgrade,
                _ if direct => Connection::Ours,
                true => Connection::KeepAlive,
                false => Connection::Close,
            };
            write_request(&mut forwarded, &head, plan, kind);
            forwarded.extend_from_slice(if anew { &body } else { &came_with[..taken] });
        }
        let mut pending = Vec::new();
        if taken < came_with.len() {
            pending = buffers::take();
            pending.extend_from_slice(&came_with[taken..]);
        }
        let expects_continue = head.expect_continue;
        let (exchange, verdict) = into_exchange(decision, worker, connection, deadline);
        buffer.clear();
        let carried = Carried { head: forwarded, guard, pending, keep_alive, expects_continue, upgrade };
        Read::Request(Self { exchange, verdict, carried })
    }
}

/// WebSocket is the one protocol that is upgraded to (RFC 6455 §4.1); other offers are ignored, as RFC 9110 §7.8 lets us.
fn is_websocket(head: &Head<'_, '_>, plan: Option<&Forward>) -> bool {
    let asked = head.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"));
    let possible = plan.is_some_and(|plan| plan.upstream.cluster.protocol() != UpstreamProtocol::Http2);
    asked && possible && head.framing == Framing::None && head.method == "GET"
}

/// The pipeline's view of a head that came over HTTP/1.
pub struct Http1View<'a, 'b> {
    pub head: &'a Head<'b, 'a>,
    pub method: Method,
}

impl<'a, 'b> RequestView for Http1View<'a, 'b> {
    fn method(&self) -> &Method {
        &self.method
    }

    fn path(&self) -> &str {
        self.head.target.path()
    }

    fn query(&self) -> Option<&str> {
        self.head.target.query()
    }

    fn authority(&self) -> Option<&str> {
        Some(self.head.host).filter(|host| !host.is_empty())
    }

    fn version(&self) -> Version {
        if self.head.version == head::Version::Http10 { Version::HTTP_10 } else { Version::HTTP_11 }
    }

    fn body(&self) -> BodyLength {
        match self.head.framing {
            Framing::None => BodyLength::None,
            Framing::Length(length) => BodyLength::Known(length),
            Framing::Chunked => BodyLength::Unknown,
        }
    }

    fn values<'v, 'n>(
        &'v self,
        name: &'n HeaderName,
    ) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, 'n, 'a, 'b> {
        let fields = self.head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name.as_str()));
        fields.map(|field| field.value)
    }

    fn known<'v>(&'v self, field: Known) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, 'a, 'b> {
        self.head.values(field)
    }

    fn fields<'v>(&'v self) -> impl Iterator<Item = (&'v str, &'v [u8])> + use<'v, 'a, 'b> {
        let carried = self.head.known_fields().filter(|(known, field)| !self.head.is_for_this_hop(*known, field.name));
        carried.map(|(_, field)| (field.name, field.value))
    }

    fn nominates(&self) -> bool {
        self.head.nominates()
    }
}
