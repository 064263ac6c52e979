//! Counters of which every thread that serves requests has its own, added up when somebody reads.
//!
//! Counting is then a load and a store in a cache line that no other core writes: no locked instruction, and nothing
//! that workers could wait for. It is exact: a set of cells has one writer at a time, or is counted atomically.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A number that goes up; or up and down, and then only the sum over all threads has a meaning, as two's complement.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(super) fn add(&self, number: u64, writer: Writer) {
        match writer {
            Writer::Alone => {
                self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
            }
            Writer::OneOfMany => {
                self.0.fetch_add(number, Ordering::Relaxed);
            }
        }
    }

    #[inline]
    pub(super) fn subtract(&self, number: u64, writer: Writer) {
        self.add(number.wrapping_neg(), writer);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Who writes into the cells that [`Sharded::mine`] gave.
#[derive(Clone, Copy)]
pub(super) enum Writer {
    /// This thread and no other, as long as it lives.
    Alone,
    OneOfMany,
}

/// `T` holds counters: one for each thread, made when the thread first counts here.
pub(super) struct Sharded<T> {
    /// By the place of a thread.
    own: Box<[OnceLock<Box<Lines<T>>>]>,
    /// Of the threads that have no place, or one beyond `own`.
    common: Lines<T>,
}

/// Whole cache lines, in the pairs that processors fetch.
#[derive(Default)]
#[repr(align(128))]
struct Lines<T>(T);

impl<T: Default> Sharded<T> {
    /// For so many threads that count without meeting others; further ones share their cells.
    pub(super) fn new(threads: usize) -> Self {
        Self { own: (0..threads).map(|_| OnceLock::new()).collect(), common: Lines::default() }
    }

    /// The cells of this thread, valid for as long as it does not hand them to another.
    #[inline]
    pub(super) fn mine(&self) -> (&T, Writer) {
        match self.own.get(PLACE.get()).and_then(OnceLock::get) {
            Some(lines) => (&lines.0, Writer::Alone),
            None => self.first_time(),
        }
    }

    #[cold]
    fn first_time(&self) -> (&T, Writer) {
        if PLACE.get() == UNASKED {
            // A thread on its way out has given its place back.
            PLACE.set(LEASE.try_with(|lease| lease.0).unwrap_or(NONE));
        }
        match self.own.get(PLACE.get()) {
            Some(lines) => (&lines.get_or_init(Box::default).0, Writer::Alone),
            None => (&self.common.0, Writer::OneOfMany),
        }
    }

    /// One number over all threads.
    pub(super) fn sum(&self, read: impl Fn(&T) -> u64) -> u64 {
        let own = self.own.iter().filter_map(OnceLock::get).map(|lines| &**lines);
        own.chain([&self.common]).fold(0, |sum, lines| sum.wrapping_add(read(&lines.0)))
    }
}

thread_local! {
    /// The index of this thread's cells; beside `LEASE` because what has no destructor is read with one load.
    static PLACE: Cell<usize> = const { Cell::new(UNASKED) };
    static LEASE: Lease = Lease::take();
}

/// No number of threads reaches these.
const UNASKED: usize = usize::MAX;
const NONE: usize = usize::MAX - 1;

/// A place that this thread holds until it ends: no two threads have the same at a time, and the lock orders what an earlier
/// holder wrote before what the next one reads.
struct Lease(usize);

static PLACES: Mutex<Places> = Mutex::new(Places { free: BTreeSet::new(), next: 0 });

struct Places {
    free: BTreeSet<usize>,
    next: usize,
}

impl Lease {
    fn take() -> Self {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let Places { free, next } = &mut *places;
        Self(free.pop_first().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Destructors that run after this one may still count.
        PLACE.set(NONE);
        PLACES.lock().unwrap_or_else(PoisonError::into_inner).free.insert(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn add(sharded: &Sharded<Counter>, number: u64) {
        let (counter, writer) = sharded.mine();
        counter.add(number, writer);
    }

    #[test]
    fn nothing_is_lost_however_many_threads_count() {
        // With cells of their own for some of the threads, for none, and surely for all.
        for own in [3, 0, 10_000] {
            let sharded = Sharded::<Counter>::new(own);
            let together = Barrier::new(8);
            for _ in 0..3 {
                thread::scope(|scope| {
                    for _ in 0..8 {
                        scope.spawn(|| {
                            together.wait();
                            (0..1_000).for_each(|_| add(&sharded, 2));
                        });
                    }
                });
            }
            assert_eq!(sharded.sum(Counter::get), 48_000);
        }
    }

    #[test]
    fn what_goes_up_on_one_thread_may_go_down_on_another() {
        let sharded = Sharded::<Counter>::new(10_000);
        add(&sharded, 3);
        thread::scope(|scope| {
            scope.spawn(|| {
                let (counter, writer) = sharded.mine();
                counter.subtract(1, writer);
            });
        });
        assert_eq!(sharded.sum(Counter::get), 2);
    }

    #[test]
    fn a_thread_that_is_ending_still_counts() {
        struct AtTheEnd(&'static Sharded<Counter>);
        impl Drop for AtTheEnd {
            fn drop(&mut self) {
                add(self.0, 1);
            }
        }
        thread_local!(static LAST: Cell<Option<AtTheEnd>> = const { Cell::new(None) });

        static SHARDED: OnceLock<Sharded<Counter>> = OnceLock::new();
        let sharded = SHARDED.get_or_init(|| Sharded::new(10_000));
        for counts_first in [true, false] {
            thread::spawn(move || {
                // Destructors run in the opposite order, or not: either way the second one counts.
                if counts_first {
                    add(sharded, 1);
                }
                LAST.set(Some(AtTheEnd(sharded)));
                if !counts_first {
                    add(sharded, 1);
                }
            })
            .join()
            .unwrap();
        }
        assert_eq!(sharded.sum(Counter::get), 4);
    }
}
