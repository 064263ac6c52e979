//! An answer from the cache to an HTTP/1 client.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use http::{Method, Version};
use tokio::io::AsyncWrite;

use super::{Parts, head_of, lines};
use crate::base::reason::Reason;
use crate::cache::served::{Served, ServedBody};
use crate::forward::answer::{self, Reframing};
use crate::listener::buffers;
use crate::listener::client_io::ClientIo;
use crate::listener::framing::{is_forbidden_trailer, write_chunk};
use crate::pipeline::exchange::{Exchange, Stage};

/// Pieces that leave in one call, at most.
const GATHERED: usize = 16;

/// Bodies up to this length are copied behind the head.
const SHORT: usize = 4 * 1024;

/// Writes an answer to the client. Turns `keep_alive` off where the client learns the end of the answer by the end of the
/// connection; keeps in `pending` what the client sends meanwhile.
///
/// # Errors
///
/// Why it is not whole.
pub async fn deliver(
    io: &mut ClientIo,
    exchange: &mut Exchange,
    served: Served,
    keep_alive: &mut bool,
    pending: &mut Vec<u8>,
) -> Result<(), Reason> {
    let to_head = exchange.facts.method == Method::HEAD.as_str();
    let mut out = buffers::take();
    let reframing = {
        let told = lines(&served);
        let mut fields = told.fields(&served);
        let mut head = head_of(&served, &mut fields);
        *keep_alive &= answer::is_delimited(&head, to_head, exchange.facts.version);
        let reframing = answer::reframing(&head, to_head, exchange.facts.version);
        answer::write_head(&mut out, &mut head, to_head, reframing, *keep_alive, exchange);
        reframing
    };
    let sent = match served.body {
        ServedBody::None => {
            exchange.begun(served.status);
            send(io, exchange, &out, &[]).await
        }
        ServedBody::Whole(mut pieces) => {
            exchange.begun(served.status);
            let length = pieces.iter().map(|piece| piece.len() as u64).sum();
            // Inside TLS every piece is a record of its own, and what is short costs less to copy than to gather.
            let is_plain = matches!(io, ClientIo::Plain(_));
            if let Some(first) = pieces.first_mut().filter(|first| !is_plain || first.len() <= SHORT) {
                let room = (out.capacity() - out.len()).min(first.len());
                out.extend_from_slice(&first.split_to(room));
            }
            let sent = send(io, exchange, &out, &pieces).await;
            if sent.is_ok() {
                exchange.progress_mut().response_bytes = length;
            }
            sent
        }
        ServedBody::Coming { reader, skip, take } => {
            let parts = Parts::new(reader, skip, take, served.status);
            // Those of HTTP/2 were not held to what may stand behind chunks (RFC 9110 §6.5.1).
            let parts = if served.head.version == Version::HTTP_2 { parts.without_trailers() } else { parts };
            return relay(io, exchange, out, parts, reframing, *keep_alive, pending).await;
        }
    };
    buffers::give(out);
    sent
}

/// Relays what comes, as it comes.
async fn relay(
    io: &mut ClientIo,
    exchange: &mut Exchange,
    mut out: Vec<u8>,
    mut parts: Parts,
    reframing: Reframing,
    keep_alive: bool,
    pending: &mut Vec<u8>,
) -> Result<(), Reason> {
    loop {
        let part = poll_fn(|cx| {
            if let Poll::Ready(part) = parts.poll(cx) {
                return Poll::Ready(part);
            }
            // What there is leaves before more is waited for.
            if out.is_empty() {
                if exchange.progress_mut().stage != Stage::Relaying {
                    exchange.enter_alone(Stage::Relaying);
                }
                ready!(poll_gone(io, cx, pending, keep_alive, exchange));
                return Poll::Ready(Err(exchange.overdue().unwrap_or(Reason::ClientClosed)));
            }
            Poll::Ready(Ok(Some(Bytes::new())))
        })
        .await?;
        // Until then it can still be answered that there is no answer.
        exchange.begun(parts.status);
        let Some(data) = part else {
            if reframing == Reframing::Chunk {
                out.extend_from_slice(b"0\r\n");
                if let Some(trailers) = parts.take_trailers() {
                    for (name, value) in trailers.iter().filter(|(name, _)| !is_forbidden_trailer(name.as_str())) {
                        super::super::head::put(
                            &mut out,
                            &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"],
                        );
                    }
                }
                out.extend_from_slice(b"\r\n");
            }
            let sent = send(io, exchange, &out, &[]).await;
            buffers::give(out);
            return sent;
        };
        let length = data.len() as u64;
        if reframing == Reframing::Chunk && !data.is_empty() {
            write_chunk(&mut out, &data);
            send(io, exchange, &out, &[]).await?;
        } else {
            send(io, exchange, &out, std::slice::from_ref(&data)).await?;
        }
        out.clear();
        exchange.progress_mut().response_bytes += length;
    }
}

/// Ready when the client is gone, or the deadline has passed.
fn poll_gone(
    io: &mut ClientIo,
    cx: &mut std::task::Context<'_>,
    pending: &mut Vec<u8>,
    keep_alive: bool,
    exchange: &Exchange,
) -> Poll<()> {
    while pending.len() < buffers::SIZE {
        match buffers::poll_append(io, cx, pending) {
            Poll::Pending => break,
            Poll::Ready(Ok(read)) if read > 0 => {}
            // One that said it would send nothing more may end its side while it waits.
            Poll::Ready(Ok(_)) if !keep_alive => break,
            Poll::Ready(_) => {
                exchange.fail(Reason::ClientClosed);
                return Poll::Ready(());
            }
        }
    }
    exchange.deadline.poll_expired(cx)
}

/// Sends everything, in as few calls as there can be, and flushes.
async fn send(io: &mut ClientIo, exchange: &mut Exchange, head: &[u8], pieces: &[Bytes]) -> Result<(), Reason> {
    if exchange.progress_mut().stage != Stage::Delivering {
        exchange.deliver();
    }
    let deadline = &exchange.deadline;
    let mut sent = 0;
    let written = poll_fn(|cx| {
        loop {
            let moved = match poll_write(io, cx, head, pieces, sent) {
                Poll::Ready(Some(Ok(0))) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Some(Ok(length))) => {
                    sent += length;
                    deadline.set(exchange.body_pause);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => Pin::new(&mut *io).poll_flush(cx),
                Poll::Pending => Poll::Pending,
            };
            if moved.is_pending() {
                ready!(deadline.poll_expired(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            return moved;
        }
    })
    .await;
    written.map_err(|_: io::Error| Reason::ClientClosed)
}

/// Writes what follows the first `sent` bytes; `None` when that is nothing.
fn poll_write(
    io: &mut ClientIo,
    cx: &mut std::task::Context<'_>,
    head: &[u8],
    pieces: &[Bytes],
    sent: usize,
) -> Poll<Option<io::Result<usize>>> {
    let mut slices = [IoSlice::new(&[]); GATHERED];
    let (mut skip, mut filled) = (sent, 0);
    for piece in std::iter::once(head).chain(pieces.iter().map(|piece| &**piece)) {
        let rest = piece.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(piece.len());
        if rest.is_empty() {
            continue;
        }
        let Some(slice) = slices.get_mut(filled) else { break };
        *slice = IoSlice::new(rest);
        filled += 1;
    }
    let slices = slices.get(..filled).unwrap_or_default();
    if slices.is_empty() {
        return Poll::Ready(None);
    }
    Pin::new(io).poll_write_vectored(cx, slices).map(Some)
}
