//! Manual bans: which instances no proxy may use, and for how long.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{NewAuditEntry, Store, StoreError, audit};

/// A manual ban that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanRow {
    /// Names it.
    pub id: Uuid,
    /// The instance's host as the topology says it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Why.
    pub reason: String,
    /// When it was ordered or changed last.
    pub created_at: DateTime<Utc>,
    /// The name of the token.
    pub created_by: String,
    /// What was left of it by the database's clock; `None` for a ban without end.
    pub remaining: Option<Duration>,
}

/// A ban to be ordered.
#[derive(Clone, Copy, Debug)]
pub struct NewBan<'a> {
    /// The instance's host.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Why.
    pub reason: &'a str,
    /// For how long; `None`: until it is lifted.
    pub duration: Option<Duration>,
}

impl Store {
    /// The bans that are in force.
    pub async fn bans(&self) -> Result<Vec<BanRow>, StoreError> {
        let rows = sqlx::query(
            "select id, host, port, reason, created_at, created_by,
                 extract(epoch from expires_at - clock_timestamp())::float8
             from bans
             where expires_at is null or expires_at > clock_timestamp()
             order by host, port",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(ban).collect()
    }

    /// Bans an instance. Where it is banned already, the reason and the time of that ban change.
    /// True when it was not.
    pub async fn ban(&self, new: NewBan<'_>, by: &str) -> Result<(BanRow, bool), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("delete from bans where expires_at <= clock_timestamp()")
            .execute(&mut *transaction)
            .await?;
        let id = Uuid::new_v4();
        let row = sqlx::query(
            "insert into bans (id, host, port, reason, created_by, expires_at)
             values ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6::float8))
             on conflict (host, port) do update set reason = excluded.reason,
                 created_at = excluded.created_at, created_by = excluded.created_by,
                 expires_at = excluded.expires_at
             returning id, host, port, reason, created_at, created_by,
                 extract(epoch from expires_at - clock_timestamp())::float8",
        )
        .bind(id)
        .bind(new.host)
        .bind(i32::from(new.port))
        .bind(new.reason)
        .bind(by)
        .bind(new.duration.map(|duration| duration.as_secs_f64()))
        .fetch_one(&mut *transaction)
        .await?;
        let row = ban(&row)?;
        // A ban that was there keeps its id.
        let is_new = row.id == id;
        let target = target(&row.host, row.port);
        let lasting = match new.duration {
            Some(duration) => format!("for {} s", duration.as_secs()),
            None => "until it is lifted".to_owned(),
        };
        let detail = format!("{}; {lasting}", row.reason);
        let entry = NewAuditEntry {
            actor: by,
            action: if is_new { "ban.create" } else { "ban.change" },
            target: Some(&target),
            revision: None,
            detail: Some(&detail),
        };
        audit::insert(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok((row, is_new))
    }

    /// Lifts a ban; false when there is none in force with this id.
    pub async fn lift_ban(&self, id: Uuid, by: &str) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let lifted = sqlx::query(
            "delete from bans where id = $1 returning host, port,
             expires_at is null or expires_at > clock_timestamp()",
        )
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = lifted else { return Ok(false) };
        let in_force: bool = row.try_get(2)?;
        if in_force {
            let target = target(&row.try_get::<String, _>(0)?, port(row.try_get(1)?));
            let entry = NewAuditEntry {
                actor: by,
                action: "ban.lift",
                target: Some(&target),
                revision: None,
                detail: None,
            };
            audit::insert(&mut transaction, entry).await?;
        }
        transaction.commit().await?;
        Ok(in_force)
    }
}

fn ban(row: &PgRow) -> Result<BanRow, StoreError> {
    let remaining: Option<f64> = row.try_get(6)?;
    Ok(BanRow {
        id: row.try_get(0)?,
        host: row.try_get(1)?,
        port: port(row.try_get(2)?),
        reason: row.try_get(3)?,
        created_at: row.try_get(4)?,
        created_by: row.try_get(5)?,
        remaining: remaining.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e12))),
    })
}

fn port(stored: i32) -> u16 {
    u16::try_from(stored).expect("checked by the database")
}

fn target(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
