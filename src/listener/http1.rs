//! An HTTP/1.1 connection: ours between requests, lent to whoever forwards for one request at a time.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Method;
use tokio::io::AsyncWriteExt;

use super::accept::linger;
use super::buffers;
use super::client_io::{ClientIo, ConnectionFacts};
use super::http2;
use super::request::{Carried, Read, Refused, Request};
use super::worker::Worker;
use crate::base::deadline::{Deadline, Rest};
use crate::base::reason::Reason;
use crate::forward::head::write_answer;
use crate::forward::is_direct;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::verdict::Answer;
use crate::pipeline::{finish, rescue};

/// A rest of a request body up to this size is read away so that the connection can go on.
const DRAINED_BODY: usize = 64 * 1024;

/// How long a client may take to read a last answer before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);

/// Begins an HTTP/2 connection with prior knowledge (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends.
pub async fn serve(worker: Arc<Worker>, mut io: ClientIo, connection: Arc<ConnectionFacts>, h2c: bool) {
    let deadline = worker.deadlines.register();
    let mut pending = Vec::new();
    let mut served: u64 = 0;
    loop {
        if pending.is_empty() {
            if served > 0 && worker.drain.is_closing() {
                break;
            }
            deadline.set(if served == 0 {
                worker.settings.deadlines.head
            } else {
                worker.settings.deadlines.keep_alive
            });
            deadline.set_rest(if served == 0 { Rest::Fresh } else { Rest::Idle });
            let first = read_first(&mut io, &deadline).await;
            deadline.set_rest(Rest::Busy);
            match first {
                Some(bytes) => pending = bytes,
                None => break,
            }
        }
        if served == 0 && h2c {
            // POST begins like the preface: one or the other is known only when they part.
            while pending.len() < PREFACE.len() && PREFACE.starts_with(&pending) {
                match read_more(&mut io, &mut pending, &deadline).await {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return,
                }
            }
            if pending.starts_with(PREFACE) {
                return Box::pin(http2::serve(worker, io, connection, pending)).await;
            }
        }
        // What one request needs is much; between requests none of it may remain.
        let last = served + 1 >= worker.settings.limits.requests_per_connection;
        let request = serve_request(&worker, io, &connection, std::mem::take(&mut pending), last, &deadline);
        match Box::pin(request).await {
            Some((back, rest)) => (io, pending) = (back, rest),
            None => return,
        }
        served += 1;
    }
    deadline.set(LINGER);
    tokio::select! {
        biased;
        closed = io.shutdown() => if let Err(error) = closed { tracing::trace!(%error, "connection ended") },
        () = deadline.expired() => {}
    }
}

/// Waits for the first bytes of a request without holding a buffer. `None` when the connection is over.
async fn read_first(io: &mut ClientIo, deadline: &Deadline) -> Option<Vec<u8>> {
    std::future::poll_fn(|context| {
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
        read = std::future::poll_fn(|context| buffers::poll_append(io, context, buffer)) => Ok(matches!(read, Ok(length) if length > 0)),
        () = deadline.expired() => Err(Reason::HeadTimeout),
    }
}

/// One request from its first bytes to its line in the log; the connection and what follows when it goes on.
async fn serve_request(
    worker: &Arc<Worker>,
    mut io: ClientIo,
    connection: &Arc<ConnectionFacts>,
    mut buffer: Vec<u8>,
    last: bool,
    deadline: &Arc<Deadline>,
) -> Option<(ClientIo, Vec<u8>)> {
    let _in_flight = worker.metrics.request_started();
    deadline.set(worker.settings.deadlines.head);
    let read = loop {
        match Request::read(&mut buffer, worker, connection, last, deadline) {
            Read::Partial => match read_more(&mut io, &mut buffer, deadline).await {
                Ok(true) => {}
                Ok(false) => {
                    buffers::give(buffer);
                    return None;
                }
                Err(reason) => break Read::Refused(Refused::unread(worker, connection, reason, deadline)),
            },
            done => break done,
        }
    };
    buffers::give(buffer);
    match read {
        Read::Partial => None,
        Read::Refused(Refused { exchange, answer }) => {
            deadline.set(worker.settings.deadlines.body);
            let written = send(&mut io, &answer, true, false, deadline).await;
            finish::answered(&exchange, &answer, written);
            finish::finish(&exchange, &worker.access_log);
            if written {
                close(io, deadline).await;
            }
            None
        }
        Read::Request(request) => {
            let Request { mut exchange, verdict, carried } = *request;
            let goes_on = match verdict {
                Some(answer) => serve_answer(worker, io, &exchange, &answer, carried, deadline).await,
                None => serve_forwarded(worker, io, &mut exchange, carried, deadline).await,
            };
            finish::finish(&exchange, &worker.access_log);
            goes_on
        }
    }
}

async fn serve_answer(
    worker: &Worker,
    mut io: ClientIo,
    exchange: &Exchange,
    answer: &Answer,
    mut carried: Carried,
    deadline: &Deadline,
) -> Option<(ClientIo, Vec<u8>)> {
    deadline.set(worker.settings.deadlines.body);
    // A client that waits for `100 Continue` may or may not send its body now: the connection cannot go on.
    let unread = !carried.guard.is_done();
    let close_after = !carried.keep_alive || (unread && carried.expects_continue);
    let is_head = exchange.facts.method == Method::HEAD.as_str();
    let written = send(&mut io, answer, close_after, is_head, deadline).await;
    finish::answered(exchange, answer, written);
    if !written {
        return None;
    }
    if close_after || !drain_body(&mut io, &mut carried, deadline).await {
        close(io, deadline).await;
        return None;
    }
    Some((io, carried.pending))
}

async fn serve_forwarded(
    worker: &Worker,
    io: ClientIo,
    exchange: &mut Arc<Exchange>,
    carried: Carried,
    deadline: &Deadline,
) -> Option<(ClientIo, Vec<u8>)> {
    let (keep_alive, expects_continue) = (carried.keep_alive, carried.expects_continue);
    let direct = carried.upgrade || exchange.plan.as_deref().is_some_and(is_direct);
    let mut back = match Arc::get_mut(exchange).filter(|_| direct) {
        Some(exchange) => worker.direct.forward(io, exchange, carried).await,
        None => worker.pingora.forward_http1(io, exchange, carried).await?,
    };
    let failed = exchange.progress().reason;
    if let Some(reason) = failed.filter(|reason| *reason != Reason::ClientClosed && !back.begun) {
        let answer = rescue::answer(&reason.into(), Some(&exchange.facts));
        let close_after = !keep_alive || !back.body_done || back.client_closed || expects_continue;
        deadline.set(worker.settings.deadlines.body);
        let written =
            send(&mut back.io, &answer, close_after, exchange.facts.method == Method::HEAD.as_str(), deadline).await;
        finish::answered(exchange, &answer, written);
        if written && !close_after {
            return Some((back.io, back.pending));
        }
        if written {
            close(back.io, deadline).await;
        }
        return None;
    }
    if failed.is_none() && back.reusable && back.body_done && !back.client_closed {
        return Some((back.io, back.pending));
    }
    // A failed answer is cut short, so that no client takes a part for the whole.
    if failed.is_none() {
        close(back.io, deadline).await;
    }
    None
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
async fn close(io: ClientIo, deadline: &Deadline) {
    deadline.set(LINGER);
    tokio::select! {
        biased;
        () = linger(io) => {}
        () = deadline.expired() => {}
    }
}
