//! What is known of one shard: its instances, which of them is the primary, who must hear of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use pgherd_balance::fleet::{Condition, FleetBan};
use pgherd_balance::{BanRules, Evidence, InstanceKey, Lifted, ReadsFromPrimary};
use pgherd_balance::{Strategy, Verdict, strategy_for};
use pgherd_config::{Cluster, EvidenceClass, Instance, InstanceRole, Reads, Shard};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::connect::Endpoint;
use crate::health::{Catalog, Health, Ledger, LedgerRules, Outcome, Sight};
use crate::instance::{InstanceState, Role};

/// How a shard is served.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShardRules {
    pub(crate) reads: Reads,
    pub(crate) strategy: Strategy,
    pub(crate) ledger: LedgerRules,
}

/// One shard of one cluster. It lives through changes of the topology that do not concern it.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) cluster: String,
    pub(crate) number: usize,
    pub(crate) rules: ShardRules,
    configured: Vec<Instance>,
    pub(crate) instances: Box<[Arc<InstanceState>]>,
    /// How the checks log in, by instance; without an instance's database, any.
    endpoints: Mutex<Vec<Endpoint>>,
    phase: Mutex<Phase>,
    ledger: Mutex<Ledger>,
    catalogs: Mutex<AHashMap<String, Arc<Catalog>>>,
    clock: Clock,
    health: Weak<Health>,
    /// For strategies that take one after the other.
    turn: AtomicU64,
    /// Raised when a role, a ban or the topology has changed.
    version: watch::Sender<u64>,
}

/// How far a shard is on its way. Changes under the lock of the ledger.
#[derive(Debug)]
enum Phase {
    /// The topology may yet be refused. With what takes its place, if there is something.
    Planned(Option<Arc<ShardState>>),
    Active,
    /// Another one has taken over.
    Replaced,
}

impl ShardRules {
    pub(crate) fn new(cluster: &Cluster, shard: &Shard) -> Self {
        let from_primary = match cluster.reads {
            Reads::Any | Reads::Primary => ReadsFromPrimary::Yes,
            Reads::Replicas if cluster.read_fallback => ReadsFromPrimary::AsLastResort,
            Reads::Replicas => ReadsFromPrimary::No,
        };
        Self {
            reads: cluster.reads,
            strategy: strategy_for(cluster, shard),
            ledger: LedgerRules {
                bans: BanRules::of(cluster),
                from_primary,
                max_lag: cluster.max_replica_lag.limit(),
            },
        }
    }
}

impl ShardState {
    /// `former` is what was known of the shard under the topology before.
    pub(crate) fn new(
        cluster: &str,
        number: usize,
        shard: &Shard,
        rules: ShardRules,
        former: Option<&Arc<Self>>,
        health: &Arc<Health>,
    ) -> Self {
        let primary = pgherd_balance::for_write(shard);
        let instances: Box<[_]> = shard
            .instances
            .iter()
            .map(|instance| {
                let key = InstanceKey::from(instance);
                let known = former.and_then(|it| it.instances.iter().find(|it| it.key == key));
                known.cloned().unwrap_or_else(|| {
                    let monitor = health.monitor(&key);
                    Arc::new(InstanceState::new(key, monitor))
                })
            })
            .collect();
        let first_sight = |(index, instance): (usize, &Instance)| {
            let role = match instance.role {
                _ if primary == Some(index) => Role::Primary,
                InstanceRole::Primary => Role::Primary,
                InstanceRole::Replica => Role::Replica,
                InstanceRole::Auto => Role::Unknown,
            };
            (InstanceKey::from(instance), instance.role, role)
        };
        let sights = shard.instances.iter().enumerate().map(first_sight);
        let ledger = Ledger::new(rules.ledger.clone(), sights);
        Self {
            cluster: cluster.to_owned(),
            number,
            rules,
            configured: shard.instances.clone(),
            instances,
            endpoints: Mutex::default(),
            phase: Mutex::new(Phase::Planned(former.cloned())),
            ledger: Mutex::new(ledger),
            catalogs: Mutex::default(),
            clock: health.clock,
            health: Arc::downgrade(health),
            turn: AtomicU64::new(0),
            version: watch::Sender::new(0),
        }
    }

    /// Takes the place of what there was before it: all that was known of instances that are still
    /// there is known here, and nothing more is written there.
    pub(crate) fn activate(&self) {
        let former = match &*self.phase.lock() {
            Phase::Planned(former) => former.clone(),
            Phase::Active | Phase::Replaced => return,
        };
        // The locks of two ledgers are taken in this order only.
        let before = former.as_ref().map(|former| {
            let ledger = former.ledger.lock();
            *former.phase.lock() = Phase::Replaced;
            ledger
        });
        let mut ledger = self.ledger.lock();
        *self.phase.lock() = Phase::Active;
        if let Some(before) = &before {
            *ledger = ledger.clone().after(before);
        }
        let alone = self.instances.len() == 1;
        for (index, (state, instance)) in self.instances.iter().zip(&self.configured).enumerate() {
            state.configure(instance, index, alone);
        }
        self.publish(ledger.sights(self.clock.now()));
    }

    /// Whether this is what the topology says, so that all that is known stays true.
    pub(crate) fn is(&self, shard: &Shard, rules: &ShardRules) -> bool {
        self.configured == shard.instances && self.rules == *rules
    }

    pub(crate) fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        *self.endpoints.lock() = endpoints;
    }

    /// The place of an instance in the shard.
    pub(crate) fn place(&self, key: &InstanceKey) -> Option<usize> {
        self.instances.iter().position(|it| it.key == *key)
    }

    pub(crate) fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Tells those who wait that it is worth looking again.
    pub(crate) fn raise(&self) {
        self.version.send_modify(|version| *version += 1);
        if let Some(health) = self.health.upgrade() {
            health.raise();
        }
    }

    // === what happens ===

    pub(crate) fn check_started(&self, key: &InstanceKey, now: Duration) {
        if let Some(index) = self.place(key) {
            self.ledger.lock().check_started(index, now);
        }
    }

    pub(crate) fn note_check(&self, key: &InstanceKey, started: Duration, outcome: &Outcome) {
        let noted = self.change(key, |ledger, index, now| {
            let before = ledger.lacks_primary();
            let verdict = ledger.note_check(index, started, now, outcome);
            (verdict, ledger.lacks_primary() && !before)
        });
        let (verdict, is_bereft) = noted.unzip();
        // Another one may be the primary by now, or soon, and would be looked at in its turn only.
        if is_bereft == Some(true) {
            let others = self.instances.iter().filter(|it| it.key != *key);
            others.for_each(|instance| instance.look_now());
        }
        if let Outcome::Failed(class, _) = outcome {
            self.count(key, *class, verdict);
        }
    }

    pub(crate) fn note_evidence(
        &self,
        key: &InstanceKey,
        evidence: &Evidence,
        last_finished: Option<Duration>,
    ) {
        let verdict = self
            .change(key, |ledger, index, _| ledger.note_evidence(index, evidence, last_finished));
        self.count(key, evidence.class, verdict);
    }

    fn count(&self, key: &InstanceKey, class: EvidenceClass, verdict: Option<Verdict>) {
        if matches!(verdict, Some(Verdict::Banned(_)))
            && let Some(instance) = self.place(key).and_then(|index| self.instances.get(index))
        {
            instance.count_ban(class);
        }
    }

    pub(crate) fn ban(
        &self,
        key: &InstanceKey,
        reason: &str,
        lasting: Option<Duration>,
    ) -> Option<()> {
        self.change(key, |ledger, index, now| ledger.ban(index, reason, now, lasting))
    }

    pub(crate) fn unban(&self, key: &InstanceKey) -> Option<Lifted> {
        self.change(key, |ledger, index, now| ledger.unban(index, now))
    }

    pub(crate) fn set_fleet_bans(&self, bans: &[FleetBan], zone: Option<&str>) {
        let mut ledger = self.ledger.lock();
        if self.is_active() {
            let now = self.clock.now();
            ledger.set_fleet_bans(now, bans, zone);
            self.publish(ledger.sights(now));
        }
    }

    /// What changes because time goes by.
    pub(crate) fn refresh(&self, now: Duration) {
        let ledger = self.ledger.lock();
        if self.is_active() {
            self.publish(ledger.sights(now));
        }
    }

    /// The name of an instance leads to these addresses now, and no more to others.
    pub(crate) fn forsake(&self, key: &InstanceKey, addresses: &[std::net::SocketAddr]) {
        if let Some(instance) = self.place(key).and_then(|index| self.instances.get(index)) {
            instance.pools().iter().for_each(|pool| pool.forsake(addresses));
        }
    }

    fn change<R>(
        &self,
        key: &InstanceKey,
        act: impl FnOnce(&mut Ledger, usize, Duration) -> R,
    ) -> Option<R> {
        let index = self.place(key)?;
        let mut ledger = self.ledger.lock();
        if !self.is_active() {
            return None;
        }
        let now = self.clock.now();
        let result = act(&mut ledger, index, now);
        self.publish(ledger.sights(now));
        Some(result)
    }

    /// Whether what is known of the shard is known here. Under the lock of the ledger.
    pub(crate) fn is_active(&self) -> bool {
        matches!(*self.phase.lock(), Phase::Active)
    }

    /// Makes known how the instances stand, and does what follows from a change. Under the lock of
    /// the ledger, so that what is published last is what was found last; the locks of pools come
    /// after it, never before.
    fn publish(&self, sights: Vec<Sight>) {
        let mut changed = false;
        for (instance, sight) in self.instances.iter().zip(sights) {
            changed |= instance.publish(sight, &self.cluster);
        }
        if changed {
            self.raise();
        }
    }

    // === for those who look ===

    pub(crate) fn is_troubled(&self, key: &InstanceKey, now: Duration) -> bool {
        let Some(index) = self.place(key) else { return false };
        self.ledger.lock().is_troubled(index, now)
    }

    pub(crate) fn is_banned_by_evidence(&self, key: &InstanceKey, now: Duration) -> bool {
        let Some(index) = self.place(key) else { return false };
        self.ledger.lock().is_banned_by_evidence(index, now)
    }

    pub(crate) fn bans(&self, index: usize, now: Duration) -> Vec<pgherd_balance::Ban> {
        self.ledger.lock().bans(index, now)
    }

    pub(crate) fn conditions(&self, now: Duration) -> Vec<(InstanceKey, Condition)> {
        self.ledger.lock().conditions(now)
    }

    // === the catalogs of its databases ===

    /// What is known of a database on the instances; read from now on.
    pub(crate) fn catalog(&self, database: &str) -> Arc<Catalog> {
        let mut catalogs = self.catalogs.lock();
        let made = || Arc::new(Catalog::new(database));
        let catalog = Arc::clone(catalogs.entry(database.to_owned()).or_insert_with(made));
        self.stir();
        catalog
    }

    /// Something may be due.
    pub(crate) fn stir(&self) {
        if let Some(health) = self.health.upgrade() {
            health.stirred.notify_one();
        }
    }

    /// Those that are to be read now; what nobody uses any more is forgotten.
    pub(crate) fn due_catalogs(&self, now: Duration) -> Vec<Arc<Catalog>> {
        let mut catalogs = self.catalogs.lock();
        catalogs.retain(|_, catalog| Arc::strong_count(catalog) > 1);
        catalogs.values().filter(|catalog| catalog.is_due(now)).cloned().collect()
    }

    /// How to log in to a database on an instance that can be reached.
    pub(crate) fn endpoint_for(&self, database: &str) -> Option<Endpoint> {
        let fits = |it: &&Arc<InstanceState>| matches!(it.role(), Role::Primary | Role::Replica);
        let open = self.instances.iter().filter(fits).find(|it| it.is_open());
        let instance = open.or_else(|| self.instances.iter().find(fits))?;
        let index = self.place(&instance.key)?;
        Some(self.endpoints.lock().get(index)?.again().with_database(database))
    }
}
