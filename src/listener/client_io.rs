//! One client connection.

use std::net::SocketAddr;
use std::sync::Arc;

use super::socket_io::SocketIo;
use super::tls::TlsStream;

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
    pub client: Option<Arc<ClientCertificate>>,
}

/// A client certificate that was verified.
#[derive(Debug)]
pub struct ClientCertificate {
    pub names: Vec<crate::config::checked::identity::CertificateName>,
    pub not_before: std::time::Duration,
    pub not_after: std::time::Duration,
    pub subject: Arc<str>,
}
