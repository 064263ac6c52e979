//! What follows from an unusual request: one rung of a ladder; and from one after the other, a hold on whoever sends them.

use std::time::Duration;

pub use self::safety::Safety;
pub use crate::config::checked::anomaly::{Action, Ladder};

mod safety;
#[cfg(test)]
mod tests;

/// A hold begins when so much of what a caller sent of late is on a rung: of its requests, and of the time.
const HELD: f32 = 0.5;

/// What counts as of late: some 16 requests, and a fifth of `cool_down` (as exponentially weighted means). The longer a hold, the
/// longer it takes to deserve one: however many requests come in one unusual window of ten seconds, they are no habit.
const OF_LATE: (f32, f32) = (16.0, 5.0);

/// Less is nothing.
const FORGOTTEN: f32 = 0.01;

/// Where a caller stands on a route.
///
/// A request on the rung `throttle` or `challenge` is refused by itself. When at least half of the caller's requests of late are on that rung,
/// each of them begins a hold on all of its requests, or renews it: that ends `cool_down` after the last. What the ladder in force does not
/// have, or has shorter, is forgotten, so that no older one holds a caller back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    throttle: Hold,
    challenge: Hold,
    /// When the last request was judged.
    last: Duration,
    /// When an unusual request, or any of a throttled caller, may pass.
    next_at: Duration,
    /// The second in which the caller was asked to authenticate anew, since 1970 UTC, and when that is over.
    asked: Option<(u64, Duration)>,
}

/// On the requests of a caller, from one rung.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Hold {
    /// Of requests of late, those on the rung or above it: each weighing as much as the time since the one before.
    by_time: f32,
    /// Each weighing the same.
    by_count: f32,
    until: Duration,
}

/// How rare a request is, as a share of usual requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rarity {
    /// By all that is known, what its caller did before included.
    pub all: f32,
    /// By itself.
    pub own: f32,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub action: Action,
    /// How rare the request was held to be: what the ladder was asked with.
    pub rarity: f32,
    /// Set when the caller has to wait: for how long.
    pub wait: Option<Duration>,
    /// Set when it was asked to authenticate anew: credentials issued before this, since 1970 UTC, are not enough.
    pub since: Option<Duration>,
}

impl Verdict {
    /// Whether the request is not forwarded. A throttled one is, if it came slowly enough.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.action >= Action::Challenge || self.wait.is_some()
    }
}

impl Standing {
    /// What is to be done with a request of this rarity, now (`at` by the clock that never jumps, `wall` since 1970 UTC).
    /// `issued_at` of its token, if it has one: who cannot authenticate anew is throttled where others are challenged.
    ///
    /// Only what is rare by itself is blocked: or else nobody who was once would ever come out of it.
    ///
    /// Of a caller's requests that are on the rung `throttle`, and of all of them under its hold, at most `1 + t / ladder.throttle` pass within any
    /// time `t` (GCRA without a burst); a refused one costs nothing.
    ///
    /// A token meets a challenge if it was issued in the second in which that began, or later: tokens tell whole seconds (`iat`),
    /// so one that is older by less than a second counts as well. A request on the rung `challenge`
    /// whose token meets it is throttled instead (or tagged, without that rung): nobody has to authenticate for each request.
    pub fn judge(
        &mut self,
        ladder: &Ladder,
        rarity: Rarity,
        (at, wall): (Duration, Duration),
        issued_at: Option<Duration>,
    ) -> Verdict {
        self.forget(ladder, at);
        let rung = rung(ladder, rarity);
        let verdict = Verdict { action: rung, rarity: rarity.all, wait: None, since: None };
        if rung <= Action::Tag && *self == Self::default() {
            return verdict;
        }
        let since = at.saturating_sub(self.last).as_secs_f32();
        self.last = self.last.max(at);
        let late = (since * OF_LATE.1 / ladder.cool_down.as_secs_f32()).min(1.0 / OF_LATE.0);
        let until = at.saturating_add(ladder.cool_down);
        self.throttle.note(rung >= Action::Throttle && has(ladder, Action::Throttle), late, until);
        let asks = rung >= Action::Challenge && has(ladder, Action::Challenge);
        self.challenge.note(asks, late, until);
        if asks {
            self.asked = Some((self.asked.map_or(wall.as_secs(), |(since, _)| since), until));
        }

        if rung == Action::Block {
            return verdict;
        }
        let asked = self.asked.filter(|_| asks || at < self.challenge.until);
        let unmet = asked.filter(|(since, _)| issued_at.is_none_or(|issued_at| issued_at.as_secs() < *since));
        if let (Some((since, _)), Some(_)) = (unmet, issued_at) {
            return Verdict { action: Action::Challenge, since: Some(Duration::from_secs(since)), ..verdict };
        }
        let is_throttled =
            at < self.throttle.until || rung >= Action::Throttle && has(ladder, Action::Throttle) || unmet.is_some();
        if is_throttled {
            return Verdict { action: Action::Throttle, wait: self.pass(ladder, at), ..verdict };
        }
        Verdict { action: rung.min(Action::Tag), ..verdict }
    }

    /// Lets go of what is over, and of what the ladder would not have done.
    fn forget(&mut self, ladder: &Ladder, at: Duration) {
        let latest = |action| if has(ladder, action) { at.saturating_add(ladder.cool_down) } else { Duration::ZERO };
        let left = |until: Duration, action| Some(until.min(latest(action))).filter(|until| at < *until);
        self.throttle.until = left(self.throttle.until, Action::Throttle).unwrap_or_default();
        self.challenge.until = left(self.challenge.until, Action::Challenge).unwrap_or_default();
        self.asked = self.asked.and_then(|(since, until)| Some((since, left(until, Action::Challenge)?)));
        self.next_at = self.next_at.min(at.saturating_add(ladder.throttle));
        if self.throttle.is_over() && self.challenge.is_over() && self.asked.is_none() && self.next_at <= at {
            *self = Self::default();
        }
    }

    /// Lets a request pass, or says how long it has to wait.
    fn pass(&mut self, ladder: &Ladder, at: Duration) -> Option<Duration> {
        let wait = self.next_at.saturating_sub(at);
        if wait.is_zero() {
            self.next_at = at.saturating_add(ladder.throttle);
        }
        (!wait.is_zero()).then_some(wait)
    }
}

impl Hold {
    /// `late` is the weight of the time since the request before.
    fn note(&mut self, is_on_rung: bool, late: f32, until: Duration) {
        let value = f32::from(is_on_rung);
        self.by_time += late * (value - self.by_time);
        self.by_count += (value - self.by_count) / OF_LATE.0;
        if is_on_rung && self.by_time.min(self.by_count) >= HELD {
            self.until = until;
        }
    }

    fn is_over(&self) -> bool {
        self.until.is_zero() && self.by_time.max(self.by_count) < FORGOTTEN
    }
}

/// The most drastic that is asked for requests as rare as this.
#[must_use]
pub fn rung(ladder: &Ladder, rarity: Rarity) -> Action {
    let of = |action| if action == Action::Block { rarity.own } else { rarity.all };
    let reached = ladder.rungs.iter().filter(|(action, share)| *share >= of(*action));
    reached.map(|(action, _)| *action).max().unwrap_or_default()
}

fn has(ladder: &Ladder, action: Action) -> bool {
    ladder.rungs.iter().any(|(rung, _)| *rung == action)
}
