//! What an issuer's requests and the task that keeps its keys fresh share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::time::Instant;

use super::fetch::Fetched;
use super::files::{Content, Loaded};
use super::flight::Flight;
use super::sets::Sets;
use super::status::{FetchFailure, IssuerNumbers, IssuerStatus};
use crate::auth::jwt::{KeyFault, KeySet};
use crate::base::clock;
use crate::config::checked::identity::Algorithm;

/// Over all issuers, so that what was verified with the keys of one is never taken for another's.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// The keys that count now.
#[derive(Debug)]
pub(super) struct Published {
    pub keys: KeySet,
    pub generation: u64,
    /// Nothing was ever fetched: there is no telling whether a key is unknown.
    pub is_empty: bool,
}

/// Read by every request without a lock; written by one task.
#[derive(Debug)]
pub(super) struct Keyring {
    issuer: Arc<str>,
    algorithms: Vec<Algorithm>,
    published: ArcSwap<Published>,
    pub flight: Flight,
    ledger: Mutex<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    sets: Sets,
    /// Of the files that the keys were read from.
    content: Option<Content>,
    /// From this fetch on, keys that leave the set are dropped at once, until a good one has come.
    dropping_from: Option<u64>,
    fetched_at: Option<u64>,
    next_at: Option<u64>,
    failing_since: Option<u64>,
    last_failure: Option<FetchFailure>,
    fetched: u64,
    failed: u64,
}

impl Keyring {
    /// Without keys, which are to be fetched and may be of these algorithms.
    pub fn empty(issuer: &Arc<str>, algorithms: &[Algorithm], sets: Sets, flight: Flight) -> Self {
        let published = Published { keys: KeySet::default(), generation: new_generation(), is_empty: true };
        Self {
            issuer: Arc::clone(issuer),
            algorithms: algorithms.to_vec(),
            published: ArcSwap::from_pointee(published),
            flight,
            ledger: Mutex::new(Ledger {
                sets,
                content: None,
                dropping_from: None,
                fetched_at: None,
                next_at: None,
                failing_since: None,
                last_failure: None,
                fetched: 0,
                failed: 0,
            }),
        }
    }

    /// Begins with the keys of another keyring of the same source, until its own first fetch has come.
    pub fn inherit(&self, other: &Self) {
        if other.published.load().is_empty {
            return;
        }
        let other = other.lock();
        let mut ledger = self.lock();
        ledger.sets.inherit(&other.sets);
        ledger.fetched_at = other.fetched_at;
        self.publish(&ledger);
    }

    /// With keys that never change.
    pub fn fixed(issuer: &Arc<str>, keys: KeySet) -> Self {
        let idle = Flight::new(Duration::ZERO, Duration::ZERO);
        let this = Self::empty(issuer, &[], Sets::new(Duration::ZERO), idle);
        let mut ledger = this.lock();
        ledger.sets.take(keys, Vec::new(), Instant::now());
        this.publish(&ledger);
        drop(ledger);
        this
    }

    /// With keys from files.
    pub fn loaded(issuer: &Arc<str>, loaded: Loaded) -> Self {
        let idle = Flight::new(Duration::ZERO, Duration::ZERO);
        let this = Self::empty(issuer, &[], Sets::new(Duration::ZERO), idle);
        this.take_files(Ok(Some(loaded)));
        this
    }

    pub fn published(&self) -> Guard<Arc<Published>> {
        self.published.load()
    }

    /// Takes in how a fetch has ended; an unchanged set disturbs nobody, and a bad one changes nothing. Whether it was good.
    pub fn take_answer(&self, fetch: u64, answer: Result<Fetched, String>, now: Instant) -> bool {
        let read = answer.and_then(|Fetched { body, media_type, .. }| {
            KeySet::from_jwks(&body, &self.algorithms).map_err(|error| match media_type {
                Some(media_type) if !media_type.contains("json") => format!("{error} (its type is {media_type:?})"),
                _ => error,
            })
        });
        let mut ledger = self.lock();
        let read = read.map(|(keys, left_out)| {
            self.note_left_out(&ledger, &left_out);
            ledger.sets.take(keys, left_out, now);
            if ledger.dropping_from.take_if(|from| *from <= fetch).is_some() {
                ledger.sets.drop_former();
            }
            self.publish(&ledger);
        });
        self.record(&mut ledger, read)
    }

    /// Takes in what a look at the files has found; `None`: they are what they were.
    pub fn take_files(&self, found: Result<Option<Loaded>, String>) -> bool {
        let mut ledger = self.lock();
        let taken = match found {
            // Not worth a word, unless something was wrong meanwhile.
            Ok(None) if ledger.failing_since.is_none() => return true,
            Ok(None) => Ok(()),
            Ok(Some(Loaded { keys, left_out, content })) => {
                self.note_left_out(&ledger, &left_out);
                ledger.content = Some(content);
                ledger.sets.take(keys, left_out, Instant::now());
                self.publish(&ledger);
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.record(&mut ledger, taken)
    }

    /// Lets go of keys that have had their time.
    pub fn expire(&self, now: Instant) {
        let mut ledger = self.lock();
        ledger.sets.expire(now);
        self.publish(&ledger);
    }

    /// Lets go of keys that the issuer no longer publishes, now and when the fetch that is ordered with it has come; gives
    /// its number.
    pub fn drop_overlap(&self) -> u64 {
        // Under the lock, so that the fetch is not taken in before it is known to be this one.
        let mut ledger = self.lock();
        let fetch = self.flight.order();
        ledger.dropping_from = Some(fetch);
        if !self.published.load().is_empty {
            ledger.sets.drop_former();
            self.publish(&ledger);
        }
        fetch
    }

    /// When [`Keyring::expire`] has something to do.
    pub fn next_end(&self) -> Option<Instant> {
        self.lock().sets.next_end()
    }

    pub fn set_next(&self, pause: Duration) {
        self.lock().next_at = Some((clock::since_epoch() + pause).as_secs());
    }

    pub fn content(&self) -> Option<Content> {
        self.lock().content
    }

    pub fn describe(&self, source: String) -> IssuerStatus {
        let ledger = self.lock();
        let published = self.published.load();
        IssuerStatus {
            name: self.issuer.to_string(),
            source,
            generation: published.generation,
            keys: published.keys.ids(),
            overlapping: ledger.sets.overlapping(),
            left_out: ledger.sets.left_out().to_vec(),
            fetched_at: ledger.fetched_at,
            next_at: ledger.next_at,
            failing_since: ledger.failing_since,
            last_failure: ledger.last_failure.clone(),
            fetched: ledger.fetched,
            failed: ledger.failed,
        }
    }

    pub fn numbers(&self) -> IssuerNumbers {
        let ledger = self.lock();
        IssuerNumbers {
            fetched: ledger.fetched,
            failed: ledger.failed,
            keys: self.published.load().keys.ids().len(),
            fetched_at: ledger.fetched_at,
        }
    }

    /// Counts an attempt, and says so when it is the first to fail or the first to succeed again. Whether it was good.
    fn record(&self, ledger: &mut Ledger, attempt: Result<(), String>) -> bool {
        let now = clock::since_epoch().as_secs();
        match attempt {
            Ok(()) => {
                if ledger.failing_since.take().is_some() {
                    tracing::info!(issuer = %self.issuer, "keys can be had again");
                }
                ledger.fetched += 1;
                ledger.fetched_at = Some(now);
                true
            }
            Err(error) => {
                ledger.failed += 1;
                if ledger.failing_since.is_none() {
                    ledger.failing_since = Some(now);
                    let kept = self.published.load().keys.ids();
                    tracing::warn!(issuer = %self.issuer, %error, ?kept, "keys cannot be had");
                }
                ledger.last_failure = Some(FetchFailure { at: now, error });
                false
            }
        }
    }

    fn note_left_out(&self, ledger: &Ledger, left_out: &[KeyFault]) {
        if !left_out.is_empty() && left_out != ledger.sets.left_out() {
            tracing::warn!(issuer = %self.issuer, ?left_out, "keys that cannot be used");
        }
    }

    /// Makes what counts now what is seen, under a new generation unless it is the same.
    fn publish(&self, ledger: &Ledger) {
        let keys = ledger.sets.keys();
        let published = self.published.load();
        if published.is_empty || !published.keys.is_same(&keys) {
            tracing::info!(issuer = %self.issuer, keys = ?keys.ids(), overlapping = ?ledger.sets.overlapping(), "keys changed");
            self.published.store(Arc::new(Published { keys, generation: new_generation(), is_empty: false }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_generation() -> u64 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}
