//! What of a query tells answers apart.

use crate::base::query::decoded;
use crate::config::checked::cache::{CacheKey, QueryRule};

/// The parameters that count, in the order that counts; `None` when there is none. `room` is written to only when something
/// has to be left out or moved. Without a rule, a query without parameters counts, too: `/a?` is not `/a` (RFC 3986 §6.2.3).
///
/// Names are compared decoded, and one of the rule that ends in `*` means all that begin so. Sorted means by name, then by value,
/// both decoded; what is the same then keeps no order either, so that every order of the same parameters gives the same text.
#[must_use]
pub fn counted<'q>(query: &'q str, key: &CacheKey, room: &'q mut String) -> Option<&'q str> {
    let counts = |pair: &&str| !pair.is_empty() && is_kept(pair, &key.query);
    let takes_all = matches!(&key.query, QueryRule::Ignore(names) if names.is_empty());
    if takes_all && !key.sort_query {
        return Some(query);
    }
    let is_in_order = !key.sort_query || query.split('&').is_sorted_by(|one, other| order(one, other).is_le());
    if is_in_order && query.split('&').all(|pair| counts(&pair)) {
        return Some(query);
    }
    room.clear();
    if is_in_order {
        query.split('&').filter(counts).for_each(|pair| join(pair, room));
    } else {
        let mut pairs: Vec<&str> = query.split('&').filter(counts).collect();
        pairs.sort_unstable_by(|one, other| order(one, other));
        pairs.into_iter().for_each(|pair| join(pair, room));
    }
    (!room.is_empty()).then_some(room)
}

fn join(pair: &str, room: &mut String) {
    if !room.is_empty() {
        room.push('&');
    }
    room.push_str(pair);
}

fn is_kept(pair: &str, rule: &QueryRule) -> bool {
    let name = parts(pair).0;
    match rule {
        QueryRule::Ignore(names) => !names.iter().any(|rule| means(rule, name)),
        QueryRule::Only(names) => names.iter().any(|rule| means(rule, name)),
    }
}

/// Whether a name of a rule means this one, which is as it was sent.
fn means(rule: &str, name: &str) -> bool {
    let mut name = decoded(name.as_bytes());
    match rule.strip_suffix('*') {
        Some(prefix) => prefix.bytes().all(|byte| name.next() == Some(byte)),
        None => name.eq(rule.bytes()),
    }
}

fn order(one: &str, other: &str) -> std::cmp::Ordering {
    let by = |one: &str, other: &str| decoded(one.as_bytes()).cmp(decoded(other.as_bytes()));
    let ((name, value), (other_name, other_value)) = (parts(one), parts(other));
    by(name, other_name).then_with(|| by(value, other_value)).then_with(|| one.cmp(other))
}

fn parts(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}
