//! What `sluice test` tries on a route, and what should come of it.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::base::location::Location;
use crate::base::reason::Reason;

/// A request by hand and its expected decision.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// In the words of whoever wrote it; the request line when not written.
    pub name: Arc<str>,
    pub method: Method,
    /// Absolute, or a path; then the first host of the route, or `localhost`.
    pub url: Arc<str>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// As if this caller had shown a good credential; `None`: what the headers say.
    pub caller: Option<Caller>,
    /// `None`: 127.0.0.1.
    pub client: Option<IpAddr>,
    /// So many requests at the same moment; the expectation is about the last one.
    pub repeat: u32,
    pub expected: Expected,
    pub at: Location,
}

/// A caller who is taken for known.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub partner: Option<Arc<str>>,
    pub subject: Option<Arc<str>>,
    pub scopes: Vec<Arc<str>>,
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// All of what is written has to be so.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Of the gateway's own answer.
    pub status: Option<StatusCode>,
    pub reason: Option<Reason>,
    /// The request is forwarded to this upstream.
    pub upstream: Option<Arc<str>>,
    /// Path and query that the upstream gets.
    pub path: Option<Arc<str>>,
    /// Name of the route that takes the request; the route the test stands in when not written.
    pub route: Option<Arc<str>>,
}
