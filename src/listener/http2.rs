//! One HTTP/2 connection of a client: every stream goes through the pipeline, then to whoever forwards.
//!
//! The connection and all of its streams are one task. What its streams have to say in one wake-up leaves together.

mod head;
mod stream;
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
use self::wire::{Outlet, Wire};
use super::client_io::{ClientIo, ConnectionFacts};
use super::worker::Worker;
use crate::base::deadline::Deadline;
use crate::base::reason::Reason;
use crate::forward::is_direct;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::verdict::Answer;
use crate::pipeline::{self, finish, rescue};

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

/// Serves a connection until it ends, is idle for too long, or is drained (GOAWAY, RFC 9113 §6.8).
///
/// `read` is what was read of it already.
pub async fn serve(worker: Arc<Worker>, io: ClientIo, facts: Arc<ConnectionFacts>, read: Vec<u8>) {
    let settings = &worker.settings;
    let deadline = worker.deadlines.register();
    deadline.set(settings.deadlines.head);
    let (wire, outlet) = wire::open(io, read);
    let Some(connection) = shake_hands(&worker, wire, &outlet, &deadline).await else { return };
    let mut connection = Some(connection);
    let mut streams = FuturesUnordered::new();
    let mut closing = pin!(worker.drain.closing());
    let (mut malformed, mut drained, mut begun, mut given_up) = (0, false, 0_usize, 0_usize);
    deadline.set(settings.deadlines.keep_alive);
    while let Some(open) = &mut connection {
        let event = poll_fn(|cx| poll_event(open, &outlet, &mut streams, &mut closing, drained, &deadline, cx)).await;
        match event {
            Event::Opened(opened) => {
                begun += 1;
                if given_up > GIVEN_UP && given_up * 2 > begun {
                    tracing::debug!(client = %facts.client, given_up, "an HTTP/2 client gives up too many streams");
                    open.abrupt_shutdown(Code::ENHANCE_YOUR_CALM);
                    drained = true;
                    deadline.set(GOODBYE);
                    continue;
                }
                deadline.clear();
                streams.push(serve_stream(&worker, &facts, opened));
            }
            Event::Served(failed) => {
                match failed {
                    Some(Reason::ClientClosed) => given_up += 1,
                    Some(Reason::RequestMalformed | Reason::RequestFraming | Reason::HostInvalid) => malformed += 1,
                    _ => {}
                }
                if malformed > MALFORMED_STREAMS {
                    open.abrupt_shutdown(Code::ENHANCE_YOUR_CALM);
                    drained = true;
                    deadline.set(GOODBYE);
                } else if streams.is_empty() {
                    deadline.set(if drained { LAST_WORD } else { settings.deadlines.keep_alive });
                }
            }
            Event::Closing => {
                open.graceful_shutdown();
                drained = true;
                if streams.is_empty() {
                    deadline.set(LAST_WORD);
                }
            }
            Event::Overdue if drained => connection = None,
            Event::Overdue => {
                open.graceful_shutdown();
                drained = true;
                deadline.set(GOODBYE);
            }
            Event::Lost => connection = None,
        }
    }
    // They learn from `h2` that nobody is there any more, and each leaves its record.
    while streams.next().await.is_some() {}
}

async fn shake_hands(
    worker: &Worker,
    wire: Wire,
    outlet: &Outlet,
    deadline: &Deadline,
) -> Option<Connection<Wire, Piece>> {
    let settings = &worker.settings;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.http2.max_concurrent_streams)
        .initial_window_size(settings.http2.stream_window)
        .initial_connection_window_size(settings.http2.connection_window)
        .max_header_list_size(u32::try_from(settings.limits.head).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER);
    let mut handshake = pin!(builder.handshake(wire));
    poll_fn(|cx| {
        let shaken = handshake.as_mut().poll(cx);
        let sent = outlet.poll_drain(cx);
        match (shaken, sent) {
            (Poll::Ready(Ok(connection)), _) => Poll::Ready(Some(connection)),
            (Poll::Ready(Err(error)), _) => {
                tracing::debug!(%error, "no HTTP/2 connection");
                Poll::Ready(None)
            }
            (Poll::Pending, Poll::Ready(Err(_))) => Poll::Ready(None),
            (Poll::Pending, _) => deadline.poll_expired(cx).map(|()| None),
        }
    })
    .await
}

fn poll_event<F: Future<Output = Option<Reason>>>(
    connection: &mut Connection<Wire, Piece>,
    outlet: &Outlet,
    streams: &mut FuturesUnordered<F>,
    closing: &mut Pin<&mut impl Future<Output = ()>>,
    drained: bool,
    deadline: &Deadline,
    cx: &mut Context<'_>,
) -> Poll<Event> {
    // Streams first: what they say goes out with the frames behind them.
    if let Poll::Ready(Some(failed)) = streams.poll_next_unpin(cx) {
        return Poll::Ready(Event::Served(failed));
    }
    match pin!(connection.accept()).poll(cx) {
        Poll::Ready(Some(Ok(opened))) => return Poll::Ready(Event::Opened(opened)),
        Poll::Ready(Some(Err(error))) => {
            tracing::debug!(%error, "HTTP/2 connection ended");
            return Poll::Ready(Event::Lost);
        }
        Poll::Ready(None) => return Poll::Ready(Event::Lost),
        Poll::Pending => {}
    }
    if let Poll::Ready(Err(error)) = outlet.poll_drain(cx) {
        tracing::debug!(%error, "HTTP/2 connection ended");
        return Poll::Ready(Event::Lost);
    }
    if !drained && closing.as_mut().poll(cx).is_ready() {
        return Poll::Ready(Event::Closing);
    }
    deadline.poll_expired(cx).map(|()| Event::Overdue)
}

/// Serves one stream; why it failed, when it did.
async fn serve_stream(worker: &Worker, facts: &Arc<ConnectionFacts>, opened: Accepted) -> Option<Reason> {
    let _in_flight = worker.metrics.request_started();
    let (head, body) = opened.0.into_parts();
    let mut client = ClientStream::new(body, opened.1);
    let decision = {
        let view = Http2View::new(&head, client.is_body_done());
        let snapshot = worker.snapshots.load();
        match check(&head, &worker.settings.limits) {
            Ok(()) => pipeline::decide(snapshot, facts, &view, &worker.settings),
            Err(rejection) => pipeline::refuse(snapshot, facts, Some(&view), &rejection, &worker.settings),
        }
    };
    let (mut exchange, verdict) =
        decision.into_exchange(Arc::clone(facts), worker.deadlines.register(), worker.settings.deadlines.body);
    match verdict {
        Some(answer) => respond(&mut client, &exchange, &answer).await,
        None => forward(worker, &mut exchange, head, client).await,
    }
    finish::finish(&exchange, &worker.access_log);
    exchange.progress().reason
}

async fn forward(worker: &Worker, exchange: &mut Arc<Exchange>, head: Parts, mut client: ClientStream) {
    let direct = exchange.plan.as_ref().is_some_and(is_direct);
    match Arc::get_mut(exchange).filter(|_| direct) {
        Some(alone) => worker.direct.forward_stream(&mut client, alone, head).await,
        // Seldom, and too large to lie in the task of every stream.
        None => return Box::pin(worker.pingora.forward_stream(exchange, head, client)).await,
    }
    let Some(reason) = exchange.progress().reason else { return };
    if client.has_begun() {
        client.reset(Code::INTERNAL_ERROR);
    } else if reason != Reason::ClientClosed {
        respond(&mut client, exchange, &rescue::answer(&reason.into(), Some(&exchange.facts))).await;
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

/// The `Date` field for now (RFC 9110 §6.6.1).
#[must_use]
pub fn date() -> HeaderValue {
    let now = std::time::UNIX_EPOCH + crate::base::clock::since_epoch();
    HeaderValue::try_from(httpdate::fmt_http_date(now))
        .unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}
