//! Upgraded connections (RFC 9110 §7.8), which are WebSockets: bytes both ways for as long as there are some.
//!
//! Not Pingora's: it may tear an upgrade down when the upstream answers at once (cloudflare/pingora#946), and its
//! read time-out of requests also ends upgraded connections.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::forward::direct::upstream::UpstreamIo;
use crate::listener::client_io::ClientIo;
use crate::pipeline::exchange::Exchange;

/// Bytes relayed at once, in each direction.
const PIECE: usize = 16 * 1024;

/// Bytes both ways until both sides have ended; each side's end is passed on.
pub async fn relay(
    io: &mut ClientIo,
    mut upstream: UpstreamIo,
    exchange: &Exchange,
    from_client: Vec<u8>,
    from_upstream: Vec<u8>,
) {
    tokio::select! {
        biased;
        () = copy(io, &mut upstream, exchange, &from_client, &from_upstream) => {}
        () = exchange.deadline.expired() => exchange.expire(),
    }
}

async fn copy(
    io: &mut ClientIo,
    upstream: &mut UpstreamIo,
    exchange: &Exchange,
    from_client: &[u8],
    from_upstream: &[u8],
) {
    let early = async {
        upstream.write_all(from_client).await?;
        upstream.flush().await?;
        io.write_all(from_upstream).await?;
        io.flush().await
    };
    if early.await.is_err() {
        return;
    }
    {
        let mut progress = exchange.progress();
        progress.request_bytes += from_client.len() as u64;
        progress.response_bytes += from_upstream.len() as u64;
    }
    let mut client = Counted { io, exchange, to_client: true };
    let mut server = Counted { io: upstream, exchange, to_client: false };
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
