//! How the pipeline ends: an answer of ours, or a plan for forwarding.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::base::field::Known;
use crate::base::reason::Reason;
use crate::config::checked::{Engine, Timeouts};
use crate::snapshot::CompiledUpstream;
use crate::transform::headers::Withheld;
use crate::transform::lines::FieldLines;

/// A complete answer that the gateway gives itself.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// Without `Content-Length` and `Connection`, which the carrier knows.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    pub reason: Option<Reason>,
}

impl Answer {
    /// Whether its status rules out a body (RFC 9110 §6.4.1) and, for 204, a length (§8.6).
    #[must_use]
    pub fn is_bodyless(&self) -> bool {
        self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED
    }
}

/// What the upstream is sent, on top of the fields of the client.
pub struct Forward {
    /// Path and query.
    pub target: String,
    /// Replaces what the client sent as Host.
    pub host: Option<HeaderValue>,
    /// Client fields that stay behind, hop-by-hop ones aside.
    pub withheld: Withheld,
    /// Follows the fields of the client.
    pub added: FieldLines,
    pub upstream: Arc<CompiledUpstream>,
    pub timeouts: Timeouts,
    pub max_body: Option<u64>,
    pub engine: Engine,
    /// A WebSocket client offered its token as a protocol beside `bearer`: when the upstream chooses none of the others, the
    /// client is told `bearer`, because browsers fail a connection on which none was chosen.
    pub agrees_to_bearer: bool,
}

/// What an upstream is asked on behalf of the cache, beside what the plan says. There is no body.
#[derive(Debug)]
pub struct FetchRequest {
    /// GET.
    pub method: Method,
    pub host: HeaderValue,
    /// All fields but Host, as the upstream gets them: those of the plan are among them.
    pub fields: HeaderMap,
}

impl Forward {
    /// Whether a client field is kept from the upstream (hop-by-hop fields are the carrier's to keep).
    #[must_use]
    pub fn withholds(&self, name: &str) -> bool {
        self.withheld.contains(Known::of(name), name)
    }
}
