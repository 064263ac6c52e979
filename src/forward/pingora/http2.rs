//! One HTTP/2 connection of a client: every stream goes through the pipeline, then to Pingora.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, DATE, EXPECT, HOST, TE};
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{self, H2Accept, HttpSession as Http2Session};
use pingora::{Error, ErrorType, OrErr, Result};

use super::handed::WholeConnection;
use crate::base::field::Known;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::base::tasks;
use crate::listener::client_io::{ClientIo, ConnectionFacts};
use crate::listener::head::{IMITATION, imitates_protected, is_hop_by_hop};
use crate::listener::worker::Worker;
use crate::pipeline::verdict::{Answer, Forward};
use crate::pipeline::view::{BodyLength, RequestView};
use crate::pipeline::{self, finish};

/// How long a client may take to close an idle connection after GOAWAY.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);

/// As [`GOODBYE`] when the gateway leaves: what was sent last may still be on its way to a slow client.
const LAST_WORD: std::time::Duration = std::time::Duration::from_secs(5);

/// Streams that a client may give up; beyond that, no more than half of all. `h2` itself stops those that come and go at once,
/// but each that lives a moment longer costs an upstream connection (CVE-2023-44487).
const GIVEN_UP: usize = 100;

/// Streams that Pingora had to refuse before a connection is closed.
const MALFORMED_STREAMS: usize = 32;

/// Serves a connection until it ends, is idle for too long, or is drained (GOAWAY, RFC 9113 §6.8).
///
/// `read` is what was read of it already.
pub async fn serve(worker: Arc<Worker>, io: ClientIo, connection: Arc<ConnectionFacts>, read: Vec<u8>) {
    let settings = &worker.settings;
    let mut options = server::default_h2_options();
    options
        .max_concurrent_streams(settings.http2.max_concurrent_streams)
        .initial_window_size(settings.http2.stream_window)
        .initial_connection_window_size(settings.http2.connection_window)
        .max_header_list_size(u32::try_from(settings.limits.head).unwrap_or(u32::MAX));
    let deadline = worker.deadlines.register();
    deadline.set(settings.deadlines.head);
    let handshake = server::handshake(Box::new(WholeConnection::new(io, read)), Some(options));
    let mut streams = tokio::select! {
        biased;
        streams = handshake => match streams {
            Ok(streams) => streams,
            Err(error) => return tracing::debug!(%error, "no HTTP/2 connection"),
        },
        () = deadline.expired() => return,
    };
    let digest = Arc::new(Digest::default());
    let active = Arc::new(ActiveStreams::default());
    let (mut malformed, mut drained, mut begun) = (0, false, 0_usize);
    deadline.set(settings.deadlines.keep_alive);
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = Http2Session::from_h2_conn(&mut streams, Arc::clone(&digest)) => accepted,
            () = worker.drain.closing(), if !drained => {
                streams.graceful_shutdown();
                drained = true;
                if active.none() {
                    deadline.set(LAST_WORD);
                }
                continue;
            }
            () = active.changed() => {
                if active.none() {
                    deadline.set(if drained { LAST_WORD } else { settings.deadlines.keep_alive });
                }
                continue;
            }
            () = deadline.expired() => {
                if drained {
                    return;
                }
                streams.graceful_shutdown();
                drained = true;
                deadline.set(GOODBYE);
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                begun += 1;
                let given_up = active.given_up.load(Ordering::Relaxed);
                if given_up > GIVEN_UP && given_up * 2 > begun {
                    tracing::debug!(client = %connection.client, given_up, "an HTTP/2 client gives up too many streams");
                    streams.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                    drained = true;
                    deadline.set(GOODBYE);
                    continue;
                }
                deadline.clear();
                let guard = active.enter();
                let (worker, connection) = (Arc::clone(&worker), Arc::clone(&connection));
                tasks::spawn("http2-stream", async move {
                    if serve_stream(&worker, connection, session).await == Some(Reason::ClientClosed) {
                        guard.0.given_up.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            Ok(Some(H2Accept::Rejected)) => {
                malformed += 1;
                worker.metrics.refused(Reason::RequestMalformed);
                if malformed > MALFORMED_STREAMS {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "HTTP/2 connection ended"),
        }
    }
}

/// How many streams of a connection are being served.
#[derive(Default)]
struct ActiveStreams {
    count: AtomicUsize,
    /// Over the life of the connection.
    given_up: AtomicUsize,
    change: tokio::sync::Notify,
}

impl ActiveStreams {
    fn enter(self: &Arc<Self>) -> StreamGuard {
        self.count.fetch_add(1, Ordering::Relaxed);
        StreamGuard(Arc::clone(self))
    }

    fn none(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    async fn changed(&self) {
        self.change.notified().await;
    }
}

struct StreamGuard(Arc<ActiveStreams>);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.change.notify_one();
        }
    }
}

/// Serves one stream; why it failed, when it did.
async fn serve_stream(worker: &Worker, connection: Arc<ConnectionFacts>, mut session: Http2Session) -> Option<Reason> {
    let _in_flight = worker.metrics.request_started();
    let body = if session.is_body_empty() { BodyLength::None } else { declared_length(session.req_header()) };
    let decision = {
        let view = Http2View { head: session.req_header(), body };
        let snapshot = worker.snapshots.load();
        match check_head(&view, worker) {
            Ok(()) => pipeline::decide(snapshot, &connection, &view, &worker.settings),
            Err(rejection) => pipeline::refuse(snapshot, &connection, Some(&view), &rejection, &worker.settings),
        }
    };
    let is_head = decision.facts().method == Method::HEAD.as_str();
    let (exchange, verdict) =
        decision.into_exchange(connection, worker.deadlines.register(), worker.settings.deadlines.body);
    match verdict {
        Some(answer) => {
            let mut session = ServerSession::new_http2(session);
            // A client that grants no window would hold the stream, and with it the connection, for ever.
            exchange.deadline.set(exchange.body_pause);
            let written = tokio::select! {
                biased;
                written = write_answer(&mut session, &answer, is_head) => written.is_ok(),
                () = exchange.deadline.expired() => false,
            };
            finish::answered(&exchange, &answer, written);
            // A body that nobody wants is refused by a reset after the answer (RFC 9113 §8.1).
            if !session.is_body_done() {
                session.shutdown_with_reason(h2::Reason::NO_ERROR);
            }
        }
        None => {
            let prepared = exchange.plan.as_ref().map(|plan| prepare(session.req_header_mut(), plan));
            match prepared {
                Some(Ok(())) => worker.pingora.forward_http2(&exchange, session).await,
                Some(Err(error)) => {
                    tracing::error!(%error, "a planned request cannot be written");
                    exchange.fail(Reason::Internal);
                }
                None => exchange.fail(Reason::Internal),
            }
        }
    }
    finish::finish(&exchange, &worker.access_log);
    exchange.progress().reason
}

/// What the HTTP/1.1 head reader refuses and `h2` lets pass.
fn check_head(view: &Http2View<'_>, worker: &Worker) -> std::result::Result<(), Rejection> {
    let limits = &worker.settings.limits;
    let target = view.head.raw_path().len();
    if target > limits.target {
        return Err(Reason::UriTooLong.into());
    }
    if view.head.headers.len() > limits.fields {
        return Err(Reason::HeadersTooLarge.into());
    }
    let method = view.head.method.as_str();
    if method.eq_ignore_ascii_case("CONNECT") || method.eq_ignore_ascii_case("TRACE") {
        return Err(Reason::MethodUnsupported.into());
    }
    let fields = &view.head.headers;
    if fields.keys().any(|name| imitates_protected(name.as_str())) {
        return Err(Rejection::with_detail(Reason::RequestMalformed, IMITATION));
    }
    // Equal ones too: each would go to the upstream, which may count them.
    if fields
        .get_all(CONTENT_LENGTH)
        .iter()
        .enumerate()
        .any(|(nth, length)| nth > 0 || length.as_bytes().contains(&b','))
    {
        let detail = "The request has more than one Content-Length.";
        return Err(Rejection::with_detail(Reason::RequestFraming, detail));
    }
    if fields.get_all(EXPECT).iter().any(|expected| !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Reason::ExpectationFailed.into());
    }
    Ok(())
}

fn declared_length(head: &RequestHeader) -> BodyLength {
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.map_or(BodyLength::Unknown, BodyLength::Known)
}

/// Turns the head of the client into the one that is forwarded.
fn prepare(head: &mut RequestHeader, plan: &Forward) -> Result<()> {
    let sent = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let authority = match &plan.host {
        Some(host) => host.to_str().ok().map(str::to_owned),
        None => sent.or_else(|| head.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned)),
    };
    let authority = authority.ok_or_else(|| Error::explain(ErrorType::InternalError, "no authority"))?;
    let uri = Uri::builder()
        .scheme(if plan.upstream.trust.is_some() { "https" } else { "http" })
        .authority(authority.as_str())
        .path_and_query(plan.target.as_str())
        .build()
        .or_err(ErrorType::InternalError, "planned target")?;
    head.set_uri(uri);
    head.remove_header(&HOST);
    // Over HTTP/2 to HTTP/2 Pingora takes nothing off; `te` can only be `trailers` here.
    let hop_by_hop = |name: &HeaderName| *name != TE && is_hop_by_hop(name.as_str());
    let withheld = head.headers.keys().filter(|name| hop_by_hop(name) || plan.withholds(name.as_str()));
    for name in withheld.cloned().collect::<Vec<_>>() {
        head.remove_header(&name);
    }
    for (name, value) in plan.added.iter() {
        let value = HeaderValue::from_bytes(value).or_err(ErrorType::InvalidHTTPHeader, "planned field")?;
        match Known::of(name).header_name() {
            Some(name) => head.append_header(name, value)?,
            None => head.append_header(name.to_owned(), value)?,
        };
    }
    join_cookies(head)
}

/// HTTP/2 clients may split the Cookie field; HTTP/1.1 knows only one (RFC 9113 §8.2.3).
fn join_cookies(head: &mut RequestHeader) -> Result<()> {
    if head.headers.get_all(COOKIE).iter().nth(1).is_none() {
        return Ok(());
    }
    let mut joined = Vec::new();
    for value in head.headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(value.as_bytes());
    }
    let joined = HeaderValue::from_maybe_shared(Bytes::from(joined)).or_err(ErrorType::InvalidHTTPHeader, "cookie")?;
    head.insert_header(COOKIE, joined)
}

/// Writes an answer of ours to a stream.
pub(super) async fn write_answer(session: &mut ServerSession, answer: &Answer, is_head: bool) -> Result<()> {
    let mut head = ResponseHeader::build(answer.status, Some(answer.fields.len() + 2))?;
    for (name, value) in &answer.fields {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(DATE, httpdate::fmt_http_date(std::time::UNIX_EPOCH + crate::base::clock::since_epoch()))?;
    if !answer.is_bodyless() {
        head.set_content_length(answer.body.len())?;
    }
    let body = if is_head || answer.is_bodyless() { Bytes::new() } else { answer.body.clone() };
    session.write_response_header(Box::new(head)).await?;
    session.write_response_body(body, true).await
}

/// The pipeline's view of a head that came over HTTP/2.
struct Http2View<'a> {
    head: &'a RequestHeader,
    body: BodyLength,
}

impl<'h> RequestView for Http2View<'h> {
    fn method(&self) -> &Method {
        &self.head.method
    }

    fn path(&self) -> &str {
        self.head.uri.path()
    }

    fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }

    fn authority(&self) -> Option<&str> {
        let host = || self.head.headers.get(HOST).and_then(|host| host.to_str().ok());
        self.head.uri.authority().map(http::uri::Authority::as_str).or_else(host)
    }

    fn version(&self) -> Version {
        Version::HTTP_2
    }

    fn body(&self) -> BodyLength {
        self.body
    }

    fn values<'v, 'n>(&'v self, name: &'n HeaderName) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, 'n, 'h> {
        self.head.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn known<'v>(&'v self, field: Known) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, 'h> {
        let name = field.header_name();
        let values = name.map(|name| self.head.headers.get_all(name));
        values.into_iter().flatten().map(HeaderValue::as_bytes)
    }
}
