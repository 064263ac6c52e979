//! Host and port as a URL or a `Host` field has them (RFC 3986 §3.2).

use std::borrow::Cow;

use super::host_pattern;

/// Host without its port; an address in brackets keeps its colons.
#[must_use]
pub fn without_port(authority: &str) -> &str {
    split(authority).0
}

/// Host and port; the port may be empty, or longer than any.
fn split(authority: &str) -> (&str, &str) {
    let digits = authority.bytes().rev().take_while(u8::is_ascii_digit).count();
    match authority.split_at_checked(authority.len() - digits) {
        Some((host, port)) => match host.strip_suffix(':').filter(|host| !host.is_empty()) {
            Some(host) => (host, port),
            None => (authority, ""),
        },
        None => (authority, ""),
    }
}

/// The one form that answers are kept under: host as [`host_pattern::normal`] has it, and the port where it is not the usual one
/// of `http` or `https`. Borrowed when it is in that form already; `None` when it is no host, or no port.
#[must_use]
pub fn normal<'a>(scheme: &str, authority: &'a str) -> Option<Cow<'a, str>> {
    let (name, port) = split(authority);
    let host = host_pattern::normal(name)?;
    if port.is_empty() {
        return Some(host);
    }
    let number: u16 = port.parse().ok()?;
    match (scheme, number) {
        ("http", 80) | ("https", 443) => Some(host),
        _ if matches!(host, Cow::Borrowed(host) if host.len() == name.len()) && !port.starts_with('0') => {
            Some(Cow::Borrowed(authority))
        }
        _ => Some(Cow::Owned(format!("{host}:{number}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_port_that_is_not_the_usual_one_stays() {
        for (scheme, authority, expected) in [
            ("https", "a.test", Some("a.test")),
            ("https", "A.test.:443", Some("a.test")),
            ("http", "a.test:80", Some("a.test")),
            ("http", "a.test:443", Some("a.test:443")),
            ("https", "a.test:0443", Some("a.test")),
            ("https", "a.test:08443", Some("a.test:8443")),
            ("https", "a.test.:8443", Some("a.test:8443")),
            ("https", "a.test:", Some("a.test")),
            ("https", "[::0:1]", Some("[::1]")),
            ("https", "[::0:1]:8443", Some("[::1]:8443")),
            ("https", "127.0.0.1:443", Some("127.0.0.1")),
            ("https", "a.test:65536", None),
            ("https", ":443", None),
            ("https", "", None),
            ("https", "a b", None),
        ] {
            assert_eq!(normal(scheme, authority).as_deref(), expected, "{scheme} {authority}");
        }
        assert!(matches!(normal("https", "a.test:8443"), Some(Cow::Borrowed(_))), "not copied");
    }

    proptest! {
        #[test]
        fn its_normal_form_is_its_own(authority in "\\PC{0,40}|[aA.:0-9\\[\\]]{0,20}") {
            if let Some(once) = normal("https", &authority) {
                let twice = normal("https", &once);
                prop_assert_eq!(twice.as_deref(), Some(&*once));
            }
        }
    }
}
