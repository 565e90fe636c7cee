//! Metrics of the pools, by cluster, user and instance as they are in the settings.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_pool::{Directory, Pool, PoolStats};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::families::{Family, families};

/// Which pool. No database names: with a cluster for every name, clients could invent as many as
/// they like, and each would be a time series for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct PoolLabels {
    cluster: String,
    user: String,
    shard: u64,
    instance: String,
}

/// Which server connections of which pool.
#[derive(Clone, Debug, EncodeLabelSet)]
pub(super) struct StateLabels {
    #[prometheus(flatten)]
    pool: PoolLabels,
    state: ConnectionState,
}

/// What a server connection is doing.
#[derive(Clone, Copy, Debug)]
enum ConnectionState {
    Active,
    Idle,
    Connecting,
}

impl EncodeLabelValue for ConnectionState {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Connecting => "connecting",
        };
        name.encode(encoder)
    }
}

type Counters<V = u64> = Family<PoolLabels, ConstCounter<V>>;
type Gauges<V = usize> = Family<PoolLabels, ConstGauge<V>>;

families! {
    /// What the pools have done, and what they hold. What a pool has done still counts when a
    /// change of the topology has replaced it.
    PoolMetrics {
        /// Transactions that ended.
        transactions: Counters = "pgherd_pool_transactions";
        /// Statements that ended.
        queries: Counters = "pgherd_pool_queries";
        /// Bytes that came from clients.
        received: Counters = "pgherd_pool_received", Bytes;
        /// Bytes that went to clients.
        sent: Counters = "pgherd_pool_sent", Bytes;
        /// Time that clients waited for a server connection.
        wait: Counters<f64> = "pgherd_pool_wait", Seconds;
        /// Time that server connections were lent out.
        busy: Counters<f64> = "pgherd_pool_busy", Seconds;
        /// Time that transactions took.
        transaction_time: Counters<f64> = "pgherd_pool_transaction_time", Seconds;
        /// Time that statements took.
        query_time: Counters<f64> = "pgherd_pool_query_time", Seconds;
        /// Errors that servers sent.
        errors: Counters = "pgherd_pool_errors";
        /// Times that a server connection stayed with its client because of state that cannot be
        /// carried over.
        pins: Counters = "pgherd_pool_pins";
        /// Server connections by what they do.
        connections: Family<StateLabels, ConstGauge<usize>> = "pgherd_pool_server_connections";
        /// Most server connections that there may be.
        limit: Gauges = "pgherd_pool_server_connections_limit";
        /// Clients that wait for a server connection.
        waiting: Gauges = "pgherd_pool_waiting_clients";
        /// Time that the first of the waiting clients has waited.
        longest_wait: Gauges<f64> = "pgherd_pool_longest_wait", Seconds;
    }
}

/// The pools of one set of labels: several only in a cluster for every name, one for each name.
#[derive(Default)]
struct Sum {
    stats: PoolStats,
    active: usize,
    idle: usize,
    connecting: usize,
    limit: usize,
    waiting: usize,
    longest_wait: Duration,
}

impl Sum {
    fn add(&mut self, pool: &Pool) {
        let counts = pool.counts();
        self.active += counts.active;
        self.idle += counts.idle;
        self.connecting += counts.connecting;
        self.limit += pool.settings().size;
        self.waiting += counts.waiting;
        self.longest_wait = self.longest_wait.max(counts.longest_wait);
    }
}

impl PoolMetrics {
    /// The values of this moment.
    pub(super) fn read(directory: &Directory) -> Self {
        let mut sums = BTreeMap::<PoolLabels, Sum>::new();
        for pool in directory.pools() {
            let settings = pool.settings();
            let labels = PoolLabels {
                cluster: settings.cluster.clone(),
                user: settings.user.clone(),
                shard: number(settings.shard),
                instance: settings.endpoint.address(),
            };
            sums.entry(labels).or_default().add(&pool);
        }
        for (name, stats) in directory.pool_totals() {
            let labels = PoolLabels {
                cluster: name.cluster,
                user: name.user,
                shard: number(name.shard),
                instance: name.instance,
            };
            sums.entry(labels).or_default().stats.merge(&stats);
        }
        Self {
            transactions: counters(&sums, |sum| sum.stats.transactions),
            queries: counters(&sums, |sum| sum.stats.queries),
            received: counters(&sums, |sum| sum.stats.bytes_received),
            sent: counters(&sums, |sum| sum.stats.bytes_sent),
            wait: counters(&sums, |sum| seconds(sum.stats.wait_micros)),
            busy: counters(&sums, |sum| seconds(sum.stats.busy_micros)),
            transaction_time: counters(&sums, |sum| seconds(sum.stats.transaction_micros)),
            query_time: counters(&sums, |sum| seconds(sum.stats.query_micros)),
            errors: counters(&sums, |sum| sum.stats.errors),
            pins: counters(&sums, |sum| sum.stats.pins),
            connections: connections(&sums),
            limit: gauges(&sums, |sum| sum.limit),
            waiting: gauges(&sums, |sum| sum.waiting),
            longest_wait: gauges(&sums, |sum| sum.longest_wait.as_secs_f64()),
        }
    }
}

fn number(shard: usize) -> u64 {
    u64::try_from(shard).unwrap_or(u64::MAX)
}

type Sums = BTreeMap<PoolLabels, Sum>;

fn counters<V>(sums: &Sums, value: fn(&Sum) -> V) -> Counters<V> {
    Family(sums.iter().map(|(it, sum)| (it.clone(), ConstCounter::new(value(sum)))).collect())
}

fn gauges<V>(sums: &Sums, value: fn(&Sum) -> V) -> Gauges<V> {
    Family(sums.iter().map(|(it, sum)| (it.clone(), ConstGauge::new(value(sum)))).collect())
}

fn connections(sums: &Sums) -> Family<StateLabels, ConstGauge<usize>> {
    let by_state = sums.iter().flat_map(|(pool, sum)| {
        [
            (ConnectionState::Active, sum.active),
            (ConnectionState::Idle, sum.idle),
            (ConnectionState::Connecting, sum.connecting),
        ]
        .map(|(state, n)| (StateLabels { pool: pool.clone(), state }, ConstGauge::new(n)))
    });
    Family(by_state.collect())
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}
