//! An HTTP/2 upstream on a real socket, by prior knowledge or ALPN.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, StatusCode};
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::eventually;
use super::h2_client::collect;
use super::stream::Stream;

/// A request as the upstream read it.
#[derive(Clone, Debug)]
pub struct H2Recorded {
    pub connection: usize,
    pub method: String,
    pub path: String,
    pub authority: Option<String>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// What the whole upstream is told to do to the connections that it has; later ones are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Serve,
    GoAway,
    Abort(Reason),
}

#[derive(Default)]
struct Shared {
    connections: Mutex<usize>,
    requests: Mutex<Vec<H2Recorded>>,
}

pub struct H2Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
    accepting: JoinHandle<()>,
}

type Answer = dyn Fn(H2Recorded, SendResponse<Bytes>) -> BoxFuture<'static, Result<(), h2::Error>> + Send + Sync;

impl H2Upstream {
    /// Calls the script with every request once its body is complete.
    pub fn scripted<F, R>(tls: Option<Arc<ServerConfig>>, script: F) -> Self
    where
        F: Fn(H2Recorded, SendResponse<Bytes>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let answer: Arc<Answer> = Arc::new(move |request, respond| Box::pin(script(request, respond)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (orders, follow) = watch::channel(Order::Serve);
        let accepting = accept(listener, tls, answer, Arc::clone(&shared), follow);
        let accepting = sluice::base::tasks::spawn("h2 upstream double", accepting);
        Self { address, shared, orders, accepting }
    }

    /// Answers with JSON of what it received, and with the trailers `grpc-status: 0` and `x-checksum`.
    pub fn echo(tls: Option<Arc<ServerConfig>>) -> Self {
        Self::scripted(tls, |request, mut respond| async move {
            let fields: Vec<_> =
                request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            let body = json!({
                "method": request.method,
                "target": request.path,
                "authority": request.authority,
                "fields": fields,
                "body_length": request.body.len(),
                "connection": request.connection,
            });
            let head = Response::builder().status(StatusCode::OK).header("content-type", "application/json");
            let mut send = respond.send_response(head.body(()).unwrap(), false)?;
            send.send_data(Bytes::from(body.to_string()), false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("x-checksum", "abc".parse().unwrap());
            send.send_trailers(trailers)
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    pub fn requests(&self) -> Vec<H2Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub async fn request(&self, count: usize) -> H2Recorded {
        eventually("a request at the upstream", async || self.requests().into_iter().nth(count - 1)).await
    }

    /// Sends GOAWAY(NO_ERROR) on every connection and lets open streams end.
    pub fn go_away(&self) {
        self.orders.send_replace(Order::GoAway);
    }

    /// Ends every connection with GOAWAY and this error, open streams included.
    pub fn abort(&self, reason: Reason) {
        self.orders.send_replace(Order::Abort(reason));
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    answer: Arc<Answer>,
    shared: Arc<Shared>,
    orders: watch::Receiver<Order>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.expect("an upstream double accepts");
        let (tls, answer, shared, orders) = (tls.clone(), Arc::clone(&answer), Arc::clone(&shared), orders.clone());
        connections.spawn(async move {
            tcp.set_nodelay(true).unwrap();
            let stream = match tls {
                None => Stream::Plain(tcp),
                Some(config) => match TlsAcceptor::from(config).accept(tcp).await {
                    Ok(tls) => Stream::Tls(Box::new(tls.into())),
                    Err(_) => return,
                },
            };
            // A connection that the peer breaks is the peer's affair; the test looks at what was recorded.
            let _broken = serve(stream, answer, shared, orders).await;
        });
    }
}

async fn serve(
    stream: Stream,
    answer: Arc<Answer>,
    shared: Arc<Shared>,
    mut orders: watch::Receiver<Order>,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    let index = {
        let mut connections = shared.connections.lock().unwrap();
        *connections += 1;
        *connections - 1
    };
    orders.mark_unchanged();
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                None => break,
                Some(stream) => {
                    let (request, respond) = stream?;
                    streams.spawn(exchange(index, request, respond, Arc::clone(&answer), Arc::clone(&shared)));
                }
            },
            Ok(()) = orders.changed() => match *orders.borrow_and_update() {
                Order::Serve => {}
                Order::GoAway => connection.graceful_shutdown(),
                Order::Abort(reason) => connection.abrupt_shutdown(reason),
            },
        }
    }
    Ok(())
}

async fn exchange(
    connection: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    answer: Arc<Answer>,
    shared: Arc<Shared>,
) {
    let (head, body) = request.into_parts();
    let Ok((body, trailers)) = collect(body).await else { return };
    let request = H2Recorded {
        connection,
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        authority: head.uri.authority().map(ToString::to_string),
        headers: head.headers,
        body,
        trailers,
    };
    shared.requests.lock().unwrap().push(request.clone());
    let _broken = answer(request, respond).await;
}
