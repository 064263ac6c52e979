//! A client that writes exactly the bytes it is told and reads answers strictly.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use super::wire::{Body, Framing, Head, Wire, announced};
use super::within;

pub struct Client {
    wire: Wire,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: Head,
    pub framing: Framing,
    pub body: Body,
    /// Heads of the 1xx answers before it.
    pub informational: Vec<Head>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// In order, after these bytes.
    Closed(Vec<u8>),
    /// By RST, or by TLS without its close_notify.
    Cut,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { wire: Wire::new(within("connect", Stream::connect(address)).await.unwrap(), None) }
    }

    pub fn over(stream: Stream) -> Self {
        Self { wire: Wire::new(stream, None) }
    }

    pub async fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        Self { wire: Wire::new(within("connect", Stream::connect_from(source, address)).await.unwrap(), None) }
    }

    /// Over TLS, with this server name; the error is the handshake's.
    pub async fn tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::connect(address).await.upgrade_to_tls(name, config).await
    }

    /// Starts TLS on a connection on which something, such as a PROXY header, may have been sent.
    pub async fn upgrade_to_tls(self, name: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        let Stream::Plain(tcp) = self.wire.stream else { panic!("TLS inside TLS") };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = within("TLS handshake", TlsConnector::from(config).connect(name, tcp)).await?;
        Ok(Self { wire: Wire::new(Stream::Tls(Box::new(tls.into())), None) })
    }

    pub fn stream(&self) -> &Stream {
        &self.wire.stream
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("write", self.wire.send(bytes.as_ref())).await.unwrap();
    }

    /// Writes as far as the other side takes it; an early close is no failure.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("write", self.wire.send(bytes.as_ref())).await
    }

    /// Sends a whole request and reads its answer.
    pub async fn request(&mut self, request: impl AsRef<[u8]>) -> Response {
        let request = request.as_ref();
        self.send(request).await;
        self.response_to(if request.starts_with(b"HEAD ") { "HEAD" } else { "GET" }).await
    }

    pub async fn get(&mut self, target: &str) -> Response {
        self.request(format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await
    }

    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// A strictly read answer; a malformed or cut one fails the test.
    pub async fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).await.expect("a well-formed answer")
    }

    pub async fn try_response(&mut self) -> io::Result<Response> {
        self.try_response_to("GET").await
    }

    async fn try_response_to(&mut self, method: &str) -> io::Result<Response> {
        within("an answer", async {
            let mut informational = Vec::new();
            loop {
                let (status, head, framing) = self.head(method).await?;
                if (100..200).contains(&status) && status != 101 {
                    informational.push(head);
                    continue;
                }
                let body = self.wire.body(framing).await?;
                return Ok(Response { status, head, framing, body, informational });
            }
        })
        .await
    }

    async fn head(&mut self, method: &str) -> io::Result<(u16, Head, Framing)> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let head = self.wire.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status =
            head.start.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid(format!("not a status line: {:?}", head.start)))?;
        let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        let framing = match announced(&head)? {
            Some(_) if matches!(status, 100..=199 | 204) => {
                return Err(invalid(format!("{status} with a length: {:?}", head.fields)));
            }
            _ if bodiless => Framing::None,
            announced => announced.unwrap_or(Framing::UntilClose),
        };
        Ok((status, head, framing))
    }

    /// Reads only the head of an answer (1xx included); the body stays on the wire.
    pub async fn response_head(&mut self) -> (u16, Head) {
        let (status, head, _) = within("the head of an answer", self.head("GET")).await.unwrap();
        (status, head)
    }

    pub async fn exactly(&mut self, count: usize) -> Vec<u8> {
        within("bytes", self.wire.exactly(count)).await.unwrap()
    }

    /// The next chunk of a chunked body whose head was read; `None` at the last one.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        within("a chunk", self.wire.chunk()).await.unwrap()
    }

    pub async fn try_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        within("a chunk", self.wire.chunk()).await
    }

    /// Sends one of these bytes after another, a few milliseconds apart, until the other side answers or closes.
    pub async fn drip(&mut self, bytes: impl IntoIterator<Item = u8>) {
        let mut steps = tokio::time::interval(Duration::from_millis(10));
        let mut bytes = bytes.into_iter();
        within("an answer to a drip", async {
            loop {
                tokio::select! {
                    readable = self.wire.stream.tcp().readable() => return readable.unwrap(),
                    _ = steps.tick() => {
                        let Some(byte) = bytes.next() else { continue };
                        // The other side may close between the two.
                        if self.wire.send(&[byte]).await.is_err() {
                            return;
                        }
                    }
                }
            }
        })
        .await;
    }

    /// Waits until the other side ends the connection.
    pub async fn end(&mut self) -> End {
        match within("the end of the connection", self.wire.rest()).await {
            Ok(rest) => End::Closed(rest),
            Err(_) => End::Cut,
        }
    }

    /// Waits until the other side ends the connection, without another byte of application data.
    pub async fn closed(&mut self) {
        let end = self.end().await;
        assert!(matches!(&end, End::Cut) || end == End::Closed(Vec::new()), "more came before the end: {end:?}");
    }

    /// Sends FIN and goes on reading.
    pub async fn half_close(&mut self) {
        within("shutdown", self.wire.stream.shutdown()).await.unwrap();
    }

    /// Ends the connection with RST.
    pub fn reset(self) {
        self.wire.stream.reset();
    }
}

/// What the echo double received.
#[derive(Debug)]
pub struct Echo {
    pub method: String,
    pub target: String,
    pub head: Head,
    pub body_length: u64,
    pub connection: u64,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body.bytes).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body.bytes).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// Fails unless this is a refusal of the gateway, in the form of RFC 9457, with this status and reason.
    #[track_caller]
    pub fn refused(&self, status: u16, reason: &str) -> Value {
        let shown = String::from_utf8_lossy(&self.body.bytes);
        assert_eq!(self.status, status, "{shown}");
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{shown}");
        let problem = self.json();
        assert_eq!(problem["reason"], reason);
        assert_eq!(problem["status"], status);
        problem
    }

    #[track_caller]
    pub fn echo(&self) -> Echo {
        assert_eq!(self.status, 200, "{}", self.text());
        let echo = self.json();
        let text = |key: &str| echo[key].as_str().expect("the echo double answered").to_owned();
        let fields = serde_json::from_value(echo["fields"].clone()).unwrap();
        Echo {
            method: text("method"),
            target: text("target"),
            head: Head { start: String::new(), fields },
            body_length: echo["body_length"].as_u64().unwrap(),
            connection: echo["connection"].as_u64().unwrap(),
        }
    }
}

impl Echo {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }
}
