//! What the cache asks an upstream, as Pingora sees it: a session with a head, without a body, and nobody behind it.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::header::{CONTENT_LENGTH, DATE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use pingora::apps::HttpServerApp;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v1::client::http_req_header_to_wire;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, OrErr, Result};

use super::Forwarder;
use super::engine::{EXCHANGE, Received};
use crate::base::reason::Reason;
use crate::cache::Filling;
use crate::forward::fetch::{fail, now};
use crate::forward::head::date;
use crate::listener::buffers;
use crate::pipeline::exchange::{Exchange, Stage};
use crate::pipeline::verdict::{FetchRequest, Forward};

impl Forwarder {
    /// Asks for one answer; every end of it reaches `filling`.
    pub async fn fetch(&self, exchange: &Arc<Exchange>, plan: &Forward, request: FetchRequest, filling: Filling) {
        let head = match head(request, &plan.target) {
            Ok(head) => head,
            Err(error) => {
                tracing::error!(%error, "a planned request cannot be written");
                return fail(exchange, filling, Reason::Internal);
            }
        };
        let session = FetchSession::new(head, Arc::clone(exchange), filling);
        let session = ServerSession::new_custom(Box::new(session));
        let overdue = async {
            exchange.deadline.expired().await;
            // Before the session is dropped, which tells the cache why.
            exchange.expire();
        };
        tokio::select! {
            biased;
            _ = EXCHANGE.scope(Arc::clone(exchange), self.proxy.process_new_http(session, &self.shutdown)) => {}
            () = overdue => {}
        }
    }
}

fn head(request: FetchRequest, target: &str) -> Result<RequestHeader> {
    let FetchRequest { method, host, fields } = request;
    let head = Request::builder().method(method).uri(target).body(()).or_err(ErrorType::InternalError, "target")?;
    let (mut head, ()) = head.into_parts();
    head.headers = fields;
    head.headers.insert(HOST, host);
    Ok(RequestHeader::from(head))
}

/// Takes in one answer. Dropped before its end, it says why there is no more of it.
struct FetchSession {
    head: RequestHeader,
    exchange: Arc<Exchange>,
    /// Until the answer has ended.
    filling: Option<Filling>,
    /// The final head.
    written: Option<Box<ResponseHeader>>,
    /// As the head announces it.
    length: Option<u64>,
    received: u64,
}

impl FetchSession {
    fn new(head: RequestHeader, exchange: Arc<Exchange>, filling: Filling) -> Self {
        Self { head, exchange, filling: Some(filling), written: None, length: None, received: 0 }
    }

    fn begin(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if head.status.is_informational() || self.written.is_some() {
            return Ok(());
        }
        let Some(filling) = &mut self.filling else { return Ok(()) };
        if self.exchange.progress().first_byte.is_none() {
            // Not the upstream's: Pingora finds fault with the request.
            self.exchange.fail(Reason::Internal);
            return Error::e_explain(ErrorType::InternalError, "an answer of Pingora's own");
        }
        let mut fields = head.headers.clone();
        fields.remove(TRANSFER_ENCODING);
        fields.entry(DATE).or_insert_with(date);
        let bodyless = self.head.method == Method::HEAD
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        let announced = || fields.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        self.length = if bodyless { Some(0) } else { announced() };
        let version = head.extensions.get::<Received>().map_or(Version::HTTP_11, |received| received.0);
        let wanted = filling.head(head.status, version, &fields, self.length, now());
        self.written = Some(head);
        if !wanted {
            // What is to come is read by nobody: only a body that is as good as here lets the connection go on.
            self.exchange.enter(Stage::Answered);
            if let Some(filling) = self.filling.take() {
                filling.end(None);
            }
        }
        if end { self.end(None) } else { Ok(()) }
    }

    async fn take_in(&mut self, data: Bytes) -> Result<()> {
        self.received += data.len() as u64;
        let Some(filling) = &mut self.filling else {
            if self.received > buffers::LONG as u64 {
                // Until the deadline ends it.
                pending::<()>().await;
            }
            return Ok(());
        };
        let exchange = &self.exchange;
        poll_fn(|cx| {
            let room = filling.poll_room(cx);
            exchange.writing(room.is_pending());
            room
        })
        .await;
        if !filling.is_wanted() {
            return Err(Error::explain(ErrorType::WriteError, "nobody wants the rest").into_down());
        }
        // Frames of HTTP/2 are parts of what was read together; what is kept must not keep more than itself.
        filling.data(Bytes::copy_from_slice(&data));
        Ok(())
    }

    /// The upstream said that this is all.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<()> {
        if self.written.is_none() {
            return Ok(());
        }
        let Some(filling) = self.filling.take() else { return Ok(()) };
        if self.length.is_some_and(|length| length != self.received) {
            fail(&self.exchange, filling, Reason::UpstreamReset);
            return Err(Error::explain(ErrorType::ConnectionClosed, "an answer of another length").into_up());
        }
        filling.end(trailers);
        Ok(())
    }
}

impl Drop for FetchSession {
    fn drop(&mut self) {
        if let Some(filling) = self.filling.take() {
            let reason = self.exchange.progress().reason.unwrap_or(Reason::UpstreamReset);
            fail(&self.exchange, filling, reason);
        }
    }
}

#[async_trait]
impl Session for FetchSession {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.begin(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.begin(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if !data.is_empty() {
            self.take_in(data).await?;
        }
        if end { self.end(None) } else { Ok(()) }
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.end(Some(trailers))
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut ended = false;
        for task in tasks {
            ended |= task.is_end();
            match task {
                HttpTask::Header(head, end) => self.begin(head, end)?,
                HttpTask::Body(data, end) => self.write_body(data.unwrap_or_default(), end).await?,
                HttpTask::Trailer(trailers) => self.end(trailers.map(|trailers| *trailers))?,
                HttpTask::Done => self.end(None)?,
                HttpTask::UpgradedBody(..) => {
                    return Error::e_explain(ErrorType::InternalError, "an upgrade of a fetch");
                }
                HttpTask::Failed(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// The deadline of the exchange holds.
    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.head.method, self.head.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {}

    fn is_body_done(&mut self) -> bool {
        true
    }

    /// Says nothing of the answer: Pingora calls it after failures, too.
    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        true
    }

    /// There is nobody who could go away.
    async fn read_body_or_idle(&mut self, _no_body_expected: bool) -> Result<Option<Bytes>> {
        pending().await
    }

    fn body_bytes_sent(&self) -> usize {
        usize::try_from(self.received).unwrap_or(usize::MAX)
    }

    fn body_bytes_read(&self) -> usize {
        0
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        http_req_header_to_wire(&self.head).map(BytesMut::freeze).unwrap_or_default()
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
