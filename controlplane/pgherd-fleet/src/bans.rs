//! The bans of the whole fleet: evidence comes in, decisions go out to every stream.
//!
//! Automatic bans live in memory only, so that they work while the database is away; manual ones
//! come from there. What is decided is [`pgherd_balance::fleet::decide`], a pure function.

mod listing;
pub mod message;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use pgherd_balance::{
    InstanceKey,
    fleet::{
        Circumstances, Decision, FleetBan, FleetRules, FleetState, ProxyId, Report, ShardMembers,
        decide,
    },
};
use pgherd_store::BanRow;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub use listing::{BanEntry, BanList, BanPlace, BanSource, Evidence};

/// How long a proxy's view is believed; one comes each second.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// How long a proxy keeps an automatic ban that it is not told again, and so for how long bans
/// outlive the control plane.
const HOLDS_FOR: Duration = Duration::from_secs(30);
/// How long a proxy that was asked to look at an instance has for it before it is asked again.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// What is known of bans, and who waits for it.
pub struct Bans {
    /// Zero of the clock that decisions use.
    started: Instant,
    rules: FleetRules,
    inner: Mutex<Inner>,
    /// Held from looking at the evidence until the decision is published: an older one must not
    /// replace a newer one.
    deciding: Mutex<()>,
    /// There may be something to decide.
    pub wake: Notify,
    decided: watch::Sender<Arc<Decided>>,
    counts: Counts,
}

#[derive(Default)]
struct Inner {
    state: FleetState,
    manual: Vec<Manual>,
    /// When each proxy was heard last.
    heard: HashMap<ProxyId, Duration>,
    /// Who was asked to look at what, and when.
    asked: HashMap<(ProxyId, InstanceKey), Duration>,
}

/// A manual ban in memory.
#[derive(Clone, Debug)]
struct Manual {
    row: BanRow,
    /// When its time is over.
    until: Option<Instant>,
}

/// What holds, as it was last decided.
#[derive(Clone, Debug)]
pub struct Decided {
    decision: Decision,
    manual: Vec<Manual>,
    /// Whether most of the fleet was heard.
    majority: bool,
    at: Instant,
}

/// What happened since the start.
#[derive(Debug, Default)]
struct Counts {
    views: AtomicU64,
    decisions: AtomicU64,
    probes: AtomicU64,
    banned: AtomicU64,
    lifted: AtomicU64,
}

/// What happened since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BanCounts {
    /// Views that proxies sent.
    pub views: u64,
    /// Times that bans were decided.
    pub decisions: u64,
    /// Times that a proxy was asked to look at an instance.
    pub probes: u64,
    /// Automatic bans that were made.
    pub banned: u64,
    /// Automatic bans that ended.
    pub lifted: u64,
}

/// What a decision depends on besides the evidence.
pub struct Surroundings {
    /// The shards of all clusters.
    pub shards: Vec<ShardMembers>,
    /// Proxies that belong to the fleet.
    pub known_proxies: usize,
}

impl Bans {
    /// No evidence yet.
    pub fn new(manual: Vec<BanRow>) -> Self {
        let now = Instant::now();
        let bans = Self {
            started: now,
            rules: FleetRules::default(),
            inner: Mutex::default(),
            deciding: Mutex::new(()),
            wake: Notify::new(),
            decided: watch::Sender::new(Arc::new(Decided {
                decision: Decision::default(),
                manual: Vec::new(),
                majority: false,
                at: now,
            })),
            counts: Counts::default(),
        };
        bans.set_manual(manual);
        // Streams that open before the first decision hear the manual bans too.
        bans.decided.send_modify(|decided| {
            let manual = bans.inner.lock().manual.clone();
            *decided = Arc::new(Decided { manual, ..Decided::clone(decided) });
        });
        bans
    }

    /// Takes in a proxy's view.
    pub fn absorb(&self, report: &Report) {
        Counts::add(&self.counts.views, 1);
        let now = self.started.elapsed();
        let mut inner = self.inner.lock();
        inner.state.absorb(report, now, BELIEVED_FOR);
        inner.heard.insert(report.proxy.clone(), now);
        drop(inner);
        self.wake.notify_one();
    }

    /// Forgets what a proxy said that is gone, or that another process has taken the place of.
    pub fn forget(&self, proxy: &str) {
        let mut inner = self.inner.lock();
        inner.state.forget(proxy);
        inner.heard.remove(proxy);
        inner.asked.retain(|(asked, _), _| asked != proxy);
        drop(inner);
        self.wake.notify_one();
    }

    /// Takes the manual bans as the database has them now.
    pub fn set_manual(&self, rows: Vec<BanRow>) {
        let now = Instant::now();
        let until = |row: &BanRow| row.remaining.and_then(|left| now.checked_add(left));
        let rows = rows.into_iter();
        let manual: Vec<Manual> = rows.map(|row| Manual { until: until(&row), row }).collect();
        let mut inner = self.inner.lock();
        if !same(&inner.manual, &manual) {
            inner.manual = manual;
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Decides anew. What proxies are to look at is returned with who is asked; when to decide
    /// again at the latest, too.
    pub fn decide(&self, around: &Surroundings) -> (Vec<(ProxyId, Vec<InstanceKey>)>, Duration) {
        Counts::add(&self.counts.decisions, 1);
        let _one_at_a_time = self.deciding.lock();
        let (now, at) = (self.started.elapsed(), Instant::now());
        let mut inner = self.inner.lock();
        inner.state.expire(now);
        inner.manual.retain(|ban| ban.until.is_none_or(|until| until > at));
        let keys: BTreeSet<InstanceKey> = inner.manual.iter().map(Manual::key).collect();
        let before = Arc::clone(&self.decided.borrow());
        let circumstances = Circumstances {
            now,
            shards: &around.shards,
            manual: &keys,
            known_proxies: around.known_proxies,
            known_control_planes: 1,
            visible_control_planes: 1,
            in_force: &before.decision.bans,
        };
        let decision = decide(&inner.state, &self.rules, &circumstances);
        inner.heard.retain(|_, heard| now.saturating_sub(*heard) < BELIEVED_FOR);
        let present = inner.heard.len();
        let asked = inner.ask(&decision, now);
        let ends = inner.manual.iter().filter_map(|ban| Some(ban.until? - at)).min();
        let manual = inner.manual.clone();
        drop(inner);
        let again = [decision.again_in, ends].into_iter().flatten().min();
        let majority = present * 2 > around.known_proxies;
        Counts::add(&self.counts.probes, asked.iter().map(|(_, what)| what.len() as u64).sum());
        self.publish(Decided { decision, manual, majority, at });
        (asked, again.unwrap_or(BELIEVED_FOR).max(Duration::from_millis(1)))
    }

    /// Tells when what holds has changed.
    pub fn decided(&self) -> watch::Receiver<Arc<Decided>> {
        self.decided.subscribe()
    }

    /// What happened since the start.
    pub fn counts(&self) -> BanCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        BanCounts {
            views: read(&self.counts.views),
            decisions: read(&self.counts.decisions),
            probes: read(&self.counts.probes),
            banned: read(&self.counts.banned),
            lifted: read(&self.counts.lifted),
        }
    }

    /// Keeps what was decided. Who waits is woken only when it says something new; times that go
    /// on by themselves are no news.
    fn publish(&self, new: Decided) {
        self.decided.send_if_modified(|known| {
            let news = new.differs_from(known);
            if news {
                self.log_changes(&known.decision.bans, &new.decision.bans);
            }
            *known = Arc::new(new);
            news
        });
    }

    fn log_changes(&self, before: &[FleetBan], after: &[FleetBan]) {
        let lacks = |bans: &[FleetBan], ban: &FleetBan| {
            !bans.iter().any(|it| (&it.instance, &it.scope) == (&ban.instance, &ban.scope))
        };
        for ban in after.iter().filter(|ban| lacks(before, ban)) {
            Counts::add(&self.counts.banned, 1);
            tracing::warn!(
                instance = %ban.instance,
                scope = ?ban.scope,
                cause = ?ban.cause,
                failing_for = ?ban.elapsed,
                "instance banned for the fleet"
            );
        }
        for ban in before.iter().filter(|ban| lacks(after, ban)) {
            Counts::add(&self.counts.lifted, 1);
            tracing::info!(
                instance = %ban.instance,
                scope = ?ban.scope,
                "the fleet's ban of an instance has ended"
            );
        }
    }
}

impl Inner {
    /// Who is to look at what now. The decision says it again until the answer is there.
    fn ask(&mut self, decision: &Decision, now: Duration) -> Vec<(ProxyId, Vec<InstanceKey>)> {
        self.asked.retain(|_, asked| now.saturating_sub(*asked) < ASKED_FOR);
        let mut due: HashMap<&ProxyId, Vec<InstanceKey>> = HashMap::new();
        for request in &decision.probes {
            for proxy in &request.proxies {
                let key = (proxy.clone(), request.instance.clone());
                if let std::collections::hash_map::Entry::Vacant(free) = self.asked.entry(key) {
                    free.insert(now);
                    due.entry(proxy).or_default().push(request.instance.clone());
                }
            }
        }
        due.into_iter().map(|(proxy, instances)| (proxy.clone(), instances)).collect()
    }
}

impl Manual {
    fn key(&self) -> InstanceKey {
        InstanceKey::new(self.row.host.as_str(), self.row.port)
    }
}

/// Whether two readings of the manual bans say the same.
fn same(known: &[Manual], read: &[Manual]) -> bool {
    /// Two readings of one ban differ by as long as the database takes to answer.
    const SLACK: Duration = Duration::from_secs(1);
    let same_end = |one: Option<Instant>, other: Option<Instant>| match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.max(other) - one.min(other) < SLACK,
        (None, Some(_)) | (Some(_), None) => false,
    };
    known.len() == read.len()
        && known.iter().zip(read).all(|(known, read)| {
            let said = |ban: &Manual| (ban.row.id, ban.row.created_at, ban.row.reason.clone());
            said(known) == said(read) && same_end(known.until, read.until)
        })
}

impl Decided {
    fn differs_from(&self, other: &Self) -> bool {
        let timeless =
            |ban: &FleetBan| FleetBan { elapsed: Duration::ZERO, remaining: None, ..ban.clone() };
        let bans = |it: &Self| it.decision.bans.iter().map(timeless).collect::<Vec<_>>();
        let held_back = |it: &Self| {
            let held = it.decision.held_back.iter();
            held.map(|held| (timeless(&held.ban), held.spared)).collect::<Vec<_>>()
        };
        bans(self) != bans(other)
            || held_back(self) != held_back(other)
            || self.decision.doubted != other.decision.doubted
            || self.majority != other.majority
            || !same(&self.manual, &other.manual)
    }
}

impl Counts {
    fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
