//! Upgraded connections (RFC 9110 §7.8), WebSocket above all: the handshake, then bytes both ways.
//!
//! Not Pingora's: it may tear an upgrade down when the upstream answers at once (cloudflare/pingora#946), and its
//! read time-out of requests also ends upgraded connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ATTEMPTS;
use super::response::{self, Ending, ResponseHead};
use crate::base::clock;
use crate::base::reason::Reason;
use crate::listener::client_io::ClientIo;
use crate::listener::request::Carried;
use crate::pipeline::exchange::{Exchange, Stage};
use crate::pipeline::{finish, rescue, respond};
use crate::telemetry::metrics::UpstreamConnection;

/// Bytes relayed at once, in each direction.
const PIECE: usize = 16 * 1024;

/// The longest answer head that is read.
const LONGEST_HEAD: usize = 64 * 1024;

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Carries one upgrade from its handshake to its end. The connection comes back, with what followed the request, when
/// the upstream declined and the client may go on.
pub async fn serve(mut io: ClientIo, exchange: &Arc<Exchange>, carried: Carried) -> Option<(ClientIo, Vec<u8>)> {
    let carried_on = carry(&mut io, exchange, carried);
    let ended = tokio::select! {
        biased;
        ended = carried_on => ended,
        () = exchange.deadline.expired() => Err(exchange.overdue().unwrap_or(Reason::Internal)),
    };
    let reason = match ended {
        Ok(pending) => return pending.map(|pending| (io, pending)),
        Err(reason) => reason,
    };
    exchange.fail(reason);
    if exchange.progress().status == 0 && reason != Reason::ClientClosed {
        let answer = rescue::answer(&reason.into(), Some(&exchange.facts));
        let mut out = Vec::new();
        super::head::write_answer(&mut out, answer.status, &answer.fields, Some(answer.body.len()), true);
        out.extend_from_slice(&answer.body);
        exchange.deadline.set(exchange.body_pause);
        let taken = tokio::select! {
            biased;
            written = async { io.write_all(&out).await?; io.shutdown().await } => written.is_ok(),
            () = exchange.deadline.expired() => false,
        };
        finish::answered(exchange, &answer, taken);
    }
    None
}

/// What followed the request, when the connection can go on after a declined upgrade.
async fn carry(io: &mut ClientIo, exchange: &Arc<Exchange>, carried: Carried) -> Result<Option<Vec<u8>>, Reason> {
    let mut upstream = connect(exchange).await?;
    exchange.enter(Stage::Waiting);
    upstream.write_all(&carried.head).await.map_err(|_| Reason::UpstreamReset)?;
    upstream.flush().await.map_err(|_| Reason::UpstreamReset)?;
    let (head, rest) = read_head(&mut *upstream, io).await?;
    let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if switched && !head.switches_to("websocket") {
        return Err(Reason::UpstreamProtocol);
    }
    let ending = head.ending(exchange.facts.method == Method::HEAD.as_str());
    let goes_on = carried.keep_alive && !switched && !ending.ends_with_connection();
    {
        let mut progress = exchange.progress();
        progress.first_byte = Some(clock::now() - exchange.facts.started);
        progress.status = head.status.as_u16();
    }
    let mut out = Vec::with_capacity(1024);
    write_head(&mut out, exchange, &head, switched, goes_on);
    io.write_all(&out).await.map_err(|_| Reason::ClientClosed)?;
    if switched {
        exchange.enter(Stage::Tunnelling);
        relay(io, upstream, exchange, carried.pending, rest).await;
        return Ok(None);
    }
    exchange.enter(Stage::Relaying);
    relay_body(&mut *upstream, io, exchange, rest, ending).await?;
    io.flush().await.map_err(|_| Reason::ClientClosed)?;
    if goes_on {
        return Ok(Some(carried.pending));
    }
    io.shutdown().await.map_err(|_| Reason::ClientClosed)?;
    Ok(None)
}

async fn connect(exchange: &Arc<Exchange>) -> Result<Box<dyn Transport>, Reason> {
    let plan = exchange.plan.as_ref().ok_or(Reason::Internal)?;
    loop {
        exchange.enter(Stage::Connecting);
        let picked = plan.upstream.cluster.pick_excluding(&exchange.progress().failed);
        let Some(address) = picked else {
            let tried = !exchange.progress().failed.is_empty();
            return Err(if tried { Reason::UpstreamConnect } else { Reason::UpstreamUnavailable });
        };
        let began = clock::now();
        {
            let mut progress = exchange.progress();
            progress.attempts = progress.attempts.saturating_add(1);
            progress.endpoint = Some(address);
        }
        let opened = tokio::time::timeout(plan.timeouts.connect, open(address, exchange)).await;
        let outcome = match opened {
            Ok(Ok(transport)) => {
                exchange.progress().connect = Some(clock::now() - began);
                plan.upstream.metrics.connection(UpstreamConnection::Opened);
                return Ok(transport);
            }
            Ok(Err(reason)) => reason,
            Err(_) => Reason::UpstreamConnectTimeout,
        };
        plan.upstream.metrics.connection(match outcome {
            Reason::UpstreamTls => UpstreamConnection::TlsFailed,
            Reason::UpstreamConnectTimeout => UpstreamConnection::TimedOut,
            _ => UpstreamConnection::Refused,
        });
        let mut progress = exchange.progress();
        progress.failed.push(address);
        let other = plan.upstream.cluster.pick_excluding(&progress.failed);
        if progress.attempts >= ATTEMPTS || other.is_none() {
            return Err(outcome);
        }
    }
}

async fn open(address: SocketAddr, exchange: &Exchange) -> Result<Box<dyn Transport>, Reason> {
    let stream = TcpStream::connect(address).await.map_err(|_| Reason::UpstreamConnect)?;
    stream.set_nodelay(true).map_err(|_| Reason::UpstreamConnect)?;
    match exchange.plan.as_ref().and_then(|plan| plan.upstream.trust.as_ref()) {
        None => Ok(Box::new(stream)),
        Some(trust) => {
            let connector = TlsConnector::from(trust.http1());
            let secured = connector.connect(trust.server_name().clone(), stream).await;
            match secured {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => {
                    tracing::debug!(request_id = exchange.facts.request_id.as_str(), %address, %error, "TLS to the upstream failed");
                    Err(Reason::UpstreamTls)
                }
            }
        }
    }
}

/// The final head of the answer and what came behind it; earlier informational ones are relayed.
async fn read_head(upstream: &mut dyn Transport, io: &mut ClientIo) -> Result<(ResponseHead, Vec<u8>), Reason> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        match response::parse(&buffer) {
            Ok(Some((head, length))) => {
                let rest = buffer.split_off(length);
                if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Ok((head, rest));
                }
                let mut out = Vec::with_capacity(256);
                write_interim(&mut out, &head);
                io.write_all(&out).await.map_err(|_| Reason::ClientClosed)?;
                buffer = rest;
                continue;
            }
            Ok(None) if buffer.len() < LONGEST_HEAD => {}
            Ok(None) | Err(_) => return Err(Reason::UpstreamProtocol),
        }
        match upstream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Err(Reason::UpstreamReset),
            Ok(_) => {}
        }
    }
}

/// An informational answer, without what was for our connection to the upstream only.
fn write_interim(out: &mut Vec<u8>, head: &ResponseHead) {
    let hop_by_hop = respond::hop_by_hop(&head.fields);
    let fields = head.fields.iter().filter(|(name, _)| !hop_by_hop.contains(name));
    let fields: Vec<_> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    super::head::write_relayed(out, head.status, &fields, false);
}

fn write_head(out: &mut Vec<u8>, exchange: &Exchange, head: &ResponseHead, switched: bool, goes_on: bool) {
    let mut fields = head.fields.clone();
    let drop = respond::hop_by_hop(&fields);
    respond::edit(exchange, Version::HTTP_11, &drop, &mut fields);
    if switched {
        for name in [http::header::CONNECTION, http::header::UPGRADE] {
            for value in head.fields.get_all(&name) {
                fields.append(name.clone(), value.clone());
            }
        }
    }
    let fields: Vec<(HeaderName, HeaderValue)> =
        fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    super::head::write_relayed(out, head.status, &fields, !switched && !goes_on);
}

/// Bytes both ways until both sides have ended; each side's end is passed on.
async fn relay(
    io: &mut ClientIo,
    mut upstream: Box<dyn Transport>,
    exchange: &Arc<Exchange>,
    from_client: Vec<u8>,
    from_upstream: Vec<u8>,
) {
    let early = async {
        upstream.write_all(&from_client).await?;
        upstream.flush().await?;
        io.write_all(&from_upstream).await?;
        io.flush().await
    };
    if early.await.is_err() {
        return;
    }
    let mut client = Counted { io, exchange, to_client: true };
    let mut server = Counted { io: &mut upstream, exchange, to_client: false };
    // How a tunnel ends is the business of what runs inside it.
    if let Err(error) = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, PIECE, PIECE).await {
        tracing::debug!(request_id = exchange.facts.request_id.as_str(), %error, "upgraded connection ended");
    }
}

/// One side of a tunnel: counts, and moves the idle deadline.
struct Counted<'a, T> {
    io: &'a mut T,
    exchange: &'a Exchange,
    to_client: bool,
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<'_, T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *this.io).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        {
            let mut progress = this.exchange.progress();
            if this.to_client {
                progress.request_bytes += read;
            } else {
                progress.response_bytes += read;
            }
        }
        this.exchange.touch();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<'_, T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().io).poll_shutdown(cx)
    }
}

/// The body of an answer that refused the upgrade, as it is framed.
async fn relay_body(
    upstream: &mut dyn Transport,
    io: &mut ClientIo,
    exchange: &Exchange,
    mut piece: Vec<u8>,
    mut ending: Ending,
) -> Result<(), Reason> {
    loop {
        let (taken, done) = ending.feed(&piece)?;
        exchange.progress().response_bytes += taken as u64;
        exchange.touch();
        io.write_all(&piece[..taken]).await.map_err(|_| Reason::ClientClosed)?;
        if done {
            return Ok(());
        }
        piece.clear();
        piece.reserve(PIECE);
        match upstream.read_buf(&mut piece).await {
            Ok(0) if ending.ends_with_connection() => return Ok(()),
            Ok(0) | Err(_) => return Err(Reason::UpstreamReset),
            Ok(_) => {}
        }
    }
}
