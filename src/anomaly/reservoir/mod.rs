//! A sample of what was seen, to learn from: newer requests count more, and no caller has more than its share.
//!
//! Of all requests those with the highest keys are kept: the logarithm of a weight that doubles with every half-life, and Gumbel noise.
//! This is weighted sampling without replacement (Efraimidis, Spirakis: Weighted random sampling with a reservoir, IPL 2006) with
//! weights that decay forward (Cormode, Shkapenyuk, Srivastava, Xu: Forward decay, ICDE 2009); with logarithms of both no weight is ever too
//! large, whatever the age of the process.

mod callers;
mod heap;
#[cfg(test)]
mod tests;

use std::f64::consts::LN_2;
use std::time::Duration;

use fastrand::Rng;

use self::callers::{Caller, Callers};
use self::heap::{NONE, Slot, key, meld, pop};
use super::features::Row;
use super::model::Seen;

/// Half-lives after which a row is held to be worth nothing: what it counts is 1/256.
const WORTHLESS: f64 = 8.0;

/// A weighted sample in bounded memory: some 40 bytes besides each row, and less for each caller.
///
/// With m callers in it, none gets beyond max([`share`](Settings::share), 1/m) of its capacity, rounded up: so few callers, or one,
/// fill it as well. Whoever has that much replaces its own rows. A caller that got more while there were fewer keeps it until
/// others come, whose rows then take the place of its own, all of them. So what one caller does is a bounded part of what is learned,
/// however much of it there is. Callers that fall silent lose their rows after eight half-lives, when others are at their cap.
///
/// It grows with what comes, and once it is full allocates only when there are more callers than ever. A request that is not taken costs
/// two logarithms. The same seed and requests give the same sample.
#[derive(Debug)]
pub struct Reservoir {
    settings: Settings,
    random: Rng,
    offered: u64,
    newest: Duration,
    slots: Vec<Slot>,
    /// The first of the slots without a row.
    free: u32,
    released: usize,
    callers: Callers,
    /// No caller has more rows; maybe all have fewer.
    most: usize,
    /// Who had most when it was last looked.
    largest: u64,
    /// Where worthless rows are looked for.
    hand: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Rows.
    pub capacity: usize,
    /// After which a request counts half as much as one that comes now.
    pub half_life: Duration,
    /// The most that one caller may have of it, in (0, 1].
    pub share: f32,
}

impl Reservoir {
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            random: Rng::with_seed(seed),
            offered: 0,
            newest: Duration::ZERO,
            slots: Vec::new(),
            free: NONE,
            released: 0,
            callers: Callers::with_seed(seed),
            most: 0,
            largest: 0,
            hand: 0,
        }
    }

    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Offers a row, which is copied only when it is taken. `at` is since 1970 UTC.
    ///
    /// A clock that was set back by more than eight half-lives begins a new sample: the old one would take that long to be replaced.
    pub fn offer(&mut self, caller: u64, at: Duration, row: &Row) {
        self.offered += 1;
        let now = self.half_lives(at);
        if now + WORTHLESS < self.half_lives(self.newest) {
            self.clear();
            self.newest = at;
        }
        self.newest = self.newest.max(at);
        // Of 1 / 2^53 of all offers the noise is below all others: they are not taken from a full sample.
        let noise = -(-self.random.f64().ln()).ln();
        let key = now * LN_2 + noise;
        let lowest = self.callers.first().map_or(f64::INFINITY, |first| first.key);
        let is_settled = self.most <= self.cap();
        if is_settled && self.len() >= self.settings.capacity && key <= lowest {
            return;
        }
        if self.is_at_cap(caller) {
            self.release_worthless(now);
        }
        let new = Slot::new(Seen { caller, at, row: Row(row.0) }, key);
        if self.is_at_cap(caller) {
            if self.callers.get(caller).is_some_and(|own| key > own.key) {
                self.replace_lowest_of(caller, new);
            }
        } else if self.len() < self.settings.capacity {
            self.push(new);
        } else if let Some(over) = self.over_cap() {
            self.replace_lowest_of(over, new);
        } else if let Some(first) = self.callers.first().filter(|first| key > first.key) {
            self.replace_lowest_of(first.id, new);
        }
    }

    /// How many were offered since start.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.offered
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.released
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same sample by other settings, as far as they allow.
    #[must_use]
    pub fn refitted(&self, settings: Settings, seed: u64) -> Self {
        let mut refitted = Self::new(settings, seed);
        self.rows().iter().for_each(|Seen { caller, at, row }| refitted.offer(*caller, *at, row));
        refitted.offered = self.offered;
        refitted
    }

    /// At most so many, evenly from what is in it.
    #[must_use]
    pub fn some(&self, most: usize) -> Vec<Seen> {
        self.seen().step_by(self.len().div_ceil(most.max(1)).max(1)).cloned().collect()
    }

    /// What is in it, in no order.
    #[must_use]
    pub fn rows(&self) -> Vec<Seen> {
        self.seen().cloned().collect()
    }

    fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.slots.iter().filter(|slot| !slot.is_released()).map(|slot| &slot.seen)
    }

    /// Rows that a caller may have now.
    fn cap(&self) -> usize {
        let fair = self.settings.capacity.div_ceil(self.callers.len().max(1));
        let share = (self.settings.capacity as f32 * self.settings.share).ceil() as usize;
        fair.max(share).max(1)
    }

    fn is_at_cap(&self, caller: u64) -> bool {
        self.callers.get(caller).is_some_and(|own| own.rows >= self.cap())
    }

    /// Who has most, if that is more than its cap.
    fn over_cap(&mut self) -> Option<u64> {
        let cap = self.cap();
        if self.callers.get(self.largest).is_some_and(|largest| largest.rows > cap) {
            return Some(self.largest);
        }
        if self.most > cap {
            let largest = self.callers.iter().max_by_key(|caller| caller.rows)?;
            (self.most, self.largest) = (largest.rows, largest.id);
        }
        (self.most > cap).then_some(self.largest)
    }

    /// Looks at the lowest row of one caller, another one each time.
    fn release_worthless(&mut self, now: f64) {
        self.hand = self.hand.wrapping_add(1);
        let Some(owner) = self.hand.checked_rem(self.callers.len()).and_then(|at| self.callers.at(at)) else { return };
        let is_worthless = |slot: &Slot| self.half_lives(slot.seen.at) + WORTHLESS < now;
        if !self.slots.get(owner.root as usize).is_some_and(is_worthless) {
            return;
        }
        let at = self.orphan_lowest(owner);
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.release(self.free);
            self.free = at;
            self.released += 1;
        }
    }

    fn half_lives(&self, at: Duration) -> f64 {
        at.as_secs_f64() / self.settings.half_life.as_secs_f64().max(1e-9)
    }

    fn clear(&mut self) {
        self.slots.clear();
        (self.free, self.released, self.most) = (NONE, 0, 0);
        self.callers = Callers::with_seed(self.random.u64(..));
    }

    fn push(&mut self, new: Slot) {
        if let Some(slot) = self.slots.get_mut(self.free as usize) {
            let at = self.free;
            self.free = slot.take(new);
            self.released -= 1;
            return self.adopt(at);
        }
        // Doubling would end beyond the capacity.
        if self.slots.len() == self.slots.capacity() {
            let room = self.settings.capacity.saturating_sub(self.slots.len());
            self.slots.reserve_exact(room.min(self.slots.len().max(64)));
        }
        if let Ok(at) = u32::try_from(self.slots.len()) {
            self.slots.push(new);
            self.adopt(at);
        }
    }

    fn replace_lowest_of(&mut self, caller: u64, new: Slot) {
        let Some(at) = self.callers.get(caller).map(|owner| self.orphan_lowest(owner)) else { return };
        if let Some(slot) = self.slots.get_mut(at as usize) {
            *slot = new;
            self.adopt(at);
        }
    }

    /// Takes the row with the lowest key of a caller out of its heap.
    fn orphan_lowest(&mut self, owner: Caller) -> u32 {
        let root = pop(&mut self.slots, owner.root);
        self.callers.set(Caller { key: key(&self.slots, root), root, rows: owner.rows - 1, ..owner });
        owner.root
    }

    /// A row that is in no heap joins that of its caller.
    fn adopt(&mut self, at: u32) {
        let Some(id) = self.slots.get(at as usize).map(|slot| slot.seen.caller) else { return };
        let before = self.callers.get(id).unwrap_or(Caller { id, key: f64::INFINITY, root: NONE, rows: 0 });
        let root = meld(&mut self.slots, before.root, at);
        self.callers.set(Caller { id, key: key(&self.slots, root), root, rows: before.rows + 1 });
        self.most = self.most.max(before.rows + 1);
    }
}
