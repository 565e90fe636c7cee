//! What the proxy says to its running agent.

use std::collections::BTreeMap;

use pgherd_proto::v1::InstanceHealth;
use tokio::sync::watch;

/// An instance by cluster, shard and address.
pub(crate) type HealthKey = (String, u32, String);
pub(crate) type HealthBoard = BTreeMap<HealthKey, InstanceHealth>;

/// Speaks to a running [`crate::Agent`]; never waits. Clones speak to the same agent.
#[derive(Clone, Debug)]
pub struct AgentHandle {
    draining: watch::Sender<bool>,
    health: watch::Sender<HealthBoard>,
}

/// The agent's ends of an [`AgentHandle`].
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) health: watch::Receiver<HealthBoard>,
}

impl AgentHandle {
    pub(crate) fn new() -> (Self, Said) {
        let (draining, draining_said) = watch::channel(false);
        let (health, health_said) = watch::channel(HealthBoard::new());
        (Self { draining, health }, Said { draining: draining_said, health: health_said })
    }

    /// Says that this proxy takes no new clients and will end.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Says what was last seen of an instance. Only changes travel; the latest wins.
    pub fn report_health(&self, health: InstanceHealth) {
        let key = (health.cluster.clone(), health.shard, health.instance.clone());
        self.health.send_if_modified(|board| {
            let changed = board.get(&key) != Some(&health);
            board.insert(key, health);
            changed
        });
    }

    /// Forgets the instances that are no longer served, so that the board does not only grow.
    pub fn retain_health(&self, keep: impl Fn(&InstanceHealth) -> bool) {
        self.health.send_if_modified(|board| {
            let before = board.len();
            board.retain(|_, health| keep(health));
            board.len() != before
        });
    }
}
