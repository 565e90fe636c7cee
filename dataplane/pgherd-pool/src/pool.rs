//! The pool of one (cluster, user, instance): exact limits, a fair queue, leases that come back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use parking_lot::Mutex;
use pgherd_config::PoolMode;
use pgherd_wire::ParamSet;
use tokio::sync::oneshot;

use crate::connect::{ConnectError, Endpoint};
use crate::entry::{ServerEntry, ServerState};
use crate::growth::Growth;
use crate::lease::Lease;
use crate::server::ServerConn;
use crate::statements::StatementRegistry;
use crate::stats::{PoolStats, WorkerStats};

/// Connections that are being made at the same time, at most.
const MAX_CONNECTING: usize = 8;

/// The settings by which a pool is told from another.
#[derive(Debug, PartialEq)]
pub struct PoolSettings {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the user, as clients say it.
    pub user: String,
    /// The instance.
    pub endpoint: Endpoint,
    /// When connections come back.
    pub mode: PoolMode,
    /// Most connections.
    pub size: usize,
    /// Connections that are kept open.
    pub min_size: usize,
    /// How long a client waits.
    pub checkout_timeout: Duration,
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
    settings: PoolSettings,
    statements: Arc<StatementRegistry>,
    pub(crate) state: Mutex<State>,
    /// The topology has no place for this pool any more.
    retired: AtomicBool,
    /// Parameters that the instance reported to a fresh connection.
    pub(crate) welcome: Mutex<Option<Arc<ParamSet>>>,
    /// Startup parameters that the instance has accepted, with the values that it made of them.
    accepted: Mutex<AHashMap<Asked, Arc<ParamSet>>>,
    stats: Box<[WorkerStats]>,
}

/// Startup parameters as a client asks for them, sorted by name.
type Asked = Vec<(String, String)>;

/// Most combinations of startup parameters that a pool remembers.
const MAX_ACCEPTED: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct State {
    /// All connections: idle, lent out, and being made.
    pub(crate) total: usize,
    pub(crate) connecting: usize,
    /// The last one given back is lent first, so that the others can grow old and be closed.
    /// Boxed, because they wander between here and the leases with each transaction.
    #[expect(clippy::vec_box, reason = "moving the box is cheaper than moving the connection")]
    idle: Vec<Box<ServerConn>>,
    /// Every connection that was made and is not closed, for people who look. Written when one is
    /// made; those that are gone are thrown out then.
    entries: Vec<Weak<ServerEntry>>,
    pub(crate) waiters: VecDeque<Waiter>,
    next_waiter: u64,
    pub(crate) last_error: Option<Arc<ConnectError>>,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    id: u64,
    since: Instant,
    grant: oneshot::Sender<Result<Lease, CheckoutError>>,
}

/// Why a client got no server connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckoutError {
    /// None came free in time.
    #[error("no server connection came free within {waited:?}")]
    Timeout {
        /// How long the client waited.
        waited: Duration,
        /// Why connections could not be made meanwhile, if that was the reason.
        cause: Option<Arc<ConnectError>>,
    },
    /// The instance takes no connection of this pool, and waiting would not help.
    #[error("no server connection could be made")]
    Refused(#[source] Arc<ConnectError>),
    /// The topology changed; the caller looks its pool up again.
    #[error("the pool has been replaced")]
    Retired,
}

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
    pub fn new(settings: PoolSettings, statements: Arc<StatementRegistry>, workers: usize) -> Self {
        Self {
            settings,
            statements,
            state: Mutex::default(),
            retired: AtomicBool::new(false),
            welcome: Mutex::default(),
            accepted: Mutex::default(),
            stats: (0..workers.max(1)).map(|_| WorkerStats::default()).collect(),
        }
    }

    /// The settings of this pool.
    pub fn settings(&self) -> &PoolSettings {
        &self.settings
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
            active: state.total - state.connecting - state.idle.len(),
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

    /// A connection that is free now, if nobody waits for one already.
    pub fn try_checkout(self: &Arc<Self>, worker: usize) -> Option<Lease> {
        loop {
            let conn = {
                let mut state = self.state.lock();
                if !state.waiters.is_empty() || self.is_retired() {
                    return None;
                }
                state.take_idle(worker)?
            };
            let lease = Lease::new(conn, Arc::clone(self));
            if let Some(lease) = lease.settle(worker) {
                return Some(lease);
            }
        }
    }

    /// A connection, as soon as the clients before in the queue have theirs.
    ///
    /// Cancel safe: the place in the queue is given up, and a connection that was handed over in
    /// the same moment goes to the next one.
    pub async fn checkout(self: &Arc<Self>, worker: usize) -> Result<Lease, CheckoutError> {
        let started = Instant::now();
        let limit = self.settings.checkout_timeout;
        loop {
            if let Some(lease) = self.try_checkout(worker) {
                return Ok(lease);
            }
            let (id, granted) = self.enqueue(worker, started)?;
            let _place = Place { pool: self, id };
            let left = limit.saturating_sub(started.elapsed());
            match tokio::time::timeout(left, granted).await {
                Ok(Ok(Ok(lease))) => {
                    if let Some(lease) = lease.settle(worker) {
                        return Ok(lease);
                    }
                }
                Ok(Ok(Err(error))) => return Err(error),
                // The sender is dropped only with the pool's queue.
                Ok(Err(_)) => return Err(CheckoutError::Retired),
                Err(_) => {
                    let cause = self.last_error();
                    return Err(CheckoutError::Timeout { waited: started.elapsed(), cause });
                }
            }
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        worker: usize,
        since: Instant,
    ) -> Result<(u64, oneshot::Receiver<Result<Lease, CheckoutError>>), CheckoutError> {
        let (grant, granted) = oneshot::channel();
        let id = {
            let mut state = self.state.lock();
            if self.is_retired() {
                return Err(CheckoutError::Retired);
            }
            let id = state.next_waiter;
            state.next_waiter += 1;
            state.waiters.push_back(Waiter { id, since, grant });
            id
        };
        // One may have come back between the look at the idle ones and the queueing.
        self.hand_out_idle();
        self.grow(worker);
        Ok((id, granted))
    }

    /// Gives idle connections to waiters; there are both only for a moment.
    fn hand_out_idle(self: &Arc<Self>) {
        let conn = {
            let mut state = self.state.lock();
            if state.waiters.is_empty() { None } else { state.idle.pop() }
        };
        if let Some(conn) = conn {
            self.give(conn);
        }
    }

    /// Starts making connections: one for each waiter, within the limits.
    fn grow(self: &Arc<Self>, worker: usize) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut wanted = 0;
        {
            let mut state = self.state.lock();
            while !self.is_retired()
                && state.total < self.settings.size
                && state.connecting < MAX_CONNECTING
                && (state.connecting < state.waiters.len() || state.total < self.settings.min_size)
            {
                state.total += 1;
                state.connecting += 1;
                wanted += 1;
            }
        }
        for _ in 0..wanted {
            runtime.spawn(Growth::new(Arc::clone(self), worker).run());
        }
    }

    /// Lends a connection that nobody uses to the first waiter, or keeps it.
    pub(crate) fn give(self: &Arc<Self>, conn: Box<ServerConn>) {
        let worker = conn.home;
        let surplus = {
            let mut state = self.state.lock();
            state.give(self, conn)
        };
        if let Some(conn) = surplus {
            conn.say_goodbye();
            self.forget_one(worker);
        }
    }

    /// A connection is gone. Its place may be wanted.
    pub(crate) fn forget_one(self: &Arc<Self>, worker: usize) {
        self.state.lock().total -= 1;
        self.grow(worker);
    }

    /// Closes what is dead, too old or idle for too long, and keeps the least number open. Each
    /// worker calls this for its own connections about once a second.
    pub fn maintain(self: &Arc<Self>, worker: usize) {
        let now = Instant::now();
        let mut gone = Vec::new();
        {
            let mut state = self.state.lock();
            let mut surplus = state.total.saturating_sub(self.settings.min_size);
            let mut index = 0;
            while index < state.idle.len() {
                let conn = &mut state.idle[index];
                if conn.home != worker {
                    index += 1;
                    continue;
                }
                let bored = surplus > 0
                    && self.settings.idle_timeout.is_some_and(|t| now - conn.idle_since > t);
                if bored {
                    surplus -= 1;
                }
                let old = conn.expires_at.is_some_and(|at| now > at);
                if bored || old || !conn.is_alive() {
                    gone.push(state.idle.remove(index));
                } else {
                    index += 1;
                }
            }
            state.total -= gone.len();
        }
        for conn in gone {
            conn.say_goodbye();
        }
        self.grow(worker);
        if worker == 0 {
            self.probe();
        }
    }

    /// Finds out whether an instance that could not be reached can be by now, although nobody
    /// asks for a connection.
    fn probe(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        {
            let mut state = self.state.lock();
            let lost = state.last_error.as_ref().is_some_and(|error| error.is_transient());
            let full = state.connecting > 0 || state.total >= self.settings.size;
            if !lost || full || self.is_retired() {
                return;
            }
            state.total += 1;
            state.connecting += 1;
        }
        runtime.spawn(Growth::new(Arc::clone(self), 0).run());
    }

    /// Closes the pool: idle connections now, the others when they come back; waiting clients are
    /// sent to look for the pool that takes its place.
    pub fn retire(&self) {
        let (idle, waiters) = {
            let mut state = self.state.lock();
            self.retired.store(true, Ordering::Relaxed);
            let idle = std::mem::take(&mut state.idle);
            state.total -= idle.len();
            (idle, std::mem::take(&mut state.waiters))
        };
        for waiter in waiters {
            // A waiter that has gone needs no answer.
            let _ = waiter.grant.send(Err(CheckoutError::Retired));
        }
        for conn in idle {
            conn.say_goodbye();
        }
    }

    pub(crate) fn fail_waiters(&self, error: &Arc<ConnectError>) {
        let waiters = std::mem::take(&mut self.state.lock().waiters);
        for waiter in waiters {
            let _ = waiter.grant.send(Err(CheckoutError::Refused(Arc::clone(error))));
        }
    }
}

impl State {
    /// The last idle connection of this worker, or else the last one of any.
    fn take_idle(&mut self, worker: usize) -> Option<Box<ServerConn>> {
        let conn = match self.idle.iter().rposition(|conn| conn.home == worker) {
            Some(index) => self.idle.remove(index),
            None => self.idle.pop()?,
        };
        conn.entry.set_state(ServerState::Active);
        Some(conn)
    }

    pub(crate) fn register(&mut self, entry: &Arc<ServerEntry>) {
        self.entries.retain(|entry| entry.strong_count() > 0);
        self.entries.push(Arc::downgrade(entry));
    }

    /// Returns the connection when the pool has no use for it.
    fn give(&mut self, pool: &Arc<Pool>, mut conn: Box<ServerConn>) -> Option<Box<ServerConn>> {
        let now = Instant::now();
        if pool.is_retired() || conn.expires_at.is_some_and(|at| now > at) {
            return Some(conn);
        }
        conn.entry.set_state(ServerState::Active);
        while let Some(waiter) = self.waiters.pop_front() {
            let lease = Lease::new(conn, Arc::clone(pool));
            match waiter.grant.send(Ok(lease)) {
                Ok(()) => return None,
                Err(Ok(lease)) => conn = lease.into_conn()?,
                Err(Err(_)) => return None,
            }
        }
        conn.idle_since = now;
        conn.entry.set_state(ServerState::Idle);
        self.idle.push(conn);
        None
    }
}

/// A place in the queue, given up when its owner stops waiting.
struct Place<'p> {
    pool: &'p Arc<Pool>,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        // Numbers ascend in the queue.
        if let Ok(index) = state.waiters.binary_search_by_key(&self.id, |waiter| waiter.id) {
            state.waiters.remove(index);
        }
    }
}
