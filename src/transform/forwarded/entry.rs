//! One entry of a forwarding field.

use std::net::{IpAddr, Ipv6Addr};

/// Longest host with a port: 253 characters of a name, and `:65535`.
const MAX_HOST: usize = 259;

/// Splits at commas that stand outside quotes, beginning at the right end, so that what a client put at the left (an
/// opening quote, say) cannot hide what trusted proxies appended.
pub(super) fn members_from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut quoted = false;
        for (at, byte) in line.iter().enumerate().rev() {
            match byte {
                b'"' if !quoted || !is_escaped(line, at) => quoted = !quoted,
                b',' if !quoted => {
                    let (before, member) = line.split_at_checked(at)?;
                    rest = Some(before);
                    return member.get(1..);
                }
                _ => {}
            }
        }
        rest = None;
        Some(line)
    })
}

fn is_escaped(line: &[u8], at: usize) -> bool {
    let before = line.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Who made the request that a proxy received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Never v4-mapped.
    Address(IpAddr),
    /// Unknown to its proxy, or obfuscated by it.
    Unnamed,
}

/// Reads a node (RFC 7239 §6, and a bare IPv6 address as `X-Forwarded-For` has it), without its port; `None` when it
/// is malformed.
pub(super) fn node(node: &[u8]) -> Option<Node> {
    let node = std::str::from_utf8(node).ok()?;
    if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return is_port(port).then(|| Node::Address(IpAddr::V6(address).to_canonical()));
    }
    if let Ok(address) = node.parse::<IpAddr>() {
        return Some(Node::Address(address.to_canonical()));
    }
    let name = node.find(':').map_or(node, |colon| node.get(..colon).unwrap_or_default());
    if !is_port(node.get(name.len()..)?) {
        return None;
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Some(Node::Unnamed);
    }
    name.parse().ok().map(|address| Node::Address(IpAddr::V4(address)))
}

/// Nothing, or a colon and a port, which may be obfuscated too.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| is_port_number(port) || is_obfuscated(port))
}

fn is_port_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn is_obfuscated(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(sound))
}

/// The scheme that a client spoke; proxies name it after the WebSocket now and then.
pub(super) fn proto(text: &[u8]) -> Option<&'static str> {
    let is = |name: &str| text.eq_ignore_ascii_case(name.as_bytes());
    match () {
        () if is("https") || is("wss") => Some("https"),
        () if is("http") || is("ws") => Some("http"),
        () => None,
    }
}

/// As [`host_text`].
pub(super) fn host(text: &[u8]) -> Option<&str> {
    host_text(std::str::from_utf8(text).ok()?)
}

/// A host with an optional port, held to letters, digits, `-`, `_` and `.`, or an IPv6 address in brackets.
pub(super) fn host_text(text: &str) -> Option<&str> {
    let (sound, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let length = text.bytes().position(|byte| !HOST[usize::from(byte)]).unwrap_or(text.len());
        let port = text.get(length..)?;
        (length > 0 && (port.is_empty() || port.starts_with(':')), port)
    };
    let port_sound = port.is_empty() || port.strip_prefix(':').is_some_and(is_port_number);
    (sound && port_sound && text.len() <= MAX_HOST).then_some(text)
}

static HOST: [bool; 256] = {
    let mut host = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
        let character = byte as u8;
        host[byte] = character.is_ascii_alphanumeric() || matches!(character, b'-' | b'_' | b'.');
        byte += 1;
    }
    host
};

/// The parameters of a `Forwarded` element that matter here, as written, without quotes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) node: Option<&'a [u8]>,
    pub(super) proto: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
}

/// Reads `name=value` pairs between semicolons (RFC 7239 §4); `None` when one is malformed or a name is repeated.
///
/// Lenient where the field is: values that should be quoted (`for=[::1]:80`) and spaces around the semicolons pass.
/// A quoted pair (`\x`) is no part of any address, scheme or host, so it is kept as written and refused by those.
pub(super) fn element(element: &[u8]) -> Option<Element<'_>> {
    let mut read = Element::default();
    let mut rest = element;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b";") {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Some(read);
        }
        let (name, after) = rest.split_at_checked(rest.iter().position(|byte| *byte == b'=')?)?;
        let (value, after) = value(after.get(1..)?)?;
        if name.is_empty() || !name.iter().copied().all(is_token) || value.is_empty() {
            return None;
        }
        let place = match name {
            _ if name.eq_ignore_ascii_case(b"for") => Some(&mut read.node),
            _ if name.eq_ignore_ascii_case(b"proto") => Some(&mut read.proto),
            _ if name.eq_ignore_ascii_case(b"host") => Some(&mut read.host),
            _ => None,
        };
        if place.is_some_and(|place| place.replace(value).is_some()) {
            return None;
        }
        rest = after.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b";") {
            return None;
        }
    }
}

/// A value, quoted or not, and what follows it.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(inside) = text.strip_prefix(b"\"") {
        let mut escaped = false;
        let end = inside.iter().position(|byte| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        })?;
        return Some((inside.get(..end)?, inside.get(end + 1..)?));
    }
    let end = text.iter().position(|byte| !(is_token(*byte) || matches!(byte, b':' | b'[' | b']')));
    text.split_at_checked(end.unwrap_or(text.len()))
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

static TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
        let character = byte as u8;
        token[byte] = character.is_ascii_graphic()
            && !matches!(
                character,
                b'"' | b'('
                    | b')'
                    | b','
                    | b'/'
                    | b':'
                    | b';'
                    | b'<'
                    | b'='
                    | b'>'
                    | b'?'
                    | b'@'
                    | b'['
                    | b'\\'
                    | b']'
                    | b'{'
                    | b'}'
            );
        byte += 1;
    }
    token
};
