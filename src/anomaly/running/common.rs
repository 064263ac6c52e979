//! What comes of the requests of all callers of a route: what they have in common, and how rare running rarities are among them.

use std::time::Duration;

use super::Running;

/// Callers that are remembered: those of the last requests.
const CALLERS: usize = 16;

/// Fewer say nothing about what they have in common.
const ENOUGH: usize = 3;

/// After which a caller counts no more.
const OUTDATED: Duration = Duration::from_secs(60);

/// What is as rare as this, or rarer, by the gamma distribution is the tail.
pub(super) const TAIL: f32 = 0.1;

/// Who is as usual as that has left the tail.
pub(super) const MIDDLE: f32 = 0.5;

/// Requests of one caller in the tail that are learned from before it leaves it: whoever stays there teaches no more.
const ROW: u8 = 20;

/// Requests, and those in the tail, that what is learned of it reaches back; and what is known of it from the beginning counts for so many.
const MEMORY: (f32, f32) = (65_536.0, 4_096.0);
const BEFORE: (f32, f32) = (2_000.0, 200.0);
/// What is deeper than so many times the mean is learned as if it were that deep.
const LEARNED: f32 = 4.0;

/// The callers of a route, together.
///
/// Requests of one caller depend on each other (what fails is tried again, large answers come in a row), so what their running rarity calls rare is less
/// rare than that. How much less is seen from the tail: how many requests are in it, and how far on average; beyond a threshold, that is close to
/// exponential (peaks over threshold: Davison, Smith: Models for Exceedances over High Thresholds, 1990).
#[derive(Clone, Debug)]
pub struct Common {
    last: [Last; CALLERS],
    /// How many times as unusual as always the median caller is.
    excess: f32,
    /// Share of requests in the tail, and of how many.
    share: f32,
    requests: f32,
    /// How far they are in it: the mean of ln(TAIL / rarity), and of how many.
    depth: f32,
    deep: f32,
}

/// What was last known of a caller.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    caller: u64,
    at: Duration,
    /// 0 where nobody is.
    excess: f32,
}

impl Default for Common {
    fn default() -> Self {
        let last = [Last::default(); CALLERS];
        Self { last, excess: 1.0, share: TAIL, requests: BEFORE.0, depth: 1.0, deep: BEFORE.1 }
    }
}

impl Common {
    /// How many times as unusual as always the requests of a caller are of late, the median of the callers of the last minute: an upstream that is
    /// slow is not the doing of one of them. 1 as long as they are fewer than three, and at least. Each caller counts once, however many
    /// its requests: who is alone in something does not make it common.
    #[must_use]
    pub fn excess(&self) -> f32 {
        self.excess
    }

    /// The share of requests whose callers are as unusual as one of this running rarity, or more; never less than that rarity.
    #[must_use]
    pub fn share(&self, rarity: f32) -> f32 {
        let share = if rarity >= TAIL { rarity / TAIL } else { (rarity / TAIL).powf(1.0 / self.depth.max(1.0)) };
        (self.share.max(TAIL) * share).min(1.0)
    }

    /// Learns what came of one more request of a caller.
    pub fn note(&mut self, caller: u64, running: &Running, at: Duration) {
        let Some(excess) = running.excess(at) else { return };
        let known = self.last.iter().position(|last| last.caller == caller && last.excess > 0.0);
        let oldest = || (0..CALLERS).min_by_key(|place| self.last.get(*place).map(|last| last.at));
        let Some(last) = known.or_else(oldest).and_then(|place| self.last.get_mut(place)) else { return };
        *last = Last { caller, at, excess };
        if running.row <= ROW {
            self.learn(running.rarity(at, self.excess));
        }
        self.excess = self.median(at).unwrap_or(1.0).max(1.0);
    }

    fn learn(&mut self, rarity: f32) {
        let is_deep = rarity < TAIL;
        self.requests = (self.requests + 1.0).min(MEMORY.0);
        self.share += (f32::from(is_deep) - self.share) / self.requests;
        if is_deep {
            self.deep = (self.deep + 1.0).min(MEMORY.1);
            self.depth += ((TAIL / rarity).ln().min(LEARNED * self.depth) - self.depth) / self.deep;
        }
    }

    /// The lower one of two.
    fn median(&self, at: Duration) -> Option<f32> {
        let mut all = [0.0; CALLERS];
        let mut count = 0;
        let recent = self.last.iter().filter(|last| last.excess > 0.0 && at.saturating_sub(last.at) < OUTDATED);
        for (place, last) in all.iter_mut().zip(recent) {
            *place = last.excess;
            count += 1;
        }
        let all = all.get_mut(..count).filter(|all| all.len() >= ENOUGH)?;
        Some(*all.select_nth_unstable_by((count - 1) / 2, f32::total_cmp).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of a caller whose last requests were so many times as unusual as always.
    fn of(excess: f32, at: Duration) -> Running {
        let mut running = Running::default();
        (0..200).for_each(|_| running.note((-1.0f32).exp(), at, 1.0));
        (0..200).for_each(|_| running.note((-excess).exp(), at, 1.0));
        running
    }

    fn note(common: &mut Common, caller: u64, excess: f32, at: Duration) -> f32 {
        common.note(caller, &of(excess, at), at);
        common.excess()
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 0.05 * b
    }

    #[test]
    fn who_is_alone_makes_nothing_common() {
        let mut common = Common::default();
        for second in 1..20 {
            for caller in 0..4 {
                note(&mut common, caller, 0.9, SECOND * second);
            }
            for _ in 0..20 {
                assert_eq!(note(&mut common, 9, 3.0, SECOND * second), 1.0);
            }
        }
    }

    #[test]
    fn what_most_have_is_common_until_it_is_over() {
        let mut common = Common::default();
        assert_eq!((note(&mut common, 1, 2.5, SECOND), note(&mut common, 2, 3.0, SECOND)), (1.0, 1.0));
        assert!(near(note(&mut common, 3, 0.5, SECOND), 2.5));
        assert_eq!(note(&mut common, 4, 0.5, SECOND), 1.0);
        assert!(near(note(&mut common, 5, 3.5, SECOND), 2.5));
        assert_eq!(note(&mut common, 6, 4.0, SECOND * 100), 1.0, "all others are gone");
    }

    #[test]
    fn those_who_came_last_are_remembered() {
        let mut common = Common::default();
        assert!((0..100).all(|caller| note(&mut common, caller, 1.0, SECOND) == 1.0));
        let last = (0..100).map(|caller| note(&mut common, caller, 3.0, SECOND * 2)).last();
        assert!(last.is_some_and(|last| near(last, 3.0)));
    }

    #[test]
    fn where_requests_depend_on_each_other_rare_means_are_less_rare() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut common = Common::default();
        let mut callers = [Running::default(); 10];
        let (mut all, mut rare) = (0, [(0.01_f32, 0, 0), (0.001, 0, 0)]);
        for number in 0..200_000_u32 {
            let (at, caller) = (SECOND * number, random.usize(..10));
            // Each outcome comes four times.
            let rarity = 1.0 - random.f32();
            for _ in 0..4 {
                let excess = common.excess();
                callers[caller].note(rarity, at, excess);
                common.note(caller as u64, &callers[caller], at);
                let own = callers[caller].rarity(at, common.excess());
                all += u32::from(number >= 100_000);
                for (limit, by_itself, among_all) in &mut rare {
                    *by_itself += u32::from(number >= 100_000 && own <= *limit);
                    *among_all += u32::from(number >= 100_000 && common.share(own) <= *limit);
                }
            }
        }
        for (limit, by_itself, among_all) in rare {
            let [by_itself, among_all] = [by_itself, among_all].map(|count| f64::from(count) / f64::from(all));
            let limit = f64::from(limit);
            assert!(by_itself > 3.0 * limit && among_all < 2.5 * limit, "{limit}: {by_itself} {among_all}");
        }
    }

    #[test]
    fn who_stays_in_the_tail_teaches_no_more() {
        let mut common = Common::default();
        let attacker = of(9.0, SECOND);
        (0..100_000).for_each(|_| common.note(1, &attacker, SECOND));
        assert!(common.share(attacker.rarity(SECOND, 1.0)) < 0.001, "{common:?}");
    }

    #[test]
    fn it_is_a_share_and_never_rarer_than_it_was() {
        let common = Common { depth: 3.0, share: 0.3, ..Common::default() };
        let shares: Vec<f32> = (0..1_000).map(|at| common.share(10_f32.powf(-0.01 * at as f32))).collect();
        assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]) && shares[0] == 1.0);
        assert!((0..1_000).all(|at| shares[at] >= 0.999 * 10_f32.powf(-0.01 * at as f32)));
    }
}
