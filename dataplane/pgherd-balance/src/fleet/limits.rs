//! How many of a shard's replicas the fleet may ban.

use std::collections::BTreeSet;

use super::{FleetBan, Scope, ShardMembers, Spared};
use crate::{InstanceKey, bans::most_banned};

/// Why a ban must not be added to those that are made already; `None` if it may.
pub(super) fn objection(
    ban: &FleetBan,
    made: &[FleetBan],
    shards: &[ShardMembers],
    manual: &BTreeSet<InstanceKey>,
) -> Option<Spared> {
    let concerned = shards.iter().filter(|shard| shard.replicas.contains(&ban.instance));
    concerned.filter_map(|shard| objection_in(shard, ban, made, manual)).max()
}

fn objection_in(
    shard: &ShardMembers,
    ban: &FleetBan,
    made: &[FleetBan],
    manual: &BTreeSet<InstanceKey>,
) -> Option<Spared> {
    let replicas: BTreeSet<&InstanceKey> = shard.replicas.iter().collect();
    let banned = made
        .iter()
        .filter(|other| replicas.contains(&other.instance) && meet(&other.scope, &ban.scope))
        .count();
    let free = replicas.iter().filter(|replica| !manual.contains(**replica)).count();
    if banned + 1 >= free {
        Some(Spared::LastReplica)
    } else if banned >= most_banned(replicas.len(), shard.max_banned_percent) {
        Some(Spared::Limit)
    } else {
        None
    }
}

/// Whether there can be a proxy that both hold for. Bans for all are made before those of zones, so
/// that what is counted here is what a proxy of the zone has to obey.
fn meet(one: &Scope, other: &Scope) -> bool {
    match (one, other) {
        (Scope::Zone(one), Scope::Zone(other)) => one == other,
        (Scope::All, _) | (_, Scope::All) => true,
    }
}
