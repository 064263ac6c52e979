//! Host patterns of routes and certificates: `api.example.com`, `*.example.com`, `*`.

use std::borrow::Cow;
use std::fmt;

/// Which hosts something is for. Names are lower case, without a trailing dot and without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This name only.
    Exact(Box<str>),
    /// Any name with one or more labels in front of this suffix (stored without `*.`).
    Wildcard(Box<str>),
    /// Every host.
    Any,
}

impl HostPattern {
    /// Reads a pattern; the error says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(format!(
                "`{text}`: a wildcard is a whole label at the front, such as `*.example.com`, or `*` for every host"
            ));
        }
        let name = normalise(name)
            .ok_or_else(|| format!("`{text}` is not a host name (no scheme, port or path belongs here)"))?;
        let name = name.into_boxed_str();
        Ok(if wildcard { Self::Wildcard(name) } else { Self::Exact(name) })
    }

    /// Whether a host, as [`normalise`] returns it, is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Wildcard(suffix) => {
                host.len() > suffix.len() + 1
                    && host.ends_with(&**suffix)
                    && host.as_bytes()[host.len() - suffix.len() - 1] == b'.'
            }
            Self::Any => true,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A host name or address literal in the one form that is compared: lower case, no trailing dot, no port.
/// `None` when it is not a host of RFC 3986 §3.2.2 (registered names are held to letters, digits, `-`, `_` and `.`).
#[must_use]
pub fn normalise(host: &str) -> Option<String> {
    normal(host).map(Cow::into_owned)
}

/// As [`normalise`]; borrowed when the host is in that form already.
#[must_use]
pub fn normal(host: &str) -> Option<Cow<'_, str>> {
    if let Some(inside) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: std::net::Ipv6Addr = inside.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let found = classes(name);
    if !is_name_of(name, found) {
        return None;
    }
    Some(if found & UPPER != 0 { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

/// Whether this is a registered name: up to 253 bytes of labels of 1 to 63 letters, digits, `-` and `_`, without a dot at
/// either end.
#[must_use]
pub fn is_name(name: &str) -> bool {
    is_name_of(name, classes(name))
}

fn is_name_of(name: &str, classes: u8) -> bool {
    let unlike = classes & (OTHER | DOTS) != 0 || name.is_empty() || name.starts_with('.') || name.ends_with('.');
    // Only a long name can have a long label.
    !unlike && (name.len() <= 63 || name.len() <= 253 && name.split('.').all(|label| label.len() <= 63))
}

const UPPER: u8 = 1;
const DOT: u8 = 2;
/// Two dots in a row.
const DOTS: u8 = 4;
/// What no name is made of.
const OTHER: u8 = 8;

/// The classes of all bytes, and of pairs of them, in one: without an early end, which would cost more than it saves.
fn classes(name: &str) -> u8 {
    let (found, _) = name.bytes().fold((0, 0), |(found, before), byte| {
        let class = CLASSES[usize::from(byte)];
        (found | class | (class & before & DOT) << 1, class)
    });
    found
}

static CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
        let character = byte as u8;
        classes[byte] = match character {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => 0,
            b'A'..=b'Z' => UPPER,
            b'.' => DOT,
            _ => OTHER,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_wants_at_least_one_label_more() {
        let pattern = HostPattern::parse("*.Example.com").unwrap();
        assert!(pattern.matches("a.example.com") && pattern.matches("a.b.example.com"));
        assert!(
            !pattern.matches("example.com") && !pattern.matches("badexample.com") && !pattern.matches(".example.com")
        );
    }

    #[test]
    fn refuses_what_is_not_a_host() {
        for text in ["", "https://x", "a:80", "a/b", "a..b", "a.*.b", "*a.b", "**", "a b", "[::1", "[nope]"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_form_for_every_spelling() {
        assert_eq!(normalise("API.Example.COM."), Some("api.example.com".into()));
        assert_eq!(normalise("[0:0:0:0:0:0:0:1]"), Some("[::1]".into()));
        assert!(matches!(normal("api.example.com."), Some(Cow::Borrowed("api.example.com"))));
    }
}
