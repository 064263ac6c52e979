//! What Pingora asks at each of its phases. All policy has been decided before; here the plan is carried out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::failure;
use super::peer::Peers;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::config::checked::UpstreamProtocol;
use crate::forward::ATTEMPTS;
use crate::listener::worker::Drain;
use crate::pipeline::exchange::{Exchange, Stage};
use crate::pipeline::heard::heard;
use crate::pipeline::{finish, respond};
use crate::telemetry::metrics::UpstreamConnection as Outcome;
use crate::transform::headers::FieldList;

/// A small rest of a request body is read after an early answer, so that the connection can go on.
const DRAIN: Duration = Duration::from_secs(1);

/// The version of the message that an answer came in, which Pingora forgets on its way to whoever asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received(pub Version);

tokio::task_local! {
    /// The request that a session handed to Pingora belongs to.
    pub(super) static EXCHANGE: Arc<Exchange>;
}

/// The phases of Pingora for one worker thread.
pub struct Engine {
    peers: Peers,
    drain: Arc<Drain>,
}

impl Engine {
    pub fn new(peers: Peers, drain: Arc<Drain>) -> Self {
        Self { peers, drain }
    }
}

fn exchange(context: &Option<Arc<Exchange>>) -> Result<&Arc<Exchange>> {
    context.as_ref().ok_or_else(|| Error::explain(ErrorType::InternalError, "a session without its exchange"))
}

/// Whether clients cannot read the end of this answer in another place than Pingora does: no codings but `chunked`,
/// which we never asked for, and one length.
fn is_plainly_framed(fields: &HeaderMap) -> bool {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    let plain = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let digits = |length: &HeaderValue| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    plain && codings.next().is_none() && lengths.next().is_none_or(digits) && lengths.next().is_none()
}

/// Ends the request with this reason.
fn refuse<T>(exchange: &Exchange, reason: Reason) -> Result<T> {
    exchange.fail(reason);
    Error::e_explain(ErrorType::Custom("refused"), reason.as_str())
}

#[async_trait]
impl ProxyHttp for Engine {
    type CTX = Option<Arc<Exchange>>;

    fn new_ctx(&self) -> Self::CTX {
        EXCHANGE.try_with(Arc::clone).ok()
    }

    /// None: compression and the like come as policies of ours.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        let exchange = exchange(ctx)?;
        let (pause, version) = (exchange.body_pause, exchange.facts.version);
        let downstream = session.as_downstream_mut();
        // On HTTP/1.1 the front sees every read and write itself, and its one deadline costs no timer.
        downstream.set_read_timeout(None);
        downstream.set_write_timeout((version == Version::HTTP_2).then_some(pause));
        downstream.set_total_drain_timeout(Some(DRAIN));
        // RFC 9110 §15.2: they know no interim answers.
        downstream.set_ignore_info_resp(version == Version::HTTP_10);
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let exchange = exchange(ctx)?;
        let Some(plan) = &exchange.plan else { return refuse(exchange, Reason::Internal) };
        exchange.enter(Stage::Connecting);
        let address = {
            let mut progress = exchange.progress();
            let address = plan.upstream.cluster.pick_excluding(&progress.failed);
            progress.attempts = progress.attempts.saturating_add(1);
            progress.connecting_since = Some(clock::now());
            if address.is_some() {
                progress.endpoint = address;
            }
            address
        };
        match address {
            Some(address) => {
                let peer = self.peers.peer(address, plan, exchange.facts.version);
                peer.inspect_err(|_| exchange.fail(Reason::UpstreamTls))
            }
            None => refuse(exchange, Reason::UpstreamUnavailable),
        }
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        socket: i32,
        _digest: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let exchange = exchange(ctx)?;
        let alone =
            exchange.plan.as_ref().is_some_and(|plan| plan.upstream.cluster.protocol() == UpstreamProtocol::Http1);
        {
            let mut progress = exchange.progress();
            progress.reused = reused;
            progress.connect = progress.connecting_since.filter(|_| !reused).map(|since| clock::now() - since);
            progress.upstream_socket = alone.then_some(socket);
            // Pingora shows the body to every attempt.
            progress.request_bytes = 0;
        }
        if let Some(plan) = &exchange.plan {
            plan.upstream.metrics.connection(if reused { Outcome::Reused } else { Outcome::Opened });
        }
        let body_done = session.as_downstream_mut().is_body_done();
        exchange.enter(if body_done { Stage::Waiting } else { Stage::Receiving });
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let exchange = exchange(ctx)?;
        let length = body.as_ref().map_or(0, Bytes::len);
        // cloudflare/pingora#935: an empty last piece would be written as a second end of a chunked body.
        if end_of_stream && length == 0 {
            *body = None;
        }
        let sent = {
            let mut progress = exchange.progress();
            progress.request_bytes += length as u64;
            progress.request_bytes
        };
        if exchange.plan.as_ref().and_then(|plan| plan.max_body).is_some_and(|max| sent > max) {
            return refuse(exchange, Reason::BodyTooLarge);
        }
        let stage = exchange.progress().stage;
        match stage {
            Stage::Receiving | Stage::Sending if end_of_stream => exchange.enter(Stage::Waiting),
            _ => exchange.touch(),
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let exchange = exchange(ctx)?;
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            // Nobody asked: upgrades never come here.
            return refuse(exchange, Reason::UpstreamProtocol);
        }
        if response.status.is_informational() {
            // No progress: an upstream that sends these for ever has still not begun to answer.
            return Ok(());
        }
        if !is_plainly_framed(&response.headers) {
            return refuse(exchange, Reason::UpstreamProtocol);
        }
        {
            let mut progress = exchange.progress();
            progress.upstream_socket = None;
            progress.first_byte = Some(clock::now() - exchange.facts.started);
        }
        if exchange.fetches {
            let version = response.version;
            response.extensions_mut().insert(Received(version));
        }
        exchange.enter(Stage::Relaying);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let exchange = exchange(ctx)?;
        for name in respond::hop_by_hop(&response.headers) {
            response.remove_header(&name);
        }
        if !response.status.is_informational() {
            let with_trailers = if exchange.fetches { response.version } else { exchange.facts.version };
            if with_trailers != Version::HTTP_2 {
                // What it announces does not come: Pingora drops the trailers of HTTP/1.1.
                response.remove_header(&TRAILER);
            }
            if exchange.facts.version == Version::HTTP_10 {
                // Chunks are unknown to HTTP/1.0; without a length the answer ends with the connection.
                response.remove_header(&TRANSFER_ENCODING);
            }
            if response.status == StatusCode::NO_CONTENT {
                // RFC 9110 §8.6, RFC 9112 §6.1: a client that believes them waits for a body that never comes.
                response.remove_header(&CONTENT_LENGTH);
                response.remove_header(&TRANSFER_ENCODING);
            }
            if self.drain.is_leaving() {
                session.set_keepalive(None);
            }
            exchange.prompt.store(response.headers.contains_key(CONTENT_LENGTH), Ordering::Relaxed);
            exchange.progress().status = response.status.as_u16();
            // What is fetched is edited each time it is given to a client.
            if !exchange.fetches {
                let fields = response.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
                heard(exchange, response.status, fields);
                respond::edit(exchange, response.version, &mut PingoraResponse(response));
            }
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        let exchange = exchange(ctx)?;
        exchange.progress().response_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
        if end_of_stream && !session.as_downstream_mut().is_body_done() {
            exchange.enter(Stage::Answered);
        } else if !(exchange.fetches && exchange.progress().stage == Stage::Answered) {
            exchange.touch();
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(exchange) = ctx {
            tracing::debug!(request_id = exchange.facts.request_id.as_str(), %error, "no connection to the upstream");
            if let Some(plan) = &exchange.plan {
                plan.upstream.metrics.connection(match failure::reason(&error, Stage::Connecting, false) {
                    Reason::UpstreamConnectTimeout => Outcome::TimedOut,
                    Reason::UpstreamTls => Outcome::TlsFailed,
                    _ => Outcome::Refused,
                });
            }
            let mut progress = exchange.progress();
            if let Some(endpoint) = progress.endpoint {
                progress.failed.push(endpoint);
            }
            // Nothing was sent, so another endpoint may be tried whatever the method is.
            let other = exchange.plan.as_ref().and_then(|plan| plan.upstream.cluster.pick_excluding(&progress.failed));
            error.set_retry(progress.attempts < ATTEMPTS && progress.reason.is_none() && other.is_some());
        }
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        let Some(exchange) = ctx else { return error };
        let mut progress = exchange.progress();
        progress.upstream_socket = None;
        let safe = session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
        if safe && progress.reason.is_none() && progress.attempts < ATTEMPTS && progress.first_byte.is_none() {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        let Some(exchange) = ctx else { return FailToProxy { error_code: 500, can_reuse_downstream: false } };
        let (stage, first_byte) = {
            let progress = exchange.progress();
            (progress.stage, progress.first_byte.is_some())
        };
        exchange.fail(failure::reason(error, stage, first_byte));
        let reason = exchange.progress().reason.unwrap_or(Reason::Internal);
        tracing::debug!(request_id = exchange.facts.request_id.as_str(), %reason, %error, "request failed");
        let begun = session.response_written().is_some_and(|response| !response.status.is_informational());
        // On HTTP/1.1 the front has the connection back and answers itself; the cache is told by its session.
        if !begun && exchange.facts.version == Version::HTTP_2 && reason != Reason::ClientClosed {
            let answer = respond::failed(exchange, reason);
            let is_head = exchange.facts.method == Method::HEAD.as_str();
            let written = super::stream::write_answer(session.as_downstream_mut(), &answer, is_head).await;
            finish::answered(exchange, &answer, written.is_ok());
            if let Err(error) = written {
                tracing::debug!(%error, "the client did not take the answer");
            }
        }
        FailToProxy { error_code: reason.status(), can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Self::CTX, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Self::CTX,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Header edits on Pingora's own type, which keeps the spelling of names beside them.
pub(super) struct PingoraResponse<'a>(pub &'a mut ResponseHeader);

impl FieldList for PingoraResponse<'_> {
    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        // Fails only for a name that is not a valid one, which this type rules out.
        let _ = self.0.insert_header(name.clone(), value.clone());
    }

    fn append(&mut self, name: &HeaderName, value: &HeaderValue) {
        let _ = self.0.append_header(name.clone(), value.clone());
    }
}
