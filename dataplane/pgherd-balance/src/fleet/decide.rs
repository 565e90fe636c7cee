//! From the merged state to the bans: one pure function.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Cause, FleetBan, FleetState, ProxyId, Scope, limits, vote::Electorate};
use crate::{InstanceKey, Severity};

/// Numbers that the decision depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetRules {
    /// How long soft evidence of two witnesses must last; with more of them, less.
    pub soft_after: Duration,
    /// A proxy that fails against so many instances, and more than half, loses its vote.
    pub doubt_from: usize,
}

/// The replicas of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMembers {
    /// Its replicas; where roles are not known, all its instances.
    pub replicas: Vec<InstanceKey>,
    /// Its primary, if it is known.
    pub primary: Option<InstanceKey>,
    /// `max_banned_percent` of its cluster.
    pub max_banned_percent: u8,
}

/// What the decision depends on besides the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances<'a> {
    /// The control plane's clock.
    pub now: Duration,
    /// The shards of all clusters.
    pub shards: &'a [ShardMembers],
    /// What administrators have banned.
    pub manual: &'a BTreeSet<InstanceKey>,
    /// Proxies that belong to the fleet, those that are away as well.
    pub known_proxies: usize,
    /// Control planes that belong to the fleet, this one as well.
    pub known_control_planes: usize,
    /// Those of them that are in touch, this one as well.
    pub visible_control_planes: usize,
    /// The bans decided last: on a side without majority, no others are made.
    pub in_force: &'a [FleetBan],
}

/// What is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The bans, by instance and scope.
    pub bans: Vec<FleetBan>,
    /// Those that were not made although there is evidence enough.
    pub held_back: Vec<FleetHeldBack>,
    /// Who is to look at what, at once.
    pub probes: Vec<ProbeRequest>,
    /// The proxies that have lost their vote.
    pub doubted: Vec<ProxyId>,
    /// After which time the same evidence may lead to another decision.
    pub again_in: Option<Duration>,
}

/// A ban that was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetHeldBack {
    /// The ban that would have been.
    pub ban: FleetBan,
    /// Why it was not.
    pub spared: Spared,
}

/// Why a ban was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spared {
    /// `max_banned_percent` of a shard's replicas are banned already.
    Limit,
    /// It is the last replica of a shard.
    LastReplica,
    /// This side sees no majority of the control planes and of the proxies.
    Minority,
}

/// An instance that somebody sees failing and others have not looked at since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// Which instance.
    pub instance: InstanceKey,
    /// Who is asked.
    pub proxies: Vec<ProxyId>,
}

/// Which bans the evidence amounts to.
///
/// The same for the same arguments, and for states that are merged from the same reports in
/// whatever order. `in_force` matters only on a side without majority.
pub fn decide(state: &FleetState, rules: &FleetRules, at: &Circumstances<'_>) -> Decision {
    let electorate = Electorate::new(state, rules, at.known_proxies, at.now);
    let mut decision = Decision {
        doubted: electorate.doubted(),
        again_in: electorate.lapses_in(),
        ..Decision::default()
    };
    let mut wanted = Vec::new();
    for instance in at.instances() {
        let opinion = electorate.opinion(instance);
        decision.probes.extend(opinion.probe);
        let soonest = [decision.again_in, opinion.ripe_in].into_iter().flatten().min();
        decision.again_in = soonest;
        // What an administrator has banned needs no other ban.
        if !at.manual.contains(instance) {
            wanted.extend(opinion.bans);
        }
    }
    let may_create = at.sees_a_majority(electorate.present());
    wanted.sort_by(|one, other| precedence(one).cmp(&precedence(other)));
    for ban in wanted {
        let spared = if may_create || at.is_in_force(&ban) {
            limits::objection(&ban, &decision.bans, at.shards, at.manual)
        } else {
            Some(Spared::Minority)
        };
        match spared {
            None => decision.bans.push(ban),
            Some(spared) => decision.held_back.push(FleetHeldBack { ban, spared }),
        }
    }
    decision.bans.sort_by(|one, other| identity(one).cmp(&identity(other)));
    decision.held_back.sort_by(|one, other| identity(&one.ban).cmp(&identity(&other.ban)));
    decision
}

/// Who is banned first where not all may be. Nothing in it changes while a ban goes on, except that
/// soft evidence may become hard, so that bans do not pass from one instance to another.
fn precedence(ban: &FleetBan) -> (bool, Reverse<Severity>, &InstanceKey, &Scope) {
    let severity = match &ban.cause {
        Cause::Evidence { class, .. } => Severity::of(*class),
        Cause::Manual { .. } => Severity::Hard,
    };
    (ban.scope != Scope::All, Reverse(severity), &ban.instance, &ban.scope)
}

fn identity(ban: &FleetBan) -> (&InstanceKey, &Scope) {
    (&ban.instance, &ban.scope)
}

impl Circumstances<'_> {
    /// The instances that all proxies mean the same by.
    fn instances(&self) -> BTreeSet<&InstanceKey> {
        let members =
            self.shards.iter().flat_map(|shard| shard.replicas.iter().chain(&shard.primary));
        members.filter(|instance| !instance.is_unix_socket()).collect()
    }

    fn sees_a_majority(&self, present: usize) -> bool {
        let control_planes = self.known_control_planes.max(1);
        self.visible_control_planes * 2 > control_planes && present * 2 > self.known_proxies
    }

    fn is_in_force(&self, ban: &FleetBan) -> bool {
        self.in_force.iter().any(|known| identity(known) == identity(ban))
    }
}

impl FleetRules {
    /// How long soft evidence must last with so many witnesses.
    pub(super) fn patience(&self, witnesses: usize) -> Duration {
        let witnesses = u32::try_from(witnesses.max(2)).unwrap_or(u32::MAX);
        self.soft_after.saturating_mul(2) / witnesses
    }
}

impl Default for FleetRules {
    fn default() -> Self {
        Self { soft_after: Duration::from_secs(1), doubt_from: 3 }
    }
}
