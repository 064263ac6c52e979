//! What the cache did with a request: in logs, metrics, `Cache-Status` (RFC 9211) and `X-Cache`.

use super::storable::NotStored;

/// What the cache had to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub kind: Kind,
    /// Another request asked for it, too, and the upstream was asked once.
    pub collapsed: bool,
    /// It is kept from now on; or why not. `None` where nothing came that could be kept.
    pub stored: Option<Result<(), NotStored>>,
    /// Status of the upstream's answer, when it was asked.
    pub upstream: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Given from memory, fresh; `ttl` is the rest of its lifetime in seconds.
    Hit,
    /// Given from memory although stale, because the request or the answer allows it.
    Stale,
    /// Given from memory although stale, because the upstream failed.
    StaleError,
    /// The upstream confirmed what was stored.
    Revalidated,
    /// It was stored, but too old, and the upstream sent another one.
    Expired,
    /// It was not stored.
    Miss,
    /// Other answers for the key were stored, but none for these fields of the request.
    VaryMiss,
    /// The request wanted it from the upstream.
    Refetch,
    /// The route or the request leaves the cache out.
    Bypass,
    /// The method is not one that is answered from memory.
    Method,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Hit,
        Self::Stale,
        Self::StaleError,
        Self::Revalidated,
        Self::Expired,
        Self::Miss,
        Self::VaryMiss,
        Self::Refetch,
        Self::Bypass,
        Self::Method,
    ];

    /// As it is written in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::StaleError => "stale_error",
            Self::Revalidated => "revalidated",
            Self::Expired => "expired",
            Self::Miss => "miss",
            Self::VaryMiss => "vary_miss",
            Self::Refetch => "refetch",
            Self::Bypass => "bypass",
            Self::Method => "method",
        }
    }

    /// The value of `X-Cache`.
    #[must_use]
    pub const fn x_cache(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Stale | Self::StaleError => "STALE",
            Self::Revalidated => "REVALIDATED",
            Self::Expired => "EXPIRED",
            Self::Miss | Self::VaryMiss => "MISS",
            Self::Refetch | Self::Bypass | Self::Method => "BYPASS",
        }
    }
}

impl Outcome {
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { kind, collapsed: false, stored: None, upstream: None }
    }

    /// Writes the member of `Cache-Status` (RFC 9211 §2); `ttl` in seconds, negative when stale.
    pub fn write(&self, _ttl: Option<i64>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"sluice");
    }
}
