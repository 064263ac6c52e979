//! What comes of the requests of all callers of a route: an upstream that is slow is not the doing of one of them.

use std::time::Duration;

/// Callers that are remembered: those of the last requests.
const CALLERS: usize = 16;

/// Fewer say nothing about what they have in common.
const ENOUGH: usize = 3;

/// After which a caller counts no more.
const OUTDATED: Duration = Duration::from_secs(60);

/// How far the callers of a route are above their own usual, together.
#[derive(Clone, Debug, Default)]
pub struct Common([Last; CALLERS]);

/// What was last known of a caller.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    caller: u64,
    at: Duration,
    /// 0 where nobody is.
    excess: f32,
}

impl Common {
    /// Notes how many times as unusual as always a caller's requests are of late, and tells the median of the callers of the last
    /// minute; 1 as long as they are fewer than three, and at least. Each caller counts once, however many its requests: who is
    /// alone in something does not make it common.
    pub fn note(&mut self, caller: u64, at: Duration, excess: f32) -> f32 {
        let known = self.0.iter().position(|last| last.caller == caller && last.excess > 0.0);
        let oldest = || (0..CALLERS).min_by_key(|place| self.0.get(*place).map(|last| last.at));
        if let Some(last) = known.or_else(oldest).and_then(|place| self.0.get_mut(place)) {
            *last = Last { caller, at, excess };
        }
        let mut all = [0.0; CALLERS];
        let mut count = 0;
        let recent = self.0.iter().filter(|last| last.excess > 0.0 && at.saturating_sub(last.at) < OUTDATED);
        for (place, last) in all.iter_mut().zip(recent) {
            *place = last.excess;
            count += 1;
        }
        let Some(all) = all.get_mut(..count).filter(|all| all.len() >= ENOUGH) else { return 1.0 };
        // The lower one of two.
        let (_, median, _) = all.select_nth_unstable_by((count - 1) / 2, f32::total_cmp);
        median.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_is_alone_makes_nothing_common() {
        let mut common = Common::default();
        for second in 0..100 {
            for caller in 0..4 {
                common.note(caller, SECOND * second, 0.9);
            }
            for _ in 0..50 {
                assert_eq!(common.note(9, SECOND * second, 8.0), 1.0);
            }
        }
    }

    #[test]
    fn what_most_have_is_common_until_it_is_over() {
        let mut common = Common::default();
        assert_eq!((common.note(1, SECOND, 5.0), common.note(2, SECOND, 6.0)), (1.0, 1.0));
        assert_eq!(common.note(3, SECOND, 0.5), 5.0);
        assert_eq!(common.note(4, SECOND, 0.5), 1.0);
        assert_eq!(common.note(5, SECOND, 7.0), 5.0);
        assert_eq!(common.note(6, SECOND * 100, 9.0), 1.0, "all others are gone");
    }

    #[test]
    fn those_who_came_last_are_remembered() {
        let mut common = Common::default();
        assert!((0..1_000).all(|caller| common.note(caller, SECOND, 1.0) == 1.0));
        let median = (0..1_000).map(|caller| common.note(caller, SECOND * 2, 3.0)).last();
        assert_eq!(median, Some(3.0));
    }
}
