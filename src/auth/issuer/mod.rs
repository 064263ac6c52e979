//! An issuer as it runs: its rules, and its keys, kept fresh behind the requests' back.

mod fetch;
mod files;
mod flight;
mod identity;
mod keyring;
mod schedule;
mod sets;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

#[cfg(any(test, fuzzing))]
pub use self::fetch::invariants;
pub use self::status::{FetchFailure, IssuerNumbers, IssuerStatus};

use self::fetch::{Fetched, Fetcher};
use self::files::KeyFiles;
use self::flight::Flight;
use self::keyring::Keyring;
use self::sets::Sets;
use super::jwt::{Fault, KeySet, Token, Unverified};
use crate::base::reason::Reason;
use crate::base::tasks;
use crate::config::checked::identity::{self as checked, ClaimPath, JwksUrl, KeySource};

/// How long a start or a reload waits for the first keys before it goes on without.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// For files to be read when somebody asks for it.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// From the end of a fetch to what is known of it.
const A_MOMENT: Duration = Duration::from_secs(1);

/// A cool-down is no shorter, so that whoever has waited is answered within it.
const SHORTEST_COOL_DOWN: Duration = Duration::from_secs(1);

/// No interval is longer.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Long-lived: carried over from snapshot to snapshot as long as its configuration is the same. Its last `Arc` ends the task
/// that keeps its keys fresh.
#[derive(Debug)]
pub struct Issuer {
    pub spec: Arc<checked::Issuer>,
    /// Sorted, each once.
    kept: Box<[ClaimPath]>,
    keyring: Arc<Keyring>,
    files: Option<KeyFiles>,
    /// For one fetch, and for whoever waits for it; `None`: its keys are not fetched.
    limit: Option<Duration>,
    /// Never sends: being dropped with the issuer is what ends the task.
    _refreshing: Option<oneshot::Sender<Infallible>>,
}

/// A verdict about a token whose key is not known cannot be had yet.
#[derive(Debug)]
pub enum Refused {
    /// For good.
    Fault(Fault),
    /// Ask again when this is done: a newer key set is on its way.
    Pending(KeysAwaited),
}

/// The fetch of a key set that may have an unknown key.
#[derive(Debug)]
pub struct KeysAwaited {
    keyring: Arc<Keyring>,
    fetch: u64,
    until: Instant,
}

impl KeysAwaited {
    /// Resolves when the fetch has come to something, or its time is over. From then on the same token is good or bad, and
    /// has not to wait again.
    pub async fn done(self) {
        let mut finished = self.keyring.flight.finished();
        // The sender is in the keyring.
        if timeout_at(self.until, finished.wait_for(|finished| *finished >= self.fetch)).await.is_err() {
            self.keyring.flight.gave_up(self.fetch);
        }
    }
}

impl Issuer {
    /// Keys in files and secrets are there at once; those behind a URL are fetched by a task on `runtime`, which also looks
    /// at files again. `kept` are the claims of a good token that somebody will ask for. Of `previous`, the issuer that was there before with other
    /// rules, it has the keys that it had fetched from the same URL.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or has no key that can be used; the message names it.
    pub fn start(
        spec: Arc<checked::Issuer>,
        kept: Vec<ClaimPath>,
        previous: Option<&Self>,
        runtime: &Handle,
    ) -> Result<Arc<Self>, String> {
        match &spec.keys {
            KeySource::Secret(secret) => {
                let keys = KeySet::from_secret(secret);
                Ok(Arc::new(Self::of_keys(spec, keys, sorted(kept))))
            }
            KeySource::File(path) => {
                let files = KeyFiles::KeySet(path.clone(), spec.algorithms.clone());
                Self::reading(spec, files, kept, runtime)
            }
            KeySource::Pem(keys) => {
                let files = KeyFiles::Pem(keys.clone());
                Self::reading(spec, files, kept, runtime)
            }
            KeySource::Url(url) => {
                let fetcher = Arc::new(Fetcher::new(url)?);
                let fetch = move || {
                    let fetcher = Arc::clone(&fetcher);
                    async move { fetcher.fetch().await }
                };
                let issuer = Self::fetching(&spec, url, kept, runtime, fetch);
                // New rules are no reason to be without keys while the source is down.
                if let Some(previous) = previous.filter(|previous| identity::same_keys(&previous.spec, &spec)) {
                    issuer.keyring.inherit(&previous.keyring);
                }
                Ok(issuer)
            }
        }
    }

    /// An issuer whose keys never change.
    #[must_use]
    pub fn of_keys(spec: impl Into<Arc<checked::Issuer>>, keys: KeySet, kept: Box<[ClaimPath]>) -> Self {
        let spec = spec.into();
        let keyring = Arc::new(Keyring::fixed(&spec.name, keys));
        Self { spec, kept, keyring, files: None, limit: None, _refreshing: None }
    }

    fn reading(
        spec: Arc<checked::Issuer>,
        files: KeyFiles,
        kept: Vec<ClaimPath>,
        runtime: &Handle,
    ) -> Result<Arc<Self>, String> {
        let keyring = Arc::new(Keyring::loaded(&spec.name, files.load()?));
        let task = schedule::keep_read(Arc::clone(&keyring), files.clone());
        let (kept, task) = (sorted(kept), spawn("read keys", task, runtime));
        Ok(Arc::new(Self { spec, kept, keyring, files: Some(files), limit: None, _refreshing: Some(task) }))
    }

    fn fetching<F, A>(
        spec: &Arc<checked::Issuer>,
        url: &JwksUrl,
        kept: Vec<ClaimPath>,
        runtime: &Handle,
        fetch: F,
    ) -> Arc<Self>
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Fetched, String>> + Send + 'static,
    {
        let _on = runtime.enter();
        let (refresh, limit) = (url.refresh.min(LONGEST), url.timeout.min(LONGEST));
        let flight = Flight::new(url.cool_down.clamp(SHORTEST_COOL_DOWN, LONGEST), refresh);
        let sets = Sets::new(url.overlap.min(LONGEST));
        let keyring = Arc::new(Keyring::empty(&spec.name, &spec.algorithms, sets, flight));
        let task = schedule::keep_fetched(Arc::clone(&keyring), refresh, limit, fetch);
        let (kept, task) = (sorted(kept), spawn("fetch keys", task, runtime));
        let (spec, limit) = (Arc::clone(spec), Some(limit));
        Arc::new(Self { spec, kept, keyring, files: None, limit, _refreshing: Some(task) })
    }

    /// Whether it is what a start with these would give, but for the content of files: see [`Issuer::is_current`].
    #[must_use]
    pub fn serves(&self, spec: &checked::Issuer, kept: Vec<ClaimPath>) -> bool {
        self.kept == sorted(kept) && identity::same(&self.spec, spec)
    }

    /// Whether its files still hold what its keys were read from. Reads them, so not on the way of a request.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.files.as_ref().is_none_or(|files| files.content().ok() == self.keyring.content())
    }

    /// Tells the keys that tokens are verified with now; another one for every change of keys, over all issuers.
    /// What was verified under one generation says nothing under the next: whoever keeps a verdict asks before verifying.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.keyring.published().generation
    }

    /// Verifies a token whose `iss` is this issuer's. Waits for nothing.
    ///
    /// # Errors
    ///
    /// Why it is not good, or for what to wait; the same token asks to wait only once for each fetch.
    pub fn verify(&self, token: &Unverified<'_>, now: Duration) -> Result<Token, Refused> {
        loop {
            let published = self.keyring.published();
            match token.verify(&self.spec, &published.keys, &self.kept, now) {
                Err(fault) if fault.reason == Reason::JwtKeyUnknown => {
                    let refused = self.unknown(token.key_id.as_deref(), published.is_empty, fault);
                    // Keys that came in between may be the ones: what was said about their absence is old.
                    if self.generation() == published.generation {
                        return Err(refused);
                    }
                }
                verdict => return verdict.map_err(Refused::Fault),
            }
        }
    }

    /// Resolves when it has keys, or a second is over.
    pub async fn ready(&self) {
        let mut finished = self.keyring.flight.finished();
        let ready = finished.wait_for(|_| !self.keyring.published().is_empty);
        // Late: its routes begin with 503.
        let _late = timeout(READY_WITHIN, ready).await;
    }

    /// Fetches or reads its keys again, without regard to cool-downs. With `drop_old`, keys that the issuer no longer
    /// publishes are good no longer: those that have left already at once, and those that are found to have left by this
    /// fetch with it.
    pub fn refresh_now(&self, drop_old: bool) -> KeysAwaited {
        let flight = &self.keyring.flight;
        let (fetch, limit) = match self.limit {
            // One may be under way, which has to end first.
            Some(limit) if drop_old => (self.keyring.drop_overlap(), limit * 2 + A_MOMENT),
            Some(limit) => (flight.order(), limit * 2 + A_MOMENT),
            None if self.files.is_some() => (flight.order(), READ_WITHIN),
            // There is nothing to wait for.
            None => (0, Duration::ZERO),
        };
        self.awaiting(fetch, limit)
    }

    #[must_use]
    pub fn describe(&self) -> IssuerStatus {
        self.keyring.describe(match &self.spec.keys {
            KeySource::Url(JwksUrl { url, .. }) => {
                let host = url.authority().map_or("", |authority| authority.as_str());
                // A user name before the host is nobody's business.
                let host = host.rsplit('@').next().unwrap_or_default();
                format!("{}://{host}{}", url.scheme_str().unwrap_or("https"), url.path())
            }
            KeySource::Secret(_) => "secret".to_owned(),
            KeySource::File(_) | KeySource::Pem(_) => self.files.as_ref().map(KeyFiles::describe).unwrap_or_default(),
        })
    }

    #[must_use]
    pub fn numbers(&self) -> IssuerNumbers {
        self.keyring.numbers()
    }

    /// What to say about a key that is not among those that are known.
    fn unknown(&self, key_id: Option<&str>, none_known: bool, fault: Fault) -> Refused {
        let Some(limit) = self.limit else { return Refused::Fault(fault) };
        let (now, flight) = (Instant::now(), &self.keyring.flight);
        let (awaited, fault) = if none_known {
            let reason = Reason::KeysUnavailable;
            (flight.await_first(now), Fault { reason, detail: reason.detail() })
        } else {
            (flight.await_key(key_id, now), fault)
        };
        awaited.map_or(Refused::Fault(fault), |fetch| Refused::Pending(self.awaiting(fetch, limit)))
    }

    fn awaiting(&self, fetch: u64, limit: Duration) -> KeysAwaited {
        KeysAwaited { keyring: Arc::clone(&self.keyring), fetch, until: Instant::now() + limit.min(LONGEST) }
    }
}

/// Starts a task that ends when what is returned is dropped.
fn spawn(
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
    runtime: &Handle,
) -> oneshot::Sender<Infallible> {
    let (alive, dropped) = oneshot::channel::<Infallible>();
    let _on = runtime.enter();
    tasks::spawn(name, async move {
        tokio::select! {
            _ = dropped => {}
            () = task => {}
        }
    });
    alive
}

fn sorted(mut kept: Vec<ClaimPath>) -> Box<[ClaimPath]> {
    kept.sort_unstable();
    kept.dedup();
    kept.into()
}

/// All issuers that a route accepts, in the order of the file.
pub type Accepted = Box<[Arc<Issuer>]>;
