//! A refusal on its way to becoming an answer.

use std::borrow::Cow;

use super::reason::Reason;

/// Why a request is not served, with what the client may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    /// One sentence for the client; never internals, addresses or secrets.
    pub detail: Cow<'static, str>,
    /// Extra answer fields that the status asks for, such as `Allow` with 405.
    pub fields: Vec<(http::HeaderName, http::HeaderValue)>,
}

impl Rejection {
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self { reason, detail: Cow::Borrowed(reason.detail()), fields: Vec::new() }
    }

    #[must_use]
    pub fn with_detail(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into(), fields: Vec::new() }
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}
