//! A connection for one attempt: kept, or opened anew.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Forwarder;
use super::pool::{Connection, Key};
use super::upstream::UpstreamIo;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::forward::ATTEMPTS;
use crate::pipeline::exchange::{Exchange, Stage};
use crate::pipeline::verdict::Forward;
use crate::telemetry::metrics::UpstreamConnection;

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// One that an earlier request left, if there is one.
    Any,
    /// One that nobody can have closed yet.
    New,
}

impl Forwarder {
    /// A connection to the endpoint whose turn it is. As long as nothing was sent, another endpoint may be tried whatever
    /// the method is.
    ///
    /// # Errors
    ///
    /// `UPSTREAM_UNAVAILABLE` when there is no endpoint; why the last attempt failed; or what the deadline of the exchange
    /// says when it passes.
    pub async fn connect(&self, exchange: &Exchange, want: Want) -> Result<Connection, Reason> {
        let plan = exchange.plan.as_ref().ok_or(Reason::Internal)?;
        loop {
            exchange.enter(Stage::Connecting);
            let (key, kept) = {
                let mut progress = exchange.progress();
                let address = plan.upstream.cluster.pick_excluding(&progress.failed);
                let address = address.ok_or(Reason::UpstreamUnavailable)?;
                let key = Key { upstream: plan.upstream.pool_key, address };
                let kept = if want == Want::Any { self.take(key) } else { None };
                progress.attempts = progress.attempts.saturating_add(1);
                progress.endpoint = Some(address);
                progress.reused = kept.is_some();
                (key, kept)
            };
            if let Some(kept) = kept {
                plan.upstream.metrics.connection(UpstreamConnection::Reused);
                return Ok(kept);
            }
            let began = clock::now();
            // In a box, so that the requests that find a kept connection do without its room.
            let opened = tokio::select! {
                biased;
                opened = Box::pin(open(key.address, plan)) => opened,
                () = exchange.deadline.expired() => return Err(exchange.overdue().unwrap_or(Reason::Internal)),
            };
            let mut progress = exchange.progress();
            match opened {
                Ok(io) => {
                    plan.upstream.metrics.connection(UpstreamConnection::Opened);
                    progress.connect = Some(clock::now() - began);
                    return Ok(Connection { io, key, opened: self.now(), reused: false });
                }
                Err(reason) => {
                    plan.upstream.metrics.connection(outcome(reason));
                    progress.failed.push(key.address);
                    let other = plan.upstream.cluster.pick_excluding(&progress.failed);
                    if progress.attempts >= ATTEMPTS || other.is_none() {
                        return Err(reason);
                    }
                }
            }
        }
    }
}

const fn outcome(reason: Reason) -> UpstreamConnection {
    match reason {
        Reason::UpstreamTls => UpstreamConnection::TlsFailed,
        Reason::UpstreamConnectTimeout => UpstreamConnection::TimedOut,
        _ => UpstreamConnection::Refused,
    }
}

async fn open(address: SocketAddr, plan: &Forward) -> Result<UpstreamIo, Reason> {
    let opening = async {
        let stream = TcpStream::connect(address).await.map_err(|error| {
            tracing::debug!(%address, %error, "no connection to the upstream");
            Reason::UpstreamConnect
        })?;
        stream.set_nodelay(true).map_err(|_| Reason::UpstreamConnect)?;
        let Some(trust) = &plan.upstream.trust else { return Ok(UpstreamIo::Plain(stream)) };
        let connector = TlsConnector::from(trust.http1());
        match connector.connect(trust.server_name().clone(), stream).await {
            Ok(stream) => Ok(UpstreamIo::Tls(Box::new(stream))),
            Err(error) => {
                tracing::debug!(%address, %error, "TLS to the upstream failed");
                Err(Reason::UpstreamTls)
            }
        }
    };
    tokio::time::timeout(plan.timeouts.connect, opening).await.unwrap_or(Err(Reason::UpstreamConnectTimeout))
}
