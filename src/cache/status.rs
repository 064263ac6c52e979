//! What the cache did with a request: in logs, metrics, `Cache-Status` (RFC 9211) and `X-Cache`.

#[cfg(test)]
mod tests;

use super::storable::NotStored;

/// Of an Integer in a Structured Field (RFC 8941 §3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;

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

    /// Whether it was given without asking the upstream first.
    #[must_use]
    pub const fn is_from_memory(self) -> bool {
        matches!(self, Self::Hit | Self::Stale)
    }

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

    /// Why the request went to the upstream (RFC 9211 §2.2); `None` when the cache alone answered it.
    const fn forwarded(self) -> Option<&'static str> {
        Some(match self {
            Self::Hit | Self::Stale => return None,
            Self::StaleError | Self::Revalidated | Self::Expired => "stale",
            Self::Miss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Refetch => "request",
            Self::Bypass => "bypass",
            Self::Method => "method",
        })
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
    ///
    /// `hit` and `fwd` exclude each other (§2.1, §2.2): what is given because the upstream failed was forwarded, and `detail` says
    /// that it is the stored one.
    pub fn write(&self, ttl: Option<i64>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"sluice");
        match self.kind.forwarded() {
            None => out.extend_from_slice(b"; hit"),
            Some(why) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(why.as_bytes());
                if let Some(status) = self.upstream {
                    out.extend_from_slice(b"; fwd-status=");
                    push_digits(status.into(), out);
                }
                if self.stored == Some(Ok(())) {
                    out.extend_from_slice(b"; stored");
                }
                if self.collapsed {
                    out.extend_from_slice(b"; collapsed");
                }
            }
        }
        if let Some(ttl) = ttl {
            out.extend_from_slice(if ttl < 0 { b"; ttl=-" } else { b"; ttl=" });
            push_digits(ttl.unsigned_abs(), out);
        }
        let detail = match (self.kind, self.stored) {
            (Kind::StaleError, _) => "stale_if_error",
            (Kind::Hit | Kind::Stale, _) | (_, None | Some(Ok(()))) => return,
            (_, Some(Err(why))) => why.as_str(),
        };
        out.extend_from_slice(b"; detail=");
        out.extend_from_slice(detail.as_bytes());
    }
}

/// Appends a number in decimal, or the largest that may be written.
fn push_digits(number: u64, out: &mut Vec<u8>) {
    let mut number = number.min(MAX_INTEGER);
    let begin = out.len();
    loop {
        // A remainder by ten fits.
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.get_mut(begin..).unwrap_or_default().reverse();
}
