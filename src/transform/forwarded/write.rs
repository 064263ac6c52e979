//! Outgoing values, written into the caller's buffer.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use bytes::BufMut;

use super::{Chain, entry};

/// `X-Forwarded-Proto` and `X-Forwarded-Host` are the facts themselves.
impl Chain<'_> {
    /// The address of the client.
    pub fn write_client(&self, out: &mut impl BufMut) {
        put_address(self.facts.client, out);
    }

    /// The value of `X-Forwarded-For`: the client, the trusted proxies, the peer.
    pub fn write_for(&self, out: &mut impl BufMut) {
        for address in self.hops.before().rev() {
            put_address(address, out);
            out.put_slice(b", ");
        }
        put_address(self.hops.peer, out);
    }

    /// The value of `Forwarded`: the same addresses, and what the client asked for beside its own.
    pub fn write_forwarded(&self, out: &mut impl BufMut) {
        put_node(self.facts.client, out);
        if !self.facts.host.is_empty() {
            out.put_slice(b";host=");
            put_value(self.facts.host, out);
        }
        out.put_slice(b";proto=");
        out.put_slice(self.facts.proto.as_bytes());
        // The client has just been written, so it is left out; the peer comes last unless it is the client.
        for address in self.hops.before().rev().skip(1) {
            out.put_slice(b", ");
            put_node(address, out);
        }
        if self.hops.length > 0 {
            out.put_slice(b", ");
            put_node(self.hops.peer, out);
        }
    }
}

/// IPv6 in brackets and therefore in quotes (RFC 7239 §6).
fn put_node(address: IpAddr, out: &mut impl BufMut) {
    out.put_slice(if address.is_ipv6() { b"for=\"[" } else { b"for=" });
    put_address(address, out);
    if address.is_ipv6() {
        out.put_slice(b"]\"");
    }
}

/// A host holds neither quotes nor backslashes, so that nothing has to be escaped.
fn put_value(text: &str, out: &mut impl BufMut) {
    let quote: &[u8] = if text.bytes().all(entry::is_token) { b"" } else { b"\"" };
    out.put_slice(quote);
    out.put_slice(text.as_bytes());
    out.put_slice(quote);
}

fn put_address(address: IpAddr, out: &mut impl BufMut) {
    match address {
        IpAddr::V4(address) => put_ipv4(address, out),
        IpAddr::V6(address) => {
            let written = write!(Sink(out), "{address}");
            debug_assert!(written.is_ok(), "a buffer takes everything");
        }
    }
}

fn put_ipv4(address: Ipv4Addr, out: &mut impl BufMut) {
    let mut text = [0; 16];
    let mut length = 0;
    for octet in address.octets() {
        let (digits, count) = OCTETS[usize::from(octet)];
        // What lies behind its digits is written over by what follows, or left out.
        if let Some(place) = text.get_mut(length..length + 4) {
            place.copy_from_slice(&digits);
        }
        length += usize::from(count);
    }
    out.put_slice(text.get(..length - 1).unwrap_or_default());
}

/// Every octet in decimal with a dot behind it, and how long that is.
static OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let (digits, count) = &mut octets[octet];
        let mut left = octet;
        *count = if octet >= 100 {
            3
        } else if octet >= 10 {
            2
        } else {
            1
        };
        let mut at = *count as usize;
        while at > 0 {
            at -= 1;
            #[expect(clippy::cast_possible_truncation, reason = "less than ten")]
            let digit = (left % 10) as u8;
            digits[at] = b'0' + digit;
            left /= 10;
        }
        *count += 1;
        octet += 1;
    }
    octets
};

struct Sink<'b, B>(&'b mut B);

impl<B: BufMut> Write for Sink<'_, B> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.put_slice(text.as_bytes());
        Ok(())
    }
}
