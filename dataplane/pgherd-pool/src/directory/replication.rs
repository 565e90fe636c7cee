//! From the names in a replication client's startup packet to the instance that it replicates from.

use std::sync::Arc;

use pgherd_wire::startup::Replication;

use super::{Directory, LookupError};
use crate::connect::ConnectError;
use crate::replication::{
    ReplicationConn, ReplicationEntry, ReplicationKey, ReplicationSource, ReplicationTotals,
};

/// The database name of clients that cannot choose one, such as Postgres's own WAL receiver.
const NO_DATABASE: &str = "replication";

/// Which cluster a physical replication client means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicationCluster {
    /// That of this name, which may turn out not to be served.
    Named(String),
    /// Several have this user; it may prove who it is to this one before it is told so.
    Ambiguous(String),
}

impl Directory {
    /// Physical replication connects to no database, so the name that stands for one names the
    /// cluster. A name that says nothing (Postgres's clients send `replication`, or the user's)
    /// means the only cluster that has the user.
    pub fn replication_cluster(&self, database: &str, user: &str) -> ReplicationCluster {
        let current = self.current.load();
        let served = |name| current.clusters.contains_key(name);
        let says_nothing = database == NO_DATABASE || database == user;
        if served(database) || served("*") || !says_nothing {
            return ReplicationCluster::Named(database.to_owned());
        }
        let mut with_user: Vec<&String> = current
            .clusters
            .iter()
            .filter(|(_, loaded)| loaded.users.contains_key(user))
            .map(|(name, _)| name)
            .collect();
        with_user.sort();
        match with_user.as_slice() {
            [] => ReplicationCluster::Named(database.to_owned()),
            [only] => ReplicationCluster::Named((*only).clone()),
            [first, ..] => ReplicationCluster::Ambiguous((*first).clone()),
        }
    }

    /// The instance for replication clients of this user.
    pub fn replication_source(
        &self,
        database: &str,
        user: &str,
    ) -> Result<ReplicationSource, LookupError> {
        let targets = self.targets(database, user)?;
        let settings = &targets.primary().ok_or(LookupError::NoInstance)?.settings;
        Ok(ReplicationSource {
            cluster: settings.cluster.clone(),
            user: settings.user.clone(),
            endpoint: settings.endpoint.again(),
            connect_timeout: settings.connect_timeout,
        })
    }

    /// Opens a server connection for one replication client, with its startup parameters.
    /// `database` is the name that is shown. Cancel safe.
    pub async fn open_replication(
        &self,
        source: ReplicationSource,
        kind: Replication,
        database: &str,
        params: &[(&str, &str)],
    ) -> Result<ReplicationConn, ConnectError> {
        source.open(&self.replication, kind, database, params).await
    }

    /// All replication connections that are open now.
    pub fn replications(&self) -> Vec<Arc<ReplicationEntry>> {
        self.replication.entries()
    }

    /// What replication connections did, also those that have ended.
    pub fn replication_totals(&self) -> Vec<(ReplicationKey, Arc<ReplicationTotals>)> {
        self.replication.all_totals()
    }

    /// Forgets the counters of what the topology has no more.
    pub(super) fn forget_replication(&self) {
        let current = self.current.load();
        self.replication.forget_unused(|key| {
            current
                .clusters
                .get(&key.cluster)
                .is_some_and(|loaded| loaded.users.contains_key(&key.user))
        });
    }
}

#[cfg(test)]
mod tests {
    use pgherd_config::Topology;

    use super::*;

    fn directory(clusters: &[(&str, &[&str])]) -> Directory {
        let clusters: Vec<String> = clusters
            .iter()
            .map(|(name, users)| {
                let users: Vec<String> = users
                    .iter()
                    .map(|user| format!(r#"{{"name": "{user}", "password": "x"}}"#))
                    .collect();
                format!(
                    r#"{{"name": "{name}", "users": [{}], "shards": [{{"instances":
                    [{{"host": "h", "port": 5432, "role": "primary"}}]}}]}}"#,
                    users.join(",")
                )
            })
            .collect();
        let topology = format!(r#"{{"clusters": [{}]}}"#, clusters.join(","));
        let directory = Directory::new(1, [0; 32]);
        let topology = Topology::from_json(topology.as_bytes()).expect("a valid topology");
        directory.load(&topology).expect("no files to read");
        directory
    }

    #[track_caller]
    fn check(clusters: &[(&str, &[&str])], database: &str, user: &str, expected: &str) {
        let found = match directory(clusters).replication_cluster(database, user) {
            ReplicationCluster::Named(name) => name,
            ReplicationCluster::Ambiguous(name) => format!("{name} or another"),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_name_that_is_served_is_the_cluster() {
        let clusters: &[(&str, &[&str])] = &[("a", &["u"]), ("b", &["u"])];
        check(clusters, "b", "u", "b");
        check(&[("replication", &["u"]), ("b", &["u"])], "replication", "u", "replication");
        check(&[("*", &["u"]), ("b", &["u"])], "replication", "u", "replication");
        check(&[("*", &["u"]), ("b", &["u"])], "b", "u", "b");
    }

    #[test]
    fn a_name_that_says_nothing_is_the_only_cluster_of_the_user() {
        let clusters: &[(&str, &[&str])] = &[("a", &["u", "v"]), ("b", &["v"])];
        check(clusters, "replication", "u", "a");
        check(clusters, "u", "u", "a");
        check(clusters, "replication", "v", "a or another");
    }

    #[test]
    fn what_is_not_served_is_not_guessed() {
        let clusters: &[(&str, &[&str])] = &[("a", &["u"])];
        check(clusters, "typo", "u", "typo");
        check(clusters, "replication", "nobody", "replication");
    }
}
