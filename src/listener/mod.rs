//! What a client's bytes meet first: sockets, TLS, the PROXY header, the strict reading of head and body.

pub mod bind;
pub mod proxy_protocol;
pub mod tls;
