//! Where the statements of one user of one database can go: the pools of a shard's instances.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pgherd_balance::{Candidate, ReadsFromPrimary, Strategy};
use pgherd_config::{InstanceRole, Reads};

use crate::catalog::Volatilities;
use crate::health::Catalog;
use crate::instance::{InstanceState, Role};
use crate::pool::Pool;
use crate::shard::ShardState;
use crate::shelf::{PoolKey, PoolPlan, Shelf};

/// What an instance must be able to do for a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// It only reads.
    Read,
    /// It may write.
    #[default]
    Write,
}

/// What a client asks for by itself, whatever its statements do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleWish {
    /// The primary.
    Primary,
    /// A replica, and nothing else.
    Replica,
    /// Any instance.
    Any,
}

/// What is needed of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// By the statement itself.
    pub access: Access,
    /// By an override; it counts more than `access`.
    pub role: Option<RoleWish>,
    /// A replica must have replayed the log up to here.
    pub min_lsn: Option<u64>,
    /// Instances that were tried already: a bit for each, by [`InstanceState::index`].
    pub avoid: u64,
}

/// Why there is no instance for a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// No primary is known: worth waiting for [`Targets::changed`].
    #[error("the shard has no primary at the moment")]
    NoPrimary,
    /// A replica was asked for and there is none.
    #[error("the shard has no replica that could serve")]
    NoReplica,
    /// All that would do were tried already.
    #[error("no other instance is left to try")]
    NoneLeft,
    /// The topology has changed: the caller asks the directory for its targets again.
    #[error("the topology has changed")]
    Replaced,
}

/// So many instances are chosen from without memory of their own.
const FEW: usize = 8;
const NOBODY: Candidate = Candidate { index: 0, weight: 0, busy: 0, latency: 0.0 };

/// The instances of one shard, with the pools of one user of one database on them.
///
/// A pool is made when the first statement needs it.
#[derive(Debug)]
pub struct Targets {
    shard: Arc<ShardState>,
    /// In the order of the shard's instances.
    plans: Box<[PoolPlan]>,
    pools: Box<[OnceLock<Arc<Pool>>]>,
    shelf: Arc<Shelf>,
    replaced: AtomicBool,
    /// Of the database, where reads may go elsewhere than writes.
    catalog: Option<Arc<Catalog>>,
}

impl Need {
    /// Of a statement that may write.
    pub const WRITE: Self = Self { access: Access::Write, role: None, min_lsn: None, avoid: 0 };
    /// Of a statement that only reads.
    pub const READ: Self = Self { access: Access::Read, role: None, min_lsn: None, avoid: 0 };

    fn avoids(&self, index: usize) -> bool {
        u32::try_from(index)
            .ok()
            .and_then(|index| self.avoid.checked_shr(index))
            .is_some_and(|bits| bits & 1 == 1)
    }
}

impl Targets {
    pub(crate) fn new(shard: Arc<ShardState>, plans: Box<[PoolPlan]>, shelf: Arc<Shelf>) -> Self {
        let pools = plans.iter().map(|_| OnceLock::new()).collect();
        let splits = plans.len() > 1 && shard.rules.reads != Reads::Primary;
        let database = plans.first().filter(|_| splits).map(|it| &it.settings.endpoint.database);
        let catalog = database.map(|database| shard.catalog(database));
        Self { shard, plans, pools, shelf, replaced: AtomicBool::new(false), catalog }
    }

    /// The number of the shard in its cluster, counted from 0.
    pub fn shard(&self) -> usize {
        self.shard.number
    }

    /// Whether an instance answers at the moment, as far as is known.
    pub(crate) fn is_reachable(&self) -> bool {
        self.shard.instances.iter().any(|it| it.is_open() && it.sight().reachable)
    }

    /// Whether there is nothing to choose, whatever a statement is.
    pub fn is_single(&self) -> bool {
        self.plans.len() == 1
    }

    /// Whether statements that only read may go elsewhere than those that write, without being
    /// told so.
    pub fn splits_reads(&self) -> bool {
        !self.is_single() && self.shard.rules.reads != Reads::Primary
    }

    /// The pool for a statement. `random` decides where any instance would do.
    pub fn choose(&self, need: &Need, random: u64) -> Result<Arc<Pool>, NoTarget> {
        if self.is_single() {
            return self.choose_single();
        }
        let wish = match (need.role, need.access, self.shard.rules.reads) {
            (Some(wish), _, _) => wish,
            (None, Access::Write, _) | (None, Access::Read, Reads::Primary) => RoleWish::Primary,
            (None, Access::Read, Reads::Any) => RoleWish::Any,
            (None, Access::Read, Reads::Replicas) => {
                let falls_back = self.shard.rules.ledger.from_primary != ReadsFromPrimary::No;
                return match self.choose_replica(need, random) {
                    Err(NoTarget::NoReplica | NoTarget::NoneLeft) if falls_back => {
                        self.choose_primary(need)
                    }
                    chosen => chosen,
                };
            }
        };
        match wish {
            RoleWish::Primary => self.choose_primary(need),
            RoleWish::Replica => self.choose_replica(need, random),
            RoleWish::Any => self.choose_any(need, random),
        }
    }

    /// The pool on which a login can try its startup parameters: any instance will do, the
    /// primary rather than others. `NoPrimary` where nothing can be reached: worth waiting for
    /// [`Targets::changed`].
    pub fn for_login(&self) -> Result<Arc<Pool>, NoTarget> {
        if self.is_single() {
            return self.pool(0);
        }
        let place = |fits: &dyn Fn(&InstanceState) -> bool| {
            self.shard.instances.iter().position(|it| fits(it))
        };
        let primary = place(&|it| it.role() == Role::Primary && it.is_open());
        let open = || place(&|it| it.is_open());
        let closed = || place(&|it| it.role() == Role::Primary);
        self.pool(primary.or_else(open).or_else(closed).ok_or(NoTarget::NoPrimary)?)
    }

    /// What is known of the instances, in the order of the topology.
    pub fn instances(&self) -> &[Arc<InstanceState>] {
        &self.shard.instances
    }

    /// Ends when a role, a ban or the topology has changed since the call. Whoever waits for a
    /// primary calls this, then [`Self::choose`] once more, and waits if that still fails.
    /// Cancel safe.
    pub fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut version = self.shard.subscribe();
        async move {
            // The sender goes with the shard, which is a change, too.
            let _ = version.changed().await;
        }
    }

    /// What the functions of the database do, as the catalog says it; `None` as long as it has not
    /// been read, or has to be read again.
    pub fn volatilities(&self) -> Option<Arc<Volatilities>> {
        self.catalog.as_ref()?.volatilities()
    }

    /// Forgets what is known of functions until the catalog has been read again: for sessions that
    /// have changed some.
    pub fn refresh_catalog(&self) {
        if let Some(catalog) = &self.catalog {
            catalog.invalidate();
            self.shard.stir();
        }
    }

    /// The only instance there is, unless it shall be the primary and says that it is not: what
    /// was promoted instead has the same name soon.
    fn choose_single(&self) -> Result<Arc<Pool>, NoTarget> {
        let only = self.shard.instances.first().ok_or(NoTarget::NoneLeft)?;
        match (only.configured(), only.role()) {
            (InstanceRole::Primary, Role::Replica) => Err(NoTarget::NoPrimary),
            _ => self.pool(0),
        }
    }

    fn choose_primary(&self, need: &Need) -> Result<Arc<Pool>, NoTarget> {
        let primary = self.primary_place().ok_or(NoTarget::NoPrimary)?;
        if need.avoids(primary) {
            let other = self.primary_places().find(|place| !need.avoids(*place));
            return self.pool(other.ok_or(NoTarget::NoneLeft)?);
        }
        self.pool(primary)
    }

    /// By the place in the list, not by the index that the instance has now: a topology that is
    /// being loaded may have given it another one.
    ///
    /// Where one server has several names, the first one by which it answers.
    fn primary_place(&self) -> Option<usize> {
        let first = self.primary_places().next()?;
        if self.primary_places().nth(1).is_none() {
            return Some(first);
        }
        let answers =
            |place: &usize| self.shard.instances.get(*place).is_some_and(|it| it.sight().reachable);
        self.primary_places().find(answers).or(Some(first))
    }

    fn primary_places(&self) -> impl Iterator<Item = usize> {
        let instances = self.shard.instances.iter().enumerate();
        instances.filter(|(_, it)| it.role() == Role::Primary).map(|(place, _)| place)
    }

    fn choose_replica(&self, need: &Need, random: u64) -> Result<Arc<Pool>, NoTarget> {
        self.choose_among(|it| it.role() == Role::Replica, need, random)
    }

    fn choose_any(&self, need: &Need, random: u64) -> Result<Arc<Pool>, NoTarget> {
        self.choose_among(|it| matches!(it.role(), Role::Primary | Role::Replica), need, random)
    }

    fn choose_among(
        &self,
        fits: impl Fn(&InstanceState) -> bool,
        need: &Need,
        random: u64,
    ) -> Result<Arc<Pool>, NoTarget> {
        let mut any = false;
        let (mut few, mut many, mut count) = ([NOBODY; FEW], Vec::new(), 0);
        let by_latency = self.shard.rules.strategy == Strategy::PeakEwma;
        for (index, instance) in self.shard.instances.iter().enumerate() {
            if !fits(instance) {
                continue;
            }
            any = true;
            let replayed = need.min_lsn.is_none_or(|lsn| instance.lsn() >= lsn);
            if instance.is_open() && replayed && !need.avoids(index) {
                let candidate = Candidate {
                    index,
                    weight: instance.weight(),
                    busy: instance.busy(),
                    latency: if by_latency { instance.latency() } else { 0.0 },
                };
                match few.get_mut(count) {
                    Some(place) => *place = candidate,
                    None if many.is_empty() => {
                        many.extend_from_slice(&few);
                        many.push(candidate);
                    }
                    None => many.push(candidate),
                }
                count += 1;
            }
        }
        let candidates = if many.is_empty() { few.get(..count).unwrap_or(&[]) } else { &many };
        let none = if any { NoTarget::NoneLeft } else { NoTarget::NoReplica };
        let turn = match self.shard.rules.strategy {
            Strategy::RoundRobin => self.shard.next_turn(),
            _ => 0,
        };
        let chosen = pgherd_balance::choose(self.shard.rules.strategy, candidates, turn, random);
        self.pool(chosen.ok_or(none)?)
    }

    /// The pool on one instance, made when it is the first time.
    pub(crate) fn pool(&self, index: usize) -> Result<Arc<Pool>, NoTarget> {
        let (Some(slot), Some(plan)) = (self.pools.get(index), self.plans.get(index)) else {
            return Err(NoTarget::NoneLeft);
        };
        if let Some(pool) = slot.get().filter(|pool| !pool.is_retired()) {
            return Ok(Arc::clone(pool));
        }
        let pool = self.shelf.pool(plan, &self.replaced).ok_or(NoTarget::Replaced)?;
        Ok(Arc::clone(slot.get_or_init(|| pool)))
    }

    /// Makes the pools that statements will need.
    pub(crate) fn warm_up(&self) {
        for index in 0..self.plans.len() {
            if self.primary_place() == Some(index) || self.splits_reads() {
                // One that cannot be made tells the client that asks for it.
                let _ = self.pool(index);
            }
        }
    }

    /// The pool of the primary, as long as one is known.
    pub(crate) fn primary(&self) -> Option<&PoolPlan> {
        self.plans.get(self.primary_place()?)
    }

    /// Called under the lock of the shelf, so that no pool is made of these plans any more.
    pub(crate) fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
        self.shard.raise();
    }

    /// Whether the cluster serves every name, so that there can be any number of these.
    pub(crate) fn is_for_every_name(&self) -> bool {
        self.plans.first().is_some_and(|plan| plan.key.cluster == "*")
    }

    /// The names of its pools, made or not.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &PoolKey> {
        self.plans.iter().map(|plan| &plan.key)
    }

    /// The pools that were made.
    pub(crate) fn made(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.iter().filter_map(OnceLock::get)
    }
}

#[cfg(test)]
mod tests;
