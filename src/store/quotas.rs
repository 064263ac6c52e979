//! How much of each quota is used.

use std::sync::Arc;

use super::{Store, StoreError, from_sql, to_sql};

/// The count of one key in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whose rule it is.
    pub scope: String,
    pub rule: String,
    /// Whose share of it.
    pub key: String,
    /// Seconds since 1970 UTC.
    pub period_start: u64,
    /// The first second after it, since 1970 UTC.
    pub period_end: u64,
    pub count: u64,
}

impl Store {
    /// What is used in the periods that `now`, in seconds since 1970 UTC, is in.
    ///
    /// # Errors
    ///
    /// A store that cannot be read.
    pub async fn load_quotas(&self, now: u64) -> Result<Vec<Quota>, StoreError> {
        self.run("load quotas", move |connection| {
            let sql = "SELECT scope, rule, key, period_start, period_end, count FROM quotas WHERE period_end > ?1";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([to_sql(now)], |row| {
                Ok(Quota {
                    scope: row.get("scope")?,
                    rule: row.get("rule")?,
                    key: row.get("key")?,
                    period_start: from_sql(row, "period_start")?,
                    period_end: from_sql(row, "period_end")?,
                    count: from_sql(row, "count")?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    /// Keeps these counts, all or none. Within a period a count never goes down: neither by writing an older one again,
    /// nor while a second gateway, which takes over from this one, writes its own.
    ///
    /// # Errors
    ///
    /// A store that cannot be written.
    pub async fn save_quotas(&self, quotas: Arc<[Quota]>) -> Result<(), StoreError> {
        self.run("save quotas", move |connection| {
            let transaction = connection.transaction()?;
            let sql = "INSERT INTO quotas (scope, rule, key, period_start, period_end, count)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                ON CONFLICT DO UPDATE SET count = max(count, excluded.count), period_end = excluded.period_end";
            let mut statement = transaction.prepare(sql)?;
            for Quota { scope, rule, key, period_start, period_end, count } in &*quotas {
                let [start, end, count] = [*period_start, *period_end, *count].map(to_sql);
                statement.execute((scope, rule, key, start, end, count))?;
            }
            drop(statement);
            transaction.commit()
        })
        .await
    }

    /// Deletes the counts of periods that are over; says how many.
    ///
    /// # Errors
    ///
    /// A store that cannot be written.
    pub async fn forget_quotas(&self, now: u64) -> Result<usize, StoreError> {
        self.run("delete old quotas", move |connection| {
            connection.execute("DELETE FROM quotas WHERE period_end <= ?1", [to_sql(now)])
        })
        .await
    }
}
