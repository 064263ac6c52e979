//! Heaps of rows whose links lie in the rows: one for each caller, in the memory that the rows have anyway.
//!
//! Pairing heaps (Fredman, Sedgewick, Sleator, Tarjan: The pairing heap: a new form of self-adjusting heap, Algorithmica 1986).

use crate::anomaly::model::Seen;

/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// A row in the sample.
#[derive(Debug)]
pub(super) struct Slot {
    pub seen: Seen,
    /// The lowest leaves first.
    pub key: f64,
    /// The first of those below it in the heap.
    child: u32,
    /// The next of those below the same one.
    next: u32,
}

impl Slot {
    pub(super) fn new(seen: Seen, key: f64) -> Self {
        Self { seen, key, child: NONE, next: NONE }
    }

    /// Without a row; `next` is the next one without.
    pub(super) fn release(&mut self, next: u32) {
        (self.key, self.next) = (f64::INFINITY, next);
    }

    pub(super) fn is_released(&self) -> bool {
        self.key == f64::INFINITY
    }

    /// Takes a row; says which is the next slot without one.
    pub(super) fn take(&mut self, row: Self) -> u32 {
        std::mem::replace(self, row).next
    }
}

/// The key of a row, above all others when there is no such row.
pub(super) fn key(slots: &[Slot], at: u32) -> f64 {
    slots.get(at as usize).map_or(f64::INFINITY, |slot| slot.key)
}

/// One heap of two.
pub(super) fn meld(slots: &mut [Slot], a: u32, b: u32) -> u32 {
    if a == NONE || b == NONE {
        return a.min(b);
    }
    let (top, under) = if key(slots, a) <= key(slots, b) { (a, b) } else { (b, a) };
    let first = slots.get_mut(top as usize).map_or(NONE, |top| std::mem::replace(&mut top.child, under));
    set_next(slots, under, first);
    top
}

/// What is left without the lowest.
pub(super) fn pop(slots: &mut [Slot], root: u32) -> u32 {
    let mut at = slots.get_mut(root as usize).map_or(NONE, |slot| std::mem::replace(&mut slot.child, NONE));
    // Pairs from the first to the last, then all of them from the last to the first.
    let mut pairs = NONE;
    while at != NONE {
        let second = set_next(slots, at, NONE);
        let rest = set_next(slots, second, NONE);
        let pair = meld(slots, at, second);
        set_next(slots, pair, pairs);
        pairs = pair;
        at = rest;
    }
    let mut heap = NONE;
    while pairs != NONE {
        let rest = set_next(slots, pairs, NONE);
        heap = meld(slots, heap, pairs);
        pairs = rest;
    }
    heap
}

/// Gives what was next before.
fn set_next(slots: &mut [Slot], at: u32, next: u32) -> u32 {
    slots.get_mut(at as usize).map_or(NONE, |slot| std::mem::replace(&mut slot.next, next))
}
