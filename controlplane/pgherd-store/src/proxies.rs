//! The proxies that ever connected, and what they were last known to hold.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, postgres::PgRow, types::Json};
use std::collections::BTreeMap;

use crate::{Store, StoreError};

/// A refusal of a snapshot by a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NackRecord {
    /// The generation that was refused.
    pub generation: u64,
    /// A short word for the kind of refusal.
    pub code: String,
    /// Where in the topology.
    pub pointer: String,
    /// For people.
    pub message: String,
    /// Whether the same content may be accepted later.
    pub retriable: bool,
    /// When it arrived.
    pub at: DateTime<Utc>,
}

/// What a proxy says of itself when it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHello {
    /// The same after a restart.
    pub id: String,
    /// Differs after a restart.
    pub incarnation: String,
    /// Of the program.
    pub version: String,
    /// Such as the zone.
    pub labels: BTreeMap<String, String>,
    /// Where peers reach it.
    pub address: Option<String>,
}

/// A stored proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRow {
    /// What it said of itself when it last connected.
    pub hello: ProxyHello,
    /// Stands in its cancel keys; unique and kept for ever.
    pub number: i32,
    /// When it was last heard of (saved now and then).
    pub last_seen: DateTime<Utc>,
    /// Lineage and generation that it acknowledged last.
    pub held: Option<(String, i64)>,
    /// What it refused last, if it accepted nothing since.
    pub last_nack: Option<NackRecord>,
}

impl Store {
    /// All proxies by number.
    pub async fn proxies(&self) -> Result<Vec<ProxyRow>, StoreError> {
        let rows = sqlx::query(
            "select id, number, incarnation, version, labels, address, last_seen, held_lineage,
                 held_generation, last_nack
             from proxies order by number",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(proxy).collect()
    }

    /// Notes that a proxy connected and returns its number: its old one, or the lowest free one.
    pub async fn register_proxy(&self, hello: &ProxyHello) -> Result<i32, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // One at a time: two new proxies must not take the same number.
        sqlx::query("select pg_advisory_xact_lock(hashtext('pgherd.proxies'))")
            .execute(&mut *transaction)
            .await?;
        let number = sqlx::query_scalar(
            "insert into proxies (id, number, incarnation, version, labels, address)
             values ($1, (select min(n) from (
                    select 1 as n union all select number + 1 from proxies) as free
                    where not exists (select from proxies where number = n)),
                 $2, $3, $4, $5)
             on conflict (id) do update set incarnation = excluded.incarnation,
                 version = excluded.version, labels = excluded.labels,
                 address = excluded.address, last_seen = now()
             returning number",
        )
        .bind(&hello.id)
        .bind(&hello.incarnation)
        .bind(&hello.version)
        .bind(Json(&hello.labels))
        .bind(&hello.address)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Saves what is known of a proxy; does nothing for one that was forgotten.
    pub async fn save_proxy(&self, row: &ProxyRow) -> Result<(), StoreError> {
        sqlx::query(
            "update proxies set incarnation = $2, version = $3, labels = $4, address = $5,
                 last_seen = greatest(last_seen, $6), held_lineage = $7, held_generation = $8,
                 last_nack = $9
             where id = $1",
        )
        .bind(&row.hello.id)
        .bind(&row.hello.incarnation)
        .bind(&row.hello.version)
        .bind(Json(&row.hello.labels))
        .bind(&row.hello.address)
        .bind(row.last_seen)
        .bind(row.held.as_ref().map(|(lineage, _)| lineage))
        .bind(row.held.as_ref().map(|(_, generation)| generation))
        .bind(row.last_nack.as_ref().map(Json))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets a proxy; false when it is not known.
    pub async fn forget_proxy(&self, id: &str, by: &str) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let deleted = sqlx::query("delete from proxies where id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if deleted == 0 {
            return Ok(false);
        }
        let entry = crate::NewAuditEntry {
            actor: by,
            action: "proxy.forget",
            target: Some(id),
            revision: None,
            detail: None,
        };
        crate::audit::insert(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

fn proxy(row: &PgRow) -> Result<ProxyRow, StoreError> {
    let lineage: Option<String> = row.try_get("held_lineage")?;
    let generation: Option<i64> = row.try_get("held_generation")?;
    Ok(ProxyRow {
        hello: ProxyHello {
            id: row.try_get("id")?,
            incarnation: row.try_get("incarnation")?,
            version: row.try_get("version")?,
            labels: row.try_get::<Json<_>, _>("labels")?.0,
            address: row.try_get("address")?,
        },
        number: row.try_get("number")?,
        last_seen: row.try_get("last_seen")?,
        held: lineage.zip(generation),
        last_nack: row.try_get::<Option<Json<_>>, _>("last_nack")?.map(|json| json.0),
    })
}
