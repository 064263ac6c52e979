//! A stream of an HTTP/2 client as Pingora sees it.
//!
//! Its own session type cannot be had without its own accept loop, which overwrites `Date` and swallows interim answers.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use h2::Reason as Code;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, DATE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::{Digest, http::v1::client::http_req_header_to_wire};
use pingora::{Error, ErrorType, OrErr, Result};

use crate::base::field::Known;
use crate::config::checked::UpstreamProtocol;
use crate::forward::head::date;
use crate::listener::head::is_hop_by_hop;
use crate::listener::http2::{ClientStream, Piece};
use crate::pipeline::verdict::{Answer, Forward};

/// What is kept of a request body for retries.
const RETRY_BUFFER: usize = 64 * 1024;

/// The head that is forwarded by the plan.
pub(super) fn request(head: Parts, plan: &Forward) -> Result<RequestHeader> {
    let mut head = RequestHeader::from(head);
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
    // Towards HTTP/2 Pingora takes nothing off; `te` can only be `trailers` here.
    let keeps_te = plan.upstream.cluster.protocol() != UpstreamProtocol::Http1;
    let hop_by_hop = |name: &HeaderName| !(keeps_te && *name == TE) && is_hop_by_hop(name.as_str());
    let withheld = head.headers.keys().filter(|name| hop_by_hop(name) || plan.withholds(name.as_str()));
    for name in withheld.cloned().collect::<Vec<_>>() {
        head.remove_header(&name);
    }
    append_planned(&mut head, plan)?;
    join_cookies(&mut head)?;
    Ok(head)
}

fn append_planned(head: &mut RequestHeader, plan: &Forward) -> Result<()> {
    for (name, value) in plan.added.iter() {
        let value = HeaderValue::from_bytes(value).or_err(ErrorType::InvalidHTTPHeader, "planned field")?;
        match Known::of(name).header_name() {
            Some(name) => head.append_header(name, value)?,
            None => head.append_header(name.to_owned(), value)?,
        };
    }
    Ok(())
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
    if !answer.is_bodyless() {
        head.set_content_length(answer.body.len())?;
    }
    let body = if is_head || answer.is_bodyless() { Bytes::new() } else { answer.body.clone() };
    session.write_response_header(Box::new(head)).await?;
    session.write_response_body(body, true).await
}

/// A stream that can be watched from outside of Pingora, which does not look at it while it connects.
#[derive(Clone)]
pub(super) struct SharedStream(Arc<Mutex<ClientStream>>);

impl SharedStream {
    pub fn new(client: ClientStream) -> Self {
        Self(Arc::new(Mutex::new(client)))
    }

    pub fn lock(&self) -> MutexGuard<'_, ClientStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream on loan to Pingora; dropped before its end, it is reset.
pub(super) struct StreamSession {
    head: RequestHeader,
    client: SharedStream,
    /// The final head, once sent.
    written: Option<Box<ResponseHeader>>,
    ended: bool,
    received: usize,
    sent: usize,
    retry: Option<BytesMut>,
    /// More came than is kept for retries.
    retry_lost: bool,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
}

impl StreamSession {
    pub fn new(head: RequestHeader, client: SharedStream) -> Self {
        Self {
            head,
            client,
            written: None,
            ended: false,
            received: 0,
            sent: 0,
            retry: None,
            retry_lost: false,
            write_timeout: None,
            drain_timeout: None,
        }
    }

    async fn send(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let length = data.len();
        let mut piece = Piece::Shared(data);
        let sending = poll_fn(|cx| self.client.lock().poll_send(cx, &mut piece, end));
        let sent = match self.write_timeout {
            Some(pause) => tokio::time::timeout(pause, sending).await.map_err(|_| late(ErrorType::WriteTimedout))?,
            None => sending.await,
        };
        sent.or_err(ErrorType::WriteError, "while writing to the client").map_err(Error::into_down)?;
        self.sent += length;
        self.ended |= end;
        Ok(())
    }
}

fn late(kind: ErrorType) -> Box<Error> {
    Error::explain(kind, "the client is too slow").into_down()
}

#[async_trait]
impl Session for StreamSession {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        let data = poll_fn(|cx| self.client.lock().poll_data(cx)).await.transpose();
        let data = data.or_err(ErrorType::ReadError, "while reading the request body").map_err(Error::into_down)?;
        let Some(data) = data else { return Ok(None) };
        self.client.lock().give_back(data.len());
        self.received += data.len();
        if let Some(kept) = self.retry.as_mut().filter(|_| !self.retry_lost) {
            self.retry_lost = kept.len() + data.len() > RETRY_BUFFER;
            if self.retry_lost {
                *kept = BytesMut::new();
            } else {
                kept.extend_from_slice(&data);
            }
        }
        Ok(Some(data))
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        let Some(pause) = self.drain_timeout else { return Ok(()) };
        let drained = async {
            while self.read_body_bytes().await?.is_some() {}
            Ok(())
        };
        tokio::time::timeout(pause, drained).await.map_err(|_| late(ErrorType::ReadTimedout))?
    }

    async fn write_response_header(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.ended || self.written.is_some() {
            return Ok(());
        }
        for name in [TRANSFER_ENCODING, CONNECTION, UPGRADE] {
            head.remove_header(&name);
        }
        head.remove_header("keep-alive");
        head.remove_header("proxy-connection");
        let sent = if head.status.is_informational() {
            head.remove_header(&CONTENT_LENGTH);
            self.client.lock().send_interim(head.status, head.headers.clone())
        } else {
            if !head.headers.contains_key(DATE) {
                head.insert_header(DATE, date())?;
            }
            self.ended = end;
            let sent = self.client.lock().send_head(head.status, head.headers.clone(), end);
            self.written = Some(head);
            sent
        };
        sent.or_err(ErrorType::WriteError, "while writing a head to the client").map_err(Error::into_down)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.send(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let sent = self.client.lock().send_trailers(trailers);
        sent.or_err(ErrorType::WriteError, "while writing trailers to the client").map_err(Error::into_down)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut ended = false;
        for task in tasks {
            ended |= match task {
                HttpTask::Header(head, end) => {
                    self.write_response_header(head, end).await?;
                    end
                }
                HttpTask::Body(data, end) => {
                    if let Some(data) = data.filter(|data| !data.is_empty()) {
                        self.send(data, end).await?;
                    }
                    end
                }
                HttpTask::UpgradedBody(..) => {
                    return Error::e_explain(ErrorType::InternalError, "an upgrade over HTTP/2");
                }
                HttpTask::Trailer(Some(trailers)) => {
                    self.write_trailers(*trailers).await?;
                    true
                }
                HttpTask::Trailer(None) | HttpTask::Done => true,
                HttpTask::Failed(error) => return Err(error),
            };
        }
        if ended {
            self.finish().await?;
        }
        Ok(ended)
    }

    /// The deadline of the exchange holds.
    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.head.method, self.head.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        if !self.ended {
            self.client.lock().reset(Code::INTERNAL_ERROR);
            self.ended = true;
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.client.lock().is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        // Without a head, the drop resets the stream.
        if self.written.is_some() { self.send(Bytes::new(), true).await } else { Ok(()) }
    }

    fn is_body_empty(&mut self) -> bool {
        self.received == 0 && self.client.lock().is_body_done()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.client.lock().is_body_done() {
            return self.read_body_bytes().await;
        }
        poll_fn(|cx| self.client.lock().poll_given_up(cx)).await;
        Err(Error::explain(ErrorType::H2Error, "the client gave up the stream").into_down())
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.received
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

    fn enable_retry_buffering(&mut self) {
        self.retry.get_or_insert_default();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.retry_lost
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let kept = self.retry.as_ref().filter(|kept| !self.retry_lost && !kept.is_empty())?;
        Some(Bytes::copy_from_slice(kept))
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
