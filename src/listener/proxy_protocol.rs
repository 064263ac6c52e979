//! The PROXY protocol header, versions 1 and 2, that a load balancer writes in front of a connection.
//!
//! Follows "The PROXY protocol, versions 1 & 2" (haproxy, 2020/03/05): the receiver is told to expect the header, never
//! guesses, and refuses whatever is not exactly one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest version 1 line, CRLF included (section 2.1).
const V1_LONGEST: usize = 107;
const V1_START: &[u8] = b"PROXY ";
/// Section 2.2: cannot be the beginning of HTTP, of TLS or of a version 1 line.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;
/// What follows the fixed part of version 2; real ones stay in the hundreds, a client certificate in a TLV makes it long.
const V2_LONGEST_REST: usize = 4096;

/// The longest header that is read; a buffer of this size always suffices.
pub const LONGEST: usize = V2_FIXED + V2_LONGEST_REST;

/// What the bytes read so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A beginning of a valid header; read more.
    Incomplete,
    Done {
        /// Length of the header; what follows belongs to TLS or HTTP.
        consumed: usize,
        /// Who connected to the load balancer. `None` when it speaks for itself (a health check) or does not know:
        /// then the addresses of the connection itself hold.
        source: Option<SocketAddr>,
        /// Where that client had connected to.
        destination: Option<SocketAddr>,
    },
    /// Not a PROXY header, and why; the connection has to be closed without an answer.
    Invalid(&'static str),
}

/// Reads a header from the first bytes of a connection; it may be called again with more of the same bytes.
///
/// IPv4 addresses written as IPv6 (`::ffff:192.0.2.1`) come out as IPv4, so that address ranges match them.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    match bytes.first() {
        None => Parsed::Incomplete,
        Some(b'P') => parse_v1(bytes).unwrap_or_else(Parsed::Invalid),
        Some(b'\r') => parse_v2(bytes).unwrap_or_else(Parsed::Invalid),
        Some(_) => Parsed::Invalid("neither `PROXY ` nor the version 2 signature"),
    }
}

type Outcome = Result<Parsed, &'static str>;

fn parse_v1(bytes: &[u8]) -> Outcome {
    if !same_start(bytes, V1_START) {
        return Err("not `PROXY `");
    }
    let line = bytes.get(..V1_LONGEST).unwrap_or(bytes);
    let Some(end) = line.iter().position(|byte| !(b' '..=b'~').contains(byte)) else {
        return if line.len() == V1_LONGEST {
            Err("version 1 line longer than 107 bytes")
        } else {
            Ok(Parsed::Incomplete)
        };
    };
    match line.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([b'\r']) if line.len() < V1_LONGEST => return Ok(Parsed::Incomplete),
        Some([b'\r']) => return Err("version 1 line longer than 107 bytes"),
        _ => return Err("control character in a version 1 line"),
    }
    let text = line
        .get(V1_START.len()..end)
        .and_then(|rest| std::str::from_utf8(rest).ok())
        .ok_or("version 1 line too short")?;
    let consumed = end + 2;

    let (protocol, rest) = text.split_once(' ').unwrap_or((text, ""));
    let is_v6 = match protocol {
        "TCP4" => false,
        "TCP6" => true,
        // "The receiver must ignore anything presented before the CRLF".
        "UNKNOWN" => return Ok(Parsed::Done { consumed, source: None, destination: None }),
        _ => return Err("unknown protocol in a version 1 line"),
    };
    let mut parts = rest.split(' ');
    let mut part = || parts.next().ok_or("version 1 line with too few parts");
    let (from, to, from_port, to_port) = (part()?, part()?, part()?, part()?);
    if parts.next().is_some() {
        return Err("version 1 line with too many parts");
    }
    Ok(Parsed::Done {
        consumed,
        source: Some(SocketAddr::new(v1_address(from, is_v6)?, v1_port(from_port)?)),
        destination: Some(SocketAddr::new(v1_address(to, is_v6)?, v1_port(to_port)?)),
    })
}

fn v1_address(text: &str, is_v6: bool) -> Result<IpAddr, &'static str> {
    let address = if is_v6 { text.parse().map(IpAddr::V6).ok() } else { text.parse().map(IpAddr::V4).ok() };
    Ok(address.ok_or("address that does not fit its protocol in a version 1 line")?.to_canonical())
}

/// Digits only and no leading zero, which somebody might read as octal (section 2.1).
fn v1_port(text: &str) -> Result<u16, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten().ok_or("invalid port in a version 1 line")
}

fn parse_v2(bytes: &[u8]) -> Outcome {
    if !same_start(bytes, V2_SIGNATURE) {
        return Err("neither `PROXY ` nor the version 2 signature");
    }
    // Each byte is judged as soon as it is there, so that a wrong one is not waited upon.
    let Some(&version_and_command) = bytes.get(12) else { return Ok(Parsed::Incomplete) };
    let local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err("unknown version or command in a version 2 header"),
    };
    let Some(&family) = bytes.get(13) else { return Ok(Parsed::Incomplete) };
    // The family of LOCAL is ignored (section 2.2), whatever it is.
    let addresses = match family {
        _ if local => 0,
        UNSPECIFIED => 0,
        TCP4 => 12,
        TCP6 => 36,
        UNIX => 216,
        UDP4 | UDP6 | UNIX_DATAGRAM => return Err("datagram family in a version 2 header"),
        _ => return Err("unknown family in a version 2 header"),
    };
    let Some(&[high, low]) = bytes.get(14..16) else { return Ok(Parsed::Incomplete) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_LONGEST_REST {
        return Err("version 2 header longer than 4 KiB");
    }
    if length < addresses {
        return Err("version 2 header too short for its addresses");
    }
    let consumed = V2_FIXED + length;
    let Some(rest) = bytes.get(V2_FIXED..consumed) else { return Ok(Parsed::Incomplete) };
    let unknown = Parsed::Done { consumed, source: None, destination: None };
    if local || family == UNSPECIFIED {
        return Ok(unknown);
    }
    let (block, options) = rest.split_at(addresses);
    check_tlvs(options)?;
    Ok(match (family, block) {
        (TCP4, [s0, s1, s2, s3, d0, d1, d2, d3, ports @ ..]) => done(
            consumed,
            IpAddr::V4(Ipv4Addr::new(*s0, *s1, *s2, *s3)),
            IpAddr::V4(Ipv4Addr::new(*d0, *d1, *d2, *d3)),
            ports,
        ),
        (TCP6, block) => {
            match (block.first_chunk::<16>(), block.get(16..).and_then(<[u8]>::first_chunk::<16>), block.get(32..)) {
                (Some(&from), Some(&to), Some(ports)) => {
                    done(consumed, IpAddr::V6(Ipv6Addr::from(from)), IpAddr::V6(Ipv6Addr::from(to)), ports)
                }
                _ => unknown,
            }
        }
        _ => unknown,
    })
}

const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const UDP4: u8 = 0x12;
const TCP6: u8 = 0x21;
const UDP6: u8 = 0x22;
const UNIX: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;

fn done(consumed: usize, from: IpAddr, to: IpAddr, ports: &[u8]) -> Parsed {
    let &[a, b, c, d] = ports else { return Parsed::Invalid("version 2 header too short for its addresses") };
    Parsed::Done {
        consumed,
        source: Some(SocketAddr::new(from.to_canonical(), u16::from_be_bytes([a, b]))),
        destination: Some(SocketAddr::new(to.to_canonical(), u16::from_be_bytes([c, d]))),
    }
}

/// The options are not used, but a header whose options do not add up was not written by what it claims.
fn check_tlvs(mut rest: &[u8]) -> Result<(), &'static str> {
    while !rest.is_empty() {
        let &[_, high, low, ref values @ ..] = rest else { return Err("cut-off option in a version 2 header") };
        let length = usize::from(u16::from_be_bytes([high, low]));
        rest = values.get(length..).ok_or("option longer than its version 2 header")?;
    }
    Ok(())
}

fn same_start(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

/// Panics when a guarantee of [`parse`] is broken; fuzzing and the tests share it.
#[doc(hidden)]
pub fn check_invariants(bytes: &[u8]) {
    let whole = parse(bytes);
    if let Parsed::Done { consumed, source, destination } = whole {
        assert!(consumed <= bytes.len() && consumed <= LONGEST, "{consumed} of {}", bytes.len());
        assert_eq!(source.is_some(), destination.is_some());
        assert_eq!(parse(&bytes[..consumed]), whole, "what follows the header changed its meaning");
    }
    if whole == Parsed::Incomplete {
        assert!(bytes.len() < LONGEST, "still incomplete after {} bytes", bytes.len());
    }
    let mut decided = false;
    for length in 0..=bytes.len().min(LONGEST + 1) {
        let part = parse(&bytes[..length]);
        assert!(!decided || part == whole, "{length} bytes: {part:?}, whole: {whole:?}");
        assert!(part == Parsed::Incomplete || part == whole, "{length} bytes: {part:?}, whole: {whole:?}");
        decided = part != Parsed::Incomplete;
    }
}

#[cfg(test)]
mod tests;
