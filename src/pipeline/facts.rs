//! What is known of a request after its head.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Version};

use super::caller::Caller;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::transform::request_id::RequestId;
use crate::transform::trace::TraceId;

/// What is known of a request after its head, kept for the log and for answers.
#[derive(Debug)]
pub struct Facts {
    pub started: Instant,
    /// Since 1970 UTC.
    pub started_at: Duration,
    pub request_id: RequestId,
    pub trace_id: Option<TraceId>,
    /// The client by the trusted-proxies rule.
    pub client: IpAddr,
    /// As sent; empty when the head could not be read.
    pub method: String,
    /// Normalised, without a port; empty when there is none.
    pub host: String,
    /// In normal form; as sent when it has none.
    pub path: String,
    pub version: Version,
    /// UTF-8; its memory stays when there is none.
    user_agent: Vec<u8>,
    has_user_agent: bool,
    /// The client asked for plain text rather than a problem document.
    pub plain: bool,
    /// Who calls, as soon as a credential was found good.
    pub caller: Option<Caller>,
    /// A credential stood in the query: no cache behind us may keep the answer (RFC 6750 §2.3).
    pub credential_in_query: bool,
    /// What policies that are only observed would have refused it for.
    pub observed: Vec<Reason>,
    /// The limit that refused it, or else the first that would have.
    pub limit: Option<Arc<str>>,
}

/// What there is to say of a request; anything may be borrowed, as it is copied.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub request_id: RequestId,
    pub trace_id: Option<TraceId>,
    pub client: IpAddr,
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    pub version: Version,
    pub user_agent: Option<&'a [u8]>,
    pub plain: bool,
}

impl Facts {
    /// Whether hearing the request twice does no more than hearing it once (RFC 9110 §9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        Method::from_bytes(self.method.as_bytes()).is_ok_and(|method| method.is_idempotent())
    }

    pub(super) fn new() -> Self {
        Self {
            started: clock::now(),
            started_at: Duration::ZERO,
            request_id: RequestId::default(),
            trace_id: None,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            method: String::new(),
            host: String::new(),
            path: String::new(),
            version: Version::HTTP_11,
            user_agent: Vec::new(),
            has_user_agent: false,
            plain: false,
            caller: None,
            credential_in_query: false,
            observed: Vec::new(),
            limit: None,
        }
    }

    /// Makes these the facts of a request that begins now, every one of them, in the memory of those before.
    pub(super) fn tell(&mut self, told: &Told<'_>) {
        let Self {
            started,
            started_at,
            request_id,
            trace_id,
            client,
            method,
            host,
            path,
            version,
            user_agent,
            has_user_agent,
            plain,
            caller,
            credential_in_query,
            observed,
            limit,
        } = self;
        (*started, *started_at) = (clock::now(), clock::since_epoch());
        request_id.clone_from(&told.request_id);
        *trace_id = told.trace_id;
        *client = told.client;
        for (text, told) in [(method, told.method), (host, told.host), (path, told.path)] {
            text.clear();
            text.push_str(told);
        }
        *version = told.version;
        user_agent.clear();
        user_agent.extend_from_slice(told.user_agent.unwrap_or_default());
        *has_user_agent = told.user_agent.is_some();
        *plain = told.plain;
        (*caller, *limit, *credential_in_query) = (None, None, false);
        observed.clear();
    }

    /// As sent, when it was sent and is UTF-8.
    #[must_use]
    pub fn user_agent(&self) -> Option<&[u8]> {
        self.has_user_agent.then_some(&*self.user_agent)
    }

    /// Bytes of text.
    pub(super) fn capacity(&self) -> usize {
        self.method.capacity() + self.host.capacity() + self.path.capacity() + self.user_agent.capacity()
    }
}
