//! What the agent of the control plane needs of this proxy.

mod view;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pgherd_agent::{
    AgentHandle, InstanceView, Peer, PoolStatistics, Proxy, Rejection, SnapshotId, Statistics,
};
use pgherd_balance::{InstanceKey, fleet::FleetBan};
use pgherd_config::Topology;
use pgherd_session::Shared;

/// This proxy, as its agent sees it.
#[derive(Debug)]
pub struct FleetMember {
    shared: Arc<Shared>,
    loaded: Arc<AtomicBool>,
    zone: Option<String>,
    agent: OnceLock<AgentHandle>,
}

impl FleetMember {
    /// `loaded` is raised with the first topology; `zone` is where this proxy runs.
    pub fn new(shared: Arc<Shared>, loaded: Arc<AtomicBool>, zone: Option<String>) -> Self {
        Self { shared, loaded, zone, agent: OnceLock::new() }
    }

    /// Whom to tell what a probe has found. Its agent has to know this first.
    pub fn answer_through(&self, agent: AgentHandle) {
        // Only the start calls this.
        let _ = self.agent.set(agent);
    }
}

impl Proxy for FleetMember {
    fn activate(&self, id: &SnapshotId, topology: Arc<Topology>) -> Result<(), Rejection> {
        // The files are this proxy's own: another one may have them, and so may this one later.
        self.shared.directory.load(&topology).map_err(|error| Rejection {
            code: "tls_files".to_owned(),
            pointer: "/clusters".to_owned(),
            message: error.to_string(),
            retriable: true,
        })?;
        self.shared.directory.warm_up();
        self.shared.clients.wake_replication();
        self.loaded.store(true, Ordering::Release);
        tracing::info!(
            generation = id.generation,
            clusters = topology.clusters.len(),
            "topology activated"
        );
        Ok(())
    }

    fn peers(&self, peers: Vec<Peer>) {
        let peers = peers
            .into_iter()
            .filter_map(|peer| {
                let number = u16::try_from(peer.proxy_number).ok()?;
                Some(pgherd_session::Peer { number, address: peer.advertise_address })
            })
            .collect();
        self.shared.peers.store(Arc::new(peers));
    }

    fn proxy_number(&self, number: u32) {
        match u16::try_from(number) {
            Ok(number) if number <= pgherd_session::MAX_PROXY_NUMBER => {
                self.shared.set_proxy_number(number);
            }
            _ => tracing::error!(
                number,
                "the number of this proxy is too large for cancel keys: cancels that reach another proxy are lost"
            ),
        }
    }

    fn statistics(&self) -> Statistics {
        let mut sum =
            Statistics { clients: narrow(self.shared.clients.len()), ..Statistics::default() };
        sum.server_connections = narrow(self.shared.directory.replications().len());
        for pool in self.shared.directory.pools() {
            let (counts, stats, settings) = (pool.counts(), pool.stats(), pool.settings());
            sum.server_connections += narrow(counts.active + counts.idle);
            sum.waiting_clients += narrow(counts.waiting);
            sum.pools.push(PoolStatistics {
                cluster: settings.cluster.clone(),
                user: settings.user.clone(),
                instance: settings.endpoint.address(),
                active: narrow(counts.active),
                idle: narrow(counts.idle),
                waiting: narrow(counts.waiting),
                transactions: stats.transactions,
                shard: narrow(settings.shard),
            });
        }
        // Also what pools did that are no more: sums never go down.
        for stats in self.shared.directory.pool_totals().values() {
            sum.transactions += stats.transactions;
            sum.queries += stats.queries;
            sum.bytes_received += stats.bytes_received;
            sum.bytes_sent += stats.bytes_sent;
        }
        sum
    }

    fn view(&self) -> Vec<InstanceView> {
        view::view(&self.shared.directory)
    }

    fn fleet_bans(&self, bans: Vec<FleetBan>) {
        self.shared.directory.set_fleet_bans(&bans, self.zone.as_deref());
    }

    fn probe(&self, instance: InstanceKey) {
        let shared = Arc::clone(&self.shared);
        let agent = self.agent.get().cloned();
        // Bounded in time, and in number by what the control plane asks for once a second.
        tokio::spawn(async move {
            shared.directory.probe(&instance).await;
            if let Some(agent) = agent {
                agent.view_changed();
            }
        });
    }
}

/// Tells the agent when there is news of the instances. Never returns; cancel safe.
pub async fn watch_instances(shared: Arc<Shared>, agent: AgentHandle) {
    let mut version = shared.directory.health_version();
    // It ends with the directory, which `shared` keeps.
    while version.changed().await.is_ok() {
        agent.view_changed();
    }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
