//! Lists of networks.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::checked::identity::Addresses;

/// Who may call by address, found in logarithmic time.
///
/// A v4 address and the same one mapped into v6 are one address; a network of v6 that is wider than the mapped ones, such as `::/0`,
/// has no v4 address in it.
#[derive(Debug)]
pub struct AddressRules {
    /// First and last address, sorted and apart; v4 as mapped into v6.
    allowed: Box<[(u128, u128)]>,
}

/// Everybody.
impl Default for AddressRules {
    fn default() -> Self {
        Self::compile(&Addresses::default())
    }
}

impl AddressRules {
    /// Everybody in `allow`, or everybody when it is empty, less those in `deny`.
    #[must_use]
    pub fn compile(written: &Addresses) -> Self {
        let allow = match written.lists.allow.as_slice() {
            [] => vec![(0, u128::MAX)],
            networks => merged(networks),
        };
        Self { allowed: without(&allow, &merged(&written.lists.deny)).into() }
    }

    /// `address` may be v4 mapped into v6.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = number(address);
        let at = self.allowed.partition_point(|(_, last)| *last < address);
        self.allowed.get(at).is_some_and(|(first, _)| *first <= address)
    }
}

/// `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
const MAPPED: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn merged(networks: &[IpNet]) -> Vec<(u128, u128)> {
    let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(networks.len());
    for network in networks {
        let range = (number(network.network()), number(network.broadcast()));
        if range.0 < MAPPED.0 && MAPPED.1 <= range.1 {
            ranges.push((range.0, MAPPED.0 - 1));
            if MAPPED.1 < range.1 {
                ranges.push((MAPPED.1 + 1, range.1));
            }
        } else {
            ranges.push(range);
        }
    }
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touches = next.0 <= kept.1.saturating_add(1);
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
    ranges
}

/// What of `ranges` is not in `taken`; both sorted and apart.
fn without(ranges: &[(u128, u128)], taken: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut left = Vec::with_capacity(ranges.len() + taken.len());
    for &(first, last) in ranges {
        let mut from = Some(first);
        let begins = taken.partition_point(|(_, end)| *end < first);
        for &(gone, end) in taken.iter().skip(begins).take_while(|(gone, _)| *gone <= last) {
            let Some(start) = from else { break };
            if start < gone {
                left.push((start, gone - 1));
            }
            from = end.checked_add(1);
        }
        left.extend(from.filter(|start| *start <= last).map(|start| (start, last)));
    }
    left
}

#[cfg(test)]
mod tests;
