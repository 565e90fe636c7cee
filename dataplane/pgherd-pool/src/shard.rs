//! What is known of one shard: its instances, which of them is the primary, who must hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pgherd_config::{Cluster, Instance, InstanceRole, LoadBalancing, Reads, Shard};
use tokio::sync::watch;

use crate::instance::{InstanceKey, InstanceState, Role};

/// How a shard is served.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShardRules {
    pub(crate) reads: Reads,
    pub(crate) load_balancing: LoadBalancing,
}

/// One shard of one cluster. It lives through changes of the topology that do not concern it.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) rules: ShardRules,
    configured: Vec<Instance>,
    pub(crate) instances: Box<[Arc<InstanceState>]>,
    /// For strategies that take one after the other.
    turn: AtomicU64,
    /// Raised when a role, a ban or the topology has changed.
    version: watch::Sender<u64>,
}

impl ShardRules {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self { reads: cluster.reads, load_balancing: cluster.load_balancing }
    }
}

impl ShardState {
    /// `former` is what was known of the shard under the topology before.
    pub(crate) fn new(shard: &Shard, rules: ShardRules, former: Option<&Self>) -> Self {
        let primary = pgherd_balance::for_write(shard);
        let instances = shard.instances.iter().enumerate().map(|(index, instance)| {
            let key = InstanceKey::new(&instance.host, instance.port);
            let known = former.and_then(|it| it.instances.iter().find(|it| it.key == key));
            let state = known.cloned().unwrap_or_else(|| Arc::new(InstanceState::new(key)));
            let was = known.map(|it| it.configured());
            state.configure(instance, index);
            match instance.role {
                _ if primary == Some(index) => state.set_role(Role::Primary),
                InstanceRole::Primary => state.set_role(Role::Primary),
                InstanceRole::Replica => state.set_role(Role::Replica),
                // What was found out stays true, what was said before does not.
                InstanceRole::Auto if was != Some(InstanceRole::Auto) => {
                    state.set_role(Role::Unknown);
                }
                InstanceRole::Auto => {}
            }
            state
        });
        Self {
            rules,
            instances: instances.collect(),
            configured: shard.instances.clone(),
            turn: AtomicU64::new(0),
            version: watch::Sender::new(0),
        }
    }

    /// Whether this is what the topology says, so that all that is known stays true.
    pub(crate) fn is(&self, shard: &Shard, rules: &ShardRules) -> bool {
        self.configured == shard.instances && self.rules == *rules
    }

    pub(crate) fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Tells those who wait that it is worth looking again.
    pub(crate) fn raise(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// The instance that takes writes.
    pub(crate) fn primary(&self) -> Option<&Arc<InstanceState>> {
        self.instances.iter().find(|it| it.role() == Role::Primary)
    }
}
