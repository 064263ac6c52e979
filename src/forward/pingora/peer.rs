//! Where and how Pingora connects for a plan.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Version;
use pingora::protocols::TcpKeepalive;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::{ALPN, HttpPeer, HttpUpstreamRequestPolicy};
use pingora::utils::tls::WrappedX509;
use pingora::{Error, ErrorType, Result};

use crate::config::checked::{Pool, UpstreamProtocol};
use crate::pipeline::verdict::Forward;
use crate::snapshot::CompiledUpstream;

/// Streams that share one HTTP/2 connection to an upstream.
const HTTP2_STREAMS: usize = 100;
/// Bytes that one HTTP/2 stream, and one connection, may be ahead of us.
const HTTP2_STREAM_WINDOW: u32 = 1 << 20;
const HTTP2_CONNECTION_WINDOW: u32 = 4 << 20;
/// Bundles remembered for each thread; reloads that change them are rare.
const MOST_ANCHORS: usize = 1_000;
const HTTP2_PING: Duration = Duration::from_secs(30);

/// A bundle to verify upstream certificates with, as Pingora keeps it.
pub type TrustAnchors = Arc<CaType>;

/// Makes peers with every value set that Pingora leaves open.
pub struct Peers {
    idle: Duration,
    /// By pool key; parsed once, because every request asks.
    anchors: Mutex<HashMap<u64, TrustAnchors>>,
}

impl Peers {
    pub fn new(pool: &Pool) -> Self {
        Self { idle: pool.idle, anchors: Mutex::default() }
    }

    /// The peer for one attempt of this plan.
    pub fn peer(&self, address: SocketAddr, plan: &Forward, downstream: Version) -> Result<Box<HttpPeer>> {
        let upstream = &plan.upstream;
        let (cluster, tls) = (&upstream.cluster, upstream.cluster.tls());
        let server_name = tls.map(|tls| tls.server_name.to_string()).unwrap_or_default();
        if tls.is_some() && server_name.is_empty() {
            // Pingora would skip verification; configuration rules this out, and so do we.
            return Error::e_explain(ErrorType::InvalidCert, "TLS without a server name");
        }
        let mut peer = HttpPeer::new(address, tls.is_some(), server_name);
        // Everything that Pingora's pool does not compare itself: CA, protocol, time-outs of the upstream.
        peer.group_key = upstream.pool_key;
        let options = &mut peer.options;
        options.ca = self.anchors(upstream)?;
        options.alpn = match cluster.protocol() {
            UpstreamProtocol::Http1 => ALPN::H1,
            UpstreamProtocol::Http2 => ALPN::H2,
            UpstreamProtocol::Auto => ALPN::H2H1,
        };
        let timeouts = &plan.timeouts;
        options.connection_timeout = Some(timeouts.connect);
        options.total_connection_timeout = Some(timeouts.connect);
        // On HTTP/1.1 the front's deadline tells first byte, idle and total apart; an HTTP/2 client over a shared
        // HTTP/2 upstream connection has only this one value.
        let shared = downstream == Version::HTTP_2 && cluster.protocol() != UpstreamProtocol::Http1;
        options.read_timeout = shared.then(|| timeouts.first_byte.max(timeouts.idle));
        options.write_timeout = (downstream == Version::HTTP_2).then_some(timeouts.idle);
        options.idle_timeout = Some(self.idle);
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(10),
            count: 3,
            #[cfg(target_os = "linux")]
            user_timeout: Duration::ZERO,
        });
        options.max_h2_streams = HTTP2_STREAMS;
        options.h2_stream_window_size = Some(HTTP2_STREAM_WINDOW);
        options.h2_connection_window_size = Some(HTTP2_CONNECTION_WINDOW);
        options.h2_ping_interval = Some(HTTP2_PING);
        // Upgrades are carried by the tunnel, never by Pingora.
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy {
            // `te` is a matter of both sides of gRPC; what else is for one hop is off already.
            strip_hop_by_hop: !shared,
            ..HttpUpstreamRequestPolicy::deny_upgrades()
        };
        Ok(Box::new(peer))
    }

    fn anchors(&self, upstream: &CompiledUpstream) -> Result<Option<TrustAnchors>> {
        let Some(bundle) = upstream.trust.as_ref().and_then(|trust| trust.bundle()) else { return Ok(None) };
        let mut known = self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(anchors) = known.get(&upstream.pool_key) {
            return Ok(Some(Arc::clone(anchors)));
        }
        if known.len() >= MOST_ANCHORS {
            known.clear();
        }
        let parsed = parse_anchors(bundle)?;
        known.insert(upstream.pool_key, Arc::clone(&parsed));
        Ok(Some(parsed))
    }
}

fn parse_anchors(bundle: &[rustls::pki_types::CertificateDer<'static>]) -> Result<TrustAnchors> {
    let mut parsed = Vec::with_capacity(bundle.len());
    for certificate in bundle {
        let certificate = WrappedX509::try_new(certificate.to_vec(), |der| {
            x509_parser::parse_x509_certificate(der).map(|(_, certificate)| certificate)
        })
        .map_err(|error| Error::explain(ErrorType::InvalidCert, error.to_string()))?;
        parsed.push(certificate);
    }
    Ok(Arc::from(parsed))
}
