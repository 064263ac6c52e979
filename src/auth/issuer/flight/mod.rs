//! When keys are fetched out of turn, and who waits for it: unknown keys cause one fetch at a time, with a cool-down after
//! each, whatever clients send.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Unknown keys that are remembered; further ones are held back by the cool-down alone.
const MAX_ABSENT: usize = 1024;

/// Fetches are numbered from 1. A request waits for the end of a number, never for a state.
#[derive(Debug)]
pub(super) struct Flight {
    cool_down: Duration,
    /// No pause after an unknown key becomes longer than this.
    longest: Duration,
    epoch: Instant,
    /// Milliseconds since `epoch`, up to which unknown keys are refused unseen: the one thing that requests read under an
    /// attack, and nobody writes meanwhile.
    quiet_until: AtomicU64,
    state: Mutex<State>,
    finished: watch::Sender<u64>,
    wake: Notify,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct State {
    begun: u64,
    finished: u64,
    /// A fetch is wanted that has not begun.
    asked: bool,
    /// The last fetch that an unknown key has caused or waits for: after its end follows a cool-down.
    caused: u64,
    /// The last fetch that took longer than anybody waits.
    late: u64,
    absent: HashMap<u64, Absent>,
}

/// A key that was not known.
#[derive(Debug)]
struct Absent {
    /// Which may bring it.
    fetch: u64,
    /// Causes no further one until then.
    until: Instant,
    /// Doubled each time, so that a client whose key never comes is not what the issuer hears of.
    pause: Duration,
}

impl State {
    /// The fetch that began after now or is under way; wakes the task if it has to begin.
    fn next(&mut self, wake: &Notify) -> u64 {
        if self.begun > self.finished && !self.asked {
            return self.begun;
        }
        if !self.asked {
            self.asked = true;
            wake.notify_one();
        }
        self.begun + 1
    }
}

impl Flight {
    /// Keys that stay unknown cause a fetch after one cool-down, two, four, and so on up to `longest`.
    pub fn new(cool_down: Duration, longest: Duration) -> Self {
        Self {
            cool_down,
            longest: longest.max(cool_down),
            epoch: Instant::now(),
            quiet_until: AtomicU64::new(0),
            state: Mutex::default(),
            finished: watch::Sender::new(0),
            wake: Notify::new(),
            hasher: RandomState::new(),
        }
    }

    /// The fetch to wait for because of a key that is not known; `None` when it is not known for good.
    pub fn await_key(&self, key_id: Option<&str>, now: Instant) -> Option<u64> {
        if self.is_quiet(now) {
            return None;
        }
        let key = self.hasher.hash_one(key_id);
        let mut state = self.lock();
        let known = state.absent.get(&key).map(|absent| (absent.fetch, absent.until, absent.pause));
        if let Some((fetch, until, _)) = known {
            if fetch > state.finished {
                return (fetch > state.late).then_some(fetch);
            }
            if until > now {
                return None;
            }
        }
        let fetch = state.next(&self.wake);
        state.caused = fetch;
        if fetch <= state.late {
            return None;
        }
        let pause = known.map_or(self.cool_down, |(_, _, pause)| pause).saturating_mul(2).min(self.longest);
        if state.absent.len() >= MAX_ABSENT {
            state.absent.retain(|_, absent| absent.until + absent.pause > now);
        }
        if state.absent.len() < MAX_ABSENT || known.is_some() {
            state.absent.insert(key, Absent { fetch, until: now + pause, pause });
        }
        Some(fetch)
    }

    /// The fetch to wait for while there is no key at all: the very first, unless it is late. A later one is asked for, but
    /// nobody waits for it.
    pub fn await_first(&self, now: Instant) -> Option<u64> {
        if self.is_quiet(now) {
            return None;
        }
        let mut state = self.lock();
        if state.finished == 0 {
            return (state.late == 0).then_some(1);
        }
        state.caused = state.next(&self.wake);
        None
    }

    /// Asks for a fetch that begins after now, whatever was fetched last; gives its number.
    pub fn order(&self) -> u64 {
        let mut state = self.lock();
        state.asked = true;
        self.wake.notify_one();
        state.begun + 1
    }

    /// Somebody has waited for this fetch for as long as anybody does.
    pub fn gave_up(&self, fetch: u64) {
        let mut state = self.lock();
        if fetch > state.finished {
            state.late = state.late.max(fetch);
        }
    }

    /// Resolves when a fetch is asked for.
    pub async fn asked(&self) {
        loop {
            // Before the look, so that nothing is missed between the two.
            let woken = self.wake.notified();
            if self.lock().asked {
                return;
            }
            woken.await;
        }
    }

    /// A fetch begins; gives its number.
    pub fn begin(&self) -> u64 {
        let mut state = self.lock();
        state.asked = false;
        state.begun += 1;
        state.begun
    }

    /// It has ended, well or not, and what it brought is published.
    pub fn finish(&self, fetch: u64, now: Instant) {
        let mut state = self.lock();
        state.finished = fetch;
        if state.caused >= fetch {
            let until = now.saturating_duration_since(self.epoch) + self.cool_down;
            self.quiet_until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
        }
        drop(state);
        self.finished.send_replace(fetch);
    }

    /// The number of the last fetch that has ended.
    pub fn finished(&self) -> watch::Receiver<u64> {
        self.finished.subscribe()
    }

    fn is_quiet(&self, now: Instant) -> bool {
        let until = self.quiet_until.load(Ordering::Acquire);
        until > 0 && now.saturating_duration_since(self.epoch).as_millis() < u128::from(until)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unknown keys that are remembered.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.lock().absent.len()
    }
}

#[cfg(test)]
mod tests;
