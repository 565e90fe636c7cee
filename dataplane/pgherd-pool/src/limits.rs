//! Limits of server connections that several pools share: per cluster, per user, per instance.
//!
//! Each connection holds a [`Permit`] from before it is dialled until Postgres has closed it, so
//! that a limit is never exceeded, not even for the moment in which one connection takes the place
//! of another. Whoever gets none waits, first come first served.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::pool::Pool;

/// How long a pool waits for another one to have an idle connection before one that is in use is
/// closed for it when it comes back. Shorter would make connections faster than they are used.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often a pool that waits looks whether it still needs the connection.
const RECHECK: Duration = Duration::from_millis(500);

/// What a limit counts over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All pools of a cluster.
    Cluster(String),
    /// All pools of a user of a cluster.
    ClusterUser(String, String),
    /// All pools of a user name, as clients say it.
    User(String),
    /// All pools of an instance: host and port.
    Instance(String, u16),
}

/// The connections of one scope.
#[derive(Debug)]
struct Budget {
    /// 0 for any number.
    most: AtomicUsize,
    used: AtomicUsize,
    /// Who may have idle connections to close for others.
    members: Mutex<Vec<Weak<Pool>>>,
    room: Notify,
}

/// All budgets of a process.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    budgets: Mutex<AHashMap<Scope, Arc<Budget>>>,
}

/// The budgets that the connections of one pool count against.
#[derive(Debug, Default)]
pub(crate) struct Budgets(Arc<[Arc<Budget>]>);

/// The place of one connection in every budget of its pool.
#[derive(Debug)]
pub(crate) struct Permit(Arc<[Arc<Budget>]>);

impl Limits {
    /// The budgets of a pool, with what the topology allows for each now.
    pub(crate) fn budgets(&self, scopes: impl IntoIterator<Item = (Scope, usize)>) -> Budgets {
        let mut budgets = self.budgets.lock();
        let shared = scopes.into_iter().map(|(scope, most)| {
            let budget = budgets.entry(scope).or_insert_with(|| Arc::new(Budget::new()));
            budget.allow(most);
            Arc::clone(budget)
        });
        Budgets(shared.collect())
    }

    /// Takes over what the topology allows now; `most` says it for each scope.
    pub(crate) fn update(&self, most: impl Fn(&Scope) -> usize) {
        let mut budgets = self.budgets.lock();
        // What nobody uses any more is made anew when somebody does.
        budgets.retain(|scope, budget| {
            budget.allow(most(scope));
            Arc::strong_count(budget) > 1
        });
    }
}

impl Budget {
    fn new() -> Self {
        Self {
            most: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            members: Mutex::default(),
            room: Notify::new(),
        }
    }

    fn allow(&self, most: usize) {
        if self.most.swap(most, Ordering::Relaxed) != most {
            self.room.notify_one();
        }
    }

    fn try_take(&self) -> bool {
        let most = match self.most.load(Ordering::Relaxed) {
            0 => usize::MAX,
            most => most,
        };
        let take = |used: usize| (used < most).then_some(used + 1);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).is_ok()
    }

    fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
        self.room.notify_one();
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        let mut members = self.members.lock();
        members.retain(|pool| pool.strong_count() > 0);
        members.iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes the connection of another pool that has been idle the longest, one above the least
    /// size of its pool before others.
    fn evict_for(&self, pool: &Arc<Pool>) {
        let mut idle: Vec<(bool, Instant, Arc<Pool>)> = self
            .pools()
            .into_iter()
            .filter(|other| !Arc::ptr_eq(other, pool))
            .filter_map(|other| {
                let (needed, since) = other.longest_idle()?;
                Some((needed, since, other))
            })
            .collect();
        idle.sort_by_key(|(needed, since, _)| (*needed, *since));
        // One may have been lent out since.
        let _ = idle.iter().any(|(_, _, other)| other.evict_idle());
    }

    /// Asks the pool with the most connections to let the next one go that comes back.
    fn ask_for(&self, pool: &Arc<Pool>) {
        let others = self.pools().into_iter().filter(|other| !Arc::ptr_eq(other, pool));
        let largest = others.map(|other| (other.counts().active, other)).max_by_key(|it| it.0);
        if let Some((active, other)) = largest
            && active > pool.counts().active
        {
            other.yield_one();
        }
    }
}

impl Budgets {
    /// Counts the pool among those that share these budgets.
    pub(crate) fn join(&self, pool: &Arc<Pool>) {
        for budget in &*self.0 {
            budget.members.lock().push(Arc::downgrade(pool));
        }
    }

    fn try_take(&self) -> Result<Permit, &Budget> {
        for (index, budget) in self.0.iter().enumerate() {
            if !budget.try_take() {
                self.0[..index].iter().for_each(|taken| taken.give_back());
                return Err(budget);
            }
        }
        Ok(Permit(Arc::clone(&self.0)))
    }

    /// A place for one more connection of the pool, for as long as `wanted`. Where there is none,
    /// an idle connection of another pool is closed for it.
    ///
    /// Cancel safe: the place in the queue is given up.
    pub(crate) async fn permit(
        &self,
        pool: &Arc<Pool>,
        wanted: impl Fn() -> bool,
    ) -> Option<Permit> {
        let mut asked_at = Instant::now();
        let mut evicted = false;
        let mut woken_by: Option<&Budget> = None;
        loop {
            let full = match self.try_take() {
                Ok(permit) => return Some(permit),
                Err(full) => full,
            };
            // Another budget is what it waits for now: this room is for the next in the queue.
            if let Some(budget) = woken_by.take().filter(|budget| !std::ptr::eq(*budget, full)) {
                budget.room.notify_one();
            }
            let room = full.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            // A place may have come free before this one stood in the queue.
            if let Ok(permit) = self.try_take() {
                return Some(permit);
            }
            let impatient = asked_at.elapsed() >= PATIENCE;
            if !evicted || impatient {
                full.evict_for(pool);
                evicted = true;
            }
            if impatient {
                full.ask_for(pool);
                asked_at = Instant::now();
            }
            woken_by = tokio::time::timeout(RECHECK, room).await.ok().map(|()| full);
            if !wanted() {
                if let Some(budget) = woken_by {
                    budget.room.notify_one();
                }
                return None;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.iter().for_each(|budget| budget.give_back());
    }
}
