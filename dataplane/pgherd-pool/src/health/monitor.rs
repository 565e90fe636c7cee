//! Looks at one instance again and again, for all shards of all clusters that have it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use pgherd_balance::{Evidence, InstanceKey, Severity};
use pgherd_config::EvidenceClass;
use rand::RngExt;
use tokio::sync::{Notify, watch};

use super::checkup::{CheckConn, Outcome, check};
use crate::cancel::ServerAddress;
use crate::clock::Clock;
use crate::connect::Endpoint;
use crate::shard::ShardState;

/// How often an instance is looked at that fails, is banned, or is not what it shall be; unless
/// the settings say more often.
const TROUBLED: Duration = Duration::from_millis(500);
/// The least time between two looks, whoever wants to know.
const LEAST: Duration = Duration::from_millis(50);
/// How often one is looked at that does not let the checks in: its log shall not be full of that.
const REFUSED: Duration = Duration::from_secs(10);
/// How often the name of an instance is resolved again.
const RESOLVE: Duration = Duration::from_secs(5);
/// What ends counts as a new proof of life only so much later than the one before: no core shall
/// write what all others read more often.
const PROOF: Duration = Duration::from_millis(20);

/// How an instance is looked at.
#[derive(Debug, PartialEq)]
pub(crate) struct MonitorPlan {
    /// As whom.
    pub(crate) endpoint: Endpoint,
    /// `None`: only when somebody asks, and while it is banned.
    pub(crate) interval: Option<Duration>,
    pub(crate) timeout: Duration,
}

/// One instance, whichever clusters name it.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) key: InstanceKey,
    pub(crate) clock: Clock,
    plan: ArcSwapOption<MonitorPlan>,
    /// The shards that have it.
    members: ArcSwap<Vec<Weak<ShardState>>>,
    /// Microseconds of the clock.
    last_finished: AtomicU64,
    /// Somebody wants to know at once.
    wanted: Notify,
    /// And waits for the outcome, so that there must be one.
    asked: AtomicBool,
    /// When the last check ended well, and when the last one that failed had begun.
    results: watch::Sender<Results>,
    last: Mutex<Last>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Results {
    answered: Option<Duration>,
    failed: Option<Duration>,
}

/// What is shown of the last check.
#[derive(Clone, Debug, Default)]
struct Last {
    outcome: Option<Outcome>,
    took: Duration,
}

impl Monitor {
    pub(crate) fn new(key: InstanceKey, clock: Clock) -> Self {
        Self {
            key,
            clock,
            plan: ArcSwapOption::empty(),
            members: ArcSwap::default(),
            last_finished: AtomicU64::new(0),
            wanted: Notify::new(),
            asked: AtomicBool::new(false),
            results: watch::Sender::default(),
            last: Mutex::default(),
        }
    }

    /// Takes over what the topology says.
    pub(crate) fn configure(&self, plan: Option<MonitorPlan>, members: Vec<Weak<ShardState>>) {
        self.members.store(Arc::new(members));
        if self.plan.load().as_deref() != plan.as_ref() {
            self.plan.store(plan.map(Arc::new));
            self.look_now();
        }
    }

    /// A statement has ended on it.
    pub(crate) fn finished(&self, now: Duration) {
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let last = self.last_finished.load(Ordering::Relaxed);
        if micros > last + u64::try_from(PROOF.as_micros()).unwrap_or(0) {
            self.last_finished.store(micros, Ordering::Relaxed);
        }
    }

    fn last_finished(&self) -> Option<Duration> {
        let micros = self.last_finished.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// Tells every shard that has it what speaks against it, and looks at once.
    pub(crate) fn report(&self, evidence: &Evidence) {
        let last_finished = self.last_finished();
        if self.is_refuted(evidence.class, evidence.since.unwrap_or(evidence.at)) {
            return;
        }
        for shard in self.members.load().iter().filter_map(Weak::upgrade) {
            shard.note_evidence(&self.key, evidence, last_finished);
        }
        self.look_now();
    }

    /// Makes the next check come at once.
    pub(crate) fn look_now(&self) {
        self.wanted.notify_one();
    }

    /// Whether it gives a sign of life within this time. Cancel safe.
    pub(crate) async fn probe(&self, within: Duration) -> bool {
        let begun = self.clock.now();
        let mut results = self.results.subscribe();
        self.asked.store(true, Ordering::Release);
        self.look_now();
        let answered = results.wait_for(|results| {
            results.answered.is_some_and(|at| at >= begun)
                || results.failed.is_some_and(|at| at >= begun)
        });
        match tokio::time::timeout(within, answered).await {
            Ok(Ok(results)) => results.answered.is_some_and(|at| at >= begun),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// How long the last check took, if it went well, and what went wrong otherwise.
    pub(crate) fn last(&self) -> (Option<Duration>, Option<String>) {
        let last = self.last.lock();
        match &last.outcome {
            None => (None, None),
            Some(Outcome::Well(_)) => (Some(last.took), None),
            Some(Outcome::Alive(detail) | Outcome::Refused(detail)) => {
                (Some(last.took), Some(detail.clone()))
            }
            Some(Outcome::Failed(_, detail)) => (None, Some(detail.clone())),
        }
    }

    // === the task ===

    /// Looks for as long as it is polled. Cancel safe.
    pub(crate) async fn run(self: Arc<Self>) {
        let (mut kept, mut first) = (None, true);
        let mut addresses = Addresses::default();
        loop {
            let Some(plan) = self.plan.load_full() else {
                kept = None;
                self.wanted.notified().await;
                continue;
            };
            self.pause(&plan, first).await;
            if !self.has_plan(&plan) {
                // Another way to log in, perhaps.
                (kept, first) = (None, true);
                continue;
            }
            first = false;
            self.look(&plan, &mut kept).await;
            if let Some(conn) = &kept {
                self.follow_name(&plan.endpoint, conn, &mut addresses).await;
            }
            if addresses.has_moved {
                (kept, addresses.has_moved, first) = (None, false, true);
            }
        }
    }

    async fn look(&self, plan: &MonitorPlan, kept: &mut Option<CheckConn>) {
        let (started, begun) = (self.clock.now(), Instant::now());
        for shard in self.members() {
            shard.check_started(&self.key, started);
        }
        let outcome = check(&plan.endpoint, kept, plan.timeout).await;
        let outcome = self.weigh(outcome, started);
        let now = self.clock.now();
        self.complain(&outcome);
        if !matches!(outcome, Outcome::Failed(..)) {
            self.finished(now);
        }
        for shard in self.members() {
            shard.note_check(&self.key, started, &outcome);
        }
        self.results.send_modify(|results| match &outcome {
            Outcome::Well(_) | Outcome::Alive(_) | Outcome::Refused(_) => {
                results.answered = Some(now);
            }
            Outcome::Failed(..) => results.failed = Some(started),
        });
        *self.last.lock() = Last { outcome: Some(outcome), took: begun.elapsed() };
    }

    /// An instance on which statements end is not silent, however busy it is.
    fn weigh(&self, outcome: Outcome, started: Duration) -> Outcome {
        match outcome {
            Outcome::Failed(class, _) if self.is_refuted(class, started) => Outcome::Alive(
                "it is too busy to answer in time, but statements end on it".to_owned(),
            ),
            outcome => outcome,
        }
    }

    /// Whether what may only be silence is over: something has ended on it since that began.
    fn is_refuted(&self, class: EvidenceClass, since: Duration) -> bool {
        Severity::of(class) == Severity::Soft && self.last_finished() >= Some(since)
    }

    /// Waits until it is time to look again; `first` where that has not been done yet.
    async fn pause(&self, plan: &MonitorPlan, first: bool) {
        loop {
            let now = self.clock.now();
            let pause = match plan.interval {
                Some(_) if first => return,
                Some(interval) if self.is_refused() => interval.max(REFUSED),
                Some(interval) if self.is_troubled(now) => interval.min(TROUBLED),
                Some(interval) => interval,
                // Nobody else finds out when a ban can end.
                None if self.is_banned(now) => TROUBLED,
                None => {
                    self.wanted.notified().await;
                    if self.asked.swap(false, Ordering::AcqRel) {
                        return;
                    }
                    // A ban, or another plan.
                    if !self.is_banned(self.clock.now()) && self.has_plan(plan) {
                        continue;
                    }
                    return;
                }
            };
            // Not all instances in the same moment.
            let pause = pause.mul_f64(rand::rng().random_range(0.9..1.0));
            tokio::time::sleep(LEAST.min(pause)).await;
            tokio::select! {
                () = tokio::time::sleep(pause.saturating_sub(LEAST)) => {}
                () = self.wanted.notified() => {}
            }
            return;
        }
    }

    fn has_plan(&self, plan: &MonitorPlan) -> bool {
        self.plan.load().as_deref() == Some(plan)
    }

    fn is_refused(&self) -> bool {
        matches!(self.last.lock().outcome, Some(Outcome::Refused(_)))
    }

    fn is_troubled(&self, now: Duration) -> bool {
        self.members().iter().any(|shard| shard.is_troubled(&self.key, now))
    }

    fn is_banned(&self, now: Duration) -> bool {
        self.members().iter().any(|shard| shard.is_banned_by_evidence(&self.key, now))
    }

    fn members(&self) -> Vec<Arc<ShardState>> {
        self.members.load().iter().filter_map(Weak::upgrade).collect()
    }

    /// Says it once when the check cannot say how the instance is, although it lives.
    fn complain(&self, outcome: &Outcome) {
        let (Outcome::Alive(detail) | Outcome::Refused(detail)) = outcome else { return };
        if self.last.lock().outcome.as_ref() != Some(outcome) {
            tracing::warn!(
                instance = %self.key,
                "the health check does not tell how the instance is, only that it lives: {detail} \
                 (health_check_user names the user of the checks)",
            );
        }
    }

    // === names that move ===

    /// Where the name leads elsewhere now, connections to where it led before are given up: a
    /// managed service moves the name of its primary that way.
    async fn follow_name(&self, endpoint: &Endpoint, conn: &CheckConn, known: &mut Addresses) {
        let ServerAddress::Tcp(peer) = conn.address else { return };
        // The connection before this one was lost, perhaps without a word, and those of clients do
        // not know it yet.
        let left = known.peer.replace(peer).filter(|before| *before != peer);
        let is_name = endpoint.host.parse::<IpAddr>().is_err();
        if !is_name || (left.is_none() && known.looked_at.elapsed() < RESOLVE) {
            return;
        }
        known.looked_at = Instant::now();
        let name = (endpoint.host.as_str(), endpoint.port);
        let lookup = tokio::time::timeout(RESOLVE, tokio::net::lookup_host(name)).await;
        // A name that cannot be resolved now says nothing of the connections that there are.
        let Ok(Ok(found)) = lookup else { return };
        let found: Vec<SocketAddr> = found.collect();
        if let Some(left) = left.filter(|left| !found.is_empty() && !found.contains(left)) {
            self.move_to(left, &found);
        }
        if found.is_empty() || found.contains(&peer) {
            known.misses = 0;
            return;
        }
        // A name with more addresses than fit into one answer shows others each time.
        known.misses += 1;
        if known.misses >= 2 {
            (known.misses, known.peer, known.has_moved) = (0, None, true);
            self.move_to(peer, &found);
        }
    }

    fn move_to(&self, from: SocketAddr, to: &[SocketAddr]) {
        tracing::info!(
            instance = %self.key, %from, ?to,
            "the name of the instance leads elsewhere: connections move there",
        );
        for shard in self.members() {
            shard.forsake(&self.key, to);
        }
    }
}

/// What is known of the name of an instance.
struct Addresses {
    /// Where the last check led that got an answer.
    peer: Option<SocketAddr>,
    looked_at: Instant,
    misses: u32,
    has_moved: bool,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { peer: None, looked_at: Instant::now(), misses: 0, has_moved: false }
    }
}

/// Evidence of this moment.
pub(crate) fn evidence(
    clock: Clock,
    class: EvidenceClass,
    detail: &str,
    since: Option<Instant>,
) -> Evidence {
    let evidence = Evidence::new(class, clock.now(), detail);
    match since {
        Some(since) => evidence.since(clock.at(since)),
        None => evidence,
    }
}
