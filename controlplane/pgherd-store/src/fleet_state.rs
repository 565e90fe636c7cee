//! The one row that orders snapshots: lineage, generation, newest revision.

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::{Store, StoreError};

/// Where the topology stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetState {
    /// Changes when the database was restored or failed over: generations of two lineages
    /// cannot be compared.
    pub lineage: Uuid,
    /// Orders snapshots within the lineage.
    pub generation: i64,
    /// The newest revision.
    pub revision: i64,
}

impl Store {
    /// Reads the state without locking it.
    pub async fn fleet_state(&self) -> Result<FleetState, StoreError> {
        let row = sqlx::query("select lineage, generation, revision from fleet_state")
            .fetch_one(&self.pool)
            .await?;
        Ok(FleetState {
            lineage: row.try_get(0)?,
            generation: row.try_get(1)?,
            revision: row.try_get(2)?,
        })
    }

    /// Starts a new lineage when the database is no longer the one that the lineage was made for.
    pub async fn check_lineage(&self) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        ensure(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Starts a new lineage although the database looks the same: for one whose files were put
    /// back from a copy, which cannot be noticed from within.
    pub async fn start_lineage(&self) -> Result<Uuid, StoreError> {
        let lineage = Uuid::new_v4();
        sqlx::query("update fleet_state set lineage = $1")
            .bind(lineage)
            .execute(&self.pool)
            .await?;
        Ok(lineage)
    }
}

/// Makes the row (revision 0: no cluster) when there is none, and a new lineage when the
/// database was restored or failed over. Must run in a transaction.
pub(crate) async fn ensure(connection: &mut PgConnection) -> Result<FleetState, StoreError> {
    let origin = origin(connection).await?;
    sqlx::query(
        "insert into fleet_state (lineage, origin, generation, revision) values ($1, $2, 0, 0)
         on conflict do nothing",
    )
    .bind(Uuid::new_v4())
    .bind(&origin)
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(
        "select lineage, generation, revision, origin from fleet_state for no key update",
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut state = FleetState {
        lineage: row.try_get(0)?,
        generation: row.try_get(1)?,
        revision: row.try_get(2)?,
    };
    if row.try_get::<String, _>(3)? != origin {
        state.lineage = Uuid::new_v4();
        sqlx::query("update fleet_state set lineage = $1, origin = $2")
            .bind(state.lineage)
            .bind(&origin)
            .execute(&mut *connection)
            .await?;
        tracing::warn!(
            lineage = %state.lineage,
            "the database was restored or failed over: the topology starts a new lineage"
        );
    }
    Ok(state)
}

/// What tells this database from a copy of it: the system identifier, the database's OID (a dump
/// restored beside the original) and the timeline (a backup recovered to a point in time, a
/// promoted standby that may lack the last commits).
async fn origin(connection: &mut PgConnection) -> Result<String, StoreError> {
    let origin = sqlx::query_scalar(
        "select (select system_identifier from pg_control_system())::text
             || ':' || (select oid from pg_database where datname = current_database())::text
             || ':' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)",
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(origin)
}

/// The sealed constant by which a wrong key is noticed.
pub(crate) async fn key_check(
    connection: &mut PgConnection,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar("select key_check from fleet_state").fetch_one(connection).await?)
}

/// Stores the sealed constant.
pub(crate) async fn set_key_check(
    connection: &mut PgConnection,
    sealed: &[u8],
) -> Result<(), StoreError> {
    sqlx::query("update fleet_state set key_check = $1").bind(sealed).execute(connection).await?;
    Ok(())
}

/// Takes the next revision and generation. The row is locked until the transaction ends, so that
/// numbers become visible in order.
pub(crate) async fn advance(connection: &mut PgConnection) -> Result<FleetState, StoreError> {
    let row = sqlx::query(
        "update fleet_state set generation = generation + 1, revision = revision + 1
         returning lineage, generation, revision",
    )
    .fetch_one(connection)
    .await?;
    Ok(FleetState {
        lineage: row.try_get(0)?,
        generation: row.try_get(1)?,
        revision: row.try_get(2)?,
    })
}
