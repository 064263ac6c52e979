//! The sandbox on a socket.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::response::Response;
use axum::serve::ListenerExt;
use futures_util::StreamExt;
use http::{HeaderValue, StatusCode, header, request};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::controls::{self, Controls};
use super::document::Document;
use super::percent;
use super::problem::problem;
use super::respond::{self, Answer, Payload};

/// The largest request body that operations of the document take.
const MAX_BODY: usize = 1 << 20;
/// How long requests in flight may go on after the stop.
const GRACE: Duration = Duration::from_secs(5);
/// The most of a body that is sent between two pauses.
const MAX_PIECE: u64 = 64 << 10;
/// Pieces of a trickled body, as long as they stay below [`MAX_PIECE`].
const PIECES: u64 = 10;
const ECHO: &str = "/sandbox/echo";

/// Serves a document until `stop`; then no connection is accepted, and what is in flight has 5 seconds.
///
/// Beside the paths of the document there are `/sandbox` (what there is), `/sandbox/echo` and all below it (what arrived,
/// for any method) and `/sandbox/openapi.json` (the document). HTTP/1.1 without TLS, for loopback: it asks nobody who they
/// are.
pub async fn serve(
    listener: TcpListener,
    document: Arc<Document>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // Without delay, or pieces of a trickled body would wait for one another.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
    });
    let service = Router::new().fallback(handle).with_state(document);
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        stop.await;
        // The receiver is gone only when the server is.
        let _ = stopping.send(());
    });
    let overdue = async {
        if stopped.await.is_ok() {
            tokio::time::sleep(GRACE).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = server => ended,
        () = overdue => Ok(()),
    }
}

async fn handle(
    State(document): State<Arc<Document>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: HttpRequest,
) -> Response {
    let (head, body) = request.into_parts();
    let parameters = percent::query(head.uri.query().unwrap_or_default());
    let controls = match Controls::read(&head.headers, &parameters) {
        Ok(controls) => controls,
        Err(message) => return deliver(problem(StatusCode::BAD_REQUEST, &message), &Controls::default()),
    };
    let mut answer = match head.uri.path() {
        path if path == ECHO || path.strip_prefix(ECHO).is_some_and(|rest| rest.starts_with('/')) => {
            echo(&head, body, peer, &controls).await
        }
        "/sandbox" => Answer::json(StatusCode::OK, &index(&document)),
        "/sandbox/openapi.json" => Answer::json(StatusCode::OK, document.source()),
        path => match read(body).await {
            Ok(body) => {
                let request = respond::Request {
                    method: &head.method,
                    path,
                    query: head.uri.query().unwrap_or_default(),
                    parameters: &parameters,
                    headers: &head.headers,
                    body: &body,
                    item: None,
                };
                respond::answer(&document, request, controls.status)
            }
            Err(refused) => *refused,
        },
    };
    let wanted = answer.status.is_success() || controls.status == Some(answer.status);
    if let Some(size) = controls.size.filter(|_| wanted && may_have_body(answer.status)) {
        answer.payload = Payload::Filler(size);
        answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    if controls.abort && answer.payload.len() == 0 {
        let detail = "There is no body to break off; ask for one with X-Sandbox-Size.";
        answer = problem(StatusCode::BAD_REQUEST, detail);
        return deliver(answer, &Controls { abort: false, ..controls });
    }
    if let Some(delay) = controls.delay {
        tokio::time::sleep(delay).await;
    }
    deliver(answer, &controls)
}

fn may_have_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

async fn read(body: Body) -> Result<Bytes, Box<Answer>> {
    let mut whole = Vec::new();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece
            .map_err(|error| problem(StatusCode::BAD_REQUEST, &format!("The request body broke off: {error}.")))?;
        if whole.len() + piece.len() > MAX_BODY {
            let detail = format!("A request body may have up to {MAX_BODY} bytes here.");
            return Err(Box::new(problem(StatusCode::PAYLOAD_TOO_LARGE, &detail)));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// What arrived, as the sandbox saw it: what a gateway changed can be read here.
async fn echo(head: &request::Parts, body: Body, peer: SocketAddr, controls: &Controls) -> Answer {
    let mut length = 0_u64;
    // Counted and let go, so that it may be of any size.
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => length += piece.len() as u64,
            Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("The request body broke off: {error}.")),
        }
    }
    let mut headers = Map::new();
    for name in head.headers.keys() {
        let values = head.headers.get_all(name).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).map(Value::String);
        headers.insert(name.to_string(), Value::Array(values.collect()));
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let seen = json!({
        "method": head.method.as_str(),
        "target": target,
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body_length": length,
        "peer": peer,
    });
    let status = controls.status.unwrap_or(StatusCode::OK);
    if may_have_body(status) { Answer::json(status, &seen) } else { Answer::new(status, Payload::Empty) }
}

fn index(document: &Document) -> Value {
    let operations = document.paths().iter().flat_map(|path| {
        path.operations.iter().map(|operation| {
            json!({ "method": operation.method.as_str(), "path": path.template, "operation": operation.id })
        })
    });
    let controls = controls::WORDS
        .iter()
        .map(|(field, parameter, meaning)| json!({ "header": field, "query": parameter, "takes": meaning }));
    json!({
        "title": document.title(),
        "version": document.version(),
        "operations": operations.collect::<Value>(),
        "also": ["/sandbox/echo", "/sandbox/openapi.json"],
        "controls": controls.collect::<Value>(),
    })
}

/// Makes an answer into a response, trickling or breaking off if asked.
fn deliver(answer: Answer, controls: &Controls) -> Response {
    let length = answer.payload.len();
    let body = match answer.payload {
        Payload::Empty => Body::empty(),
        Payload::Bytes(bytes) if controls.trickle.is_none() && !controls.abort => Body::from(bytes),
        payload => {
            let piece =
                if controls.trickle.is_some() { length.div_ceil(PIECES).clamp(1, MAX_PIECE) } else { MAX_PIECE };
            let break_at = controls.abort.then_some(length / 2);
            Body::from_stream(Pieces { payload, at: 0, length, piece, pause: controls.trickle, break_at }.stream())
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    // A trickled body is sent in chunks; any other says how long it is, so that a client sees when it was broken off.
    if length > 0 && (controls.trickle.is_none() || controls.abort) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

impl Payload {
    fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Filler(size) => *size,
        }
    }

    /// Up to `most` bytes from `at` on; never empty before the end.
    fn piece(&self, at: u64, most: u64) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::Bytes(bytes) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(usize::try_from(most).unwrap_or(usize::MAX)).min(bytes.len());
                bytes.slice(start..end)
            }
            Self::Filler(size) => {
                let start = usize::try_from(at % FILLER.len() as u64).unwrap_or(0);
                let most = usize::try_from(most.min(size.saturating_sub(at))).unwrap_or(usize::MAX);
                let end = start.saturating_add(most).min(FILLER.len());
                Bytes::from_static(FILLER.get(start..end).unwrap_or_default())
            }
        }
    }
}

/// Lines of 64 characters, so that a large body is easy on the eye and a missing part of it is seen.
static FILLER: [u8; 64 << 10] = {
    let mut block = [b'.'; 64 << 10];
    let mut line = 0;
    while line < block.len() / 64 {
        let digits = b"0123456789abcdef";
        block[line * 64] = digits[line >> 8 & 15];
        block[line * 64 + 1] = digits[line >> 4 & 15];
        block[line * 64 + 2] = digits[line & 15];
        block[line * 64 + 63] = b'\n';
        line += 1;
    }
    block
};

/// A body on its way out.
struct Pieces {
    payload: Payload,
    at: u64,
    length: u64,
    piece: u64,
    pause: Option<Duration>,
    break_at: Option<u64>,
}

impl Pieces {
    fn stream(self) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
        futures_util::stream::unfold(self, Self::next)
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let end = self.break_at.unwrap_or(self.length).min(self.length);
        if self.at >= end {
            self.break_at?;
            // Once pending, so that the connection writes out what it has before it learns of the break.
            tokio::task::yield_now().await;
            return Some((Err(io::Error::other("broken off, as the request asked")), self));
        }
        if let Some(pause) = self.pause.filter(|_| self.at > 0) {
            tokio::time::sleep(pause).await;
        }
        let piece = self.payload.piece(self.at, self.piece.min(end - self.at));
        self.at += piece.len() as u64;
        Some((Ok(piece), self))
    }
}
