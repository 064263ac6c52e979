//! `uri-host [":" port]` (RFC 9110 §7.2), without user information.

use std::net::Ipv6Addr;

use crate::base::host_pattern::is_name;

/// Whether this is a host name, IPv4 address or bracketed IPv6 address with at most a decimal port behind it.
///
/// Exactly what [`crate::base::host_pattern::normalise`] accepts as a host: letters, digits, `-`, `_` and `.`, no percent-encoding.
pub(in crate::listener) fn is_valid(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(address, port)| is_port(port) && address.parse::<Ipv6Addr>().is_ok());
    }
    let digits = authority.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (name, port) = match authority.split_at(authority.len() - digits) {
        // What looks like a port may be the end of a name.
        (name, _) if !name.ends_with(':') => (authority, ""),
        (name, _) => authority.split_at(name.len() - 1),
    };
    is_port(port) && is_name(name.strip_suffix('.').unwrap_or(name))
}

/// Nothing, or a colon and 1 to 5 digits below 65536.
fn is_port(port: &str) -> bool {
    match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => {
            digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::host_pattern::normalise;

    #[test]
    fn hosts_and_ports() {
        for good in [
            "a",
            "a.b",
            "a.b.",
            "A-b_c.1",
            "127.0.0.1",
            "127.0.0.1:80",
            "a:0",
            "a:65535",
            "[::1]",
            "[2001:db8::1]:8080",
        ] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "a b",
            "a/",
            "a@b",
            "a:",
            "a:x",
            "a:+1",
            "a:65536",
            "a:000080",
            "a:80:80",
            "a%41",
            "a,b",
            "é",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "*.a",
            "*",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_host_is_what_the_routes_call_one(host in "[a-cA-C0-1._-]{0,9}|\\[[0-9a-f:.]{0,9}\\]|[a-z]{60,66}(\\.[a-z]{60,66}){0,4}\\.?") {
            prop_assert_eq!(is_valid(&host), normalise(&host).is_some());
        }
    }
}
