//! Who shares a counter: the key of a request under a rule.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
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
        let mut pen = Pen { hashers: [self.0.build_hasher(), self.1.build_hasher()], text: [0; GATHERED], length: 0 };
        let (mut open, mut identified) = (false, false);
        for part in per {
            let part = Part::of(part, asked);
            let bytes = part.value.bytes();
            // Kind and length come first, so parts that run into each other cannot look like others.
            let head = (part.kind as u64) << 56 | bytes.as_ref().len() as u64;
            pen.write(&head.to_le_bytes());
            pen.write(bytes.as_ref());
            if matches!(part.kind, Kind::Subject) {
                pen.write(&(asked.authority.len() as u64).to_le_bytes());
                pen.write(asked.authority.as_bytes());
            }
            open |= part.kind.is_open();
            identified |= part.kind.identifies();
        }
        let class = match (open, identified) {
            (false, _) => Class::Known,
            (true, true) => Class::Identified,
            (true, false) => Class::Stranger,
        };
        Keyed { key: pen.finish(), class }
    }
}

/// What is hashed at once: a hash of one text costs a fraction of that of its pieces.
const GATHERED: usize = 128;

struct Pen {
    hashers: [DefaultHasher; 2],
    text: [u8; GATHERED],
    length: usize,
}

impl Pen {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(room) = self.text.get_mut(self.length..self.length + bytes.len()) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
        } else {
            self.flush();
            self.hashers.iter_mut().for_each(|hasher| hasher.write(bytes));
        }
    }

    fn flush(&mut self) {
        let text = self.text.get(..self.length).unwrap_or_default();
        self.hashers.iter_mut().for_each(|hasher| hasher.write(text));
        self.length = 0;
    }

    fn finish(mut self) -> Key {
        self.flush();
        let [high, low] = self.hashers.map(|hasher| hasher.finish());
        Key { high, low }
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
                if matches!(part.kind, Kind::Subject) {
                    asked.authority.bytes().for_each(|byte| push(&mut text, byte));
                    // Percent-encoded within the parts.
                    text.push(',');
                }
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

#[cfg(test)]
impl Keyed {
    /// One of many.
    pub(super) fn numbered(number: u64, class: Class) -> Self {
        // SplitMix64.
        let hash = |number: u64| {
            let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            number ^ (number >> 31)
        };
        Self { key: Key { high: hash(2 * number), low: hash(2 * number + 1) }, class }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::base::clock;

    fn asked<'a>(
        partner: Option<&'a str>,
        subject: Option<&'a str>,
        address: &str,
        header: &'a dyn Fn(&http::HeaderName) -> Option<&'a [u8]>,
    ) -> Asked<'a> {
        Asked {
            authority: "main",
            partner,
            plan: None,
            subject,
            address: address.parse().unwrap(),
            header,
            cost: 1,
            at: clock::now(),
            now: Duration::ZERO,
        }
    }

    fn text_of(per: &[LimitKey], asked: &Asked<'_>) -> String {
        text(per, asked).into()
    }

    #[test]
    fn addresses_are_told_apart_by_network() {
        let keys = |one: &str, other: &str| {
            let seeds = Seeds::default();
            let per = [LimitKey::Address];
            let (one, other) = (asked(None, None, one, &|_| None), asked(None, None, other, &|_| None));
            let same = seeds.key(&per, &one).key == seeds.key(&per, &other).key;
            assert_eq!(same, text(&per, &one) == text(&per, &other));
            same
        };
        assert!(keys("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert!(!keys("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(keys("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!keys("192.0.2.1", "192.0.2.2"));
        // The same bytes, but not the same kind of address.
        assert!(!keys("0.0.0.0", "::"));
    }

    #[test]
    fn callers_without_what_is_asked_for_are_told_apart_by_what_there_is() {
        let named = |per: &[LimitKey], partner, subject| {
            text_of(per, &asked(partner, subject, "2001:db8::7", &|_| Some(b"a, b%")))
        };
        assert_eq!(named(&[LimitKey::Partner], Some("acme"), Some("ada")), "partner=acme");
        assert_eq!(named(&[LimitKey::Partner], None, Some("ada")), "subject=main,ada");
        assert_eq!(named(&[LimitKey::Partner], None, None), "address=2001:db8::/64");
        assert_eq!(named(&[LimitKey::Subject], Some("acme"), None), "address=2001:db8::/64");
        assert_eq!(named(&[LimitKey::Plan, LimitKey::Route], None, None), "no-plan,route");
        let header = LimitKey::Header(http::HeaderName::from_static("x-tenant"));
        assert_eq!(named(&[header.clone(), LimitKey::Partner], Some("acme"), None), "header=a%2c%20b%25,partner=acme");
        assert_eq!(text_of(&[header], &asked(None, None, "::1", &|_| None)), "no-header");
    }

    #[test]
    fn a_subject_of_another_issuer_is_another_one() {
        let of = |authority| Asked { authority, ..asked(None, Some("42"), "::1", &|_| None) };
        let (main, other) = (of("main"), of("legacy"));
        let seeds = Seeds::default();
        let per = [LimitKey::Subject];
        assert!(seeds.key(&per, &main).key == seeds.key(&per, &main).key);
        assert!(
            seeds.key(&per, &main).key != seeds.key(&per, &other).key && text_of(&per, &main) != text_of(&per, &other)
        );
    }

    #[test]
    fn long_keys_are_told_by_their_digest() {
        let subject = "s".repeat(MAX_TEXT);
        let text = text_of(&[LimitKey::Subject], &asked(None, Some(&subject), "::1", &|_| None));
        assert_eq!(text.len(), "sha256=".len() + 64);
        // sha256sum of `subject=main,sss…`
        let expected = digest(&SHA256, format!("subject=main,{subject}").as_bytes());
        let expected: String = expected.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, format!("sha256={expected}"));
    }

    #[test]
    fn only_what_callers_make_up_is_bounded() {
        let class = |per: &[LimitKey], partner, subject| {
            Seeds::default().key(per, &asked(partner, subject, "192.0.2.1", &|_| Some(b"value"))).class
        };
        let header = LimitKey::Header(http::HeaderName::from_static("x-tenant"));
        assert_eq!(class(&[LimitKey::Partner, LimitKey::Plan], Some("acme"), None), Class::Known);
        assert_eq!(class(&[LimitKey::Partner], None, Some("ada")), Class::Identified);
        assert_eq!(class(&[LimitKey::Partner], None, None), Class::Stranger);
        assert_eq!(class(&[LimitKey::Partner, LimitKey::Address], Some("acme"), None), Class::Identified);
        assert_eq!(class(&[header.clone(), LimitKey::Subject], None, Some("ada")), Class::Identified);
        assert_eq!(class(&[header, LimitKey::Plan], Some("acme"), None), Class::Stranger);
    }

    proptest! {
        /// Whatever values say, and however parts are cut: keys and texts are equal when all parts are, and not otherwise.
        #[test]
        fn different_callers_have_different_keys(
            one in proptest::array::uniform4(proptest::option::of("[ab,%=]{0,3}|x{90}[ab]{20}|[ab]{130}")),
            other in proptest::array::uniform4(proptest::option::of("[ab,%=]{0,3}|x{90}[ab]{20}|[ab]{130}")),
        ) {
            let names = ["a", "b"].map(http::HeaderName::from_static);
            let per = [
                LimitKey::Header(names[0].clone()),
                LimitKey::Partner,
                LimitKey::Header(names[1].clone()),
                LimitKey::Subject,
            ];
            let seeds = Seeds::default();
            let found = [&one, &other].map(|[first, partner, second, subject]| {
                let header = |name: &http::HeaderName| {
                    let value = if *name == names[0] { first } else { second };
                    value.as_deref().map(str::as_bytes)
                };
                let asked = asked(partner.as_deref(), subject.as_deref(), "192.0.2.1", &header);
                (seeds.key(&per, &asked).key, text(&per, &asked))
            });
            prop_assert_eq!(found[0].0 == found[1].0, one == other);
            prop_assert_eq!(found[0].1 == found[1].1, one == other);
            prop_assert!(found[0].1.len() <= MAX_TEXT);
        }
    }
}
