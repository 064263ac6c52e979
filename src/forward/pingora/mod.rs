//! Forwarding by Pingora: one request of an HTTP/1.1 connection at a time, or one stream of an HTTP/2 connection.
//!
//! The only code that names `pingora::proxy`.

mod engine;
mod failure;
mod fetch;
mod handed;
mod peer;
mod stream;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use nix::sys::socket::{Shutdown, shutdown};
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use tokio::sync::watch;

use self::engine::{EXCHANGE, Engine};
use self::handed::{Back, Handed, Loan};
use self::peer::Peers;
use self::stream::{SharedStream, StreamSession};
use super::Returned;
use crate::base::reason::Reason;
use crate::config::checked::Pool;
use crate::listener::client_io::ClientIo;
use crate::listener::http2::ClientStream;
use crate::listener::request::Carried;
use crate::listener::worker::Drain;
use crate::pipeline::exchange::{Exchange, Stage};

/// Tries of one request; the engine decides about each, this only has to be more.
const MAX_TRIES: usize = 16;

/// After a deadline cut the upstream connection, how long Pingora may take to notice.
const NOTICE: Duration = Duration::from_secs(1);

/// Pingora for one worker thread, with its own pool of upstream connections.
pub struct Forwarder {
    proxy: Arc<HttpProxy<Engine>>,
    shutdown: watch::Receiver<bool>,
    /// Pingora ends its sessions when this is dropped; drain is ours.
    _alive: watch::Sender<bool>,
}

impl Forwarder {
    #[must_use]
    pub fn new(pool: &Pool, drain: Arc<Drain>) -> Self {
        let settings = ServerConf {
            threads: 1,
            work_stealing: false,
            upstream_keepalive_pool_size: pool.size,
            max_retries: MAX_TRIES,
            ..ServerConf::default()
        };
        let mut proxy = HttpProxy::new(Engine::new(Peers::new(pool), drain), Arc::new(settings));
        proxy.handle_init_modules();
        let (alive, shutdown) = watch::channel(false);
        Self { proxy: Arc::new(proxy), shutdown, _alive: alive }
    }

    /// Forwards one request and gives the client connection back. When no final answer has begun, and the exchange has a
    /// reason, answering is up to the caller. `None` when the connection is lost.
    pub async fn forward_http1(&self, io: ClientIo, exchange: &Arc<Exchange>, carried: Carried) -> Option<Returned> {
        let loan = Arc::new(Loan::default());
        let keep_alive = carried.keep_alive;
        let handed = Handed::new(io, carried, Arc::clone(exchange), Arc::clone(&loan));
        let session = ServerSession::new_http1(Box::new(handed));
        let reusable = tokio::select! {
            biased;
            reusable = EXCHANGE.scope(Arc::clone(exchange), self.proxy.process_new_http(session, &self.shutdown)) => reusable.is_some(),
            () = exchange.deadline.expired() => {
                exchange.expire();
                false
            }
        };
        let Back { io, pending, body_done, client_closed, torn } = loan.take()?;
        if let Some(reason) = loan.refused() {
            exchange.progress().reason = Some(reason);
        }
        let begun = loan.answered() && {
            let mut progress = exchange.progress();
            let silent = progress.reason.is_none() && progress.status == 0;
            if silent {
                // Pingora found fault with a head of ours and answered by itself, without any of its phases.
                progress.reason = Some(Reason::Internal);
            }
            // After interim answers alone (RFC 9110 §15.2) the client still waits for a final one.
            silent || torn || progress.status != 0
        };
        let reusable = reusable && keep_alive;
        Some(Returned { io, pending, body_done, client_closed, begun, reusable })
    }

    /// Forwards one stream; every end is answered on the stream itself, if need be by resetting it.
    pub async fn forward_stream(&self, exchange: &Arc<Exchange>, head: Parts, client: ClientStream) {
        let head = match exchange.plan.as_ref().map(|plan| stream::request(head, plan)) {
            Some(Ok(head)) => head,
            Some(Err(error)) => {
                tracing::error!(%error, "a planned request cannot be written");
                return exchange.fail(Reason::Internal);
            }
            None => return exchange.fail(Reason::Internal),
        };
        let client = SharedStream::new(client);
        let session = ServerSession::new_custom(Box::new(StreamSession::new(head, client.clone())));
        let process = EXCHANGE.scope(Arc::clone(exchange), self.proxy.process_new_http(session, &self.shutdown));
        tokio::pin!(process);
        tokio::select! {
            biased;
            _ = &mut process => return,
            () = given_up(exchange, &client) => return exchange.fail(Reason::ClientClosed),
            () = exchange.deadline.expired() => exchange.expire(),
        }
        // Pingora has no deadline of ours. Cutting an upstream connection that nobody else uses makes it fail the
        // request in its own way, so that the client gets an answer; otherwise the stream is reset.
        let Some(socket) = exchange.progress().upstream_socket.take() else { return };
        if shutdown(socket, Shutdown::Both).is_ok() {
            exchange.deadline.set(NOTICE);
            tokio::select! {
                biased;
                _ = &mut process => {}
                () = exchange.deadline.expired() => {}
            }
        }
    }

    /// Ends what Pingora keeps open between requests.
    pub async fn close(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// Resolves when the client gives up the stream while there is no connection to the upstream: Pingora notices that only
/// then, and `h2` no longer counts the stream, so that each would hold a socket until its time-out.
async fn given_up(exchange: &Exchange, client: &SharedStream) {
    poll_fn(|cx| {
        let connecting = exchange.progress().stage == Stage::Connecting;
        if connecting { client.lock().poll_given_up(cx) } else { Poll::Pending }
    })
    .await;
}
