//! What is left out of the learning.

use std::collections::BTreeMap;

use crate::anomaly::model::Seen;

/// From this rarity on a request is suspicious: of usual requests, this share is.
pub(super) const SUSPICIOUS: f32 = 0.005;

#[derive(Clone, Copy, Default)]
struct Count {
    rows: u32,
    suspicious: u32,
}

impl Count {
    fn share(self) -> f32 {
        self.suspicious as f32 / self.rows.max(1) as f32
    }
}

/// Leaves out of the rows, of which those with a rarity up to `limit` are suspicious, what makes its caller stand out: suspicious ones far beyond the share that is typical for this route, but for
/// that share, of which the least rare stay.
///
/// Typical is the weighted median of the callers' shares, the lower one, and at least what is expected. So:
/// - Without an attack hardly anything is left out, and rarities go on to mean what they say. (A model that is always made without
///   the rarest half percent of all rows finds half a percent more of them rare each time.)
/// - What most of the route does differently from now on, by rows, stands out nowhere: it is learned.
/// - At most half of the rows are left out; whoever wants to teach an attack needs callers with more than half of the sample,
///   each of which has no more than its share of it. Or callers with a request or two each, of which nobody stands out.
/// - A caller that has the route to itself is what is usual there.
pub(super) fn trim(rows: &mut Vec<Seen>, limit: f32, rarity: impl Fn(&Seen) -> f32) {
    let rarities: Vec<f32> = rows.iter().map(rarity).collect();
    let mut callers: BTreeMap<u64, Count> = BTreeMap::new();
    for (seen, rarity) in rows.iter().zip(&rarities) {
        let count = callers.entry(seen.caller).or_default();
        count.rows += 1;
        count.suspicious += u32::from(*rarity <= limit);
    }
    let typical = typical(callers.values().copied()).max(limit);
    // How many suspicious rows those who stand out may keep.
    let mut left: BTreeMap<u64, u32> = BTreeMap::new();
    for (caller, count) in callers {
        let expected = typical * count.rows as f32;
        // Three standard deviations of a Poisson distribution, and one request.
        if count.suspicious as f32 > expected + 3.0 * expected.sqrt() + 1.0 {
            left.insert(caller, expected as u32);
        }
    }
    let outstanding = |(at, seen): (usize, &Seen)| left.contains_key(&seen.caller).then_some(at);
    let mut suspicious: Vec<usize> = rows.iter().enumerate().filter_map(outstanding).collect();
    suspicious.retain(|at| rarities.get(*at).is_some_and(|rarity| *rarity <= limit));
    suspicious.sort_by(|a, b| rarities.get(*b).partial_cmp(&rarities.get(*a)).unwrap_or(std::cmp::Ordering::Equal));
    let mut is_out = vec![false; rows.len()];
    for at in suspicious {
        let may_stay = rows.get(at).and_then(|seen| left.get_mut(&seen.caller));
        match (may_stay, is_out.get_mut(at)) {
            (Some(left), _) if *left > 0 => *left -= 1,
            (_, Some(is_out)) => *is_out = true,
            _ => {}
        }
    }
    let mut is_out = is_out.into_iter();
    rows.retain(|_| is_out.next() != Some(true));
}

/// Of the callers with the smaller shares that have half of the rows, the greatest.
fn typical(callers: impl Iterator<Item = Count>) -> f32 {
    let mut callers: Vec<Count> = callers.collect();
    callers.sort_by(|a, b| a.share().total_cmp(&b.share()));
    let half = callers.iter().map(|caller| u64::from(caller.rows)).sum::<u64>().div_ceil(2);
    let mut rows = 0;
    for caller in &callers {
        rows += u64::from(caller.rows);
        if rows >= half {
            return caller.share();
        }
    }
    0.0
}
