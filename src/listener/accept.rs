//! Taking connections from one socket: limits, PROXY header, TLS, then the protocol that was agreed on.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::buffers;
use super::client_io::{ClientIo, ConnectionFacts, TlsFacts};
use super::http1;
use super::http2;
use super::proxy_protocol::{self, LONGEST, Parsed};
use super::tls::{ClientCertificate, NotAccepted, TlsStore, TlsStream};
use super::worker::{AcceptGuard, ConnectionGuard, Worker};
use crate::base::reason::Reason;
use crate::base::{clock, tasks};
use crate::telemetry::metrics::{Handshake, ListenerMetrics};

/// After an error of `accept` that is not about one connection (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener as its workers share it.
pub struct Listener {
    pub name: Arc<str>,
    pub tls: Option<Arc<TlsStore>>,
    pub h2c: bool,
    pub proxy_protocol: Option<Vec<IpNet>>,
    pub metrics: ListenerMetrics,
}

/// How often such errors are logged at most.
const BETWEEN_WORDS: Duration = Duration::from_secs(1);

/// Accepts until draining closes the listener.
pub async fn run(worker: Arc<Worker>, listener: Arc<Listener>, socket: TcpListener, _accepting: AcceptGuard) {
    let closing = worker.drain.closing();
    tokio::pin!(closing);
    let mut last_word = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut closing => return accept_rest(&worker, &listener, socket),
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => begin(&worker, &listener, stream, peer),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                if last_word.is_none_or(|at| clock::now() - at > BETWEEN_WORDS) {
                    tracing::error!(listener = &*listener.name, %error, "accept failed");
                    last_word = Some(clock::now());
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Clients whose connection the kernel has completed already would be reset with the socket.
///
/// Asks the kernel itself, because the runtime may not have heard of them yet.
fn accept_rest(worker: &Arc<Worker>, listener: &Arc<Listener>, socket: TcpListener) {
    let rest = socket.into_std().and_then(|socket| {
        loop {
            match socket.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    begin(worker, listener, TcpStream::from_std(stream)?, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    });
    if let Err(error) = rest {
        tracing::warn!(listener = &*listener.name, %error, "connections at the closing listener may be lost");
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted)
}

fn begin(worker: &Arc<Worker>, listener: &Arc<Listener>, stream: TcpStream, peer: SocketAddr) {
    let open = listener.metrics.accepted();
    let Some(guard) = worker.drain.connection(worker.settings.limits.connections) else {
        listener.metrics.refused();
        worker.metrics.refused(Reason::ConnectionLimit);
        if listener.tls.is_none() {
            refuse(&stream);
        }
        return;
    };
    #[cfg(not(target_os = "linux"))]
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, "connection ended before it began");
    }
    let (worker, listener) = (Arc::clone(worker), Arc::clone(listener));
    tasks::spawn("connection", async move {
        // The handshake needs much room and is over soon: it lives in a box, and only what it returns stays.
        let opened = Box::pin(open_connection(&worker, &listener, stream, peer)).await;
        let _counted: (ConnectionGuard, _) = (guard, open);
        match opened {
            Some((io, facts, false)) => http1::serve(worker, io, facts, listener.h2c && listener.tls.is_none()).await,
            Some((io, facts, true)) => Box::pin(http2::serve(worker, io, facts, Vec::new())).await,
            None => {}
        }
    });
}

/// As much of an answer as fits a socket that nobody has written to; never waits.
fn refuse(stream: &TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
        content-length: 150\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
        {\"type\":\"urn:sluice:reason:CONNECTION_LIMIT\",\"title\":\"Service Unavailable\",\"status\":503,\"reason\":\"CONNECTION_LIMIT\",\"detail\":\"Too many connections.\"}\n";
    if let Err(error) = stream.try_write(ANSWER) {
        tracing::debug!(%error, "a refused connection could not be told why");
    }
}

/// PROXY header and TLS handshake within the deadline; `true` when HTTP/2 was agreed on.
async fn open_connection(
    worker: &Worker,
    listener: &Listener,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> Option<(ClientIo, Arc<ConnectionFacts>, bool)> {
    let deadline = worker.deadlines.register();
    deadline.set(worker.settings.deadlines.handshake);
    let mut client = peer;
    let opening = async {
        if let Some(trusted) = &listener.proxy_protocol {
            client = proxied_client(&mut stream, peer, trusted).await?;
        }
        let Some(tls) = &listener.tls else {
            return Ok((ClientIo::Plain(stream), None));
        };
        let stream = TlsStream::accept(tls.current(), stream).await?;
        let facts = tls_facts(stream.session())?;
        Ok((ClientIo::Tls(Box::new(stream)), Some(facts)))
    };
    let opened: Result<_, Unopened> = tokio::select! {
        biased;
        opened = opening => opened,
        () = deadline.expired() => Err(Unopened::Failed(io::ErrorKind::TimedOut.into())),
    };
    match opened {
        Ok((io, tls)) => {
            if let Some(tls) = &tls {
                listener.metrics.handshake(if tls.version == "TLSv1.2" { Handshake::Tls12 } else { Handshake::Tls13 });
            }
            let http2 = tls.as_ref().is_some_and(|tls| tls.http2);
            Some((io, Arc::new(ConnectionFacts { listener: Arc::clone(&listener.name), client, tls }), http2))
        }
        Err(Unopened::Failed(error)) => {
            let late = error.kind() == io::ErrorKind::TimedOut;
            listener.metrics.handshake(if late { Handshake::TimedOut } else { Handshake::Failed });
            tracing::debug!(listener = &*listener.name, %peer, %error, "connection not opened");
            None
        }
        Err(Unopened::ClientCertificate(error, socket)) => {
            listener.metrics.handshake(Handshake::Failed);
            tell_refused_certificate(&listener.name, client, &error);
            if let Some(socket) = socket {
                deadline.set(http1::LINGER);
                tokio::select! {
                    biased;
                    () = linger(ClientIo::Plain(socket)) => {}
                    () = deadline.expired() => {}
                }
            }
            None
        }
    }
}

/// Why a connection has not come to its first request.
enum Unopened {
    Failed(io::Error),
    /// The certificate of the client, or that it has none; the alert is in the socket, if it is still there.
    ClientCertificate(io::Error, Option<TcpStream>),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<NotAccepted> for Unopened {
    fn from(refused: NotAccepted) -> Self {
        if refused.for_certificate() {
            Self::ClientCertificate(refused.error, Some(refused.socket))
        } else {
            Self::Failed(refused.error)
        }
    }
}

/// Partners whose certificate has expired are to be found in the log; whoever knocks a thousand times a second does not fill it.
fn tell_refused_certificate(listener: &str, client: SocketAddr, error: &io::Error) {
    thread_local!(static LAST: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = clock::now();
    if LAST.get().is_none_or(|last| now - last > BETWEEN_WORDS) {
        LAST.set(Some(now));
        tracing::warn!(listener, %client, %error, "client certificate refused");
    } else {
        tracing::debug!(listener, %client, %error, "client certificate refused");
    }
}

fn tls_facts(session: &rustls::ServerConnection) -> Result<TlsFacts, Unopened> {
    let refused = |why: String| Unopened::ClientCertificate(io::Error::new(io::ErrorKind::InvalidData, why), None);
    let client = match session.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => Some(Arc::new(ClientCertificate::read(certificate).map_err(refused)?)),
        None => None,
    };
    let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    if resumed && client.as_ref().is_some_and(|client| client.not_after <= clock::since_epoch()) {
        return Err(refused("it has expired since the session began that was resumed".to_owned()));
    }
    Ok(TlsFacts {
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        server_name: session.server_name().map(Box::from),
        http2: session.alpn_protocol() == Some(b"h2"),
        client,
    })
}

/// Takes the PROXY header off and nothing else, so that what follows needs no buffer.
async fn proxied_client(stream: &mut TcpStream, peer: SocketAddr, trusted: &[IpNet]) -> io::Result<SocketAddr> {
    let address = peer.ip().to_canonical();
    if !trusted.iter().any(|net| net.contains(&address)) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "this peer may not send a PROXY header"));
    }
    let mut header = vec![0_u8; LONGEST];
    let mut seen = 0;
    loop {
        let peeked = stream.peek(&mut header).await?;
        if peeked == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match proxy_protocol::parse(&header[..peeked]) {
            Parsed::Done { consumed, source, .. } => {
                stream.read_exact(&mut header[..consumed]).await?;
                return Ok(source.unwrap_or(peer));
            }
            Parsed::Invalid(what) => return Err(io::Error::new(io::ErrorKind::InvalidData, what)),
            Parsed::Incomplete if peeked == header.len() => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "PROXY header too long"));
            }
            Parsed::Incomplete => {
                // `peek` returns the same bytes again at once: wait for more without turning in a circle.
                if peeked == seen {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                seen = peeked;
            }
        }
    }
}

/// Closes after an answer that the client may still be sending against: a reset would take the answer from it.
pub async fn linger(mut io: ClientIo) {
    const REST: usize = 256 * 1024;
    let mut read = 0;
    if io.shutdown().await.is_err() {
        return;
    }
    while read < REST {
        // Many may wait here at once: none of them holds a buffer meanwhile.
        let more = poll_fn(|context| {
            let mut piece = buffers::take();
            let polled = buffers::poll_append(&mut io, context, &mut piece);
            buffers::give(piece);
            polled
        });
        match more.await {
            Ok(length) if length > 0 => read += length,
            _ => break,
        }
    }
}
