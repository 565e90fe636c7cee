//! Metrics of replication connections, which belong to no pool.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use pgherd_pool::{Directory, Replication, ReplicationTotals};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::families::{Family, families};

/// From where. As with pools, no names that clients could invent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct SourceLabels {
    cluster: String,
    user: String,
    instance: String,
}

/// What is replicated from where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct KindLabels {
    #[prometheus(flatten)]
    source: SourceLabels,
    kind: &'static str,
}

type Counters = Family<SourceLabels, ConstCounter<u64>>;

families! {
    /// What replication clients have done, and which are there.
    ReplicationMetrics {
        /// Replication connections that are open.
        connections: Family<KindLabels, ConstGauge<usize>> = "pgherd_replication_connections";
        /// Replication connections that were opened.
        opened: Counters = "pgherd_replication_opened";
        /// Bytes that came from replication clients.
        received: Counters = "pgherd_replication_received", Bytes;
        /// Bytes that came for replication clients.
        sent: Counters = "pgherd_replication_sent", Bytes;
    }
}

impl ReplicationMetrics {
    /// The values of this moment.
    pub(super) fn read(directory: &Directory) -> Self {
        let mut open = BTreeMap::<KindLabels, usize>::new();
        for entry in directory.replications() {
            let source = SourceLabels {
                cluster: entry.source.cluster.clone(),
                user: entry.source.user.clone(),
                instance: entry.source.endpoint.address(),
            };
            let kind = match entry.kind {
                Replication::Physical => "physical",
                Replication::Logical => "logical",
            };
            *open.entry(KindLabels { source, kind }).or_default() += 1;
        }
        let totals = directory.replication_totals();
        let counters = |value: fn(&ReplicationTotals) -> &AtomicU64| {
            let each = totals.iter().map(|(key, totals)| {
                let (cluster, user) = (key.cluster.clone(), key.user.clone());
                let labels = SourceLabels { cluster, user, instance: key.instance.clone() };
                (labels, ConstCounter::new(value(totals).load(Ordering::Relaxed)))
            });
            Family(each.collect())
        };
        Self {
            connections: Family(
                open.into_iter().map(|(labels, n)| (labels, ConstGauge::new(n))).collect(),
            ),
            opened: counters(|totals| &totals.opened),
            received: counters(|totals| &totals.received),
            sent: counters(|totals| &totals.sent),
        }
    }
}
