//! The request fields that mean something to the gateway itself, told by name once for each field of a head.

use http::HeaderName;

macro_rules! known {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// What a request field is to the gateway. Names are case-insensitive (RFC 9110 §5.1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Known {
            /// Nothing in particular.
            Other,
            /// Any further `X-Forwarded-…`: what only a proxy can know of its client.
            Claim,
            $($(#[$doc])* $field,)*
        }

        impl Known {
            /// All that have one name.
            pub const NAMED: &[Self] = &[$(Self::$field),*];

            /// In lower case; empty for those that have no single name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Other | Self::Claim => "",
                    $(Self::$field => $name,)*
                }
            }

            /// For fields that are kept by name; `None` for those that have no single name.
            #[must_use]
            pub const fn header_name(self) -> Option<HeaderName> {
                match self {
                    Self::Other | Self::Claim => None,
                    $(Self::$field => Some(const { HeaderName::from_static($name) }),)*
                }
            }
        }
    };
}

known! {
    Accept = "accept",
    Authorization = "authorization",
    Connection = "connection",
    ContentLength = "content-length",
    Cookie = "cookie",
    Expect = "expect",
    Forwarded = "forwarded",
    ForwardedFor = "x-forwarded-for",
    ForwardedHost = "x-forwarded-host",
    ForwardedProto = "x-forwarded-proto",
    Host = "host",
    Http2Settings = "http2-settings",
    KeepAlive = "keep-alive",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    /// Believed by many services although nothing specifies it.
    RealIp = "x-real-ip",
    RequestId = "x-request-id",
    Te = "te",
    Traceparent = "traceparent",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Via = "via",
    WebSocketProtocol = "sec-websocket-protocol",
}

impl Known {
    /// By its name in any case.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let name = name.as_bytes();
        match name.len() {
            2 if is(name, b"te") => Self::Te,
            3 if is(name, b"via") => Self::Via,
            4 if is(name, b"host") => Self::Host,
            6 if is(name, b"accept") => Self::Accept,
            6 if is(name, b"cookie") => Self::Cookie,
            6 if is(name, b"expect") => Self::Expect,
            7 if is(name, b"upgrade") => Self::Upgrade,
            9 if is(name, b"x-real-ip") => Self::RealIp,
            9 if is(name, b"forwarded") => Self::Forwarded,
            10 if is(name, b"user-agent") => Self::UserAgent,
            10 if is(name, b"connection") => Self::Connection,
            10 if is(name, b"keep-alive") => Self::KeepAlive,
            11 if is(name, b"traceparent") => Self::Traceparent,
            12 if is(name, b"x-request-id") => Self::RequestId,
            13 if is(name, b"authorization") => Self::Authorization,
            14 if is(name, b"content-length") => Self::ContentLength,
            14 if is(name, b"http2-settings") => Self::Http2Settings,
            15 if is(name, b"x-forwarded-for") => Self::ForwardedFor,
            16 if is(name, b"x-forwarded-host") => Self::ForwardedHost,
            16 if is(name, b"proxy-connection") => Self::ProxyConnection,
            17 if is(name, b"x-forwarded-proto") => Self::ForwardedProto,
            17 if is(name, b"transfer-encoding") => Self::TransferEncoding,
            18 if is(name, b"proxy-authenticate") => Self::ProxyAuthenticate,
            22 if is(name, b"sec-websocket-protocol") => Self::WebSocketProtocol,
            19 if is(name, b"proxy-authorization") => Self::ProxyAuthorization,
            12.. if is(name, b"x-forwarded-") => Self::Claim,
            _ => Self::Other,
        }
    }
}

/// Whether a name begins with this one, given in lower case.
#[inline]
fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    // The first byte decides nearly always, and without an early end the rest is compared many bytes at once.
    let Some(name) = name.first_chunk::<N>() else { return false };
    let differs = |sent: &u8, known: &u8| (sent | if known.is_ascii_lowercase() { 0x20 } else { 0 }) ^ known;
    let first = name.first().zip(known.first()).is_none_or(|(sent, known)| differs(sent, known) == 0);
    first && name.iter().zip(known).fold(0, |found, (sent, known)| found | differs(sent, known)) == 0
}

/// Some of the [`Known`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u32);

impl KnownSet {
    /// Meant for one connection and never forwarded, nominated or not (RFC 9110 §7.6.1, §11.7; RFC 7540 §3.2.1).
    pub const HOP_BY_HOP: Self = Self::of(&[
        Known::Connection,
        Known::Http2Settings,
        Known::KeepAlive,
        Known::ProxyAuthenticate,
        Known::ProxyAuthorization,
        Known::ProxyConnection,
        Known::Te,
        Known::TransferEncoding,
        Known::Upgrade,
    ]);

    #[must_use]
    pub const fn of(fields: &[Known]) -> Self {
        let mut set = 0;
        let mut rest = fields;
        while let [field, more @ ..] = rest {
            set |= 1 << *field as u32;
            rest = more;
        }
        Self(set)
    }

    #[must_use]
    pub const fn contains(self, field: Known) -> bool {
        self.0 & (1 << field as u32) != 0
    }

    pub const fn insert(&mut self, field: Known) {
        self.0 |= 1 << field as u32;
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_any_case_is_known_and_none_that_is_nearly_one() {
        for field in Known::NAMED {
            let name = field.name();
            assert_eq!(Known::of(name), *field);
            assert_eq!(Known::of(&name.to_ascii_uppercase()), *field);
            assert_eq!(field.header_name().unwrap().as_str(), name);
            assert!(KnownSet::of(&[*field]).contains(*field) && !KnownSet::of(&[*field]).contains(Known::Other));
            for at in 0..name.len() {
                for bit in 0..7 {
                    let mut nearly = name.as_bytes().to_vec();
                    nearly[at] ^= 1 << bit;
                    let nearly = String::from_utf8(nearly).unwrap();
                    let same = nearly.eq_ignore_ascii_case(name);
                    assert_eq!(Known::of(&nearly) == *field, same, "{nearly:?}");
                }
            }
            assert_ne!(Known::of(&name[1..]), *field);
            assert_ne!(Known::of(&format!("{name}s")), *field);
        }
        assert!(Known::NAMED.len() + 2 <= 32, "a set has 32 places");
    }

    #[test]
    fn what_else_a_proxy_claims() {
        for name in ["X-Forwarded-", "x-forwarded-port", "X-FORWARDED-BY", "x-forwarded-prefix", "x-forwarded-hosts"] {
            assert_eq!(Known::of(name), Known::Claim, "{name}");
        }
        for name in ["", "x-forwarded", "xx-forwarded-for", "x_forwarded_for", "accept-encoding"] {
            assert_eq!(Known::of(name), Known::Other, "{name}");
        }
    }
}
