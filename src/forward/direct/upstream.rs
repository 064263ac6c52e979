//! One connection to an upstream.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio_rustls::client::TlsStream;

use crate::listener::socket_io::SocketIo;

/// A connection to an upstream.
pub type UpstreamIo = SocketIo<TlsStream<TcpStream>>;

impl UpstreamIo {
    /// Whether an idle connection can carry another request, as far as the runtime has heard; asks the kernel only when
    /// something has come, which between requests is an end or nothing that belongs to an answer.
    pub fn is_idle(&mut self) -> bool {
        let mut piece = [0];
        let mut room = ReadBuf::new(&mut piece);
        // To a task that has used its budget up, every socket seems idle.
        let read = unconstrained(poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut room)));
        pin!(read).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Whether a write that fails says that nothing of it left: one through TLS may have sent a record before.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    #[tokio::test]
    async fn a_task_without_budget_sees_an_end_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        drop(listener.accept().await.unwrap());
        stream.readable().await.unwrap();
        let mut io = UpstreamIo::Plain(stream);
        while has_budget_remaining() {
            consume_budget().await;
        }
        assert!(!io.is_idle());
    }
}
