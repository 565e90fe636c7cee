//! Watching the instances of the topology, and what people and the fleet have to say of them.

use std::sync::Arc;
use std::time::Duration;

use pgherd_balance::fleet::{Condition, FleetBan};
use pgherd_balance::{Ban, InstanceKey, Lifted};
use pgherd_config::Period;
use tokio::sync::watch;

use super::{Directory, Loaded, LoadedCluster};
use crate::connect::Endpoint;
use crate::health::{MonitorPlan, Sight};
use crate::instance::InstanceState;
use crate::shard::ShardState;

/// The database to which the checks of a cluster for every name connect.
const ANY_DATABASE: &str = "postgres";

/// How long a probe that somebody asks for may take.
const PROBE: Duration = Duration::from_secs(1);

/// One instance of one shard, for those who look.
#[derive(Clone, Debug)]
pub struct InstanceStatus {
    /// The name of the cluster.
    pub cluster: String,
    /// The number of the shard in it.
    pub shard: usize,
    /// What does not change from one moment to the next, and counters.
    pub instance: Arc<InstanceState>,
    /// How it stands.
    pub sight: Arc<Sight>,
    /// How this proxy sees it, whatever others say.
    pub condition: Condition,
    /// Every ban, those behind the one that is in force as well.
    pub bans: Vec<Ban>,
}

impl Directory {
    /// Watches all instances, for as long as it is polled. One task of the process does that,
    /// best on a thread that nothing else keeps busy. Cancel safe.
    pub fn watch_instances(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.health).run()
    }

    /// The clock by which evidence and bans are dated.
    pub fn now(&self) -> Duration {
        self.health.clock.now()
    }

    /// Raised with every change of a role, a ban or a condition.
    pub fn health_version(&self) -> watch::Receiver<u64> {
        self.health.version.subscribe()
    }

    /// Every instance of every shard, in the order of the clusters' names.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        let now = self.now();
        let mut shards = self.health.shards();
        shards.sort_by(|a, b| (&a.cluster, a.number).cmp(&(&b.cluster, b.number)));
        shards.iter().flat_map(|shard| statuses(shard, now)).collect()
    }

    /// Replaces the bans that the fleet has decided. They hold for shards that are loaded later,
    /// too.
    pub fn set_fleet_bans(&self, bans: &[FleetBan], zone: Option<&str>) {
        self.health.set_fleet_bans(bans, zone);
    }

    /// Checks an instance at once, over another connection if need be. What comes of it is known
    /// when this returns, within a second. Cancel safe.
    pub async fn probe(&self, key: &InstanceKey) -> bool {
        match self.health.shards().iter().find_map(|shard| shard.place(key)) {
            Some(_) => self.health.monitor(key).probe(PROBE).await,
            None => false,
        }
    }

    /// Bans an instance from reads in every shard that has it; how many these are.
    pub fn ban(&self, key: &InstanceKey, reason: &str, lasting: Option<Duration>) -> usize {
        let shards = self.health.shards();
        shards.iter().filter(|shard| shard.ban(key, reason, lasting)).count()
    }

    /// Lifts the bans of an instance that this proxy can lift; what that was, for each shard that
    /// has it.
    pub fn unban(&self, key: &InstanceKey) -> Vec<Lifted> {
        self.health.shards().iter().filter_map(|shard| shard.unban(key)).collect()
    }

    pub(super) fn configure_health(&self, loaded: &Loaded) {
        let mut clusters: Vec<&LoadedCluster> = loaded.clusters.values().map(Arc::as_ref).collect();
        clusters.sort_by(|a, b| a.cluster.name.cmp(&b.cluster.name));
        for loaded in &clusters {
            for (number, shard) in loaded.shards.iter().enumerate() {
                let instances = shard.instances.iter();
                let endpoints =
                    instances.filter_map(|it| loaded.check_endpoint(number, it.index()));
                shard.set_endpoints(endpoints.collect());
            }
        }
        let shards = clusters.iter().flat_map(|loaded| loaded.shards.iter().cloned()).collect();
        self.health.configure(shards, |key| plan(&clusters, key));
    }
}

fn statuses(shard: &Arc<ShardState>, now: Duration) -> Vec<InstanceStatus> {
    let conditions = shard.conditions(now);
    let status = |instance: &Arc<InstanceState>| {
        let seen = conditions.iter().find(|(key, _)| *key == instance.key);
        InstanceStatus {
            cluster: shard.cluster.clone(),
            shard: shard.number,
            instance: Arc::clone(instance),
            sight: instance.sight(),
            condition: seen.map_or(Condition::Unwatched, |(_, condition)| condition.clone()),
            bans: shard.bans(instance.index(), now),
        }
    };
    shard.instances.iter().map(status).collect()
}

/// How an instance is looked at: as the first cluster that names it can, as often as any wants.
fn plan(clusters: &[&LoadedCluster], key: &InstanceKey) -> Option<MonitorPlan> {
    let naming = clusters.iter().flat_map(|loaded| {
        let shards = loaded.shards.iter().enumerate();
        shards.filter_map(|(number, shard)| Some((*loaded, number, shard.place(key)?)))
    });
    let named: Vec<(&LoadedCluster, usize, usize)> = naming.collect();
    let endpoint =
        named.iter().find_map(|(loaded, shard, index)| loaded.check_endpoint(*shard, *index))?;
    let intervals = named.iter().filter_map(|(it, ..)| it.cluster.health_check_interval.limit());
    let timeouts = named.iter().map(|(it, ..)| it.cluster.health_check_timeout);
    let timeout = timeouts.max().unwrap_or(Period::secs(1)).0;
    Some(MonitorPlan { endpoint, interval: intervals.min(), timeout })
}

impl LoadedCluster {
    /// How the checks log in to an instance.
    fn check_endpoint(&self, shard: usize, index: usize) -> Option<Endpoint> {
        let cluster = &self.cluster;
        let instance = cluster.shards.get(shard)?.instances.get(index)?;
        let user = cluster.effective_health_check_user()?;
        let named = (cluster.name != "*").then_some(cluster.name.as_str());
        let database = instance.database.as_deref().or(named).unwrap_or(ANY_DATABASE);
        let connector = self.connectors.get(cluster.effective_server_tls(instance));
        let password = user.effective_server_password().cloned();
        let server_user = user.effective_server_user();
        Some(
            Endpoint::new(&instance.host, instance.port, database, server_user, password)
                .with_tls(connector.cloned().flatten())
                .with_tcp(cluster.tcp()),
        )
    }
}
