//! What the agent of the control plane needs of this proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use std::time::Duration;

use pgherd_agent::{
    AgentHandle, Failing, InstanceView, Peer, PoolStatistics, Proxy, Rejection, SnapshotId,
    Statistics,
};
use pgherd_balance::{InstanceKey, fleet::FleetBan};
use pgherd_config::Topology;
use pgherd_session::Shared;

/// This proxy, as its agent sees it.
#[derive(Debug)]
pub struct FleetMember {
    shared: Arc<Shared>,
    loaded: Arc<AtomicBool>,
}

impl FleetMember {
    /// `loaded` is raised with the first topology.
    pub fn new(shared: Arc<Shared>, loaded: Arc<AtomicBool>) -> Self {
        Self { shared, loaded }
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
        instances(&self.shared)
    }

    fn fleet_bans(&self, bans: Vec<FleetBan>) {
        tracing::debug!(bans = bans.len(), "bans of the fleet are not obeyed yet");
    }

    fn probe(&self, instance: InstanceKey) {
        tracing::debug!(%instance, "probes are not made yet");
    }
}

/// How often it is looked whether there is news of the instances.
const VIEW_TICK: Duration = Duration::from_millis(250);

/// Tells the agent when there is news of the instances. Never returns; cancel safe.
pub async fn watch_instances(shared: Arc<Shared>, agent: AgentHandle) {
    let mut tick = tokio::time::interval(VIEW_TICK);
    let mut known = Vec::new();
    loop {
        tick.tick().await;
        let seen = instances(&shared);
        if seen != known {
            agent.view_changed();
            known = seen;
        }
    }
}

/// One entry for each instance that a pool has tried; one failing pool makes it unreachable.
fn instances(shared: &Shared) -> Vec<InstanceView> {
    let mut seen: Vec<InstanceView> = Vec::new();
    for pool in shared.directory.pools() {
        let (counts, settings) = (pool.counts(), pool.settings());
        let error = pool.last_error();
        if error.is_none() && counts.active + counts.idle == 0 {
            continue;
        }
        let failing = error.filter(|error| error.blames_instance()).map(|error| Failing {
            class: "health_check_failed".to_owned(),
            detail: error.chain(),
            lasting_ms: 0,
        });
        let view = InstanceView {
            cluster: settings.cluster.clone(),
            host: settings.endpoint.host.clone(),
            port: settings.endpoint.port.into(),
            busy: narrow(counts.active),
            failing,
            ..InstanceView::default()
        };
        let same = |other: &&mut InstanceView| {
            (&other.cluster, &other.host, other.port) == (&view.cluster, &view.host, view.port)
        };
        match seen.iter_mut().find(same) {
            Some(other) if other.failing.is_none() => *other = view,
            Some(_) => {}
            None => seen.push(view),
        }
    }
    seen
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
