//! An HTTP/2 client whose every frame can be looked at.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::stream::{Stream, Tap, Tapped};
use super::within;

pub struct H2Client {
    send: SendRequest<Bytes>,
    tap: Tap,
    ended: watch::Receiver<bool>,
    outcome: Arc<Mutex<Option<Result<(), h2::Error>>>>,
}

#[derive(Debug)]
pub struct H2Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// A GOAWAY frame (RFC 9113 §6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    pub last_stream: u32,
    pub code: u32,
}

impl H2Client {
    /// In the clear, with prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(within("connect", Stream::connect(address)).await.unwrap()).await
    }

    /// Over TLS; fails the test unless `h2` was agreed on.
    pub async fn tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Self {
        let Stream::Plain(tcp) = within("connect", Stream::connect(address)).await.unwrap() else { unreachable!() };
        let server = ServerName::try_from(name.to_owned()).unwrap();
        let tls = within("TLS handshake", TlsConnector::from(config).connect(server, tcp)).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        Self::over(Stream::Tls(Box::new(tls.into()))).await
    }

    pub async fn over(stream: Stream) -> Self {
        let tap = Tap::default();
        let tapped = Tapped { stream, tap: Arc::clone(&tap) };
        let (send, connection) = within("HTTP/2 preface", h2::client::handshake(tapped)).await.unwrap();
        let (end, ended) = watch::channel(false);
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        sluice::base::tasks::spawn("h2 client", async move {
            let result = connection.await;
            *told.lock().unwrap() = Some(result);
            end.send_replace(true);
        });
        Self { send, tap, ended, outcome }
    }

    /// Opens a stream; with `end`, nothing follows the head.
    pub async fn open(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        within("room for a stream", std::future::poll_fn(|cx| self.send.poll_ready(cx))).await?;
        self.send.send_request(request, end)
    }

    pub async fn get(&mut self, target: &str) -> H2Response {
        self.send(self::get(target), &[]).await
    }

    /// Sends each part as a DATA frame, then an empty one that ends the stream, as a client does that learns late that
    /// there is no more; without parts, the head ends it.
    pub async fn send(&mut self, request: Request<()>, parts: &[&[u8]]) -> H2Response {
        let (response, mut body) = self.open(request, parts.is_empty()).await.unwrap();
        for part in parts {
            body.send_data(Bytes::copy_from_slice(part), false).unwrap();
        }
        if !parts.is_empty() {
            body.send_data(Bytes::new(), true).unwrap();
        }
        response_of(response).await.unwrap()
    }

    /// The GOAWAY frames that came so far.
    pub fn goaways(&self) -> Vec<GoAway> {
        goaways(&self.tap.lock().unwrap())
    }

    /// Waits until the connection is over; the outcome is the library's view of how.
    pub async fn ended(&mut self) -> Result<(), h2::Error> {
        within("the end of the connection", self.ended.wait_for(|ended| *ended)).await.unwrap();
        self.outcome.lock().unwrap().take().expect("asked once")
    }
}

/// A GET of this target at `api.test`.
pub fn get(target: &str) -> Request<()> {
    Request::get(format!("http://api.test{target}")).body(()).unwrap()
}

pub fn post(target: &str) -> Request<()> {
    Request::post(format!("http://api.test{target}")).body(()).unwrap()
}

/// Reads an answer to its end.
pub async fn response_of(response: ResponseFuture) -> Result<H2Response, h2::Error> {
    within("an answer", async {
        let (head, body) = response.await?.into_parts();
        let (body, trailers) = collect(body).await?;
        Ok(H2Response { status: head.status, headers: head.headers, body, trailers })
    })
    .await
}

/// A body and its trailers, giving back window as it reads.
pub async fn collect(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, body.trailers().await?))
}

impl H2Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// As [`Response::refused`](super::client::Response::refused).
    #[track_caller]
    pub fn refused(&self, status: u16, reason: &str) {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.json()["reason"], reason);
    }
}

fn goaways(mut frames: &[u8]) -> Vec<GoAway> {
    let mut found = Vec::new();
    while let [l0, l1, l2, kind, _flags, _, _, _, _, rest @ ..] = frames {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        if rest.len() < length {
            break;
        }
        if *kind == 7 {
            let word = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
            found.push(GoAway { last_stream: word(0) & 0x7fff_ffff, code: word(4) });
        }
        frames = &rest[length..];
    }
    found
}
