//! Forwarding without Pingora: HTTP/1.1 to the upstream, with a pool of kept connections for each worker thread.

mod connect;
mod fetch;
mod http1;
mod http2;
mod outgoing;
mod pool;
mod upstream;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::http2::Upload;
pub(super) use self::http2::final_fields;

use self::pool::{Connection, Key, Pool};
use super::ATTEMPTS;
use crate::base::deadline::Deadlines;
use crate::base::reason::Reason;
use crate::config::checked;
use crate::listener::worker::Drain;
use crate::pipeline::exchange::Exchange;

/// How often kept connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// How one attempt ended, whatever the client speaks.
#[derive(Debug)]
enum Ended {
    /// The client has the whole answer.
    Answered {
        /// The upstream connection may carry another request.
        kept: bool,
    },
    /// A connection that an earlier request left was closed before anything came back: the request can be sent again.
    Stale,
    Failed(Reason),
}

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

    /// Whether there has to be another attempt; keeps the connection if it can carry another request.
    fn conclude(&self, ended: Ended, connection: Connection, exchange: &Exchange) -> Result<bool, Reason> {
        match ended {
            Ended::Answered { kept } => {
                if kept {
                    self.give(connection);
                }
                Ok(false)
            }
            Ended::Stale if exchange.progress().attempts < ATTEMPTS => Ok(true),
            Ended::Stale => Err(Reason::UpstreamReset),
            Ended::Failed(reason) => Err(reason),
        }
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
