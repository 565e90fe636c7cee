//! Where the statements of one user of one database can go, over all shards of the cluster.

use std::sync::Arc;
use std::task::Poll;

use pgherd_config::Cluster;

use crate::pool::Pool;
use crate::targets::{NoTarget, Targets};

/// The shards of a cluster, for one user of one database, and the rules by which rows are placed.
#[derive(Debug)]
pub struct Shards {
    cluster: Arc<Cluster>,
    /// By the number of the shard.
    targets: Box<[Arc<Targets>]>,
}

impl Shards {
    pub(crate) fn new(cluster: Arc<Cluster>, targets: Box<[Arc<Targets>]>) -> Self {
        Self { cluster, targets }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.targets.len()
    }

    /// Whether the cluster is not sharded.
    pub fn is_single(&self) -> bool {
        self.count() == 1
    }

    /// The instances of one shard, counted from 0.
    pub fn targets(&self, shard: usize) -> Option<&Arc<Targets>> {
        self.targets.get(shard)
    }

    /// The same of all shards, in their order.
    pub fn all(&self) -> &[Arc<Targets>] {
        &self.targets
    }

    /// The settings: which tables are where, and how much may be gathered.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The shard on which a login can try its startup parameters: the first one from `first` on
    /// that answers, or that one if none is known to.
    pub fn for_login(&self, first: usize) -> Option<&Arc<Targets>> {
        let rest = self.targets.get(first..)?;
        rest.iter().find(|targets| targets.is_reachable()).or_else(|| rest.first())
    }

    /// The pool of an instance of any shard that answers: for what needs no data.
    pub fn any(&self) -> Result<Arc<Pool>, NoTarget> {
        self.for_login(0).ok_or(NoTarget::NoneLeft)?.for_login()
    }

    /// Ends when a role or a ban in any shard, or the topology, has changed since the call.
    /// Cancel safe.
    pub fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut changes: Vec<_> = self.targets.iter().map(|it| Box::pin(it.changed())).collect();
        std::future::poll_fn(move |context| {
            let mut ready = false;
            for change in &mut changes {
                ready |= change.as_mut().poll(context).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}
