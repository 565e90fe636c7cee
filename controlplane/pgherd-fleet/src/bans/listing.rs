//! All bans as people see them: manual ones, those of the fleet, those of single proxies.

use chrono::{DateTime, Utc};
use pgherd_balance::{
    InstanceKey,
    fleet::{Cause, FleetBan, Scope, Spared},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{Decided, Manual};
use crate::{
    Snapshot,
    instances::{self, InstanceView, Seen},
};

/// Every ban.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BanList {
    /// Manual ones first, then the fleet's, then those of single proxies.
    pub bans: Vec<BanEntry>,
    /// Proxies that fail against so many instances that what they see does not count.
    pub doubted: Vec<String>,
    /// Whether most of the fleet was heard: without that no bans of the fleet are made.
    pub majority: bool,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BanEntry {
    /// Lifts it; manual bans only.
    pub id: Option<String>,
    /// The instance's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where it stands in the topology; nowhere when the topology has it no more.
    pub places: Vec<BanPlace>,
    /// Who banned it.
    pub source: BanSource,
    /// The only zone in which it holds.
    pub zone: Option<String>,
    /// The only proxy for which it holds.
    pub proxy: Option<String>,
    /// The kind of evidence, or `manual`.
    pub class: String,
    /// Why, in words.
    pub reason: String,
    /// The name of the token that ordered it.
    pub author: Option<String>,
    /// When it was ordered.
    pub created_at: Option<DateTime<Utc>>,
    /// For how long there has been reason for it.
    pub elapsed_seconds: u64,
    /// What is left of it; null when it ends only by being lifted, or, where there is evidence, by
    /// what proxies see.
    pub remaining_seconds: Option<u64>,
    /// Why the instance is used in spite of it.
    pub held_back: Option<String>,
    /// How many bans in a row this is, where that is counted.
    pub count: Option<u32>,
    /// The proxies that see the instance failing.
    pub evidence: Vec<Evidence>,
    /// How many proxies watch the instance and have a vote.
    pub voters: Option<u32>,
    /// How many connected proxies say that they obey it.
    pub obeyed_by: usize,
}

/// A place in the topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BanPlace {
    /// The cluster.
    pub cluster: String,
    /// The shard's number, from 0.
    pub shard: u32,
}

/// Who banned an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BanSource {
    /// An administrator, for the whole fleet.
    Manual,
    /// The fleet, for what a quorum of proxies sees.
    Fleet,
    /// One proxy, for what it sees alone or was told by its own administrator.
    Local,
}

/// What one proxy has against an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Evidence {
    /// The proxy.
    pub proxy: String,
    /// Its zone.
    pub zone: Option<String>,
    /// The kind of evidence.
    pub class: String,
    /// In words.
    pub detail: String,
    /// For how long.
    pub lasting_seconds: u64,
}

impl Decided {
    /// Everything that is banned.
    pub fn list(&self, seen: &[Seen], snapshot: &Snapshot, now: Instant) -> BanList {
        let lister = Lister { seen, snapshot };
        let manual = self.manual.iter().filter_map(|ban| lister.manual(ban, now));
        let age = (now - self.at).as_secs();
        let fleet = self.decision.bans.iter().map(|ban| lister.fleet(ban, age, None));
        let held_back = self.decision.held_back.iter();
        let held_back = held_back.map(|held| lister.fleet(&held.ban, age, Some(held.spared)));
        let mut bans: Vec<BanEntry> = manual.chain(fleet).chain(held_back).collect();
        bans.extend(lister.local(&bans));
        bans.sort_by(|a, b| {
            let key = |ban: &BanEntry| (ban.source, ban.host.clone(), ban.port, ban.proxy.clone());
            key(a).cmp(&key(b))
        });
        BanList { bans, doubted: self.decision.doubted.clone(), majority: self.majority }
    }
}

struct Lister<'a> {
    seen: &'a [Seen],
    snapshot: &'a Snapshot,
}

impl Lister<'_> {
    fn manual(&self, ban: &Manual, now: Instant) -> Option<BanEntry> {
        let remaining_seconds = match ban.until {
            Some(until) => Some(until.checked_duration_since(now)?.as_secs_f64().ceil() as u64),
            None => None,
        };
        Some(BanEntry {
            id: Some(ban.row.id.to_string()),
            class: "manual".to_owned(),
            reason: ban.row.reason.clone(),
            author: Some(ban.row.created_by.clone()),
            created_at: Some(ban.row.created_at),
            elapsed_seconds: ban.elapsed().as_secs(),
            remaining_seconds,
            obeyed_by: self.obeyed(&ban.key(), "manual", None),
            ..self.entry(&ban.key(), BanSource::Manual)
        })
    }

    fn fleet(&self, ban: &FleetBan, age: u64, spared: Option<Spared>) -> BanEntry {
        let zone = match &ban.scope {
            Scope::All => None,
            Scope::Zone(zone) => Some(zone.clone()),
        };
        let (class, reason, voters) = match &ban.cause {
            Cause::Evidence { class, detail, voters, .. } => {
                (class.as_str(), detail.clone(), u32::try_from(*voters).ok())
            }
            Cause::Manual { reason } => ("manual", reason.clone(), None),
        };
        BanEntry {
            class: class.to_owned(),
            reason,
            elapsed_seconds: ban.elapsed.as_secs() + age,
            held_back: spared.map(|spared| words(spared).to_owned()),
            voters,
            obeyed_by: match spared {
                None => self.obeyed(&ban.instance, "fleet", zone.as_deref()),
                Some(_) => 0,
            },
            zone,
            ..self.entry(&ban.instance, BanSource::Fleet)
        }
    }

    /// Bans of single proxies that no ban of the fleet stands above.
    fn local(&self, known: &[BanEntry]) -> Vec<BanEntry> {
        let mut bans = Vec::new();
        for seen in self.seen {
            for view in &seen.instances {
                let Some(key) = view.key() else { continue };
                let Some(ban) = view.bans.first() else { continue };
                let covered = known.iter().any(|it| {
                    it.held_back.is_none()
                        && (it.host == key.host && it.port == key.port)
                        && it.zone.as_deref().is_none_or(|zone| seen.zone() == zone)
                });
                // One instance may stand in several places of one proxy.
                let listed = bans.iter().any(|it: &BanEntry| {
                    (it.proxy.as_deref(), it.host.as_str(), it.port)
                        == (Some(seen.proxy.as_str()), key.host.as_str(), key.port)
                });
                if covered || listed || ban.source == instances::Source::Fleet {
                    continue;
                }
                bans.push(BanEntry {
                    proxy: Some(seen.proxy.clone()),
                    zone: seen.zone.clone(),
                    class: ban.class.clone(),
                    reason: ban.reason.clone(),
                    elapsed_seconds: ban.elapsed_seconds,
                    remaining_seconds: ban.remaining_seconds,
                    held_back: view.held_back.clone(),
                    count: Some(ban.count).filter(|count| *count > 0),
                    evidence: Evidence::of(seen, view).into_iter().collect(),
                    obeyed_by: usize::from(view.held_back.is_none()),
                    ..self.entry(&key, BanSource::Local)
                });
            }
        }
        bans
    }

    /// What is common to all bans of an instance.
    fn entry(&self, key: &InstanceKey, source: BanSource) -> BanEntry {
        let mut evidence: Vec<Evidence> = Vec::new();
        for seen in self.seen {
            let views = seen.instances.iter().filter(|view| view.key().as_ref() == Some(key));
            evidence.extend(views.filter_map(|view| Evidence::of(seen, view)).take(1));
        }
        BanEntry {
            id: None,
            host: key.host.clone(),
            port: key.port,
            places: places(self.snapshot, key),
            source,
            zone: None,
            proxy: None,
            class: String::new(),
            reason: String::new(),
            author: None,
            created_at: None,
            elapsed_seconds: 0,
            remaining_seconds: None,
            held_back: None,
            count: None,
            evidence,
            voters: None,
            obeyed_by: 0,
        }
    }

    /// How many proxies list a ban of this source.
    fn obeyed(&self, key: &InstanceKey, source: &str, zone: Option<&str>) -> usize {
        let obeys = |seen: &&Seen| {
            zone.is_none_or(|zone| seen.zone() == zone)
                && seen.instances.iter().any(|view| {
                    view.key().as_ref() == Some(key)
                        && view.bans.iter().any(|ban| ban.source.as_str() == source)
                })
        };
        self.seen.iter().filter(obeys).count()
    }
}

// === impl Evidence ===

impl Evidence {
    /// What a proxy has against an instance, if it has anything.
    pub(crate) fn of(seen: &Seen, view: &InstanceView) -> Option<Self> {
        let failing = view.failing.as_ref()?;
        Some(Self {
            proxy: seen.proxy.clone(),
            zone: seen.zone.clone(),
            class: failing.class.clone(),
            detail: failing.detail.clone(),
            lasting_seconds: failing.lasting_seconds,
        })
    }
}

fn places(snapshot: &Snapshot, key: &InstanceKey) -> Vec<BanPlace> {
    let mut places = Vec::new();
    for stored in &snapshot.clusters {
        for (shard, members) in (0..).zip(&stored.cluster.shards) {
            if members.instances.iter().any(|instance| InstanceKey::from(instance) == *key) {
                places.push(BanPlace { cluster: stored.cluster.name.clone(), shard });
            }
        }
    }
    places
}

fn words(spared: Spared) -> &'static str {
    match spared {
        Spared::Limit => "max_banned_percent of the shard's replicas are banned already",
        Spared::LastReplica => "it is the last replica of its shard",
        Spared::Minority => "most of the fleet was not heard",
    }
}
