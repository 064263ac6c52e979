//! The tasks behind an issuer: when its keys are fetched or read again.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::fetch::Fetched;
use super::files::KeyFiles;
use super::keyring::Keyring;

/// How often files are looked at; twice that, and a little, is how late a change can be.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Within which an answer may say how long it is fresh.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Pause after the first failure; doubled up to the refresh interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Fetches now and whenever it is time: before what is there gets stale, sooner after failures, at once when asked.
pub(super) async fn keep_fetched<F, A>(keyring: Arc<Keyring>, refresh: Duration, limit: Duration, fetch: F)
where
    F: Fn() -> A,
    A: Future<Output = Result<Fetched, String>>,
{
    let mut failures = 0;
    loop {
        let number = keyring.flight.begin();
        let late = |_| Err(format!("no whole answer within {limit:?}"));
        let answer = timeout(limit, fetch()).await.unwrap_or_else(late);
        let fresh_for = answer.as_ref().ok().and_then(|fetched| fetched.fresh_for);
        let good = keyring.take_answer(number, answer, Instant::now());
        failures = if good { 0 } else { failures + 1 };
        let pause = if good { until_refresh(fresh_for, refresh) } else { until_retry(failures, refresh) };
        keyring.set_next(pause);
        let now = Instant::now();
        keyring.flight.finish(number, now);
        rest(&keyring, now + pause).await;
    }
}

/// Until the next fetch is due or asked for; overlapping keys end meanwhile.
async fn rest(keyring: &Keyring, next: Instant) {
    loop {
        let expiry = async {
            match keyring.next_end() {
                Some(end) => sleep_until(end).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = keyring.flight.asked() => return,
            () = sleep_until(next) => return,
            () = expiry => keyring.expire(Instant::now()),
        }
    }
}

/// Looks at the files again and again, or at once when asked.
pub(super) async fn keep_read(keyring: Arc<Keyring>, files: KeyFiles) {
    loop {
        tokio::select! {
            () = keyring.flight.asked() => {}
            () = sleep(LOOK_EVERY) => {}
        }
        let number = keyring.flight.begin();
        let (files, known) = (files.clone(), keyring.content());
        let looking = tokio::task::spawn_blocking(move || match files.content()? {
            content if Some(content) == known => Ok(None),
            _ => files.load().map(Some),
        });
        let found = looking.await.unwrap_or_else(|error| Err(error.to_string()));
        keyring.take_files(found);
        keyring.flight.finish(number, Instant::now());
    }
}

/// Always before it is stale, unless it claims to be within less than the shortest interval.
fn until_refresh(fresh_for: Option<Duration>, refresh: Duration) -> Duration {
    let interval = fresh_for.map_or(refresh.max(FIRST_RETRY), |fresh| fresh.clamp(SHORTEST, LONGEST));
    interval.mul_f64(fastrand::f64().mul_add(0.15, 0.8))
}

fn until_retry(failures: u32, refresh: Duration) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(refresh.max(FIRST_RETRY)).mul_f64(fastrand::f64().mul_add(0.5, 0.75))
}
