//! Addresses as text, as the standard library writes them (RFC 5952 for IPv6), without its formatting machinery.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::page::Pen;

/// The most that an address with scope and port takes: `[` 45 characters `%4294967295]:65535`, and a piece put in whole.
pub(super) const ROOM: usize = 80;

/// Each number of an IPv4 address with a point behind it, and how many digits it has.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 1); 256];
    let mut value = 0;
    while value < 256 {
        let digits = [b'0' + (value / 100) as u8, b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8];
        let length = 1 + (value >= 10) as usize + (value >= 100) as usize;
        let mut at = 0;
        while at < length {
            octets[value].0[at] = digits[3 - length + at];
            at += 1;
        }
        octets[value].1 = length as u8;
        value += 1;
    }
    octets
};

pub(super) fn ip(pen: Pen<'_>, address: IpAddr) -> Pen<'_> {
    match address {
        IpAddr::V4(address) => v4(pen, address),
        IpAddr::V6(address) => v6(pen, address),
    }
}

/// With its port.
pub(super) fn socket(pen: Pen<'_>, address: SocketAddr) -> Pen<'_> {
    let pen = match address {
        SocketAddr::V4(address) => v4(pen, *address.ip()),
        SocketAddr::V6(address) => scoped(pen, &address),
    };
    pen.put(b":").number(u64::from(address.port()))
}

#[inline]
fn v4(pen: Pen<'_>, address: Ipv4Addr) -> Pen<'_> {
    let [a, b, c, d] = address.octets();
    let pen = octet(pen, a, 1);
    let pen = octet(pen, b, 1);
    let pen = octet(pen, c, 1);
    octet(pen, d, 0)
}

#[inline]
fn octet(pen: Pen<'_>, octet: u8, points: usize) -> Pen<'_> {
    let (text, digits) = OCTETS.get(usize::from(octet)).unwrap_or(&([b'.'; 4], 0));
    // The mask changes nothing but what the compiler knows: no more than there is of the text.
    pen.put_first(text, usize::from(digits & 3) + points)
}

fn scoped<'a>(pen: Pen<'a>, address: &SocketAddrV6) -> Pen<'a> {
    let pen = v6(pen.put(b"["), *address.ip());
    let pen = if address.scope_id() == 0 { pen } else { pen.put(b"%").number(u64::from(address.scope_id())) };
    pen.put(b"]")
}

#[inline(never)]
fn v6(pen: Pen<'_>, address: Ipv6Addr) -> Pen<'_> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return v4(pen.put(b"::ffff:"), mapped);
    }
    let groups = address.segments();
    let (start, end) = longest_zeros(&groups);
    groups.into_iter().enumerate().fold(pen, |pen, (at, group)| {
        if at == start {
            pen.put(b"::")
        } else if (start..end).contains(&at) {
            pen
        } else {
            hex(if at == 0 || at == end { pen } else { pen.put(b":") }, group)
        }
    })
}

/// The first of the longest runs of two or more zeros; an empty one at an impossible place when there is none.
fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let (mut longest, mut start) = ((usize::MAX, usize::MAX), 0);
    for (at, group) in groups.iter().enumerate() {
        if *group != 0 {
            start = at + 1;
        } else if at + 1 - start > (longest.1 - longest.0).max(1) {
            longest = (start, at + 1);
        }
    }
    longest
}

/// Without zeros in front.
fn hex(pen: Pen<'_>, group: u16) -> Pen<'_> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u32| DIGITS.get(usize::from(group >> shift & 15)).copied().unwrap_or_default();
    let digits = u32::from_le_bytes([digit(12), digit(8), digit(4), digit(0)]);
    let zeros = (group | 1).leading_zeros() / 4;
    pen.put_first(&(digits >> (8 * zeros)).to_le_bytes(), 4 - zeros as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::page::Page;
    use super::*;

    fn text(write: impl FnOnce(Pen<'_>) -> Pen<'_>) -> String {
        let mut page = Page::default();
        page.write(ROOM, write);
        String::from_utf8(page.filled().to_vec()).unwrap()
    }

    fn assert_as_std(address: IpAddr, port: u16, scope: u32) {
        assert_eq!(text(|pen| ip(pen, address)), address.to_string());
        let with_port = match address {
            IpAddr::V4(_) => SocketAddr::new(address, port),
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, scope).into(),
        };
        assert_eq!(text(|pen| socket(pen, with_port)), with_port.to_string());
    }

    /// Groups of which many are zero, so that every way to shorten comes up.
    #[test]
    fn every_pattern_of_zeros_is_shortened_as_rfc_5952_says() {
        for pattern in 0..=u8::MAX {
            for value in [0x1, 0xab, 0xabc, 0xffff] {
                let groups: [u16; 8] = std::array::from_fn(|at| if pattern >> at & 1 == 0 { 0 } else { value });
                assert_as_std(IpAddr::V6(groups.into()), 8080, u32::from(pattern));
            }
        }
    }

    #[test]
    fn every_octet() {
        for octet in 0..=u8::MAX {
            assert_as_std(IpAddr::from([octet, 0, 255, octet]), u16::from(octet), 0);
        }
    }

    #[test]
    fn the_longest_has_room() {
        let longest = SocketAddrV6::new(Ipv6Addr::from([0xffff; 8]), u16::MAX, 0, u32::MAX);
        assert!(longest.to_string().len() + 8 <= ROOM);
        assert_as_std(IpAddr::V6(*longest.ip()), u16::MAX, u32::MAX);
    }

    proptest! {
        #[test]
        fn as_the_standard_library(address: IpAddr, mapped: std::net::Ipv4Addr, port: u16, scope: u32) {
            assert_as_std(address, port, scope);
            assert_as_std(mapped.to_ipv6_mapped().into(), port, scope);
        }
    }
}
