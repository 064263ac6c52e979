//! One HTTP/2 connection of a client: every stream goes through the pipeline, then to whoever forwards.
//!
//! The connection and all of its streams are one task. What its streams have to say in one wake-up leaves together.

mod head;
mod stream;
mod wake;
mod wire;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{Connection, SendResponse};
use h2::{Reason as Code, RecvStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};

use self::head::{Http2View, check};
pub use self::stream::{ClientStream, Piece};
use self::wake::Wakes;
use self::wire::{Outlet, Wire};
use super::client_io::{ClientIo, ConnectionFacts};
use super::worker::Worker;
use crate::auth::issuer::KeysAwaited;
use crate::base::deadline::Deadline;
use crate::base::reason::Reason;
use crate::forward::cached::{self, Obtained};
use crate::forward::direct::Upload;
use crate::forward::head::date;
use crate::forward::is_direct;
use crate::pipeline::cached::Work as CacheWork;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::verdict::Answer;
use crate::pipeline::{self, Given, finish, respond};
use crate::telemetry::metrics::InFlight;

/// How long a client may take to close an idle connection after GOAWAY.
const GOODBYE: Duration = Duration::from_secs(1);

/// As [`GOODBYE`] when the gateway leaves: what was sent last may still be on its way to a slow client.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Streams that a client may give up; beyond that, no more than half of all. `h2` itself stops those that come and go at once,
/// but each that lives a moment longer costs an upstream connection (CVE-2023-44487).
const GIVEN_UP: usize = 100;

/// Streams whose head had to be refused before a connection is closed.
const MALFORMED_STREAMS: usize = 32;

/// Bytes of an answer that wait inside of `h2` for each stream, at most.
const SEND_BUFFER: usize = 64 * 1024;

type Accepted = (Request<RecvStream>, SendResponse<Piece>);

/// What a connection waits for.
#[expect(clippy::large_enum_variant, reason = "moved once and never kept")]
enum Event {
    Opened(Accepted),
    /// A stream has ended.
    Served(Option<Reason>),
    Closing,
    Overdue,
    Lost,
}

/// A connection whose handshake is done.
struct Link {
    frames: Connection<Wire, Piece>,
    outlet: Outlet,
    wakes: Wakes,
}

/// Serves a connection until it ends, is idle for too long, or is drained (GOAWAY, RFC 9113 §6.8).
///
/// `read` is what was read of it already.
pub async fn serve(worker: Arc<Worker>, io: ClientIo, facts: Arc<ConnectionFacts>, read: Vec<u8>) {
    let settings = &worker.settings;
    let deadline = worker.deadlines.register();
    deadline.set(settings.deadlines.head);
    let mut link = shake_hands(&worker, io, read, &deadline).await;
    let mut streams = FuturesUnordered::new();
    let mut closing = pin!(worker.drain.closing());
    let (mut malformed, mut drained, mut begun, mut given_up) = (0, false, 0_usize, 0_usize);
    deadline.set(settings.deadlines.keep_alive);
    while let Some(open) = &mut link {
        let event = poll_fn(|cx| poll_event(open, &mut streams, &mut closing, drained, &deadline, cx)).await;
        match event {
            Event::Opened(opened) => {
                begun += 1;
                if given_up > GIVEN_UP && given_up * 2 > begun {
                    tracing::debug!(client = %facts.client, given_up, "an HTTP/2 client gives up too many streams");
                    open.frames.abrupt_shutdown(Code::ENHANCE_YOUR_CALM);
                    drained = true;
                    deadline.set(GOODBYE);
                    continue;
                }
                deadline.clear();
                streams.push(Stream::new(&worker, &facts, opened).serve(&worker));
            }
            Event::Served(failed) => {
                match failed {
                    Some(Reason::ClientClosed) => given_up += 1,
                    Some(Reason::RequestMalformed | Reason::RequestFraming | Reason::HostInvalid) => malformed += 1,
                    _ => {}
                }
                if malformed > MALFORMED_STREAMS {
                    open.frames.abrupt_shutdown(Code::ENHANCE_YOUR_CALM);
                    drained = true;
                    deadline.set(GOODBYE);
                } else if streams.is_empty() {
                    deadline.set(if drained { LAST_WORD } else { settings.deadlines.keep_alive });
                }
            }
            Event::Closing => {
                open.frames.graceful_shutdown();
                drained = true;
                if streams.is_empty() {
                    deadline.set(LAST_WORD);
                }
            }
            Event::Overdue if drained => link = None,
            Event::Overdue => {
                open.frames.graceful_shutdown();
                drained = true;
                deadline.set(GOODBYE);
            }
            Event::Lost => link = None,
        }
    }
    // They learn from `h2` that nobody is there any more, and each leaves its record.
    while streams.next().await.is_some() {}
}

async fn shake_hands(worker: &Worker, io: ClientIo, read: Vec<u8>, deadline: &Deadline) -> Option<Link> {
    let (wire, outlet) = wire::open(io, read);
    let settings = &worker.settings;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.http2.max_concurrent_streams)
        .initial_window_size(settings.http2.stream_window)
        .initial_connection_window_size(settings.http2.connection_window)
        .max_header_list_size(u32::try_from(settings.limits.head).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER);
    let mut handshake = pin!(builder.handshake(wire));
    let frames = poll_fn(|cx| {
        let shaken = handshake.as_mut().poll(cx);
        let sent = outlet.poll_drain(cx);
        match (shaken, sent) {
            (Poll::Ready(Ok(frames)), _) => Poll::Ready(Some(frames)),
            (Poll::Ready(Err(error)), _) => {
                tracing::debug!(%error, "no HTTP/2 connection");
                Poll::Ready(None)
            }
            (Poll::Pending, Poll::Ready(Err(_))) => Poll::Ready(None),
            (Poll::Pending, _) => deadline.poll_expired(cx).map(|()| None),
        }
    });
    Some(Link { frames: frames.await?, outlet, wakes: Wakes::new() })
}

impl Link {
    /// The next stream; `None` when the connection is over. What was written has left before this waits.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Accepted>> {
        match pin!(self.frames.accept()).poll(&mut self.wakes.context()) {
            Poll::Ready(Some(Ok(opened))) => return Poll::Ready(Some(opened)),
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "HTTP/2 connection ended");
                return Poll::Ready(None);
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if let Poll::Ready(Err(error)) = self.outlet.poll_drain(cx) {
            tracing::debug!(%error, "HTTP/2 connection ended");
            return Poll::Ready(None);
        }
        self.wakes.end(cx);
        Poll::Pending
    }
}

fn poll_event<F: Future<Output = Option<Reason>>>(
    link: &mut Link,
    streams: &mut FuturesUnordered<F>,
    closing: &mut Pin<&mut impl Future<Output = ()>>,
    drained: bool,
    deadline: &Deadline,
    cx: &mut Context<'_>,
) -> Poll<Event> {
    link.wakes.begin();
    // Streams first: what they say goes out with the frames behind them.
    if let Poll::Ready(Some(failed)) = streams.poll_next_unpin(cx) {
        return Poll::Ready(Event::Served(failed));
    }
    if let Poll::Ready(opened) = link.poll_accept(cx) {
        return Poll::Ready(opened.map_or(Event::Lost, Event::Opened));
    }
    if !drained && closing.as_mut().poll(cx).is_ready() {
        return Poll::Ready(Event::Closing);
    }
    deadline.poll_expired(cx).map(|()| Event::Overdue)
}

/// A stream that was decided about. Small: what is left of the request lies in the task until it ends.
struct Stream<'w> {
    exchange: Arc<Exchange>,
    client: ClientStream,
    work: Work,
    _in_flight: InFlight<'w>,
}

/// What is to be done for a stream.
enum Work {
    /// Nothing is decided yet, and will not be before this is done.
    Awaits(Box<(KeysAwaited, Parts)>),
    Answer(Answer),
    /// The cache has it, and nothing was planned.
    Cached,
    Direct(Upload),
    Pingora(Box<Parts>),
}

impl<'w> Stream<'w> {
    fn new(worker: &'w Arc<Worker>, facts: &Arc<ConnectionFacts>, opened: Accepted) -> Self {
        let _in_flight = worker.metrics.request_started();
        let (head, body) = opened.0.into_parts();
        let client = ClientStream::new(body, opened.1);
        Self::decide(worker, facts, head, client, _in_flight, &Given::default())
    }

    fn decide(
        worker: &'w Arc<Worker>,
        facts: &Arc<ConnectionFacts>,
        head: Parts,
        client: ClientStream,
        _in_flight: InFlight<'w>,
        given: &Given,
    ) -> Self {
        let mut decision = {
            let view = Http2View::new(&head, client.is_body_done());
            let snapshot = worker.snapshots.load();
            match check(&head, &worker.settings.limits) {
                Ok(()) => pipeline::decide(snapshot, facts, &view, &worker.settings, given),
                Err(rejection) => pipeline::refuse(snapshot, facts, Some(&view), &rejection, &worker.settings),
            }
        };
        let pending = decision.take_pending();
        let (exchange, verdict) =
            decision.into_exchange(Arc::clone(facts), worker.deadlines.register(), worker.settings.deadlines.body);
        if let Some(keys) = pending {
            return Self { exchange, client, work: Work::Awaits(Box::new((keys, head))), _in_flight };
        }
        let work = match (verdict, exchange.plan.as_ref()) {
            (Some(answer), _) => Work::Answer(answer),
            (None, Some(plan)) if is_direct(plan) => Work::Direct(Upload::new(&head, plan, client.is_body_done())),
            (None, Some(_)) => Work::Pingora(Box::new(head)),
            (None, None) => Work::Cached,
        };
        Self { exchange, client, work, _in_flight }
    }

    /// Serves the stream to its end; why it failed, when it did.
    async fn serve(mut self, worker: &'w Arc<Worker>) -> Option<Reason> {
        let is_cached = self.exchange.cache.as_ref().is_some_and(|part| !matches!(part.work, CacheWork::Forward));
        let is_over = is_cached && Box::pin(serve_cached(worker, &mut self.client, &mut self.exchange)).await;
        match self.work {
            _ if is_over => tell(&mut self.client, &self.exchange).await,
            Work::Awaits(waiting) => {
                let Self { exchange, client, _in_flight, .. } = self;
                return Box::pin(Self::serve_later(worker, exchange, client, _in_flight, *waiting)).await;
            }
            Work::Answer(answer) => respond(&mut self.client, &self.exchange, &answer).await,
            Work::Cached => {
                self.exchange.fail(Reason::Internal);
                tell(&mut self.client, &self.exchange).await;
            }
            Work::Direct(mut upload) => {
                match Arc::get_mut(&mut self.exchange) {
                    Some(alone) => worker.direct.forward_stream(&mut self.client, alone, &mut upload).await,
                    None => self.exchange.fail(Reason::Internal),
                }
                tell(&mut self.client, &self.exchange).await;
            }
            // Seldom, and too large to lie in the task of every stream.
            Work::Pingora(head) => {
                Box::pin(worker.pingora.forward_stream(&self.exchange, *head, self.client)).await;
            }
        }
        finish::finish(&self.exchange, &worker.access_log);
        let reason = self.exchange.progress().reason;
        Exchange::recycle(self.exchange);
        reason
    }

    async fn serve_later(
        worker: &'w Arc<Worker>,
        undecided: Arc<Exchange>,
        mut client: ClientStream,
        in_flight: InFlight<'w>,
        (keys, head): (KeysAwaited, Parts),
    ) -> Option<Reason> {
        tokio::select! {
            () = keys.done() => {}
            () = poll_fn(|cx| client.poll_given_up(cx)) => {
                undecided.fail(Reason::ClientClosed);
                finish::finish(&undecided, &worker.access_log);
                Exchange::recycle(undecided);
                return Some(Reason::ClientClosed);
            }
        }
        let facts = Arc::clone(&undecided.connection);
        Exchange::recycle(undecided);
        let given = Given { waited: true, ..Given::default() };
        Self::decide(worker, &facts, head, client, in_flight, &given).serve(worker).await
    }
}

/// Serves a stream that the cache takes part in; `false` when it is to be forwarded.
async fn serve_cached(worker: &Arc<Worker>, client: &mut ClientStream, exchange: &mut Arc<Exchange>) -> bool {
    let Some(alone) = Arc::get_mut(exchange) else { return false };
    let obtained = tokio::select! {
        biased;
        obtained = cached::obtain(worker, alone) => obtained,
        () = poll_fn(|cx| client.poll_given_up(cx)) => Err(Reason::ClientClosed),
    };
    let served = match obtained {
        Ok(Obtained::Forward) => return false,
        Ok(Obtained::Served(served)) => cached::deliver_stream(client, alone, *served).await,
        Err(reason) => Err(reason),
    };
    if let Err(reason) = served {
        exchange.fail(reason);
    }
    true
}

/// Tells the client what failed, if anything did.
async fn tell(client: &mut ClientStream, exchange: &Exchange) {
    let Some(reason) = exchange.progress().reason else { return };
    if client.has_begun() {
        client.reset(Code::INTERNAL_ERROR);
    } else if reason != Reason::ClientClosed {
        respond(client, exchange, &respond::failed(exchange, reason)).await;
    }
}

/// Answers, within the deadline: a client that grants no window would hold the stream, and with it the connection, for ever.
async fn respond(client: &mut ClientStream, exchange: &Exchange, answer: &Answer) {
    exchange.deadline.set(exchange.body_pause);
    let is_head = exchange.facts.method == Method::HEAD.as_str();
    let taken = tokio::select! {
        biased;
        taken = send(client, answer, is_head) => taken.is_ok(),
        () = exchange.deadline.expired() => false,
    };
    finish::answered(exchange, answer, taken);
}

/// Sends an answer of ours.
///
/// # Errors
///
/// The stream is over.
pub async fn send(client: &mut ClientStream, answer: &Answer, is_head: bool) -> Result<(), h2::Error> {
    let mut fields = HeaderMap::with_capacity(answer.fields.len() + 2);
    fields.extend(answer.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    fields.entry(DATE).or_insert_with(date);
    if !answer.is_bodyless() {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
    }
    let body = if is_head || answer.is_bodyless() { Bytes::new() } else { answer.body.clone() };
    let end = body.is_empty();
    client.send_head(answer.status, fields, end)?;
    if end {
        return Ok(());
    }
    let mut piece = Piece::Shared(body);
    poll_fn(|cx| client.poll_send(cx, &mut piece, true)).await
}
