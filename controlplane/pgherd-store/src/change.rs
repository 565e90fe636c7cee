//! Changes of the topology: each is one transaction that locks the state, checks the writer's
//! condition, validates the whole with the proxies' own code, and makes one revision.

use pgherd_config::{Cluster, Secret, Topology};
use sqlx::PgConnection;

use crate::{
    Action, FleetState, NewAuditEntry, Store, StoreError, StoredCluster, audit, current,
    fleet_state, revisions, sealed,
};

/// What is shown in place of a secret, and what keeps the stored one when it is sent back.
const REDACTED: &str = "***";

/// Who changes something, and why.
#[derive(Clone, Debug)]
pub struct Author {
    /// The name of the token.
    pub name: String,
    /// In the author's words.
    pub reason: Option<String>,
}

/// What the writer knows of the cluster that it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing was said: allowed only when there is no such cluster yet.
    Unstated,
    /// There must be no such cluster.
    Absent,
    /// There must be one, whichever revision changed it.
    Exists,
    /// The cluster must be as one of these revisions left it.
    Revisions(Vec<i64>),
}

/// A change that was committed, or found to change nothing.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The state after the change.
    pub state: FleetState,
    /// The revision that changed the cluster last; the newest one for a deletion or a rollback.
    pub cluster_revision: i64,
    /// False when the content was the same already; no revision was made then.
    pub changed: bool,
    /// Whether the cluster did not exist before.
    pub created: bool,
    /// What is valid but has no effect.
    pub warnings: Vec<pgherd_config::Warning>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing of that name or number.
    #[error("there is no such thing to change")]
    NotFound,
    /// The writer wants a new cluster and there is one.
    #[error("a cluster of that name exists already")]
    Exists,
    /// The cluster exists and the writer did not say which version it knows.
    #[error("the cluster exists and the writer did not say which version it knows")]
    ConditionRequired,
    /// The cluster is not as the writer knows it.
    #[error("the cluster was changed by revision {current:?}")]
    ConditionFailed {
        /// The revision that changed the cluster last, if there is such a cluster.
        current: Option<i64>,
    },
    /// The result would not be valid. Pointers are into the whole topology.
    #[error("the topology would not be valid")]
    Invalid {
        /// What is wrong.
        errors: Vec<pgherd_config::Invalid>,
        /// Where the changed cluster stands in the topology.
        index: Option<usize>,
    },
    /// `***` was sent for a secret that is not stored. Pointer into the cluster.
    #[error("there is no stored secret to keep at {pointer}")]
    NothingToKeep {
        /// Where the `***` stands.
        pointer: String,
    },
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The locked state of the topology within a transaction.
struct Locked {
    /// With references in place of secrets.
    stored: Vec<StoredCluster>,
    /// The same clusters with their secrets.
    opened: Vec<StoredCluster>,
    state: FleetState,
}

impl Locked {
    async fn take(store: &Store, connection: &mut PgConnection) -> Result<Self, StoreError> {
        let state = fleet_state::ensure(connection).await?;
        let stored = current::stored_clusters(connection).await?;
        let opened = store.open_all(connection, &stored).await?;
        Ok(Self { stored, opened, state })
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.opened.iter().position(|stored| stored.cluster.name == name)
    }

    fn check(&self, at: Option<usize>, condition: &Condition) -> Result<(), ChangeError> {
        let current = at.map(|at| self.opened[at].revision);
        match (condition, current) {
            (Condition::Unstated | Condition::Absent, None) => Ok(()),
            (Condition::Unstated, Some(_)) => Err(ChangeError::ConditionRequired),
            (Condition::Absent, Some(_)) => Err(ChangeError::Exists),
            (Condition::Exists, Some(_)) => Ok(()),
            (Condition::Revisions(known), Some(current)) if known.contains(&current) => Ok(()),
            (Condition::Exists | Condition::Revisions(_), current) => {
                Err(ChangeError::ConditionFailed { current })
            }
        }
    }
}

impl Store {
    /// Makes or replaces a cluster.
    pub async fn put_cluster(
        &self,
        mut cluster: Cluster,
        condition: Condition,
        author: &Author,
    ) -> Result<Changed, ChangeError> {
        let mut transaction = self.pool.begin().await?;
        let mut locked = Locked::take(self, &mut transaction).await?;
        let at = locked.position(&cluster.name);
        locked.check(at, &condition)?;
        keep_secrets(&mut cluster, at.map(|at| &locked.opened[at].cluster))?;
        if let Some(at) = at
            && locked.opened[at].cluster == cluster
        {
            return Ok(Changed {
                state: locked.state,
                cluster_revision: locked.opened[at].revision,
                changed: false,
                created: false,
                warnings: Vec::new(),
            });
        }
        let before = at.map(|at| (&locked.stored[at].cluster, &locked.opened[at].cluster));
        let name = cluster.name.clone();
        let mut topology = Topology {
            clusters: locked.opened.iter().map(|stored| stored.cluster.clone()).collect(),
        };
        // Clusters are read back ordered by name; keep that order, for the hash depends on it.
        let index = at.unwrap_or_else(|| {
            locked.opened.partition_point(|stored| stored.cluster.name < cluster.name)
        });
        match at {
            Some(at) => topology.clusters[at] = cluster.clone(),
            None => topology.clusters.insert(index, cluster.clone()),
        }
        let warnings = validate(&topology, Some(index))?;
        let sealed = sealed::seal(&mut transaction, &self.key, cluster, before).await?;
        let state = fleet_state::advance(&mut transaction).await?;
        let entry = StoredCluster { revision: state.revision, cluster: sealed };
        write_cluster(&mut transaction, &entry).await?;
        match at {
            Some(at) => locked.stored[at] = entry,
            None => locked.stored.insert(index, entry),
        }
        let revision = NewChange {
            state,
            action: Action::Put,
            cluster: Some(&name),
            rolled_back_to: None,
            fingerprint: self.key.fingerprint(&topology.to_json()),
        };
        record(&mut transaction, revision, &locked.stored, author).await?;
        transaction.commit().await?;
        Ok(Changed {
            state,
            cluster_revision: state.revision,
            changed: true,
            created: at.is_none(),
            warnings,
        })
    }

    /// Deletes a cluster.
    pub async fn delete_cluster(
        &self,
        name: &str,
        condition: Condition,
        author: &Author,
    ) -> Result<Changed, ChangeError> {
        let mut transaction = self.pool.begin().await?;
        let mut locked = Locked::take(self, &mut transaction).await?;
        let at = locked.position(name).ok_or(ChangeError::NotFound)?;
        locked.check(Some(at), &condition)?;
        locked.stored.remove(at);
        locked.opened.remove(at);
        let topology = Topology {
            clusters: locked.opened.iter().map(|stored| stored.cluster.clone()).collect(),
        };
        let warnings = validate(&topology, None)?;
        let state = fleet_state::advance(&mut transaction).await?;
        sqlx::query("delete from clusters where name = $1")
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        let revision = NewChange {
            state,
            action: Action::Delete,
            cluster: Some(name),
            rolled_back_to: None,
            fingerprint: self.key.fingerprint(&topology.to_json()),
        };
        record(&mut transaction, revision, &locked.stored, author).await?;
        transaction.commit().await?;
        let cluster_revision = state.revision;
        Ok(Changed { state, cluster_revision, changed: true, created: false, warnings })
    }

    /// Makes a new revision with the content of an older one.
    pub async fn rollback(&self, to: i64, author: &Author) -> Result<Changed, ChangeError> {
        let mut transaction = self.pool.begin().await?;
        let locked = Locked::take(self, &mut transaction).await?;
        let (_, old) =
            revisions::stored(&mut transaction, to).await?.ok_or(ChangeError::NotFound)?;
        let opened = sealed::open(&mut transaction, &self.key, old.clusters.clone()).await?;
        let topology = Topology { clusters: opened };
        // The rules may have become stricter since then.
        let warnings = validate(&topology, None)?;
        let state = fleet_state::advance(&mut transaction).await?;
        let mut stored = Vec::with_capacity(old.clusters.len());
        for cluster in old.clusters {
            // A cluster that stays the same keeps its entity tag.
            let same = locked.stored.iter().find(|stored| stored.cluster == cluster);
            let revision = same.map_or(state.revision, |same| same.revision);
            stored.push(StoredCluster { revision, cluster });
        }
        sqlx::query("delete from clusters").execute(&mut *transaction).await?;
        for cluster in &stored {
            write_cluster(&mut transaction, cluster).await?;
        }
        let revision = NewChange {
            state,
            action: Action::Rollback,
            cluster: None,
            rolled_back_to: Some(to),
            fingerprint: self.key.fingerprint(&topology.to_json()),
        };
        record(&mut transaction, revision, &stored, author).await?;
        transaction.commit().await?;
        let cluster_revision = state.revision;
        Ok(Changed { state, cluster_revision, changed: true, created: false, warnings })
    }
}

/// What [`record`] writes down of a change.
struct NewChange<'a> {
    state: FleetState,
    action: Action,
    cluster: Option<&'a str>,
    rolled_back_to: Option<i64>,
    /// Of the topology with its secrets.
    fingerprint: String,
}

/// Writes the revision and the audit entry of a change.
async fn record(
    connection: &mut PgConnection,
    change: NewChange<'_>,
    stored: &[StoredCluster],
    author: &Author,
) -> Result<(), StoreError> {
    let document =
        Topology { clusters: stored.iter().map(|stored| stored.cluster.clone()).collect() };
    let revision = revisions::NewRevision {
        state: change.state,
        author: &author.name,
        reason: author.reason.as_deref(),
        action: change.action,
        cluster: change.cluster,
        rolled_back_to: change.rolled_back_to,
        fingerprint: &change.fingerprint,
        document: &document,
    };
    revisions::insert(connection, revision).await?;
    let rolled_back_to = change.rolled_back_to.map(|number| format!("revision {number}"));
    let entry = NewAuditEntry {
        actor: &author.name,
        action: match change.action {
            Action::Put => "cluster.put",
            Action::Delete => "cluster.delete",
            Action::Rollback => "revision.rollback",
        },
        target: change.cluster.or(rolled_back_to.as_deref()),
        revision: Some(change.state.revision),
        detail: author.reason.as_deref(),
    };
    audit::insert(connection, entry).await
}

async fn write_cluster(
    connection: &mut PgConnection,
    stored: &StoredCluster,
) -> Result<(), StoreError> {
    let document = serde_json::to_value(&stored.cluster)
        .map_err(|source| StoreError::Document { what: "a cluster", source })?;
    sqlx::query(
        "insert into clusters (name, revision, document) values ($1, $2, $3)
         on conflict (name) do update set revision = excluded.revision, document = excluded.document",
    )
    .bind(&stored.cluster.name)
    .bind(stored.revision)
    .bind(document)
    .execute(connection)
    .await?;
    Ok(())
}

fn validate(
    topology: &Topology,
    index: Option<usize>,
) -> Result<Vec<pgherd_config::Warning>, ChangeError> {
    topology.validate().map_err(|errors| ChangeError::Invalid { errors, index })
}

/// Puts the stored secret where the writer sent `***` back, for the user of the same name.
fn keep_secrets(cluster: &mut Cluster, before: Option<&Cluster>) -> Result<(), ChangeError> {
    for (index, user) in cluster.users.iter_mut().enumerate() {
        let known = before.and_then(|c| c.users.iter().find(|known| known.name == user.name));
        let keep = |secret: &mut Secret, stored: Option<&Secret>, field: &str| {
            if secret.expose() != REDACTED {
                return Ok(());
            }
            *secret = stored.cloned().ok_or_else(|| ChangeError::NothingToKeep {
                pointer: format!("/users/{index}/{field}"),
            })?;
            Ok::<(), ChangeError>(())
        };
        keep(&mut user.password, known.map(|known| &known.password), "password")?;
        if let Some(secret) = &mut user.server_password {
            let stored = known.and_then(|known| known.server_password.as_ref());
            keep(secret, stored, "server_password")?;
        }
    }
    Ok(())
}
