//! What one request has been charged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counter::{Charge, Level, Question};
use super::fields;
use super::key;
use super::rules::{Rules, Set};
use super::{Asked, Refused};
use crate::base::clock;
use crate::base::reason::Reason;
use crate::config::checked::limits::LimitFields;

/// What a request has been charged, until it ends: permits in flight go back when this is dropped.
#[derive(Debug, Default)]
pub struct Granted {
    asked: Vec<Phase>,
    answers: Vec<Answer>,
    observed: Vec<Observed>,
}

/// A limit that would have refused, were it not only observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub reason: Reason,
    pub limit: Arc<str>,
}

/// Rules that were asked together.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) set: Arc<Set>,
    pub(super) strangers: bool,
}

/// What a rule said.
#[derive(Debug)]
pub(super) struct Answer {
    /// Number of the phase.
    pub(super) phase: usize,
    /// Number in the set.
    pub(super) rule: usize,
    pub(super) level: Level,
    /// `None` when it refused, or has it back.
    charge: Option<Charge>,
    cost: u32,
    /// How long to wait, when this is why the request was refused.
    pub(super) refused: Option<Duration>,
}

impl Granted {
    /// Charges a request to all of these rules, or to none. `strangers` are the limits that need no identity, the
    /// others come later in a second call.
    ///
    /// # Errors
    ///
    /// The first limit that refuses; what earlier calls charged is given back.
    pub fn charge(&mut self, rules: &Rules, strangers: bool, asked: &Asked<'_>) -> Result<(), Refused> {
        let Some(set) = &rules.set else { return Ok(()) };
        let (first, those, counters) = set.phase(strangers);
        if those.is_empty() {
            return Ok(());
        }
        let phase = self.asked.len();
        self.asked.push(Phase { set: Arc::clone(set), strangers });
        let at = set.time.nanos(asked.at);
        let mut key = None;
        for ((its, counter), rule) in those.iter().zip(counters).zip(first..) {
            let per = its.measure.per();
            if its.by_key && !(its.same_keys && key.is_some()) {
                key = Some(set.compiled.seeds.key(per, asked));
            }
            let text = || key::text(per, asked);
            let question =
                Question { key: key.filter(|_| its.by_key), text: &text, cost: asked.cost, at, now: asked.now };
            let (charged, level) = counter.charge(&question);
            let mut answer = Answer { phase, rule, level, charge: None, cost: asked.cost, refused: None };
            match charged {
                Ok(charge) => answer.charge = Some(charge),
                Err(_) if its.measure.observe() => {
                    self.observed.push(Observed { reason: counter.reason(), limit: Arc::clone(its.measure.name()) });
                }
                Err(wait) => {
                    answer.refused = Some(wait);
                    let limit = Arc::clone(its.measure.name());
                    let refused = Refused { reason: counter.reason(), limit, retry_after: fields::whole_seconds(wait) };
                    self.answers.push(answer);
                    self.give_all_back(asked.at);
                    return Err(refused);
                }
            }
            self.answers.push(answer);
        }
        Ok(())
    }

    /// The limits that would have refused so far, were they not only observed.
    #[must_use]
    pub fn observed(&self) -> &[Observed] {
        &self.observed
    }

    /// The answer fields that tell about the limits that were asked; after a refusal, too. Limits that are only observed are not told.
    pub fn fields(&self, which: LimitFields, put: impl FnMut(&'static str, &[u8])) {
        fields::tell(&self.asked, &self.answers, which, put);
    }

    /// As if the request had never come: everything is given back and forgotten.
    pub fn undo(&mut self) {
        self.give_all_back(clock::now());
        self.clear();
    }

    /// Gives permits back and forgets everything; memory stays.
    pub fn clear(&mut self) {
        for answer in self.answers.drain(..) {
            // What has been used up by a request that was served stays used up.
            if let (Some(charge @ Charge::Concurrency(_)), Some(phase)) = (answer.charge, self.asked.get(answer.phase))
            {
                phase.give_back(answer.rule, charge, clock::now);
            }
        }
        self.asked.clear();
        self.observed.clear();
    }

    /// A request that is refused has been charged nothing.
    fn give_all_back(&mut self, at: Instant) {
        for answer in &mut self.answers {
            if let (Some(charge), Some(phase)) = (answer.charge.take(), self.asked.get(answer.phase)) {
                phase.give_back(answer.rule, charge, || clock::now().max(at));
                answer.level.rise(answer.cost);
            }
        }
    }
}

impl Phase {
    fn give_back(&self, rule: usize, charge: Charge, now: impl Fn() -> Instant) {
        if let Some(counter) = self.set.counters.get(rule) {
            counter.give_back(charge, || self.set.time.nanos(now()));
        }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
impl Granted {
    pub(super) fn asked_nothing(&self) -> bool {
        self.asked.is_empty()
    }
}
