//! What the newest revision holds, with its secrets: what proxies are sent.

use pgherd_config::{Cluster, Topology};
use sqlx::{PgConnection, Row as _};

use crate::{FleetState, Store, StoreError, sealed};

/// One cluster as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCluster {
    /// The revision that changed it last; its entity tag.
    pub revision: i64,
    /// The cluster with its secrets.
    pub cluster: Cluster,
}

/// The whole topology as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    /// Lineage, generation and newest revision.
    pub state: FleetState,
    /// By name.
    pub clusters: Vec<StoredCluster>,
}

impl Current {
    /// The document that proxies get.
    pub fn topology(&self) -> Topology {
        Topology { clusters: self.clusters.iter().map(|stored| stored.cluster.clone()).collect() }
    }

    /// The cluster of that name.
    pub fn cluster(&self, name: &str) -> Option<&StoredCluster> {
        self.clusters.iter().find(|stored| stored.cluster.name == name)
    }
}

impl Store {
    /// Reads the topology and its generation from one snapshot of the database.
    pub async fn current(&self) -> Result<Current, StoreError> {
        let mut transaction =
            self.pool.begin_with("begin isolation level repeatable read read only").await?;
        let row = sqlx::query("select lineage, generation, revision from fleet_state")
            .fetch_one(&mut *transaction)
            .await?;
        let state = FleetState {
            lineage: row.try_get(0)?,
            generation: row.try_get(1)?,
            revision: row.try_get(2)?,
        };
        let stored = stored_clusters(&mut transaction).await?;
        let clusters = self.open_all(&mut transaction, &stored).await?;
        transaction.commit().await?;
        Ok(Current { state, clusters })
    }

    /// Opens the secrets of stored clusters, which stay in their order.
    pub(crate) async fn open_all(
        &self,
        connection: &mut PgConnection,
        stored: &[StoredCluster],
    ) -> Result<Vec<StoredCluster>, StoreError> {
        let sealed = stored.iter().map(|stored| stored.cluster.clone()).collect();
        let opened = sealed::open(connection, &self.key, sealed).await?;
        Ok(stored
            .iter()
            .zip(opened)
            .map(|(stored, cluster)| StoredCluster { revision: stored.revision, cluster })
            .collect())
    }
}

/// The clusters as stored: references in place of secrets.
pub(crate) async fn stored_clusters(
    connection: &mut PgConnection,
) -> Result<Vec<StoredCluster>, StoreError> {
    let rows = sqlx::query("select revision, document from clusters order by name collate \"C\"")
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let cluster = serde_json::from_value(row.try_get(1)?)
                .map_err(|source| StoreError::Document { what: "a cluster", source })?;
            Ok(StoredCluster { revision: row.try_get(0)?, cluster })
        })
        .collect()
}
