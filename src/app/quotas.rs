//! The counts of quotas on their way between the ledger and the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::StartError;
use crate::base::clock;
use crate::rate_limit::{Ledger, QuotaCount};
use crate::store::quotas::Quota;
use crate::store::{Store, StoreError};

/// Counts that are saved in one step, so that nothing else waits long for the store.
const BATCH: usize = 10_000;

/// How often periods that are over are deleted from the store.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// Keeps the ledger's quotas.
pub(super) struct Quotas {
    store: Store,
    ledger: Arc<Ledger>,
    /// What the ledger has told and the store has not; the newest of each.
    unsaved: Mutex<HashMap<Place, Quota>>,
    /// Seconds since 1970 UTC.
    tidied_at: AtomicU64,
}

/// Scope, rule, key, and the begin of the period.
type Place = (String, String, String, u64);

impl Quotas {
    /// Lets the ledger count on where it was before a restart; to be called before anything is counted.
    pub(super) async fn restore(store: &Store, ledger: &Arc<Ledger>) -> Result<Self, StartError> {
        let kept = store.load_quotas(clock::since_epoch().as_secs()).await;
        let kept = kept.map_err(|error| StartError::Quotas { file: store.file().to_owned(), error })?;
        ledger.restore(kept.into_iter().map(counted).collect());
        let (store, ledger) = (store.clone(), Arc::clone(ledger));
        Ok(Self { store, ledger, unsaved: Mutex::default(), tidied_at: AtomicU64::new(0) })
    }

    /// Saves what has changed since the last time, and what could not be saved then.
    pub(super) async fn keep(&self) -> Result<(), StoreError> {
        let now = clock::since_epoch();
        let mut unsaved = self.unsaved.lock().await;
        for quota in self.ledger.changed_quotas(now).into_iter().map(kept) {
            let place = (quota.scope.clone(), quota.rule.clone(), quota.key.clone(), quota.period_start);
            unsaved.insert(place, quota);
        }
        // While the store fails, this must not grow for ever.
        unsaved.retain(|_, quota| quota.period_end > now.as_secs());
        while !unsaved.is_empty() {
            let (places, quotas): (Vec<Place>, Vec<Quota>) =
                unsaved.iter().take(BATCH).map(|(place, quota)| (place.clone(), quota.clone())).unzip();
            self.store.save_quotas(quotas.into()).await?;
            for place in places {
                unsaved.remove(&place);
            }
        }
        if now.as_secs() >= self.tidied_at.load(Ordering::Relaxed) + TIDY_EVERY.as_secs() {
            self.store.forget_quotas(now.as_secs()).await?;
            self.tidied_at.store(now.as_secs(), Ordering::Relaxed);
        }
        Ok(())
    }
}

fn kept(counted: QuotaCount) -> Quota {
    let QuotaCount { scope, rule, key, period_start, period_end, count } = counted;
    Quota { scope, rule, key, period_start, period_end, count }
}

fn counted(kept: Quota) -> QuotaCount {
    let Quota { scope, rule, key, period_start, period_end, count } = kept;
    QuotaCount { scope, rule, key, period_start, period_end, count }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU64;

    use super::*;
    use crate::config::checked::limits::{self, CalendarPeriod, LimitKey, Limits};
    use crate::rate_limit::{Asked, Granted, Scope};

    fn ask(ledger: &Ledger, partner: &str) -> bool {
        let quota = limits::Quota {
            name: "monthly".into(),
            per: vec![LimitKey::Partner],
            limit: NonZeroU64::new(3).unwrap(),
            period: CalendarPeriod::Month,
            observe: false,
        };
        let rules = ledger.rules(Scope::Route("all"), &Limits { quotas: vec![quota], ..Limits::default() });
        let asked = Asked {
            authority: "main",
            partner: Some(partner),
            plan: None,
            subject: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            header: &|_| None,
            cost: 1,
            at: clock::now(),
            now: clock::since_epoch(),
        };
        Granted::default().charge(&rules, false, &asked).is_ok()
    }

    #[tokio::test]
    async fn quotas_go_on_where_they_were() {
        let folder = std::env::temp_dir().join(format!("sluice-quotas-{}", std::process::id()));
        let file = folder.join("a.db");
        let ledger = Arc::new(Ledger::default());
        let store = Store::open(&file, || {}).unwrap();
        let quotas = Quotas::restore(&store, &ledger).await.unwrap();
        assert!(ask(&ledger, "acme") && ask(&ledger, "acme") && ask(&ledger, "bob"));

        // It fails, and nothing is lost.
        let other = rusqlite::Connection::open(&file).unwrap();
        other.execute_batch("ALTER TABLE quotas RENAME TO away").unwrap();
        quotas.keep().await.unwrap_err();
        other.execute_batch("ALTER TABLE away RENAME TO quotas").unwrap();
        quotas.keep().await.unwrap();
        assert!(quotas.unsaved.lock().await.is_empty());
        store.close().await;

        let ledger = Arc::new(Ledger::default());
        let store = Store::open(&file, || {}).unwrap();
        Quotas::restore(&store, &ledger).await.unwrap();
        assert!(ask(&ledger, "acme") && !ask(&ledger, "acme"), "the third and last");
        assert!(ask(&ledger, "bob") && ask(&ledger, "bob") && !ask(&ledger, "bob"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
