//! From the merged state to the bans: one pure function.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{FleetBan, FleetState, ProxyId, Scope};
use crate::InstanceKey;

/// Numbers that the decision depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetRules {
    /// How long soft evidence of two witnesses must last.
    pub soft_after: Duration,
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

impl Default for FleetRules {
    fn default() -> Self {
        Self { soft_after: Duration::from_secs(1) }
    }
}

/// Which bans the evidence amounts to.
pub fn decide(_state: &FleetState, _rules: &FleetRules, _at: &Circumstances<'_>) -> Decision {
    let _ = Scope::All;
    Decision::default()
}
