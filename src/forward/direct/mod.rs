//! Forwarding without Pingora: HTTP/1.1 to the upstream, with a pool of kept connections for each worker thread.

mod answer;
mod connect;
mod download;
mod outgoing;
mod pool;
mod relay;
mod splice;
mod stream;
mod stream_head;
mod stream_upload;
mod tunnel;
mod upload;
mod upstream_io;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::stream_upload::Upload;

use self::connect::Want;
use self::pool::{Connection, Key, Pool};
use self::relay::{Ended, Relay};
use self::upload::Upload as Http1Upload;
use self::upstream_io::UpstreamIo;
use super::{ATTEMPTS, Returned};
use crate::base::deadline::Deadlines;
use crate::base::reason::Reason;
use crate::config::checked;
use crate::listener::client_io::ClientIo;
use crate::listener::request::Carried;
use crate::listener::worker::Drain;
use crate::pipeline::exchange::{Exchange, Stage};

/// How often kept connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// The forwarder of one worker thread.
pub struct Forwarder {
    pool: Mutex<Pool>,
    clock: Arc<Deadlines>,
    drain: Arc<Drain>,
}

impl Forwarder {
    #[must_use]
    pub fn new(pool: &checked::Pool, clock: Arc<Deadlines>, drain: Arc<Drain>) -> Self {
        Self { pool: Mutex::new(Pool::new(pool)), clock, drain }
    }

    /// Forwards one request and gives the client connection back. When no final answer has begun, and the exchange has a
    /// reason, answering is up to the caller.
    pub async fn forward(&self, mut client: ClientIo, exchange: &mut Exchange, carried: Carried) -> Returned {
        let mut upload = Http1Upload::new(carried);
        let carried = self.carry(&mut client, exchange, &mut upload).await;
        exchange.progress_mut().request_bytes = upload.body_bytes();
        match carried {
            Ok(None) => {}
            Ok(Some((upstream, early))) => {
                upload.keep_alive = false;
                exchange.enter_alone(Stage::Tunnelling);
                let pending = std::mem::take(&mut upload.pending);
                Box::pin(tunnel::relay(&mut client, upstream, exchange, pending, early)).await;
            }
            Err(reason) => exchange.fail(reason),
        }
        let begun = exchange.progress_mut().status != 0 || upload.answer_torn;
        Returned {
            io: client,
            body_done: upload.body_done(),
            client_closed: upload.client_closed,
            begun,
            reusable: upload.keep_alive,
            pending: upload.pending,
        }
    }

    /// From a connection to the end of the answer; the connection and what was read of it when it was upgraded.
    async fn carry(
        &self,
        client: &mut ClientIo,
        exchange: &mut Exchange,
        upload: &mut Http1Upload,
    ) -> Result<Option<(UpstreamIo, Vec<u8>)>, Reason> {
        let mut want = if upload.upgrade { Want::New } else { Want::Any };
        loop {
            let mut connection = tokio::select! {
                biased;
                connected = self.connect(exchange, want) => connected?,
                reason = poll_fn(|cx| upload.poll_gone(cx, client)) => return Err(reason),
            };
            let reused = connection.reused;
            let (ended, torn) = {
                let mut relay = Relay::new(client, &mut connection.io, exchange, upload, &self.drain, reused);
                (poll_fn(|cx| relay.poll(cx)).await, relay.is_torn())
            };
            upload.answer_torn = torn;
            match ended {
                Ended::Answered { kept } => {
                    if kept {
                        self.give(connection);
                    }
                    return Ok(None);
                }
                Ended::Switched(early) => return Ok(Some((connection.io, early))),
                Ended::Stale if exchange.progress_mut().attempts < ATTEMPTS => {
                    upload.rewind();
                    want = Want::New;
                }
                Ended::Stale => return Err(Reason::UpstreamReset),
                Ended::Failed(reason) => return Err(reason),
            }
        }
    }

    /// Closes kept connections that are of no use any more, until dropped.
    pub async fn sweep(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            self.pool().sweep(self.clock.now());
        }
    }

    /// Closes all kept connections.
    pub fn close(&self) {
        self.pool().clear();
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: Key) -> Option<Connection> {
        self.pool().take(key, self.now())
    }

    fn give(&self, connection: Connection) {
        self.pool().give(connection, self.now());
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }
}
