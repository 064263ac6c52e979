use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::config::checked::identity::Lists;

fn rules(allow: &[&str], deny: &[&str]) -> AddressRules {
    let read = |networks: &[&str]| networks.iter().map(|network| network.parse().unwrap()).collect();
    AddressRules::compile(&Addresses { lists: Lists { allow: read(allow), deny: read(deny) }, observe: false })
}

fn allowed(rules: &AddressRules, addresses: &[&str]) -> Vec<bool> {
    addresses.iter().map(|address| rules.allows(address.parse().unwrap())).collect()
}

#[test]
fn without_lists_everybody_may() {
    let addresses = ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:1.2.3.4"];
    assert_eq!(allowed(&AddressRules::default(), &addresses), [true; 5]);
}

#[test]
fn denial_wins_and_nobody_else_is_allowed() {
    let rules = rules(&["10.0.0.0/8", "2001:db8::/32"], &["10.1.0.0/16", "2001:db8:1::/48", "10.255.255.255/32"]);
    let addresses = ["10.0.255.255", "10.1.0.0", "10.1.255.255", "10.2.0.0", "10.255.255.254", "10.255.255.255"];
    assert_eq!(allowed(&rules, &addresses), [true, false, false, true, true, false]);
    let addresses = ["9.255.255.255", "11.0.0.0", "2001:db8::", "2001:db8:1::1", "2001:db9::", "::"];
    assert_eq!(allowed(&rules, &addresses), [false, false, true, false, false, false]);
}

#[test]
fn a_v4_address_is_the_same_mapped_or_not_and_in_no_wider_network_of_v6() {
    for network in ["192.0.2.0/24", "::ffff:192.0.2.0/120"] {
        let addresses = ["192.0.2.7", "::ffff:192.0.2.7", "192.0.3.7", "::ffff:192.0.3.7"];
        assert_eq!(allowed(&rules(&[network], &[]), &addresses), [true, true, false, false], "{network}");
        assert_eq!(allowed(&rules(&[], &[network]), &addresses), [false, false, true, true], "{network}");
    }
    let addresses = ["192.0.2.7", "::ffff:192.0.2.7", "::fffe:ffff:ffff", "::1:0:0:0", "2001:db8::1"];
    assert_eq!(allowed(&rules(&["::/0"], &[]), &addresses), [false, false, true, true, true]);
    assert_eq!(allowed(&rules(&[], &["::/0"]), &addresses), [true, true, false, false, false]);
    assert_eq!(allowed(&rules(&[], &["::/80"]), &addresses), [true, true, false, true, true], "it ends where they do");
    assert_eq!(allowed(&rules(&["::ffff:0:0/96"], &[]), &addresses), [true, true, false, false, false]);
    assert_eq!(allowed(&rules(&[], &["0.0.0.0/0", "::/0"]), &addresses), [false; 5]);
}

/// What the rules mean, one network after the other.
fn by_scan(lists: &Lists<IpNet>, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let within = |networks: &[IpNet]| {
        networks.iter().any(|network| match network {
            IpNet::V6(mapped) if mapped.prefix_len() >= 96 && mapped.network().to_ipv4_mapped().is_some() => {
                let v4 = IpNet::new(mapped.network().to_canonical(), mapped.prefix_len() - 96).unwrap();
                v4.contains(&address)
            }
            network => network.contains(&address),
        })
    };
    (lists.allow.is_empty() || within(&lists.allow)) && !within(&lists.deny)
}

/// Few bits, so that networks and addresses meet.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    (0_u32..4, 0_u32..4, 0_u32..4).prop_map(|(high, middle, low)| Ipv4Addr::from_bits(high << 30 | middle << 15 | low))
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let spread = (0_u128..4, 0_u128..4, 0_u128..4).prop_map(|(high, middle, low)| high << 126 | middle << 46 | low);
    let ends = prop::sample::select(vec![0, MAPPED.0 - 1, MAPPED.0, MAPPED.1, MAPPED.1 + 1, u128::MAX]);
    prop_oneof![spread, ends].prop_map(Ipv6Addr::from_bits)
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![v4().prop_map(IpAddr::V4), v6().prop_map(IpAddr::V6), v4().prop_map(|a| a.to_ipv6_mapped().into())]
}

fn network() -> impl Strategy<Value = IpNet> {
    (address(), 0_u8..=128).prop_map(|(address, length)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, length.min(longest)).unwrap()
    })
}

proptest! {
    #[test]
    fn the_table_finds_what_a_scan_finds(
        allow in vec(network(), 0..6),
        deny in vec(network(), 0..6),
        addresses in vec(address(), 1..40),
    ) {
        let lists = Lists { allow, deny };
        let rules = AddressRules::compile(&Addresses { lists: lists.clone(), observe: false });
        prop_assert!(rules.allowed.iter().all(|(first, last)| first <= last));
        prop_assert!(rules.allowed.is_sorted_by(|one, next| one.1 < next.0));
        let ends = lists.allow.iter().chain(&lists.deny).flat_map(|network| [network.network(), network.broadcast()]);
        for address in addresses.iter().copied().chain(ends) {
            prop_assert_eq!(rules.allows(address), by_scan(&lists, address), "{}", address);
        }
    }
}
