//! The callers of a sample, the one with the lowest key first.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// A caller with rows in the sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub id: u64,
    /// The lowest of the keys of its rows.
    pub key: f64,
    /// Of the heap of its rows.
    pub root: u32,
    pub rows: usize,
}

/// A binary heap by key in which every caller is found.
#[derive(Debug, Default)]
pub(super) struct Callers {
    heap: Vec<Caller>,
    places: HashMap<u64, usize, FixedState>,
}

impl Callers {
    pub(super) fn with_seed(seed: u64) -> Self {
        Self { heap: Vec::new(), places: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn first(&self) -> Option<Caller> {
        self.heap.first().copied()
    }

    /// In no order that means anything, but for the first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Caller> {
        self.heap.iter().copied()
    }

    /// One of them, by its place in the order of [`iter`](Self::iter).
    pub(super) fn at(&self, place: usize) -> Option<Caller> {
        self.heap.get(place).copied()
    }

    pub(super) fn get(&self, id: u64) -> Option<Caller> {
        self.places.get(&id).and_then(|place| self.heap.get(*place)).copied()
    }

    /// In place of what it was before; without rows it is gone.
    pub(super) fn set(&mut self, caller: Caller) {
        let place = *self.places.entry(caller.id).or_insert(self.heap.len());
        match self.heap.get_mut(place) {
            Some(found) => *found = caller,
            None => self.heap.push(caller),
        }
        if caller.rows > 0 {
            self.settle(place);
            return;
        }
        self.places.remove(&caller.id);
        self.heap.swap_remove(place);
        if let Some(moved) = self.heap.get(place) {
            self.places.insert(moved.id, place);
            self.settle(place);
        }
    }

    /// Moves it to where its key belongs.
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.key((place - 1) / 2) > self.key(place) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let lower = if self.key(right) < self.key(left) { right } else { left };
            if self.key(lower) >= self.key(place) {
                return;
            }
            self.swap(place, lower);
            place = lower;
        }
    }

    /// Above all others where nobody is.
    fn key(&self, place: usize) -> f64 {
        self.heap.get(place).map_or(f64::INFINITY, |caller| caller.key)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            if let Some(caller) = self.heap.get(place) {
                self.places.insert(caller.id, place);
            }
        }
    }
}
