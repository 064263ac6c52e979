//! An upstream on a real socket: a script speaks for it byte by byte, and every byte that it reads is kept.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::stream::{Stream, Tap};
use super::wire::{Body, Framing, Head, Wire, announced};
use super::{Gate, eventually};

/// A request as the upstream read it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub head: Head,
    pub body: Body,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<Tap>>,
    requests: Mutex<Vec<Recorded>>,
    faults: Mutex<Vec<String>>,
    handshakes_failed: Mutex<usize>,
}

/// Dropping it closes it; a request that was not strict HTTP/1.1, or a script that panicked, then fails the test.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// One connection of a script.
pub struct Conn {
    /// Counted from 0 in the order of accepting.
    pub index: usize,
    pub wire: Wire,
    shared: Arc<Shared>,
}

type Script = dyn Fn(Conn) -> BoxFuture<'static, io::Result<()>> + Send + Sync;

/// A 200 with `Content-Length`.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

impl Upstream {
    /// Runs the script once for every connection; returning closes the connection.
    pub fn scripted<F, R>(script: F) -> Self
    where
        F: Fn(Conn) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::start(None, Arc::new(move |conn| Box::pin(script(conn))))
    }

    pub fn scripted_tls<F, R>(config: Arc<ServerConfig>, script: F) -> Self
    where
        F: Fn(Conn) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::start(Some(config), Arc::new(move |conn| Box::pin(script(conn))))
    }

    /// Answers every whole request with these bytes and keeps the connection.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::scripted(answers(answer.into(), true))
    }

    /// Answers one whole request with these bytes and closes.
    pub fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        Self::scripted(answers(answer.into(), false))
    }

    /// Answers every request when the test allows it; `arrived` opens when one has come.
    pub fn held(arrived: &Gate, release: &Gate) -> Self {
        let gates = (arrived.clone(), release.clone());
        Self::scripted(move |mut conn| {
            let (arrived, release) = gates.clone();
            async move {
                while conn.request().await?.is_some() {
                    arrived.open();
                    release.pass().await;
                    conn.send(ok("in the end")).await?;
                }
                Ok(())
            }
        })
    }

    /// Never answers: `arrived` opens when a request has come, `gone` when its connection has ended.
    pub fn silent(arrived: &Gate, gone: &Gate) -> Self {
        let gates = (arrived.clone(), gone.clone());
        Self::scripted(move |mut conn| {
            let (arrived, gone) = gates.clone();
            async move {
                conn.request().await?;
                arrived.open();
                let ended = conn.stall().await;
                gone.open();
                ended
            }
        })
    }

    /// Answers `/odd` with these bytes, whatever they are, and everything else with `good`.
    pub fn odd(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::scripted(move |mut conn| {
            let answer = answer.clone();
            async move {
                while let Some(request) = conn.request().await? {
                    conn.send(if request.target == "/odd" { answer.clone() } else { ok("good").into_bytes() }).await?;
                }
                Ok(())
            }
        })
    }

    /// Answers with JSON of what it received, see [`Response::echo`](super::client::Response::echo).
    pub fn echo() -> Self {
        Self::scripted(echo)
    }

    pub fn echo_tls(config: Arc<ServerConfig>) -> Self {
        Self::scripted_tls(config, echo)
    }

    fn start(tls: Option<Arc<ServerConfig>>, script: Arc<Script>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting =
            sluice::base::tasks::spawn("upstream double", accept(listener, tls, script, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted (and, over TLS, shaken hands on) so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    pub fn handshakes_failed(&self) -> usize {
        *self.shared.handshakes_failed.lock().unwrap()
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits for so many requests in all and returns the last of them.
    pub async fn request(&self, count: usize) -> Recorded {
        eventually("a request at the upstream", async || self.requests().into_iter().nth(count - 1)).await
    }

    /// Every byte read from a connection so far.
    pub fn received(&self, connection: usize) -> Vec<u8> {
        self.shared
            .connections
            .lock()
            .unwrap()
            .get(connection)
            .map(|tap| tap.lock().unwrap().clone())
            .unwrap_or_default()
    }

    /// Takes the complaints about malformed requests, for a test that expects some.
    pub fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.faults.lock().unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
        let faults = self.take_faults();
        assert!(faults.is_empty() || std::thread::panicking(), "at the upstream: {faults:?}");
    }
}

async fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, script: Arc<Script>, shared: Arc<Shared>) {
    let mut scripts = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = scripts.join_next() => if let Err(panic) = ended {
                shared.faults.lock().unwrap().push(panic.to_string());
            },
            accepted = listener.accept() => {
                let (tcp, _) = accepted.expect("an upstream double accepts");
                let (tls, script, shared) = (tls.clone(), Arc::clone(&script), Arc::clone(&shared));
                scripts.spawn(async move {
                    tcp.set_nodelay(true).unwrap();
                    let stream = match tls {
                        None => Stream::Plain(tcp),
                        Some(config) => match TlsAcceptor::from(config).accept(tcp).await {
                            Ok(tls) => Stream::Tls(Box::new(tls.into())),
                            Err(_) => return *shared.handshakes_failed.lock().unwrap() += 1,
                        },
                    };
                    let ended = script(Conn::new(stream, Arc::clone(&shared))).await;
                    if let Err(error) = ended && error.kind() == io::ErrorKind::InvalidData {
                        shared.faults.lock().unwrap().push(error.to_string());
                    }
                });
            }
        }
    }
}

impl Conn {
    fn new(stream: Stream, shared: Arc<Shared>) -> Self {
        let tap = Tap::default();
        let mut connections = shared.connections.lock().unwrap();
        let index = connections.len();
        connections.push(Arc::clone(&tap));
        drop(connections);
        Self { index, wire: Wire::new(stream, Some(tap)), shared }
    }

    /// Reads and records a whole request; `None` when the connection ended between requests.
    pub async fn request(&mut self) -> io::Result<Option<Recorded>> {
        let Some(mut request) = self.head().await? else { return Ok(None) };
        let framing = announced(&request.head)?.unwrap_or(Framing::None);
        request.body = self.wire.body(framing).await?;
        self.shared.requests.lock().unwrap().push(request.clone());
        Ok(Some(request))
    }

    /// Reads a request head and leaves its body on the wire; nothing is recorded.
    pub async fn head(&mut self) -> io::Result<Option<Recorded>> {
        let Some(head) = self.wire.head().await? else { return Ok(None) };
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("not a request line: {:?}", head.start));
        let mut parts = head.start.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        Ok(Some(Recorded { connection: self.index, method, target, head, body: Body::default() }))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref()).await
    }

    /// Says nothing more until the other side closes.
    pub async fn stall(&mut self) -> io::Result<()> {
        self.wire.rest().await.map(drop)
    }

    /// Ends the connection with RST.
    pub fn reset(self) -> io::Result<()> {
        self.wire.stream.reset();
        Ok(())
    }
}

fn answers(answer: Vec<u8>, keep: bool) -> impl Fn(Conn) -> BoxFuture<'static, io::Result<()>> + Send + Sync + 'static {
    let answer = Arc::new(answer);
    move |mut conn| {
        let answer = Arc::clone(&answer);
        Box::pin(async move {
            while conn.request().await?.is_some() {
                conn.send(answer.as_slice()).await?;
                if !keep {
                    break;
                }
            }
            Ok(())
        })
    }
}

async fn echo(mut conn: Conn) -> io::Result<()> {
    while let Some(request) = conn.request().await? {
        let body = json!({
            "method": request.method,
            "target": request.target,
            "fields": request.head.fields,
            "body_length": request.body.bytes.len(),
            "connection": conn.index,
        });
        let body = body.to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        let body = if request.method == "HEAD" { "" } else { &body };
        conn.send(head + body).await?;
    }
    Ok(())
}

/// An address that refuses every connection for as long as this lives: bound, never listening.
pub struct Refusing(socket2::Socket);

impl Refusing {
    pub fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}

/// An address whose backlog is full: a connection attempt is neither accepted nor refused.
pub struct Unaccepting {
    listening: socket2::Socket,
    _waiting: Vec<socket2::Socket>,
}

impl Unaccepting {
    pub fn new() -> Self {
        let listening = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listening.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listening.listen(0).unwrap();
        let address = listening.local_addr().unwrap();
        let mut waiting = Vec::new();
        // The loopback completes a handshake within the call unless the queue is full.
        while waiting.len() < 16 {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _in_progress = socket.connect(&address);
            let full = socket.peer_addr().is_err();
            waiting.push(socket);
            if full {
                return Self { listening, _waiting: waiting };
            }
        }
        panic!("the backlog never filled");
    }

    pub fn address(&self) -> SocketAddr {
        self.listening.local_addr().unwrap().as_socket().unwrap()
    }
}
