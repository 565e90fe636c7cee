//! The instances of the topology, as all proxies together see them.

use std::collections::BTreeMap;

use pgherd_balance::{InstanceKey, fleet::ShardMembers};
use pgherd_config::InstanceRole;
use pgherd_proto::v1;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Snapshot, bans::Evidence, convert::shortened};

/// What one proxy says of its instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The proxy.
    pub proxy: String,
    /// Its zone.
    pub zone: Option<String>,
    /// Each instance in each of its places.
    pub instances: Vec<InstanceView>,
}

/// One instance in its place, as one proxy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceView {
    pub cluster: String,
    pub shard: u32,
    pub host: String,
    pub port: u32,
    pub role: Role,
    pub timeline: Option<u32>,
    pub lsn: Option<u64>,
    pub lag_ms: Option<u64>,
    pub busy: u32,
    pub latency_us: Option<u64>,
    pub failing: Option<Failing>,
    pub bans: Vec<InstanceBan>,
    pub held_back: Option<String>,
}

/// What a proxy has against an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub class: String,
    pub detail: String,
    pub lasting_seconds: u64,
}

/// A ban as a proxy lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceBan {
    pub source: Source,
    pub class: String,
    pub reason: String,
    pub elapsed_seconds: u64,
    pub remaining_seconds: Option<u64>,
    pub count: u32,
}

/// Whose ban a proxy obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Unknown,
    Local,
    Fleet,
    Manual,
}

/// What an instance is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nobody has asked it yet, or it did not answer.
    Unknown,
    /// Takes writes.
    Primary,
    /// Follows a primary.
    Replica,
    /// A former primary that came back.
    Fenced,
}

/// One instance in its place in the topology.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct InstanceStatus {
    /// The cluster.
    pub cluster: String,
    /// The shard's number, from 0.
    pub shard: u32,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it is at the moment, as most of those see it who know.
    pub role: Role,
    /// Of its history.
    pub timeline: Option<u32>,
    /// Where a primary writes, or what a replica has replayed: the furthest that anybody saw.
    pub lsn: Option<u64>,
    /// How far a replica is behind its primary: the most that anybody sees.
    pub lag_ms: Option<u64>,
    /// Server connections in use, over all proxies.
    pub busy: u64,
    /// How long statements take: the middle one of what proxies see.
    pub latency_us: Option<u64>,
    /// How many connected proxies watch it.
    pub watchers: usize,
    /// Of those, how many send it no reads because of a ban.
    pub banned_by: usize,
    /// Of those, how many use it in spite of a ban.
    pub held_back_by: usize,
    /// The proxies that see it failing.
    pub failing: Vec<Evidence>,
}

// === impl InstanceView ===

impl InstanceView {
    /// What is kept of a proxy's words.
    pub fn new(seen: &v1::InstanceView) -> Self {
        let failing = seen.failing.as_ref().map(|failing| Failing {
            class: shortened(&failing.class),
            detail: shortened(&failing.detail),
            lasting_seconds: failing.lasting_ms / 1000,
        });
        Self {
            cluster: shortened(&seen.cluster),
            shard: seen.shard,
            host: shortened(&seen.host),
            port: seen.port,
            role: Role::from(seen.role()),
            timeline: seen.timeline,
            lsn: seen.lsn,
            lag_ms: seen.lag_ms,
            busy: seen.busy,
            latency_us: seen.latency_us,
            failing,
            bans: seen.bans.iter().map(InstanceBan::new).collect(),
            held_back: Some(shortened(&seen.held_back)).filter(|why| !why.is_empty()),
        }
    }

    /// The instance; none when the proxy named none.
    pub fn key(&self) -> Option<InstanceKey> {
        Some(InstanceKey::new(self.host.as_str(), u16::try_from(self.port).ok()?))
    }

    /// Whether another view says the same but for what changes all the time.
    pub fn same_state(&self, other: &Self) -> bool {
        let state = |view: &Self| {
            let bans = view.bans.iter().map(|ban| (ban.source.as_str(), ban.class.clone()));
            let failing = view.failing.as_ref().map(|it| (it.class.clone(), it.detail.clone()));
            let place = (view.cluster.clone(), view.shard, view.host.clone(), view.port);
            let held_back = view.held_back.clone();
            (place, view.role, view.timeline, failing, bans.collect::<Vec<_>>(), held_back)
        };
        state(self) == state(other)
    }
}

impl InstanceBan {
    fn new(ban: &v1::InstanceBan) -> Self {
        Self {
            source: Source::from(ban.source()),
            class: shortened(&ban.class),
            reason: shortened(&ban.reason),
            elapsed_seconds: ban.elapsed_ms / 1000,
            remaining_seconds: ban.remaining_ms.map(|left| left.div_ceil(1000)),
            count: ban.count,
        }
    }
}

impl Seen {
    /// The proxy's zone; those without one are the zone without a name.
    pub fn zone(&self) -> &str {
        self.zone.as_deref().unwrap_or_default()
    }
}

impl Source {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Local => "local",
            Self::Fleet => "fleet",
            Self::Manual => "manual",
        }
    }
}

impl From<v1::BanSource> for Source {
    fn from(source: v1::BanSource) -> Self {
        match source {
            v1::BanSource::Unknown => Self::Unknown,
            v1::BanSource::Local => Self::Local,
            v1::BanSource::Fleet => Self::Fleet,
            v1::BanSource::Manual => Self::Manual,
        }
    }
}

impl From<v1::InstanceRole> for Role {
    fn from(role: v1::InstanceRole) -> Self {
        match role {
            v1::InstanceRole::Unknown => Self::Unknown,
            v1::InstanceRole::Primary => Self::Primary,
            v1::InstanceRole::Replica => Self::Replica,
            v1::InstanceRole::Fenced => Self::Fenced,
        }
    }
}

/// By cluster, shard and address.
type Place = (String, u32, InstanceKey);

/// What proxies say of each place.
pub struct Sights<'a> {
    by_place: BTreeMap<Place, Vec<(&'a Seen, &'a InstanceView)>>,
}

impl<'a> Sights<'a> {
    /// Sorts what the proxies say.
    pub fn new(seen: &'a [Seen]) -> Self {
        let mut by_place: BTreeMap<Place, Vec<_>> = BTreeMap::new();
        for seen in seen {
            for view in &seen.instances {
                let Some(key) = view.key() else { continue };
                let place = (view.cluster.clone(), view.shard, key);
                by_place.entry(place).or_default().push((seen, view));
            }
        }
        Self { by_place }
    }

    fn of(&self, place: &Place) -> &[(&'a Seen, &'a InstanceView)] {
        self.by_place.get(place).map_or(&[], Vec::as_slice)
    }

    /// Every instance of the topology.
    pub fn statuses(&self, snapshot: &Snapshot) -> Vec<InstanceStatus> {
        let mut statuses = Vec::new();
        for (place, configured) in places(snapshot) {
            let views = self.of(&place);
            let all = || views.iter().map(|(_, view)| view);
            let (cluster, shard, key) = place;
            let failing = views.iter().filter_map(|(seen, view)| Evidence::of(seen, view));
            let banned = all().filter(|view| !view.bans.is_empty());
            statuses.push(InstanceStatus {
                role: role(views, configured),
                timeline: all().filter_map(|view| view.timeline).max(),
                lsn: all().filter_map(|view| view.lsn).max(),
                lag_ms: all().filter_map(|view| view.lag_ms).max(),
                busy: all().map(|view| u64::from(view.busy)).sum(),
                latency_us: middle(all().filter_map(|view| view.latency_us).collect()),
                watchers: views.len(),
                banned_by: banned.clone().filter(|view| view.held_back.is_none()).count(),
                held_back_by: banned.filter(|view| view.held_back.is_some()).count(),
                failing: failing.collect(),
                cluster,
                shard,
                host: key.host,
                port: key.port,
            });
        }
        statuses
    }

    /// The shards as the decision about bans needs them.
    pub fn shards(&self, snapshot: &Snapshot) -> Vec<ShardMembers> {
        let mut shards: BTreeMap<(String, u32), ShardMembers> = BTreeMap::new();
        for (place, configured) in places(snapshot) {
            let role = role(self.of(&place), configured);
            let (cluster, shard, key) = place;
            let limit = snapshot.cluster(&cluster).map(|it| it.cluster.max_banned_percent);
            let members = shards.entry((cluster, shard)).or_insert_with(|| ShardMembers {
                replicas: Vec::new(),
                primary: None,
                max_banned_percent: limit.unwrap_or_default(),
            });
            match role {
                Role::Primary if members.primary.is_none() => members.primary = Some(key),
                Role::Unknown | Role::Primary | Role::Replica | Role::Fenced => {
                    members.replicas.push(key);
                }
            }
        }
        shards.into_values().collect()
    }
}

fn places(snapshot: &Snapshot) -> impl Iterator<Item = (Place, InstanceRole)> {
    snapshot.clusters.iter().flat_map(|stored| {
        let shards = (0..).zip(&stored.cluster.shards);
        shards.flat_map(move |(shard, members)| {
            members.instances.iter().map(move |instance| {
                let key = InstanceKey::from(instance);
                ((stored.cluster.name.clone(), shard, key), instance.role)
            })
        })
    })
}

/// What most of those say who know; else what the topology says.
fn role(views: &[(&Seen, &InstanceView)], configured: InstanceRole) -> Role {
    let mut votes: BTreeMap<Role, usize> = BTreeMap::new();
    for (_, view) in views.iter().filter(|(_, view)| view.role != Role::Unknown) {
        *votes.entry(view.role).or_default() += 1;
    }
    let seen = votes.into_iter().max_by_key(|(_, count)| *count).map(|(role, _)| role);
    seen.unwrap_or(match configured {
        InstanceRole::Primary => Role::Primary,
        InstanceRole::Replica => Role::Replica,
        InstanceRole::Auto => Role::Unknown,
    })
}

fn middle(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests;
