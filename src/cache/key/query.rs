//! What of a query tells answers apart.

use crate::base::query::decoded;
use crate::config::checked::cache::{CacheKey, QueryRule};

/// The parameters that count, in the order that counts. Where all of the query counts, it is given as it is, be it empty: `/a?` is
/// not `/a` (RFC 3986 §6.2.3). Otherwise `None` when none is left. `room` is written to only when something has to be left out or moved.
///
/// Names are compared decoded, and one of the rule that ends in `*` means all that begin so. Sorted means by name; parameters of
/// one name keep their order, which often is the order of what the answer lists.
#[must_use]
pub fn counted<'q>(query: &'q str, key: &CacheKey, room: &'q mut String) -> Option<&'q str> {
    let counts = |pair: &&str| !pair.is_empty() && is_kept(pair, &key.query);
    let takes_all = !key.sort_query && matches!(&key.query, QueryRule::Ignore(names) if names.is_empty());
    let is_in_order = !key.sort_query || query.split('&').is_sorted_by(|one, other| order(one, other).is_le());
    if takes_all || is_in_order && query.split('&').all(|pair| counts(&pair)) {
        return Some(query);
    }
    room.clear();
    if is_in_order {
        query.split('&').filter(counts).for_each(|pair| join(pair, room));
    } else {
        let mut pairs: Vec<&str> = query.split('&').filter(counts).collect();
        pairs.sort_by(|one, other| order(one, other));
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
    let name = name(pair);
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
    decoded(name(one).as_bytes()).cmp(decoded(name(other).as_bytes()))
}

fn name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}
