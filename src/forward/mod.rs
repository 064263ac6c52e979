//! Carrying a request to its upstream and the answer back.

mod answer;
pub mod cached;
pub mod direct;
pub mod fetch;
pub mod head;
pub mod pingora;
mod response;

use crate::config::checked::{Engine, UpstreamProtocol};
use crate::listener::client_io::ClientIo;
use crate::pipeline::verdict::Forward;

/// Connections tried for one request before giving up.
const ATTEMPTS: u8 = 3;

/// Whether our own forwarder carries out this plan: HTTP/1.1 to the upstream, unless the route asks for Pingora.
/// With `auto` as protocol and TLS the upstream may choose HTTP/2, which is Pingora's.
#[must_use]
pub fn is_direct(plan: &Forward) -> bool {
    let http1 = match plan.upstream.cluster.protocol() {
        UpstreamProtocol::Http1 => true,
        UpstreamProtocol::Http2 => false,
        UpstreamProtocol::Auto => plan.upstream.trust.is_none(),
    };
    http1 && plan.engine != Engine::Pingora
}

/// The connection of a client after a request was forwarded, whoever did.
#[derive(Debug)]
pub struct Returned {
    pub io: ClientIo,
    /// Bytes of the next request that came with the last of this one.
    pub pending: Vec<u8>,
    /// The whole request body was read.
    pub body_done: bool,
    /// The client closed its side.
    pub client_closed: bool,
    /// A final answer has begun, or only a part of an interim one has left: the client cannot be told anything else.
    pub begun: bool,
    /// The connection may carry another request.
    pub reusable: bool,
}
