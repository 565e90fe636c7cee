//! Who did what: written in the transaction of the change itself, never altered.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};

use crate::{Store, StoreError};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Orders entries.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The name of the token.
    pub actor: String,
    /// `cluster.put`, `token.create`, …
    pub action: String,
    /// What was changed.
    pub target: Option<String>,
    /// The revision that the change made.
    pub revision: Option<i64>,
    /// The reason or another detail.
    pub detail: Option<String>,
}

/// An entry to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewAuditEntry<'a> {
    /// The name of the token.
    pub actor: &'a str,
    /// `cluster.put`, `token.create`, …
    pub action: &'static str,
    /// What was changed.
    pub target: Option<&'a str>,
    /// The revision that the change made.
    pub revision: Option<i64>,
    /// The reason or another detail.
    pub detail: Option<&'a str>,
}

impl Store {
    /// Entries older than `before`, newest first.
    pub async fn audit(
        &self,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = sqlx::query(
            "select id, at, actor, action, target, revision, detail from audit_log
             where id < $1 order by id desc limit $2",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditEntry {
                    id: row.try_get(0)?,
                    at: row.try_get(1)?,
                    actor: row.try_get(2)?,
                    action: row.try_get(3)?,
                    target: row.try_get(4)?,
                    revision: row.try_get(5)?,
                    detail: row.try_get(6)?,
                })
            })
            .collect()
    }
}

/// Writes an entry within the transaction of what it tells about.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    entry: NewAuditEntry<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into audit_log (actor, action, target, revision, detail)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(entry.actor)
    .bind(entry.action)
    .bind(entry.target)
    .bind(entry.revision)
    .bind(entry.detail)
    .execute(connection)
    .await?;
    Ok(())
}
