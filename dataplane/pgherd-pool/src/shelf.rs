//! All pools that exist, and the making of new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::instance::InstanceState;
use crate::limits::{Limits, Scope};
use crate::pool::{Pool, PoolSettings};
use crate::shards::Shards;
use crate::statements::StatementRegistry;
use crate::totals::{PoolName, Totals};

/// Which pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PoolKey {
    /// The database name by which its clients found it.
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) cluster: String,
    pub(crate) shard: usize,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// All that is needed to make a pool.
#[derive(Debug)]
pub(crate) struct PoolPlan {
    pub(crate) key: PoolKey,
    pub(crate) settings: Arc<PoolSettings>,
    pub(crate) instance: Arc<InstanceState>,
    /// What its connections are counted for, and how many there may be.
    pub(crate) scopes: [(Scope, usize); 4],
}

/// The pools of a process.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) content: Mutex<Content>,
    pub(crate) limits: Limits,
    pub(crate) totals: Mutex<Totals>,
    pub(crate) statements: Arc<StatementRegistry>,
    pub(crate) workers: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) pools: AHashMap<PoolKey, Arc<Pool>>,
    /// By database name and user, of the present topology.
    pub(crate) shards: AHashMap<(String, String), Arc<Shards>>,
}

impl Shelf {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            content: Mutex::default(),
            limits: Limits::default(),
            totals: Mutex::new(Totals::new(Instant::now())),
            statements: Arc::default(),
            workers,
        }
    }

    /// The pool of this plan, unless the plan has been replaced.
    pub(crate) fn pool(&self, plan: &PoolPlan, replaced: &AtomicBool) -> Option<Arc<Pool>> {
        // Under the lock: whoever replaces the plan finds this pool, or is seen here.
        let mut content = self.content.lock();
        if replaced.load(Ordering::Acquire) {
            return None;
        }
        if let Some(pool) = content.pools.get(&plan.key)
            && !pool.is_retired()
            && pool.serves(&plan.settings, &plan.instance)
        {
            return Some(Arc::clone(pool));
        }
        let pool = Pool::new(
            Arc::clone(&plan.settings),
            Arc::clone(&plan.instance),
            Arc::clone(&self.statements),
            self.workers,
            self.limits.budgets(plan.scopes.iter().cloned()),
        );
        if let Some(former) = content.pools.insert(plan.key.clone(), Arc::clone(&pool)) {
            self.retire(&plan.key.database, former);
        }
        Some(pool)
    }

    /// Closes a pool and keeps its counters. Under the lock of the pools, so that nobody who adds
    /// them up misses it or counts it twice.
    pub(crate) fn retire(&self, database: &str, pool: Arc<Pool>) {
        pool.retire();
        self.totals.lock().retire(PoolName::new(database, &pool), pool);
    }
}
