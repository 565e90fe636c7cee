//! What was done since the proxy started, by pools that are and pools that are no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::Pool;
use crate::stats::PoolStats;

/// The time over which averages are taken, as in PgBouncer (`stats_period`).
const PERIOD: Duration = Duration::from_secs(60);

/// Names of pools that are no more whose counters are kept apart. With a cluster for every name
/// clients could invent any number of them.
const MAX_PAST: usize = 10_000;

/// Whose counters these are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolName {
    /// The database name by which clients found the pool.
    pub database: String,
    /// The user, as clients say it.
    pub user: String,
    /// The cluster.
    pub cluster: String,
    /// The shard in it.
    pub shard: usize,
    /// The instance.
    pub instance: String,
}

/// What was done for one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Since the proxy started.
    pub total: PoolStats,
    /// In the last whole period.
    pub recent: PoolStats,
    /// How long that was.
    pub period: Duration,
}

/// The counters of pools that are no more, and what the averages are taken of.
#[derive(Debug)]
pub(crate) struct Totals {
    /// Pools that were replaced, as long as clients have connections of them.
    retired: Vec<(PoolName, Arc<Pool>)>,
    past: BTreeMap<PoolName, PoolStats>,
    /// When the present period began, and what had been done by then.
    begun: Instant,
    before: BTreeMap<String, PoolStats>,
    /// The period before.
    recent: Option<(Duration, BTreeMap<String, PoolStats>)>,
}

impl PoolName {
    pub(crate) fn new(database: &str, pool: &Pool) -> Self {
        let settings = pool.settings();
        Self {
            database: database.to_owned(),
            user: settings.user.clone(),
            cluster: settings.cluster.clone(),
            shard: settings.shard,
            instance: settings.endpoint.address(),
        }
    }
}

impl Totals {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            retired: Vec::new(),
            past: BTreeMap::new(),
            begun: now,
            before: BTreeMap::new(),
            recent: None,
        }
    }

    /// Keeps the counters of a pool that is being replaced.
    pub(crate) fn retire(&mut self, name: PoolName, pool: Arc<Pool>) {
        self.retired.push((name, pool));
    }

    /// The counters of all pools, of which `live` are those that are not retired.
    pub(crate) fn pools(
        &self,
        live: impl IntoIterator<Item = (PoolName, PoolStats)>,
    ) -> BTreeMap<PoolName, PoolStats> {
        let mut sums = self.past.clone();
        let retired = self.retired.iter().map(|(name, pool)| (name.clone(), pool.stats()));
        for (name, stats) in live.into_iter().chain(retired) {
            sums.entry(name).or_default().merge(&stats);
        }
        sums
    }

    /// The same for each database, with what the averages are taken of.
    pub(crate) fn databases(
        &self,
        pools: &BTreeMap<PoolName, PoolStats>,
        now: Instant,
    ) -> BTreeMap<String, DatabaseStats> {
        let (period, recent) = match &self.recent {
            Some((period, recent)) => (*period, Some(recent)),
            None => (now - self.begun, None),
        };
        let databases = by_database(pools).into_iter().map(|(database, total)| {
            let recent = match recent {
                Some(recent) => recent.get(&database).copied().unwrap_or_default(),
                // The first period is not over: what there is of it.
                None => total,
            };
            (database, DatabaseStats { total, recent, period })
        });
        databases.collect()
    }

    /// Keeps only the counters of retired pools that nobody uses any more.
    pub(crate) fn fold(&mut self) {
        for (name, pool) in std::mem::take(&mut self.retired) {
            if Arc::strong_count(&pool) > 1 {
                self.retired.push((name, pool));
                continue;
            }
            let full = self.past.len() >= MAX_PAST && !self.past.contains_key(&name);
            let database = if full { name.cluster.clone() } else { name.database };
            let name = PoolName { database, ..name };
            self.past.entry(name).or_default().merge(&pool.stats());
        }
    }

    /// Whether the averages are due to be taken anew.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now - self.begun >= PERIOD
    }

    /// Ends the period.
    pub(crate) fn end_period(&mut self, pools: &BTreeMap<PoolName, PoolStats>, now: Instant) {
        let totals = by_database(pools);
        let recent = totals.iter().map(|(database, total)| {
            let before = self.before.get(database).copied().unwrap_or_default();
            (database.clone(), total.since(&before))
        });
        self.recent = Some((now - self.begun, recent.collect()));
        self.before = totals;
        self.begun = now;
    }
}

fn by_database(pools: &BTreeMap<PoolName, PoolStats>) -> BTreeMap<String, PoolStats> {
    let mut sums = BTreeMap::<String, PoolStats>::new();
    for (name, stats) in pools {
        sums.entry(name.database.clone()).or_default().merge(stats);
    }
    sums
}
