//! How the proxy itself logs in to the shards of a cluster, for what belongs to no client.

use std::sync::Arc;

use super::{Directory, LoadedCluster};
use crate::connect::Endpoint;
use crate::instance::Role;

/// The primaries of a cluster with several shards, as they are found now.
#[derive(Clone, Debug)]
pub struct Primaries {
    loaded: Arc<LoadedCluster>,
}

impl Directory {
    /// The names of the clusters that have several shards.
    pub fn sharded_clusters(&self) -> Vec<String> {
        let current = self.current.load();
        let sharded = current.clusters.values().filter(|loaded| loaded.shards.len() > 1);
        sharded.map(|loaded| loaded.cluster.name.clone()).collect()
    }

    /// The primaries of the cluster of that name, if it has several shards.
    pub fn primaries(&self, cluster: &str) -> Option<Primaries> {
        let loaded = Arc::clone(self.current.load().clusters.get(cluster)?);
        (loaded.shards.len() > 1).then_some(Primaries { loaded })
    }
}

impl Primaries {
    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.loaded.shards.len()
    }

    /// The roles as which one can log in, the one of the health checks first.
    pub fn roles(&self) -> Vec<&str> {
        let cluster = &self.loaded.cluster;
        let checks = cluster.effective_health_check_user();
        let mut roles = Vec::new();
        for user in checks.into_iter().chain(&cluster.users) {
            if !roles.contains(&user.effective_server_user()) {
                roles.push(user.effective_server_user());
            }
        }
        roles
    }

    /// The role as which a client of the cluster is served.
    pub fn role_of(&self, user: &str) -> Option<&str> {
        self.loaded.cluster.user(user).map(pgherd_config::User::effective_server_user)
    }

    /// How to log in to the primary of a shard as a role; `None` while there is no primary, or for
    /// a role that no user of the cluster has.
    pub fn endpoint(&self, shard: usize, role: &str) -> Option<Endpoint> {
        let cluster = &self.loaded.cluster;
        let state = self.loaded.shards.get(shard)?;
        let primary = state.instances.iter().position(|it| it.role() == Role::Primary)?;
        let instance = cluster.shards.get(shard)?.instances.get(primary)?;
        let user = cluster.users.iter().find(|user| user.effective_server_user() == role)?;
        let connector = self.loaded.connectors.get(cluster.effective_server_tls(instance));
        let database = instance.database.as_deref().unwrap_or(&cluster.name);
        let password = user.effective_server_password().cloned();
        Some(
            Endpoint::new(&instance.host, instance.port, database, role, password)
                .with_tls(connector.cloned().flatten())
                .with_tcp(cluster.tcp()),
        )
    }
}
