//! One client connection.

use std::net::SocketAddr;
use std::sync::Arc;

use super::socket_io::SocketIo;
use super::tls::{ClientCertificate, TlsStream};

/// An accepted connection.
pub type ClientIo = SocketIo<TlsStream>;

impl ClientIo {
    /// Lets the connection end with a reset when it is dropped: nobody takes that for the end of an answer. Inside TLS the
    /// missing close_notify says as much.
    pub fn cut(&self) {
        if let Self::Plain(stream) = self
            && let Err(error) = stream.set_zero_linger()
        {
            tracing::debug!(%error, "a connection ends as if in order");
        }
    }
}

/// What is known of a connection for as long as it lives.
#[derive(Debug)]
pub struct ConnectionFacts {
    pub listener: Arc<str>,
    /// The client, or what a PROXY protocol header says it is.
    pub client: SocketAddr,
    pub tls: Option<TlsFacts>,
}

#[derive(Debug)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    pub server_name: Option<Box<str>>,
    pub http2: bool,
    /// What the client has shown, if it was asked for a certificate and has one. It was good when the session began: see
    /// [`not_after`](ClientCertificate::not_after).
    pub client: Option<Arc<ClientCertificate>>,
}
