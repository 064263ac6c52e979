//! What follows from an unusual request: one rung of a ladder, for a while, and never begun by more of the traffic than is allowed.

use std::time::Duration;

pub use self::safety::Safety;
pub use crate::config::checked::anomaly::{Action, Ladder};

mod safety;
#[cfg(test)]
mod tests;

/// Where a caller stands on a route.
///
/// A request on the rung `throttle` or `challenge` begins a hold, and each further one renews it: it ends `cool_down` after
/// the last. What the ladder in force does not have, or has shorter, is forgotten, so that no older one holds a caller back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// When the caller is no longer throttled.
    throttled_until: Duration,
    /// When a throttled caller's next request may pass.
    next_at: Duration,
    /// When the caller is no longer challenged.
    challenged_until: Duration,
    /// The second in which the challenge began, since 1970 UTC.
    since: u64,
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
    /// It is blocked, or begins a hold: what follows from what is known by now is not counted again.
    pub begins: bool,
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
    /// Under a throttle hold, of the requests within any time `t` at most `1 + t / ladder.throttle` pass (GCRA without a
    /// burst); a refused one costs nothing.
    ///
    /// A token meets a challenge if it was issued in the second in which that began, or later: tokens tell whole seconds (`iat`),
    /// so one that is older by less than a second counts as well. Older ones are challenged until the hold ends. A request on the rung `challenge`
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
        let verdict = Verdict { action: rung, rarity: rarity.all, wait: None, since: None, begins: false };
        if rung == Action::Block {
            return Verdict { begins: true, ..verdict };
        }
        let mut begins = false;
        let holds = at < self.challenged_until;
        let meets = holds && issued_at.is_some_and(|issued_at| issued_at.as_secs() >= self.since);
        if rung == Action::Challenge && !meets {
            if !holds {
                self.since = wall.as_secs();
                begins = true;
            }
            self.challenged_until = at.saturating_add(ladder.cool_down);
        }
        let is_challenged = !meets && at < self.challenged_until;
        if is_challenged && issued_at.is_some() {
            let since = Some(Duration::from_secs(self.since));
            return Verdict { action: Action::Challenge, since, begins, ..verdict };
        }
        if rung >= Action::Throttle && !is_challenged && has(ladder, Action::Throttle) {
            begins |= at >= self.throttled_until;
            self.throttled_until = at.saturating_add(ladder.cool_down);
        }
        if is_challenged || at < self.throttled_until {
            return Verdict { action: Action::Throttle, wait: self.pass(ladder, at), begins, ..verdict };
        }
        Verdict { action: rung.min(Action::Tag), ..verdict }
    }

    /// Lets go of what is over, and of what the ladder would not have done.
    fn forget(&mut self, ladder: &Ladder, at: Duration) {
        let latest = |action| if has(ladder, action) { at.saturating_add(ladder.cool_down) } else { Duration::ZERO };
        let of =
            |until: Duration, action| Some(until.min(latest(action))).filter(|until| at < *until).unwrap_or_default();
        self.throttled_until = of(self.throttled_until, Action::Throttle);
        self.challenged_until = of(self.challenged_until, Action::Challenge);
        self.next_at = self.next_at.min(at.saturating_add(ladder.throttle));
        if self.throttled_until.is_zero() && self.challenged_until.is_zero() && self.next_at <= at {
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
