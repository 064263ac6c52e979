//! What was revoked through the admin API.

use rusqlite::Connection;

use super::{Store, StoreError, from_sql, optional, to_sql};

/// A revocation as it is kept. Times are seconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    pub id: String,
    pub token_id: Option<String>,
    pub subject: Option<String>,
    pub partner: Option<String>,
    pub issuer: Option<String>,
    pub issued_before: Option<u64>,
    pub until: Option<u64>,
    pub reason: Option<String>,
    pub revoked_at: u64,
}

impl Store {
    /// All of them.
    ///
    /// # Errors
    ///
    /// A store that cannot be read.
    pub async fn load_revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        self.run("load revocations", |connection| {
            let sql = "SELECT id, token_id, subject, partner, issuer, issued_before, until, reason, revoked_at
                FROM revocations";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(Revocation {
                    id: row.get("id")?,
                    token_id: row.get("token_id")?,
                    subject: row.get("subject")?,
                    partner: row.get("partner")?,
                    issuer: row.get("issuer")?,
                    issued_before: optional(row, "issued_before")?,
                    until: optional(row, "until")?,
                    reason: row.get("reason")?,
                    revoked_at: from_sql(row, "revoked_at")?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    /// Puts some, replacing those of the same id, and deletes others, all or none. When this has returned, they are on
    /// the disk: whatever is told to be revoked is so after a power failure, too.
    ///
    /// # Errors
    ///
    /// A store that cannot be written.
    pub async fn change_revocations(&self, put: Vec<Revocation>, delete: Vec<String>) -> Result<(), StoreError> {
        self.run("save revocations", move |connection| {
            // NORMAL leaves it to the system when the write-ahead log reaches the disk.
            connection.pragma_update(None, "synchronous", "FULL")?;
            let changed = change(connection, &put, &delete);
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            changed
        })
        .await
    }
}

fn change(connection: &mut Connection, put: &[Revocation], delete: &[String]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let sql = "INSERT OR REPLACE INTO revocations
        (id, token_id, subject, partner, issuer, issued_before, until, reason, revoked_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut statement = transaction.prepare(sql)?;
    for revocation in put {
        statement.execute((
            &revocation.id,
            &revocation.token_id,
            &revocation.subject,
            &revocation.partner,
            &revocation.issuer,
            revocation.issued_before.map(to_sql),
            revocation.until.map(to_sql),
            &revocation.reason,
            to_sql(revocation.revoked_at),
        ))?;
    }
    drop(statement);
    let mut statement = transaction.prepare("DELETE FROM revocations WHERE id = ?1")?;
    for id in delete {
        statement.execute([id])?;
    }
    drop(statement);
    transaction.commit()
}
