//! What a shard's instances were seen to be, and what is decided from it: roles, bans, lag. No IO.

use std::time::Duration;

use pgherd_balance::fleet::{Condition, FleetBan};
use pgherd_balance::{
    BanRules, Book, Evidence, InstanceKey, Lifted, Probed, ReadsFromPrimary, Source, Standing,
    Verdict,
};
use pgherd_config::{EvidenceClass, InstanceRole};

use super::checkup::Outcome;
use super::lag::Positions;
use super::roles::{self, Doubt, Memory, Names, Subject};
use super::vitals::Vitals;
use crate::instance::Role;

/// By what rules a shard is looked after.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LedgerRules {
    pub(crate) bans: BanRules,
    pub(crate) from_primary: ReadsFromPrimary,
    pub(crate) max_lag: Option<Duration>,
}

/// One shard.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    rules: LedgerRules,
    book: Book,
    entries: Vec<Entry>,
    memory: Memory,
    positions: Positions,
}

#[derive(Clone, Debug)]
struct Entry {
    key: InstanceKey,
    configured: InstanceRole,
    role: Role,
    doubt: Option<Doubt>,
    vitals: Option<Vitals>,
    /// Whether the last check went well.
    reachable: bool,
    /// How far it is behind, when it was checked last.
    lag: Option<Duration>,
}

/// What people and routing need to know of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// What it is.
    pub role: Role,
    /// What is odd about that.
    pub doubt: Option<Doubt>,
    /// Whether it is banned.
    pub standing: Standing,
    /// Whether it is further behind than `max_replica_lag` allows.
    pub is_lagging: bool,
    /// How far it is behind the primary, as a replica.
    pub lag: Option<Duration>,
    /// The same in bytes of the log.
    pub lag_bytes: Option<u64>,
    /// What it said last.
    pub vitals: Option<Vitals>,
    /// Whether it answered the last check; false before the first one.
    pub reachable: bool,
    /// Whether it is banned since this proxy itself gets no answer from it.
    pub is_silent: bool,
}

impl Sight {
    pub(crate) fn unknown(role: Role) -> Self {
        Self {
            role,
            doubt: None,
            standing: Standing::Open,
            is_lagging: false,
            lag: None,
            lag_bytes: None,
            vitals: None,
            reachable: false,
            is_silent: false,
        }
    }

    /// Whether reads may be sent to it.
    pub fn takes_reads(&self) -> bool {
        matches!(self.role, Role::Primary | Role::Replica)
            && self.standing.is_open()
            && !self.is_lagging
    }
}

impl Ledger {
    /// `instances` with what the settings say of them and what they are until they are seen.
    pub(crate) fn new(
        rules: LedgerRules,
        instances: impl IntoIterator<Item = (InstanceKey, InstanceRole, Role)>,
    ) -> Self {
        let entries: Vec<Entry> = instances
            .into_iter()
            .map(|(key, configured, role)| Entry {
                key,
                configured,
                role,
                doubt: None,
                vitals: None,
                reachable: false,
                lag: None,
            })
            .collect();
        let keys = entries.iter().map(|entry| entry.key.clone()).collect();
        let book = Book::new(rules.bans.clone(), keys);
        Self { rules, book, entries, memory: Memory::default(), positions: Positions::default() }
    }

    /// The same with what was known before of instances that are still there.
    pub(crate) fn after(mut self, former: &Self) -> Self {
        let place = |key: &InstanceKey| self.entries.iter().position(|entry| entry.key == *key);
        let primary = former.memory.primary.and_then(|index| former.entries.get(index));
        let primary = primary.and_then(|entry| place(&entry.key));
        self.memory = Memory { primary, names: Names::default(), ..former.memory.clone() };
        self.positions = former.positions.clone();
        self.book = former.book.clone();
        let keys = self.entries.iter().map(|entry| entry.key.clone()).collect();
        self.book.reload(self.rules.bans.clone(), keys);
        for entry in &mut self.entries {
            let Some(known) = former.entries.iter().find(|it| it.key == entry.key) else {
                continue;
            };
            entry.vitals = known.vitals;
            entry.reachable = known.reachable;
            entry.lag = known.lag;
            if entry.configured == InstanceRole::Auto && known.configured == InstanceRole::Auto {
                entry.role = known.role;
            }
        }
        self.decide_roles();
        self
    }

    // === what happens ===

    pub(crate) fn check_started(&mut self, index: usize, now: Duration) {
        self.book.probe_started(index, now);
    }

    /// Takes in how a check that began at `started` ended.
    pub(crate) fn note_check(
        &mut self,
        index: usize,
        started: Duration,
        now: Duration,
        outcome: &Outcome,
    ) -> Verdict {
        let Some(entry) = self.entries.get_mut(index) else { return Verdict::Spared };
        match outcome {
            Outcome::Well(vitals) => {
                entry.vitals = Some(*vitals);
                entry.reachable = true;
            }
            // It lives, and is what it was.
            Outcome::Alive(_) | Outcome::Refused(_) => entry.reachable = entry.vitals.is_some(),
            Outcome::Failed(..) => entry.reachable = false,
        }
        let verdict = match outcome {
            Outcome::Well(_) | Outcome::Alive(_) | Outcome::Refused(_) => {
                let _: Probed = self.book.on_probe_succeeded(index, started, now);
                Verdict::Spared
            }
            Outcome::Failed(class, detail) => {
                let evidence = Evidence::new(*class, now, detail.as_str()).since(started);
                self.book.on_probe_failed(index, &evidence)
            }
        };
        if matches!(outcome, Outcome::Well(_))
            && let Some(primary) = self.memory.primary
        {
            let subjects = self.subjects();
            self.memory.names.note_answer(&subjects, primary, index);
        }
        self.decide_roles();
        self.measure_lag(index, now, outcome);
        verdict
    }

    /// Takes in what speaks against an instance.
    pub(crate) fn note_evidence(
        &mut self,
        index: usize,
        evidence: &Evidence,
        last_finished: Option<Duration>,
    ) -> Verdict {
        self.book.on_evidence(index, evidence, last_finished)
    }

    pub(crate) fn ban(
        &mut self,
        index: usize,
        reason: &str,
        now: Duration,
        lasting: Option<Duration>,
    ) {
        self.book.ban_manually(index, reason, now, lasting);
    }

    pub(crate) fn unban(&mut self, index: usize, now: Duration) -> Lifted {
        self.book.unban(index, now)
    }

    pub(crate) fn set_fleet_bans(&mut self, now: Duration, bans: &[FleetBan], zone: Option<&str>) {
        self.book.set_fleet_bans(now, bans, zone);
    }

    // === what follows ===

    /// How each instance stands.
    pub(crate) fn sights(&self, now: Duration) -> Vec<Sight> {
        let roles: Vec<pgherd_balance::Role> =
            self.entries.iter().map(|entry| entry.role.in_book()).collect();
        let standings = self.book.view(now, &roles, self.rules.from_primary);
        let entries = self.entries.iter().zip(standings).enumerate();
        entries
            .map(|(index, (entry, standing))| {
                let is_replica = entry.role == Role::Replica;
                let is_open = standing.is_open();
                let lag = entry.lag.filter(|_| is_replica);
                let behind = |lsn: u64| Some(self.positions.last()?.saturating_sub(lsn));
                let lsn = entry.vitals.and_then(|vitals| vitals.lsn);
                Sight {
                    role: entry.role,
                    doubt: entry.doubt,
                    standing,
                    is_lagging: lag
                        .is_some_and(|lag| self.rules.max_lag.is_some_and(|max| lag > max)),
                    lag,
                    lag_bytes: lsn.filter(|_| is_replica).and_then(behind),
                    vitals: entry.vitals,
                    reachable: entry.reachable,
                    is_silent: !is_open && self.is_silent(index, now),
                }
            })
            .collect()
    }

    /// Whether this proxy has banned it for silence, whatever other bans stand before that one.
    /// What others see does not end what is in flight here.
    fn is_silent(&self, index: usize, now: Duration) -> bool {
        let silent = |class| {
            matches!(
                class,
                EvidenceClass::HealthCheckFailed
                    | EvidenceClass::ConnectTimeout
                    | EvidenceClass::QueryTimeout
            )
        };
        let bans = self.book.bans(index, now);
        bans.iter().any(|ban| ban.source == Source::Local && silent(ban.class))
    }

    /// Every ban of an instance.
    pub(crate) fn bans(&self, index: usize, now: Duration) -> Vec<pgherd_balance::Ban> {
        self.book.bans(index, now)
    }

    /// What this proxy has seen itself, by instance.
    pub(crate) fn conditions(&self, now: Duration) -> Vec<(InstanceKey, Condition)> {
        let sightings = self.book.sightings(now).into_iter();
        sightings.map(|sighting| (sighting.instance, sighting.condition)).collect()
    }

    /// Whether an instance is to be looked at more often than others.
    pub(crate) fn is_troubled(&self, index: usize, now: Duration) -> bool {
        let odd = |entry: &Entry| !entry.reachable || entry.doubt.is_some();
        self.is_banned_by_evidence(index, now)
            || self.entries.get(index).is_some_and(odd)
            || self.lacks_primary()
    }

    /// Whether only probes can bring an instance back.
    pub(crate) fn is_banned_by_evidence(&self, index: usize, now: Duration) -> bool {
        let bans = self.book.bans(index, now);
        bans.iter().any(|ban| ban.class != EvidenceClass::Manual)
    }

    /// Whether nobody takes writes, as far as is known.
    pub(crate) fn lacks_primary(&self) -> bool {
        !self.entries.iter().any(|it| it.role == Role::Primary && it.reachable)
    }

    fn subjects(&self) -> Vec<Subject> {
        let of = |entry: &Entry| Subject {
            configured: entry.configured,
            was: entry.role,
            vitals: entry.vitals,
            reachable: entry.reachable,
        };
        self.entries.iter().map(of).collect()
    }

    fn decide_roles(&mut self) {
        let roles = roles::decide(&self.subjects(), &mut self.memory);
        for (entry, (role, doubt)) in self.entries.iter_mut().zip(roles) {
            (entry.role, entry.doubt) = (role, doubt);
        }
    }

    fn measure_lag(&mut self, index: usize, now: Duration, outcome: &Outcome) {
        let Outcome::Well(vitals) = outcome else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        match (entry.role, vitals.safe_lsn.or(vitals.lsn)) {
            // Not where it inserts next: behind the header of a page that is empty so far that is
            // a position which no replica reaches.
            (Role::Primary, Some(flushed)) => self.positions.note(now, flushed),
            (Role::Replica, _) => {
                let replayed = vitals.lsn.unwrap_or(0);
                entry.lag = self.positions.lag(now, replayed).or_else(|| {
                    // Nothing is known of the primary: what the replica itself knows.
                    let behind = vitals.safe_lsn.is_some_and(|safe| safe > replayed);
                    if behind { vitals.replayed_ago } else { None }
                });
            }
            _ => {}
        }
    }
}

impl Role {
    fn in_book(self) -> pgherd_balance::Role {
        match self {
            Self::Primary => pgherd_balance::Role::Primary,
            Self::Replica => pgherd_balance::Role::Replica,
            Self::Unknown | Self::Fenced => pgherd_balance::Role::Other,
        }
    }
}

#[cfg(test)]
mod tests;
