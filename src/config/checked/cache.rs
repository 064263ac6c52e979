//! Which answers are kept, for how long and for whom.

use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::Template;
use crate::config::defaults;

/// `cache:` of a route.
#[derive(Clone, Debug)]
pub struct CachePolicy {
    pub ttl: Ttl,
    pub key: CacheKey,
    /// A HEAD may be answered from a stored GET, too; GET always may.
    pub head: bool,
    /// Bytes of a body; longer ones pass without being kept.
    pub max_object: u64,
    /// Any of these lets the request pass by, neither answered from the cache nor kept.
    pub bypass: Vec<Bypass>,
    /// Answers carry these, beside those that the upstream gives them.
    pub tags: Vec<Template>,
    /// For answers that do not say it themselves (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// For answers that do not say it themselves (RFC 5861 §4).
    pub stale_if_error: Duration,
    /// The last part of its lifetime in which a popular answer is fetched anew before it expires, in percent; 0 is never.
    pub refresh_ahead: u8,
}

/// `cache: {}`.
impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            ttl: Ttl::default(),
            key: CacheKey::default(),
            head: true,
            max_object: defaults::MAX_OBJECT,
            bypass: Vec::new(),
            tags: Vec::new(),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            refresh_ahead: defaults::REFRESH_AHEAD,
        }
    }
}

/// How long answers are fresh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ttl {
    /// For every status that is not in `by_status`; only for those that are cacheable by default (RFC 9110 §15.1).
    pub default: Option<Duration>,
    /// Goes before `default`, and allows statuses that are not cacheable by default. Zero keeps nothing.
    pub by_status: Vec<(StatusCode, Duration)>,
    pub mode: TtlMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlMode {
    /// Holds for answers that say nothing themselves.
    #[default]
    Respect,
    /// Holds whatever answers say, `no-store` and `private` included.
    Override,
}

/// What tells answers apart, beside scheme, host and path.
#[derive(Clone, Debug)]
pub struct CacheKey {
    pub per: CacheScope,
    /// Request fields whose values are part of the key.
    pub headers: Vec<HeaderName>,
    pub query: QueryRule,
    /// Order of the parameters does not matter.
    pub sort_query: bool,
}

impl Default for CacheKey {
    fn default() -> Self {
        Self { per: CacheScope::Subject, headers: Vec::new(), query: QueryRule::Ignore(Vec::new()), sort_query: false }
    }
}

/// Who shares an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// Each subject of each partner has its own, and so has each partner for callers who name no subject; strangers share theirs.
    Subject,
    /// All callers of a partner; callers that are no partner by subject.
    Partner,
    /// Everybody who may call the route.
    Everyone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryRule {
    /// All but these, by decoded name; a name may end in `*`.
    Ignore(Vec<Box<str>>),
    /// None but these.
    Only(Vec<Box<str>>),
}

/// When the cache is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass {
    pub of: BypassOn,
    /// `None`: whatever its value.
    pub value: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BypassOn {
    Header(HeaderName),
    Cookie(Box<str>),
    /// By decoded name.
    Query(Box<str>),
}
