//! Who asked, when others stand between: `X-Forwarded-*` and `Forwarded` (RFC 7239), read and written anew.
//!
//! What an untrusted peer sends in these fields is dropped. A trusted peer's chain is walked from the right, past
//! trusted addresses, to the first that is not trusted: the client. A malformed or unknown entry ends the walk, and
//! nothing left of where it ended is believed or passed on.
//!
//! `X-Forwarded-For` is asked first, and `Forwarded` only when there is none: proxies that append to the former often
//! let the latter through as the client wrote it.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

mod entry;
mod write;

use entry::Node;

/// Entries of a chain that are looked at, from the right.
pub const MAX_ENTRIES: usize = 32;

/// Bytes of one field, over all its lines, that are looked at, from the right.
pub const MAX_BYTES: usize = 4_096;

/// The fields that are read from, and replaced in, a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    For,
    Proto,
    Host,
    Forwarded,
}

impl Field {
    pub const ALL: [Self; 4] = [Self::For, Self::Proto, Self::Host, Self::Forwarded];

    /// In lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::For => "x-forwarded-for",
            Self::Proto => "x-forwarded-proto",
            Self::Host => "x-forwarded-host",
            Self::Forwarded => "forwarded",
        }
    }
}

/// Networks whose peers are believed. IPv4 and the same written as v4-mapped IPv6 are one.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Box<[IpNet]>);

impl TrustedProxies {
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.iter().map(|network| canonical(*network)).collect())
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn canonical(network: IpNet) -> IpNet {
    let mapped = match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix)) => Ipv4Net::new(address, prefix).ok(),
        _ => None,
    };
    mapped.map_or(network, IpNet::V4)
}

/// What the connection itself tells.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    pub address: IpAddr,
    pub tls: bool,
    /// As sent, with its port if it had one.
    pub host: &'a str,
}

/// What is believed about the origin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFacts<'a> {
    /// Never v4-mapped.
    pub client: IpAddr,
    /// `http` or `https`, as the client spoke it.
    pub proto: &'static str,
    /// The host that the client asked for, with its port if it had one; empty when none that was given is a host.
    pub host: &'a str,
}

/// A client and the trusted proxies between it and the gateway.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    pub facts: ClientFacts<'a>,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    hops: Hops,
}

/// Proxies that need no allocation: more than two in a row are rare, and the list is moved about.
const INLINE: usize = 2;

/// From the peer to the client, which may be the same.
#[derive(Clone, Debug)]
struct Hops {
    peer: IpAddr,
    inline: [IpAddr; INLINE],
    length: usize,
    more: Vec<IpAddr>,
}

impl Hops {
    fn new(peer: IpAddr) -> Self {
        Self { peer, inline: [peer; INLINE], length: 0, more: Vec::new() }
    }

    /// Whether there was room.
    fn push(&mut self, address: IpAddr) -> bool {
        match self.inline.get_mut(self.length) {
            Some(place) => *place = address,
            None if self.length < MAX_ENTRIES => self.more.push(address),
            None => return false,
        }
        self.length += 1;
        true
    }

    /// The addresses behind the peer, the nearest first.
    fn before(&self) -> impl DoubleEndedIterator<Item = IpAddr> {
        self.inline.iter().take(self.length).chain(&self.more).copied()
    }

    fn client(&self) -> IpAddr {
        self.before().next_back().unwrap_or(self.peer)
    }
}

/// Finds the client. `lines` gives the values of a field in the order of its lines, and is not asked when the peer is
/// not trusted. Allocates for more than two proxies only.
pub fn assess<'a, I>(peer: Peer<'a>, trusted: &TrustedProxies, lines: impl Fn(Field) -> I) -> Chain<'a>
where
    I: DoubleEndedIterator<Item = &'a [u8]>,
{
    let mut hops = Hops::new(peer.address.to_canonical());
    let mut told = Told::default();
    let is_trusted = trusted.contains(hops.peer);
    if is_trusted {
        let chain = || entries(lines(Field::For));
        if chain().next().is_some() {
            walk(&mut hops, trusted, chain().map(entry::node));
            told = columns(hops.length.saturating_sub(1), chain().count(), &lines);
        } else if entries(lines(Field::Forwarded)).next().is_some() {
            let elements = entries(lines(Field::Forwarded)).map(|entry| {
                let element = entry::element(entry)?;
                let node = element.node.map_or(Some(Node::Unnamed), entry::node)?;
                // The leftmost that is believed is nearest to the client, so it comes last and holds.
                told.proto = element.proto.and_then(entry::proto).or(told.proto);
                told.host = element.host.and_then(entry::host).or(told.host);
                Some(node)
            });
            walk(&mut hops, trusted, elements);
        } else {
            told = columns(0, 0, &lines);
        }
    }
    let own_proto = if peer.tls { "https" } else { "http" };
    let facts = ClientFacts {
        client: hops.client(),
        proto: told.proto.unwrap_or(own_proto),
        host: told.host.or_else(|| entry::host_text(peer.host)).unwrap_or_default(),
    };
    Chain { facts, trusted: is_trusted, hops }
}

#[derive(Default)]
struct Told<'a> {
    proto: Option<&'static str>,
    host: Option<&'a str>,
}

/// Entries come from the right; `None` is a malformed one.
fn walk(hops: &mut Hops, trusted: &TrustedProxies, entries: impl Iterator<Item = Option<Node>>) {
    for entry in entries {
        let Some(Node::Address(address)) = entry else { return };
        if !hops.push(address) || !trusted.contains(address) {
            return;
        }
    }
}

/// `X-Forwarded-Proto` and `-Host`: where a field has as many entries as the chain, the proxies wrote it side by side
/// and the entry beside the client's counts; otherwise the rightmost, which is what the peer itself says.
fn columns<'a, I>(position: usize, chain: usize, lines: impl Fn(Field) -> I) -> Told<'a>
where
    I: DoubleEndedIterator<Item = &'a [u8]>,
{
    let entry = |field: Field| {
        let beside = entries(lines(field)).count() == chain;
        entries(lines(field)).nth(if beside { position } else { 0 })
    };
    Told { proto: entry(Field::Proto).and_then(entry::proto), host: entry(Field::Host).and_then(entry::host) }
}

/// The members of a list field (RFC 9110 §5.6.1) from the right, within the limits.
fn entries<'a>(lines: impl DoubleEndedIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let mut left = MAX_BYTES;
    lines
        .rev()
        .flat_map(entry::members_from_right)
        .map_while(move |member| {
            left = left.checked_sub(member.len() + 1)?;
            Some(member.trim_ascii())
        })
        .filter(|member| !member.is_empty())
        .take(MAX_ENTRIES)
}

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod tests;
