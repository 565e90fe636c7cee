//! The pool of one (cluster, user, instance): exact limits, a fair queue, leases that come back.

mod checkout;
mod state;
mod upkeep;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use parking_lot::Mutex;
use pgherd_config::PoolMode;
use pgherd_wire::ParamSet;

pub use checkout::CheckoutError;
pub(crate) use state::Refusal;
use state::State;

use crate::connect::{ConnectError, Endpoint};
use crate::entry::ServerEntry;
use crate::instance::InstanceState;
use crate::limits::Budgets;
use crate::statements::StatementRegistry;
use crate::stats::{PoolStats, WorkerStats};

/// The settings by which a pool is told from another.
#[derive(Debug, PartialEq)]
pub struct PoolSettings {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the user, as clients say it.
    pub user: String,
    /// The shard of the cluster, counted from 0.
    pub shard: usize,
    /// The instance.
    pub endpoint: Endpoint,
    /// When connections come back.
    pub mode: PoolMode,
    /// Most connections.
    pub size: usize,
    /// Connections that are kept open.
    pub min_size: usize,
    /// Connections beyond that, for clients that have waited for `reserve_timeout`.
    pub reserve_size: usize,
    /// How long a client waits before the reserve is used; `None` where there is none.
    pub reserve_timeout: Option<Duration>,
    /// Run on each new connection, and again after a reset.
    pub connect_query: Option<String>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a connection may be idle.
    pub idle_timeout: Option<Duration>,
    /// How old a connection may become.
    pub server_lifetime: Option<Duration>,
    /// Most prepared statements of a client; 0 for any number.
    pub max_prepared_statements: usize,
    /// Prepared statements that a connection keeps.
    pub server_prepared_statements: usize,
}

/// A pool of server connections.
#[derive(Debug)]
pub struct Pool {
    settings: Arc<PoolSettings>,
    instance: Arc<InstanceState>,
    statements: Arc<StatementRegistry>,
    pub(crate) state: Mutex<State>,
    pub(crate) budgets: Budgets,
    made_at: Instant,
    /// The topology has no place for this pool any more.
    retired: AtomicBool,
    /// Parameters that the instance reported to a fresh connection.
    pub(crate) welcome: Mutex<Option<Arc<ParamSet>>>,
    /// Parameters that `connect_query` has set and that the instance does not report.
    pub(crate) base: Mutex<Arc<ParamSet>>,
    /// Their names in its order.
    pub(crate) reported: Mutex<Arc<[Box<str>]>>,
    /// Startup parameters that the instance has accepted, with the values that it made of them.
    accepted: Mutex<AHashMap<Asked, Arc<ParamSet>>>,
    stats: Box<[WorkerStats]>,
}

/// Startup parameters as a client asks for them, sorted by name.
type Asked = Vec<(String, String)>;

/// Most combinations of startup parameters that a pool remembers.
const MAX_ACCEPTED: usize = 256;

/// How many connections and clients a pool has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Connections lent out.
    pub active: usize,
    /// Connections that wait for work.
    pub idle: usize,
    /// Connections that are being made.
    pub connecting: usize,
    /// Clients in the queue.
    pub waiting: usize,
    /// How long the first of them has waited.
    pub longest_wait: Duration,
}

impl Pool {
    /// An empty pool for as many workers as given.
    pub(crate) fn new(
        settings: Arc<PoolSettings>,
        instance: Arc<InstanceState>,
        statements: Arc<StatementRegistry>,
        workers: usize,
        budgets: Budgets,
    ) -> Arc<Self> {
        let pool = Arc::new(Self {
            settings,
            instance,
            statements,
            state: Mutex::default(),
            retired: AtomicBool::new(false),
            welcome: Mutex::default(),
            base: Mutex::default(),
            reported: Mutex::default(),
            accepted: Mutex::default(),
            stats: (0..workers.max(1)).map(|_| WorkerStats::default()).collect(),
            budgets,
            made_at: Instant::now(),
        });
        pool.budgets.join(&pool);
        pool.instance.adopt(&pool);
        pool
    }

    /// The settings of this pool.
    pub fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// The instance to which its connections go.
    pub fn instance(&self) -> &Arc<InstanceState> {
        &self.instance
    }

    /// Whether it is the pool that would be made of these.
    pub(crate) fn serves(&self, settings: &PoolSettings, instance: &Arc<InstanceState>) -> bool {
        *self.settings == *settings && Arc::ptr_eq(&self.instance, instance)
    }

    /// The statements of all clients of this process.
    pub fn statements(&self) -> &StatementRegistry {
        &self.statements
    }

    /// The counters that one worker writes.
    pub fn worker_stats(&self, worker: usize) -> &WorkerStats {
        &self.stats[worker % self.stats.len()]
    }

    /// The sums of all workers' counters.
    pub fn stats(&self) -> PoolStats {
        let mut sum = PoolStats::default();
        self.stats.iter().for_each(|worker| sum.add(worker));
        sum
    }

    /// How many connections and waiting clients there are.
    pub fn counts(&self) -> PoolCounts {
        let state = self.state.lock();
        PoolCounts {
            active: state.active(),
            idle: state.idle.len(),
            connecting: state.connecting,
            waiting: state.waiters.len(),
            longest_wait: state.waiters.front().map_or(Duration::ZERO, |w| w.since.elapsed()),
        }
    }

    /// Every connection that is open now, oldest first.
    pub fn servers(&self) -> Vec<Arc<ServerEntry>> {
        self.state.lock().entries.iter().filter_map(Weak::upgrade).collect()
    }

    /// Why the last attempt to connect failed, until one succeeds.
    pub fn last_error(&self) -> Option<Arc<ConnectError>> {
        self.state.lock().last_error.clone()
    }

    /// The parameters of a fresh connection; known once one has been made.
    pub fn welcome(&self) -> Option<Arc<ParamSet>> {
        self.welcome.lock().clone()
    }

    /// The names of these parameters in the order in which the instance reports them.
    pub fn reported(&self) -> Arc<[Box<str>]> {
        Arc::clone(&self.reported.lock())
    }

    /// Parameters that `connect_query` has set and that the instance does not report.
    pub fn base(&self) -> Arc<ParamSet> {
        Arc::clone(&self.base.lock())
    }

    /// What the instance made of these startup parameters, if a client came with them before.
    pub fn accepted(&self, asked: &[(String, String)]) -> Option<Arc<ParamSet>> {
        self.accepted.lock().get(asked).cloned()
    }

    /// Remembers what the instance made of startup parameters, so that clients with the same ones
    /// need no server connection to log in, and share the set.
    pub fn accept(&self, asked: Asked, params: ParamSet) -> Arc<ParamSet> {
        let mut accepted = self.accepted.lock();
        if accepted.len() >= MAX_ACCEPTED {
            accepted.clear();
        }
        Arc::clone(accepted.entry(asked).or_insert_with(|| Arc::new(params)))
    }

    /// Whether the topology has replaced this pool.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}
