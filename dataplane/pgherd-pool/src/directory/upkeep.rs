//! What a directory does as time goes by: pools that nobody uses go, and what they did is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Directory, Loaded};
use crate::limits::Scope;
use crate::pool::Pool;
use crate::shards::Shards;
use crate::stats::PoolStats;
use crate::targets::Targets;
use crate::totals::{DatabaseStats, PoolName};

/// How long a pool of a cluster for every name is kept for nobody, where connections are never
/// closed for being idle.
const UNUSED: Duration = Duration::from_secs(600);

impl Directory {
    /// Looks after all pools; each worker calls this about once a second.
    pub fn maintain(&self, worker: usize) {
        for pool in self.pools() {
            pool.maintain(worker);
        }
        if worker == 0 {
            let now = Instant::now();
            self.drop_unused(now);
            self.take_averages(now);
        }
    }

    /// Pools of a cluster for every name are as many as the names that clients think of: those
    /// that nobody has used for a while go.
    fn drop_unused(&self, now: Instant) {
        let mut content = self.shelf.content.lock();
        // References of ours: that of the register, and that of the targets.
        let is_unused = |pool: &Arc<Pool>| {
            let patience = pool.settings().idle_timeout.unwrap_or(UNUSED);
            // Sessions hold a reference, whether they have a connection or not.
            Arc::strong_count(pool) <= 2
                && pool.unused_for(now).is_some_and(|unused| unused > patience)
        };
        let unused = content.shards.extract_if(|_, shards| {
            let lone = |targets: &Arc<Targets>| {
                targets.is_for_every_name()
                    && Arc::strong_count(targets) == 1
                    && targets.made().all(is_unused)
            };
            Arc::strong_count(shards) == 1 && shards.all().iter().all(lone)
        });
        let unused: Vec<Arc<Shards>> = unused.map(|(_, shards)| shards).collect();
        for key in unused.iter().flat_map(|it| it.all()).flat_map(|targets| targets.keys()) {
            if let Some(pool) = content.pools.remove(key) {
                tracing::debug!(database = key.database, user = key.user, "unused pool dropped");
                self.shelf.retire(&key.database, pool);
            }
        }
    }

    /// The counters of all pools since the proxy started, of those that are no more, too.
    pub fn pool_totals(&self) -> BTreeMap<PoolName, PoolStats> {
        let content = self.shelf.content.lock();
        let live = content
            .pools
            .iter()
            .map(|(key, pool)| (PoolName::new(&key.database, pool), pool.stats()));
        self.shelf.totals.lock().pools(live)
    }

    /// What was done for each database, since the proxy started and of late.
    pub fn database_stats(&self) -> BTreeMap<String, DatabaseStats> {
        let pools = self.pool_totals();
        self.shelf.totals.lock().databases(&pools, Instant::now())
    }

    fn take_averages(&self, now: Instant) {
        self.shelf.totals.lock().fold();
        if self.shelf.totals.lock().is_due(now) {
            let pools = self.pool_totals();
            self.shelf.totals.lock().end_period(&pools, now);
        }
    }

    /// Most server connections in a scope; 0 for any number.
    pub(super) fn allowed(&self, loaded: &Loaded, scope: &Scope) -> usize {
        let cluster = |name: &str| loaded.clusters.get(name).map(|loaded| &loaded.cluster);
        match scope {
            Scope::Cluster(name) => cluster(name).map_or(0, |it| it.max_server_connections),
            Scope::ClusterUser(name, user) => loaded
                .clusters
                .get(name)
                .and_then(|loaded| loaded.users.get(user)?.user.max_server_connections)
                .unwrap_or(0),
            Scope::User(_) => self.user_limit,
            Scope::Instance(host, port) => loaded
                .clusters
                .values()
                .flat_map(|loaded| &loaded.cluster.shards)
                .flat_map(|shard| &shard.instances)
                .filter(|it| it.port == *port && it.host.eq_ignore_ascii_case(host))
                .map(|it| it.max_server_connections)
                .filter(|most| *most > 0)
                .min()
                .unwrap_or(0),
        }
    }
}
