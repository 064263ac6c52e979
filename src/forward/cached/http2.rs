//! An answer from the cache to a stream of an HTTP/2 client.

use std::future::poll_fn;
use std::task::{Poll, ready};

use bytes::{Buf, Bytes};
use http::Method;

use super::{Parts, head_of, lines};
use crate::base::reason::Reason;
use crate::cache::served::{Served, ServedBody};
use crate::forward::direct::final_fields;
use crate::listener::http2::{ClientStream, Piece};
use crate::pipeline::exchange::{Exchange, Stage};

/// Writes an answer to the stream.
///
/// # Errors
///
/// Why it is not whole.
pub async fn deliver(client: &mut ClientStream, exchange: &mut Exchange, served: Served) -> Result<(), Reason> {
    let to_head = exchange.facts.method == Method::HEAD.as_str();
    let fields = {
        let told = lines(&served);
        let mut fields = told.fields(&served);
        let mut head = head_of(&served, &mut fields);
        final_fields(&mut head, exchange)?
    };
    let empty = match &served.body {
        ServedBody::None => true,
        ServedBody::Whole(pieces) => pieces.is_empty(),
        ServedBody::Coming { .. } => false,
    };
    let end = to_head || empty;
    exchange.begun(served.status);
    exchange.deliver();
    client.send_head(served.status, fields, end).map_err(|_| Reason::ClientClosed)?;
    if end {
        return Ok(());
    }
    match served.body {
        ServedBody::None => Ok(()),
        ServedBody::Whole(pieces) => {
            let last = pieces.len().saturating_sub(1);
            for (at, piece) in pieces.into_iter().enumerate() {
                send(client, exchange, piece, at == last).await?;
            }
            Ok(())
        }
        ServedBody::Coming { reader, skip, take } => {
            relay(client, exchange, Parts::new(reader, skip, take, served.status)).await
        }
    }
}

async fn relay(client: &mut ClientStream, exchange: &mut Exchange, mut parts: Parts) -> Result<(), Reason> {
    loop {
        if exchange.progress_mut().stage != Stage::Relaying {
            exchange.enter_alone(Stage::Relaying);
        }
        let part = poll_fn(|cx| {
            if let Poll::Ready(part) = parts.poll(cx) {
                return Poll::Ready(part);
            }
            if client.poll_given_up(cx).is_ready() {
                return Poll::Ready(Err(Reason::ClientClosed));
            }
            ready!(exchange.deadline.poll_expired(cx));
            Poll::Ready(Err(exchange.overdue().unwrap_or(Reason::Internal)))
        })
        .await?;
        match part {
            Some(data) => send(client, exchange, data, false).await?,
            None => {
                let Some(trailers) = parts.take_trailers() else {
                    return send(client, exchange, Bytes::new(), true).await;
                };
                return client.send_trailers((*trailers).clone()).map_err(|_| Reason::ClientClosed);
            }
        }
    }
}

/// Sends a piece as the client's window allows.
async fn send(client: &mut ClientStream, exchange: &mut Exchange, data: Bytes, end: bool) -> Result<(), Reason> {
    exchange.deliver();
    let length = data.len() as u64;
    let mut piece = Piece::Shared(data);
    let mut left = piece.remaining();
    poll_fn(|cx| {
        if let Poll::Ready(sent) = client.poll_send(cx, &mut piece, end) {
            return Poll::Ready(sent.map_err(|_| Reason::ClientClosed));
        }
        if piece.remaining() < left {
            left = piece.remaining();
            exchange.deliver();
        }
        ready!(exchange.deadline.poll_expired(cx));
        Poll::Ready(Err(Reason::ClientClosed))
    })
    .await?;
    exchange.progress_mut().response_bytes += length;
    Ok(())
}
