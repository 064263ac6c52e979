//! An HTTP/1.1 connection: ours between requests, lent to whoever forwards for one request at a time.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Version};
use tokio::io::AsyncWriteExt;

use super::accept::linger;
use super::buffers;
use super::client_io::{ClientIo, ConnectionFacts};
use super::http2;
use super::request::{Carried, Read, Refused, Request};
use super::worker::Worker;
use crate::base::deadline::{Deadline, Rest};
use crate::base::reason::Reason;
use crate::forward::cached::{self, Obtained};
use crate::forward::head::write_answer;
use crate::forward::{Returned, is_direct};
use crate::pipeline::exchange::Exchange;
use crate::pipeline::verdict::Answer;
use crate::pipeline::{Given, finish, respond};

/// A rest of a request body up to this size is read away so that the connection can go on.
const DRAINED_BODY: usize = 64 * 1024;

/// How long a client may take to read a last answer before the connection is cut.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Begins an HTTP/2 connection with prior knowledge (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An HTTP/1.1 connection between two requests: all that an idle one holds.
struct Connection {
    worker: Arc<Worker>,
    facts: Arc<ConnectionFacts>,
    deadline: Arc<Deadline>,
    io: ClientIo,
    /// What was read of the next request.
    pending: Vec<u8>,
}

/// Serves a connection until it ends.
pub async fn serve(worker: Arc<Worker>, io: ClientIo, facts: Arc<ConnectionFacts>, h2c: bool) {
    let deadline = worker.deadlines.register();
    let mut connection = Connection { worker, facts, deadline, io, pending: Vec::new() };
    let mut served: u64 = 0;
    loop {
        if connection.pending.is_empty() {
            if served > 0 && connection.worker.drain.is_closing() {
                break;
            }
            if !connection.wait(served == 0).await {
                break;
            }
        }
        if served == 0 && h2c {
            match connection.has_preface().await {
                Some(false) => {}
                Some(true) => {
                    let Connection { worker, facts, io, pending, .. } = connection;
                    return Box::pin(http2::serve(worker, io, facts, pending)).await;
                }
                None => return,
            }
        }
        served += 1;
        let last = served >= connection.worker.settings.limits.requests_per_connection;
        let mut request = boxes::take(serve_request(connection, last));
        let goes_on = poll_fn(|context| request.poll(context)).await;
        boxes::give(request);
        match goes_on {
            Some(back) => connection = back,
            None => return,
        }
    }
    let Connection { mut io, deadline, .. } = connection;
    deadline.set(LINGER);
    tokio::select! {
        biased;
        closed = io.shutdown() => if let Err(error) = closed { tracing::trace!(%error, "connection ended") },
        () = deadline.expired() => {}
    }
}

/// Where requests are served: what one needs is much, and between requests none of it may remain.
mod boxes {
    use std::cell::RefCell;

    use tokio_util::sync::ReusableBoxFuture;

    use super::Connection;

    type Served = ReusableBoxFuture<'static, Option<Connection>>;

    /// Kept for each thread; beyond that they are freed.
    const KEPT: usize = 64;

    thread_local! {
        static SPARE: RefCell<Vec<Served>> = const { RefCell::new(Vec::new()) };
    }

    pub fn take(request: impl Future<Output = Option<Connection>> + Send + 'static) -> Served {
        match SPARE.with_borrow_mut(Vec::pop) {
            Some(mut spare) => {
                spare.set(request);
                spare
            }
            None => Served::new(request),
        }
    }

    /// Takes the box of a request that has ended.
    pub fn give(spare: Served) {
        SPARE.with_borrow_mut(|kept| {
            if kept.len() < KEPT {
                kept.push(spare);
            }
        });
    }
}

impl Connection {
    /// Waits for the first bytes of a request; `false` when the connection is over.
    async fn wait(&mut self, fresh: bool) -> bool {
        let deadlines = &self.worker.settings.deadlines;
        self.deadline.set(if fresh { deadlines.head } else { deadlines.keep_alive });
        self.deadline.set_rest(if fresh { Rest::Fresh } else { Rest::Idle });
        let first = read_first(&mut self.io, &self.deadline).await;
        self.deadline.set_rest(Rest::Busy);
        first.map(|bytes| self.pending = bytes).is_some()
    }

    /// Whether the client speaks HTTP/2 with prior knowledge; `None` when the connection is over.
    async fn has_preface(&mut self) -> Option<bool> {
        // POST begins like the preface: one or the other is known only when they part.
        while self.pending.len() < PREFACE.len() && PREFACE.starts_with(&self.pending) {
            match read_more(&mut self.io, &mut self.pending, &self.deadline).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return None,
            }
        }
        Some(self.pending.starts_with(PREFACE))
    }
}

/// Waits for the first bytes of a request without holding a buffer. `None` when the connection is over.
async fn read_first(io: &mut ClientIo, deadline: &Deadline) -> Option<Vec<u8>> {
    poll_fn(|context| {
        let mut buffer = buffers::take();
        match buffers::poll_append(io, context, &mut buffer) {
            Poll::Ready(Ok(read)) if read > 0 => Poll::Ready(Some(buffer)),
            Poll::Ready(_) => {
                buffers::give(buffer);
                Poll::Ready(None)
            }
            Poll::Pending => {
                buffers::give(buffer);
                deadline.poll_expired(context).map(|()| None)
            }
        }
    })
    .await
}

/// Reads more into a buffer that holds the beginning of a head; `false` when the connection is over.
async fn read_more(io: &mut ClientIo, buffer: &mut Vec<u8>, deadline: &Deadline) -> Result<bool, Reason> {
    tokio::select! {
        biased;
        read = poll_fn(|context| buffers::poll_append(io, context, buffer)) => Ok(matches!(read, Ok(length) if length > 0)),
        () = deadline.expired() => Err(Reason::HeadTimeout),
    }
}

/// One request from its first bytes to its line in the log; the connection when it goes on.
async fn serve_request(mut connection: Connection, last: bool) -> Option<Connection> {
    let mut buffer = std::mem::take(&mut connection.pending);
    // Outlives the connection, which ends while the request is still to be written down.
    let worker = Arc::clone(&connection.worker);
    let Connection { facts, deadline, io, .. } = &mut connection;
    let _in_flight = worker.metrics.request_started();
    deadline.set(worker.settings.deadlines.head);
    let mut given = Given::default();
    let read = loop {
        match Request::read(&mut buffer, &worker, facts, last, deadline, &given) {
            Read::Awaits(keys) => {
                keys.done().await;
                given.waited = true;
                deadline.set(worker.settings.deadlines.head);
            }
            Read::Partial => match read_more(io, &mut buffer, deadline).await {
                Ok(true) => {}
                Ok(false) => {
                    buffers::give(buffer);
                    return None;
                }
                Err(reason) => break Read::Refused(Refused::unread(&worker, facts, reason, deadline)),
            },
            done => break done,
        }
    };
    buffers::give(buffer);
    match read {
        Read::Partial | Read::Awaits(_) => None,
        Read::Refused(Refused { exchange, answer }) => {
            deadline.set(worker.settings.deadlines.body);
            let is_head = exchange.facts.method == Method::HEAD.as_str();
            let written = send(io, &answer, true, is_head, deadline).await;
            finish::answered(&exchange, &answer, written);
            finish::finish(&exchange, &worker.access_log);
            if written {
                close(connection).await;
            }
            None
        }
        Read::Request(request) => {
            let Request { mut exchange, verdict, mut carried } = request;
            let cached = match (&verdict, &exchange.cache) {
                (None, Some(_)) => serve_cached(&mut connection, &mut exchange, &mut carried).await,
                _ => None,
            };
            let next = match (verdict, cached) {
                (Some(answer), _) => serve_answer(connection, &exchange, &answer, carried).await,
                (None, Some(Ok(()))) if carried.keep_alive => Next::Drains(connection, carried),
                (None, Some(Ok(()))) => Next::Closes(connection),
                (None, Some(Err(reason))) => give_up(connection, &exchange, carried, reason).await,
                (None, None) => serve_forwarded(connection, &mut exchange, carried).await,
            };
            // Before the client has done its part: what it was granted ends with its answer.
            finish::finish(&exchange, &worker.access_log);
            Exchange::recycle(exchange);
            next.arrive().await
        }
    }
}

/// What becomes of a connection after an answer.
enum Next {
    Goes(Connection),
    /// It goes on when the rest of the request has been read away.
    Drains(Connection, Carried),
    Closes(Connection),
    Ends,
}

impl Next {
    async fn arrive(self) -> Option<Connection> {
        match self {
            Self::Goes(connection) => Some(connection),
            Self::Drains(mut connection, mut carried) => {
                let Connection { deadline, io, .. } = &mut connection;
                if drain_body(io, &mut carried, deadline).await {
                    connection.pending = carried.pending;
                    return Some(connection);
                }
                close(connection).await;
                None
            }
            Self::Closes(connection) => {
                close(connection).await;
                None
            }
            Self::Ends => None,
        }
    }
}

async fn serve_answer(mut connection: Connection, exchange: &Exchange, answer: &Answer, carried: Carried) -> Next {
    let Connection { worker, deadline, io, .. } = &mut connection;
    deadline.set(worker.settings.deadlines.body);
    // A client that waits for `100 Continue` may or may not send its body now: the connection cannot go on.
    let unread = !carried.guard.is_done();
    let close_after = !carried.keep_alive || (unread && carried.expects_continue);
    let is_head = exchange.facts.method == Method::HEAD.as_str();
    let written = send(io, answer, close_after, is_head, deadline).await;
    finish::answered(exchange, answer, written);
    match (written, close_after) {
        (false, _) => Next::Ends,
        (true, true) => Next::Closes(connection),
        (true, false) => Next::Drains(connection, carried),
    }
}

/// What the cache takes part in: whether the answer got to the client, or `None` when the request is to be forwarded.
async fn serve_cached(
    connection: &mut Connection,
    exchange: &mut Arc<Exchange>,
    carried: &mut Carried,
) -> Option<Result<(), Reason>> {
    let Connection { worker, io, .. } = connection;
    let alone = Arc::get_mut(exchange)?;
    match cached::obtain(worker, alone).await {
        Ok(Obtained::Forward) => None,
        Ok(Obtained::Served(served)) => {
            let Carried { keep_alive, pending, .. } = carried;
            *keep_alive &= !worker.drain.is_leaving();
            Some(cached::deliver_http1(io, alone, *served, keep_alive, pending).await)
        }
        Err(reason) => Some(Err(reason)),
    }
}

/// Concludes a request whose answer from the cache did not get to the client as a whole.
async fn give_up(mut connection: Connection, exchange: &Exchange, carried: Carried, reason: Reason) -> Next {
    exchange.fail(reason);
    let ended = Ended {
        body_done: carried.guard.is_done(),
        client_closed: reason == Reason::ClientClosed,
        begun: exchange.progress().status != 0,
        goes_on: carried.keep_alive && !carried.expects_continue,
    };
    connection.pending = carried.pending;
    conclude(connection, exchange, &ended).await
}

async fn serve_forwarded(connection: Connection, exchange: &mut Arc<Exchange>, carried: Carried) -> Next {
    let (keep_alive, expects_continue) = (carried.keep_alive, carried.expects_continue);
    let Connection { worker, facts, deadline, io, .. } = connection;
    let direct = carried.upgrade || exchange.plan.as_ref().is_some_and(is_direct);
    let back = match Arc::get_mut(exchange).filter(|_| direct) {
        Some(exchange) => worker.direct.forward(io, exchange, carried).await,
        // In a box, so that only requests that need its room pay for it.
        None => match Box::pin(worker.pingora.forward_http1(io, exchange, carried)).await {
            Some(back) => back,
            None => return Next::Ends,
        },
    };
    let Returned { io, pending, body_done, client_closed, begun, reusable } = back;
    let connection = Connection { worker, facts, deadline, io, pending };
    if exchange.progress().reason.is_none() {
        let goes_on = reusable && body_done && !client_closed;
        return if goes_on { Next::Goes(connection) } else { Next::Closes(connection) };
    }
    let ended = Ended { body_done, client_closed, begun, goes_on: keep_alive && !expects_continue };
    conclude(connection, exchange, &ended).await
}

/// How far a request has come that failed.
struct Ended {
    body_done: bool,
    client_closed: bool,
    /// The client has a part of an answer.
    begun: bool,
    /// The connection may go on behind another answer.
    goes_on: bool,
}

/// Tells the client what failed, if it can still be told.
async fn conclude(mut connection: Connection, exchange: &Exchange, ended: &Ended) -> Next {
    let failed = exchange.progress().reason;
    if let Some(reason) = failed.filter(|reason| *reason != Reason::ClientClosed && !ended.begun) {
        let Connection { worker, deadline, io, .. } = &mut connection;
        let answer = respond::failed(exchange, reason);
        let close_after = !ended.goes_on || !ended.body_done || ended.client_closed;
        deadline.set(worker.settings.deadlines.body);
        let is_head = exchange.facts.method == Method::HEAD.as_str();
        let written = send(io, &answer, close_after, is_head, deadline).await;
        finish::answered(exchange, &answer, written);
        return match (written, close_after) {
            (false, _) => Next::Ends,
            (true, true) => Next::Closes(connection),
            (true, false) => Next::Goes(connection),
        };
    }
    // A failed answer is cut short, so that no client takes a part for the whole.
    if exchange.facts.version == Version::HTTP_10 {
        connection.io.cut();
    }
    Next::Ends
}

/// Writes a whole answer; `false` when the client did not take it.
async fn send(io: &mut ClientIo, answer: &Answer, close: bool, is_head: bool, deadline: &Deadline) -> bool {
    let bodyless = answer.is_bodyless();
    let mut out = buffers::take();
    write_answer(&mut out, answer.status, &answer.fields, (!bodyless).then_some(answer.body.len()), close);
    if !is_head && !bodyless {
        out.extend_from_slice(&answer.body);
    }
    let written = tokio::select! {
        biased;
        written = async { io.write_all(&out).await?; io.flush().await } => written.is_ok(),
        () = deadline.expired() => false,
    };
    buffers::give(out);
    written
}

/// Reads the rest of a body nobody wants; `false` when it is too long or wrong.
async fn drain_body(io: &mut ClientIo, carried: &mut Carried, deadline: &Deadline) -> bool {
    let mut read = 0;
    while !carried.guard.is_done() {
        let mut buffer = buffers::take();
        let more = read_more(io, &mut buffer, deadline).await;
        let fed = match more {
            Ok(true) => carried.guard.feed(&buffer),
            _ => return false,
        };
        read += buffer.len();
        match fed {
            Ok(fed) if read <= DRAINED_BODY => carried.pending.extend_from_slice(&buffer[fed.taken..]),
            _ => return false,
        }
        buffers::give(buffer);
    }
    true
}

/// Ends a connection after its last answer without taking the answer from the client by a reset.
async fn close(connection: Connection) {
    let Connection { io, deadline, .. } = connection;
    deadline.set(LINGER);
    tokio::select! {
        biased;
        () = linger(io) => {}
        () = deadline.expired() => {}
    }
}
