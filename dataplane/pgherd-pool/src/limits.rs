//! Limits of server connections that several pools share: per cluster, per user, per instance.
//!
//! Each connection holds a [`Permit`] from before it is dialled until Postgres has closed it, so
//! that a limit is never exceeded, not even for the moment in which one connection takes the place
//! of another. Whoever gets none waits: room is offered to the pool that has the fewest connections,
//! and among equals to the one that came first.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::pool::Pool;
use crate::pool::PoolSettings;

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
    queue: Mutex<Vec<Waiter>>,
}

/// One who waits for room in a budget.
#[derive(Debug)]
struct Waiter {
    id: u64,
    /// How many connections its pool has.
    held: Arc<AtomicUsize>,
    woken: Arc<Notify>,
}

/// All budgets of a process.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    budgets: Mutex<AHashMap<Scope, Arc<Budget>>>,
}

/// The budgets that the connections of one pool count against.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    budgets: Arc<[Arc<Budget>]>,
    /// How many connections the pool has.
    held: Arc<AtomicUsize>,
}

/// The place of one connection in every budget of its pool.
#[derive(Debug)]
pub(crate) struct Permit {
    budgets: Arc<[Arc<Budget>]>,
    held: Arc<AtomicUsize>,
}

impl Limits {
    /// The budgets of a pool, with what the topology allows for each now.
    pub(crate) fn budgets(&self, scopes: impl IntoIterator<Item = (Scope, usize)>) -> Budgets {
        let mut budgets = self.budgets.lock();
        let shared = scopes.into_iter().map(|(scope, most)| {
            let budget = budgets.entry(scope).or_insert_with(|| Arc::new(Budget::new()));
            budget.allow(most);
            Arc::clone(budget)
        });
        Budgets { budgets: shared.collect(), held: Arc::default() }
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
            queue: Mutex::default(),
        }
    }

    fn allow(&self, most: usize) {
        if self.most.swap(most, Ordering::Relaxed) != most {
            self.wake_one();
        }
    }

    /// There is room: it is offered to the pool that has the fewest connections, and among its
    /// equals to the one that has waited longest.
    fn wake_one(&self) {
        let mut queue = self.queue.lock();
        let poorest = queue.iter().map(|waiter| waiter.held.load(Ordering::Relaxed)).enumerate();
        if let Some((index, _)) = poorest.min_by_key(|&(_, held)| held) {
            queue.remove(index).woken.notify_one();
        }
    }

    fn enqueue(&self, held: &Arc<AtomicUsize>) -> Queued<'_> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let woken = Arc::<Notify>::default();
        let waiter = Waiter { id, held: Arc::clone(held), woken: Arc::clone(&woken) };
        self.queue.lock().push(waiter);
        Queued { budget: self, id, woken, passes_on: true }
    }

    fn try_take(&self) -> bool {
        let most = match self.most.load(Ordering::Relaxed) {
            0 => usize::MAX,
            most => most,
        };
        let take = |used: usize| (used < most).then_some(used + 1);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).is_ok()
    }

    fn is_waited_for(&self) -> bool {
        !self.queue.lock().is_empty()
    }

    fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
        self.wake_one();
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
        for budget in &*self.budgets {
            budget.members.lock().push(Arc::downgrade(pool));
        }
    }

    fn try_take(&self) -> Result<Permit, &Budget> {
        for (index, budget) in self.budgets.iter().enumerate() {
            if !budget.try_take() {
                self.budgets[..index].iter().for_each(|taken| taken.give_back());
                return Err(budget);
            }
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        Ok(Permit { budgets: Arc::clone(&self.budgets), held: Arc::clone(&self.held) })
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
        // Others who wait come first.
        let mut contested =
            self.budgets.iter().map(Arc::as_ref).find(|budget| budget.is_waited_for());
        loop {
            let came_later = contested.is_some();
            let full = match contested.take() {
                Some(budget) => budget,
                None => match self.try_take() {
                    Ok(permit) => return Some(permit),
                    Err(full) => full,
                },
            };
            let mut queued = full.enqueue(&self.held);
            // A place may have come free before this one stood in the queue.
            if (!came_later || queued.is_alone())
                && let Ok(permit) = self.try_take()
            {
                return Some(permit);
            }
            // Its place in the queue is kept until it is woken.
            loop {
                let impatient = asked_at.elapsed() >= PATIENCE;
                if !evicted || impatient {
                    full.evict_for(pool);
                    evicted = true;
                }
                if impatient {
                    full.ask_for(pool);
                    asked_at = Instant::now();
                }
                let woken = tokio::time::timeout(RECHECK, queued.woken.notified()).await.is_ok();
                if !wanted() {
                    return None;
                }
                match self.try_take() {
                    Ok(permit) => {
                        queued.passes_on = !woken;
                        return Some(permit);
                    }
                    Err(now_full) if std::ptr::eq(now_full, full) && !woken => {}
                    Err(now_full) => {
                        // Room that it cannot use is for the next in the queue.
                        queued.passes_on = !std::ptr::eq(now_full, full);
                        break;
                    }
                }
            }
        }
    }
}

/// A place in the queue of a budget, given up when it is dropped.
struct Queued<'b> {
    budget: &'b Budget,
    id: u64,
    woken: Arc<Notify>,
    /// The room that it was offered is offered to the next one.
    passes_on: bool,
}

impl Queued<'_> {
    /// Whether those who came before have gone meanwhile.
    fn is_alone(&self) -> bool {
        self.budget.queue.lock().iter().all(|waiter| waiter.id == self.id)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut queue = self.budget.queue.lock();
        let before = queue.len();
        queue.retain(|waiter| waiter.id != self.id);
        let was_woken = queue.len() == before;
        drop(queue);
        if was_woken && self.passes_on {
            self.budget.wake_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.budgets.iter().for_each(|budget| budget.give_back());
    }
}

/// What the connections of a pool are counted for.
pub(crate) fn scopes(settings: &PoolSettings) -> [Scope; 4] {
    let (cluster, user) = (settings.cluster.clone(), settings.user.clone());
    let host = settings.endpoint.host.to_lowercase();
    [
        Scope::ClusterUser(cluster.clone(), user.clone()),
        Scope::Cluster(cluster),
        Scope::User(user),
        Scope::Instance(host, settings.endpoint.port),
    ]
}
