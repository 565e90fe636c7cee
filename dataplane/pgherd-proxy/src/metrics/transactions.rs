//! Metrics of transactions over several shards that were left to be finished by somebody.

use pgherd_session::Commits;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::families::{Family, families};

/// In which cluster.
#[derive(Clone, Debug, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ClusterLabels {
    cluster: String,
}

/// In which cluster, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    cluster: String,
    outcome: &'static str,
}

families! {
    /// Transactions over several shards.
    TransactionMetrics {
        /// Transactions over several shards that were found prepared and that nobody seemed to finish, at the last look. All proxies see the same ones.
        in_doubt: Family<ClusterLabels, ConstGauge<u64>> = "pgherd_transactions_in_doubt";
        /// Transactions over several shards that this proxy has finished for whoever had left them.
        resolved: Family<OutcomeLabels, ConstCounter<u64>> = "pgherd_transactions_resolved";
    }
}

impl TransactionMetrics {
    /// The values of this moment.
    pub(super) fn read(commits: &Commits) -> Self {
        let tallies = commits.tallies();
        let in_doubt = tallies.iter().map(|(cluster, tally)| {
            (ClusterLabels { cluster: cluster.clone() }, ConstGauge::new(tally.in_doubt()))
        });
        let resolved = tallies.iter().flat_map(|(cluster, tally)| {
            tally.resolutions().map(|(outcome, count)| {
                let labels = OutcomeLabels { cluster: cluster.clone(), outcome };
                (labels, ConstCounter::new(count))
            })
        });
        Self { in_doubt: Family(in_doubt.collect()), resolved: Family(resolved.collect()) }
    }
}
