//! One instance as a member of its shard: what it is now, and whether statements are sent to it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pgherd_balance::{InstanceKey, PeakEwma, Standing};
use pgherd_config::{EvidenceClass, Instance, InstanceRole};
use tokio::sync::Notify;

use crate::health::{Monitor, Sight, evidence};
use crate::pool::Pool;

/// What an instance is in its shard at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Nobody has said so far.
    Unknown = 0,
    /// It takes writes.
    Primary = 1,
    /// It follows the primary.
    Replica = 2,
    /// It was the primary and has come back after another one took over: it gets nothing.
    Fenced = 3,
}

impl Role {
    /// The word for it in tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Fenced => "fenced",
        }
    }
}

/// What is known of one instance of one shard. Lives as long as the topology names it there.
#[derive(Debug)]
pub struct InstanceState {
    /// Where it is.
    pub key: InstanceKey,
    index: AtomicUsize,
    configured: AtomicU8,
    weight: AtomicU32,
    role: AtomicU8,
    open: AtomicBool,
    /// It is the only one of its shard.
    alone: AtomicBool,
    busy: AtomicU32,
    /// The position in the log that it has written, or replayed.
    lsn: AtomicU64,
    sight: ArcSwap<Sight>,
    latency: Mutex<PeakEwma>,
    /// Times that it was banned for what this proxy saw, by class.
    bans: [AtomicU64; EvidenceClass::ALL.len()],
    pools: Mutex<Vec<Weak<Pool>>>,
    /// It can be reached: those who wait before they try again need not.
    reached: Notify,
    monitor: Arc<Monitor>,
}

impl InstanceState {
    pub(crate) fn new(key: InstanceKey, monitor: Arc<Monitor>) -> Self {
        Self {
            key,
            index: AtomicUsize::new(0),
            configured: AtomicU8::new(0),
            weight: AtomicU32::new(1),
            role: AtomicU8::new(Role::Unknown as u8),
            open: AtomicBool::new(false),
            alone: AtomicBool::new(false),
            busy: AtomicU32::new(0),
            lsn: AtomicU64::new(0),
            sight: ArcSwap::from_pointee(Sight::unknown(Role::Unknown)),
            latency: Mutex::default(),
            bans: [const { AtomicU64::new(0) }; EvidenceClass::ALL.len()],
            pools: Mutex::default(),
            reached: Notify::new(),
            monitor,
        }
    }

    /// Takes over what the topology says of it.
    pub(crate) fn configure(&self, instance: &Instance, index: usize, alone: bool) {
        let configured = match instance.role {
            InstanceRole::Auto => 0,
            InstanceRole::Primary => 1,
            InstanceRole::Replica => 2,
        };
        self.index.store(index, Ordering::Release);
        self.alone.store(alone, Ordering::Release);
        self.configured.store(configured, Ordering::Release);
        self.weight.store(instance.weight, Ordering::Release);
    }

    /// Its place in the shard, and its bit in [`crate::Need::avoid`].
    pub fn index(&self) -> usize {
        self.index.load(Ordering::Acquire)
    }

    /// What the settings say of it.
    pub fn configured(&self) -> InstanceRole {
        match self.configured.load(Ordering::Acquire) {
            1 => InstanceRole::Primary,
            2 => InstanceRole::Replica,
            _ => InstanceRole::Auto,
        }
    }

    /// Its share of reads under `weighted` load balancing.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Acquire)
    }

    /// What it is now.
    pub fn role(&self) -> Role {
        match self.role.load(Ordering::Acquire) {
            1 => Role::Primary,
            2 => Role::Replica,
            3 => Role::Fenced,
            _ => Role::Unknown,
        }
    }

    /// Whether reads are sent to it: not banned, not fenced, not too far behind.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether it is the only one of its shard.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Acquire)
    }

    /// Whether clients are sent elsewhere, whatever they want. Never, where there is no elsewhere.
    pub(crate) fn is_shut(&self) -> bool {
        match self.role() {
            _ if self.is_alone() => false,
            Role::Primary => false,
            Role::Replica => !self.is_open(),
            Role::Unknown | Role::Fenced => true,
        }
    }

    /// Why it is what it is, for people and for those who choose.
    pub fn sight(&self) -> Arc<Sight> {
        self.sight.load_full()
    }

    /// Whether it is banned because it does not answer. What was in flight on it has been cut off.
    pub fn is_silent(&self) -> bool {
        self.sight.load().is_silent
    }

    /// Server connections that clients have, and clients that wait for one.
    pub fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// The position in the log up to which it has written, or, as a replica, replayed; 0 as long
    /// as that is not known.
    pub fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Acquire)
    }

    /// A moving average of how long statements take, in microseconds; 0 when it is not known.
    pub fn latency(&self) -> f64 {
        self.latency.lock().value(self.monitor.clock.now())
    }

    /// How long the last health check took, and what was wrong with it.
    pub fn last_check(&self) -> (Option<Duration>, Option<String>) {
        self.monitor.last()
    }

    /// Times that it was banned for evidence of this class.
    pub fn ban_count(&self, class: EvidenceClass) -> u64 {
        let place = EvidenceClass::ALL.iter().position(|it| *it == class);
        place.and_then(|it| self.bans.get(it)).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    // === what happens on it ===

    /// A statement has ended after so long: a proof of life.
    pub fn finished(&self, latency: Duration) {
        let now = self.monitor.clock.now();
        self.monitor.finished(now);
        // Whoever finds it locked leaves it to the other one.
        if let Some(mut average) = self.latency.try_lock() {
            average.observe(now, latency);
        }
    }

    /// Something speaks against it. `since` is when that began: the connection was made that broke,
    /// or the wait began that was in vain. `detail` is for people and must carry no secret.
    pub fn report(&self, class: EvidenceClass, detail: &str, since: Option<Instant>) {
        self.monitor.report(&evidence(self.monitor.clock, class, detail, since));
    }

    /// Something odd that is no evidence: it is checked at once.
    pub fn look_now(&self) {
        self.monitor.look_now();
    }

    /// Whether it answers a health check that begins now, within this time. Cancel safe.
    pub async fn probe(&self, within: Duration) -> bool {
        self.monitor.probe(within).await
    }

    /// One more client has a connection, or waits for one.
    pub(crate) fn busier(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn less_busy(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Somebody has reached it.
    pub(crate) fn reached(&self) {
        self.reached.notify_waiters();
    }

    /// Ends when somebody else reaches it. Cancel safe.
    pub(crate) async fn wait_reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn count_ban(&self, class: EvidenceClass) {
        let place = EvidenceClass::ALL.iter().position(|it| *it == class);
        if let Some(count) = place.and_then(|it| self.bans.get(it)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn adopt(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    pub(crate) fn pools(&self) -> Vec<Arc<Pool>> {
        self.pools.lock().iter().filter_map(Weak::upgrade).collect()
    }

    // === what is found out ===

    /// Makes known how it stands; whether that is new to those who choose. What follows from a
    /// change is done here: it is said once, and connections that are of no more use are closed.
    pub(crate) fn publish(&self, sight: Sight, cluster: &str) -> bool {
        let former = self.sight.load_full();
        if *former == sight {
            return false;
        }
        let open = sight.takes_reads();
        let (was_open, was) = (self.is_open(), self.role());
        if let Some(lsn) = sight.vitals.and_then(|vitals| vitals.lsn) {
            self.lsn.store(lsn, Ordering::Release);
        }
        self.role.store(sight.role as u8, Ordering::Release);
        self.open.store(open, Ordering::Release);
        self.tell(&former, &sight, cluster);
        let news = was_open != open
            || was != sight.role
            || former.doubt != sight.doubt
            || former.reachable != sight.reachable
            || kind(&former.standing) != kind(&sight.standing);
        let shut = match sight.role {
            Role::Fenced | Role::Unknown => was != sight.role,
            Role::Replica => was_open && !open,
            // Writes go on, whatever bans say.
            Role::Primary => false,
        };
        let cut = was != Role::Fenced && sight.role == Role::Fenced
            || sight.role == Role::Replica && !former.is_silent && sight.is_silent;
        let is_back = sight.reachable && !former.reachable;
        self.sight.store(Arc::new(sight));
        if is_back {
            self.reached();
        }
        if (shut || cut) && !self.is_alone() {
            for pool in self.pools() {
                pool.shut_out(cut);
            }
        }
        news
    }

    /// Once for each change, with what can be done about it.
    fn tell(&self, former: &Sight, now: &Sight, cluster: &str) {
        let instance = &self.key;
        if former.role != now.role && former.role != Role::Unknown {
            let (was, role) = (former.role.as_str(), now.role.as_str());
            tracing::warn!(cluster, %instance, "the instance was {was} and is {role} now");
        }
        if former.doubt != now.doubt
            && let Some(doubt) = now.doubt
        {
            tracing::error!(cluster, %instance, "the role of the instance is in doubt: {doubt}");
        }
        match (&former.standing, &now.standing) {
            (Standing::Open | Standing::HeldBack(..), Standing::Banned(ban)) => tracing::warn!(
                cluster,
                %instance,
                source = %ban.source,
                class = %ban.class,
                "the instance is banned: {}; probes bring it back, and so does UNBAN {instance} in \
                 the admin database",
                ban.reason,
            ),
            (Standing::Open, Standing::HeldBack(ban, why)) => tracing::warn!(
                cluster, %instance, class = %ban.class,
                "the instance is used although it should be banned, since {why}: {}", ban.reason,
            ),
            (Standing::Banned(_) | Standing::HeldBack(..), Standing::Open) => {
                tracing::info!(cluster, %instance, "the instance is not banned any more");
            }
            _ => {}
        }
        if !former.is_lagging && now.is_lagging {
            let lag = now.lag.unwrap_or_default();
            tracing::warn!(cluster, %instance, ?lag, "the replica is too far behind: no reads");
        } else if former.is_lagging && !now.is_lagging {
            tracing::info!(cluster, %instance, "the replica has caught up");
        }
    }
}

fn kind(standing: &Standing) -> u8 {
    match standing {
        Standing::Open => 0,
        Standing::Banned(_) => 1,
        Standing::HeldBack(..) => 2,
    }
}
