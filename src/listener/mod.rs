//! What a client's bytes meet first: sockets, TLS, the PROXY header, the strict reading of head and body.

pub mod accept;
pub mod bind;
pub mod buffers;
pub mod client_io;
pub mod development;
pub mod framing;
pub mod head;
pub mod http1;
pub mod http2;
pub mod proxy_protocol;
pub mod request;
pub mod socket_io;
mod syntax;
pub mod thread;
pub mod tls;
pub mod worker;
