//! Who shares a counter: the key of a request under a rule.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::digest::{SHA256, digest};

use super::Asked;
use crate::config::checked::limits::LimitKey;

/// 128 bits of two hashes with secrets of this process: nobody can aim at the counter of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    high: u64,
    low: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed {
    pub(super) key: Key,
    pub(super) class: Class,
}

/// Who decides how many such keys there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The configuration.
    Known,
    /// Partners, and those with a good token: whatever else is in the key, one of them is.
    Identified,
    Stranger,
}

/// The secrets of the hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Seeds(RandomState, RandomState);

/// Longer texts of keys are replaced by their digest.
const MAX_TEXT: usize = 96;

impl Keyed {
    pub(super) const OF_NOBODY: Self = Self { key: Key { high: 0, low: 0 }, class: Class::Stranger };
}

impl Key {
    /// One of so many places; independent of what it hashes to.
    pub(super) fn place_among(&self, places: usize) -> usize {
        // A uniform number times `places` has a high half that is uniform below `places`.
        ((u128::from(self.high) * places as u128) >> u64::BITS) as usize
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

impl Seeds {
    pub(super) fn key(&self, per: &[LimitKey], asked: &Asked<'_>) -> Keyed {
        let (mut high, mut low) = (self.0.build_hasher(), self.1.build_hasher());
        let (mut open, mut identified) = (false, false);
        for part in per {
            let part = Part::of(part, asked);
            let bytes = part.value.bytes();
            // Kind and length come first, so parts that run into each other cannot look like others.
            let head = (part.kind as u64) << 56 | bytes.as_ref().len() as u64;
            for hasher in [&mut high, &mut low] {
                hasher.write_u64(head);
                hasher.write(bytes.as_ref());
            }
            open |= part.kind.is_open();
            identified |= part.kind.identifies();
        }
        let class = match (open, identified) {
            (false, _) => Class::Known,
            (true, true) => Class::Identified,
            (true, false) => Class::Stranger,
        };
        Keyed { key: Key { high: high.finish(), low: low.finish() }, class }
    }
}

/// The same key as a text, which a restart does not change; different keys of a rule have different texts.
pub(super) fn text(per: &[LimitKey], asked: &Asked<'_>) -> Box<str> {
    let mut text = String::new();
    for part in per {
        let part = Part::of(part, asked);
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(part.kind.name());
        match part.value {
            Value::None => {}
            Value::Bytes(bytes) => {
                text.push('=');
                bytes.iter().for_each(|byte| push(&mut text, *byte));
            }
            Value::Address(IpAddr::V4(address)) => text.push_str(&format!("={address}")),
            Value::Address(IpAddr::V6(address)) => text.push_str(&format!("={address}/64")),
        }
    }
    if text.len() > MAX_TEXT {
        let digest = digest(&SHA256, text.as_bytes());
        text.clear();
        text.push_str("sha256=");
        digest.as_ref().iter().for_each(|byte| push_hex(&mut text, *byte));
    }
    text.into()
}

/// What separates parts is not to be had from within.
fn push(text: &mut String, byte: u8) {
    if matches!(byte, b'!'..=b'~') && !matches!(byte, b'%' | b',') {
        text.push(char::from(byte));
    } else {
        text.push('%');
        push_hex(text, byte);
    }
}

fn push_hex(text: &mut String, byte: u8) {
    for digit in [byte >> 4, byte & 0xf] {
        text.extend(char::from_digit(u32::from(digit), 16));
    }
}

struct Part<'a> {
    kind: Kind,
    value: Value<'a>,
}

/// What a part is; a value of one kind is never that of another.
#[derive(Clone, Copy)]
enum Kind {
    Route,
    Partner,
    Plan,
    NoPlan,
    Subject,
    Address,
    Header,
    NoHeader,
}

enum Value<'a> {
    None,
    Bytes(&'a [u8]),
    Address(IpAddr),
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Partner => "partner",
            Self::Plan => "plan",
            Self::NoPlan => "no-plan",
            Self::Subject => "subject",
            Self::Address => "address",
            Self::Header => "header",
            Self::NoHeader => "no-header",
        }
    }

    /// Whether callers make up as many values as they like.
    const fn is_open(self) -> bool {
        matches!(self, Self::Subject | Self::Address | Self::Header)
    }

    const fn identifies(self) -> bool {
        matches!(self, Self::Partner | Self::Subject)
    }
}

impl<'a> Part<'a> {
    fn of(key: &LimitKey, asked: &Asked<'a>) -> Self {
        let new = |kind, value| Self { kind, value };
        match key {
            LimitKey::Route => new(Kind::Route, Value::None),
            LimitKey::Partner => match asked.partner {
                Some(partner) => new(Kind::Partner, Value::Bytes(partner.as_bytes())),
                None => Self::subject(asked),
            },
            LimitKey::Plan => match asked.plan {
                Some(plan) => new(Kind::Plan, Value::Bytes(plan.as_bytes())),
                None => new(Kind::NoPlan, Value::None),
            },
            LimitKey::Subject => Self::subject(asked),
            LimitKey::Address => Self::address(asked),
            LimitKey::Header(name) => match (asked.header)(name) {
                Some(value) => new(Kind::Header, Value::Bytes(value)),
                None => new(Kind::NoHeader, Value::None),
            },
        }
    }

    /// Without a subject, callers are told apart by address, not thrown together.
    fn subject(asked: &Asked<'a>) -> Self {
        match asked.subject {
            Some(subject) => Self { kind: Kind::Subject, value: Value::Bytes(subject.as_bytes()) },
            None => Self::address(asked),
        }
    }

    fn address(asked: &Asked<'a>) -> Self {
        Self { kind: Kind::Address, value: Value::Address(network(asked.address)) }
    }
}

/// What counts as one address: IPv6 by its /64, the least that one customer has; IPv4 within IPv6 as IPv4.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

enum Bytes<'a> {
    Slice(&'a [u8]),
    V4([u8; 4]),
    V6([u8; 16]),
}

impl<'a> Value<'a> {
    fn bytes(&self) -> Bytes<'a> {
        match self {
            Self::None => Bytes::Slice(&[]),
            Self::Bytes(bytes) => Bytes::Slice(bytes),
            Self::Address(IpAddr::V4(address)) => Bytes::V4(address.octets()),
            Self::Address(IpAddr::V6(address)) => Bytes::V6(address.octets()),
        }
    }
}

impl AsRef<[u8]> for Bytes<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }
}
