//! What a client's bytes meet first: sockets, TLS, the PROXY header, the strict reading of head and body.

pub mod bind;
pub mod framing;
pub mod head;
pub mod proxy_protocol;
mod syntax;
pub mod tls;
