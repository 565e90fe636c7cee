//! The state as it travels between control planes, whose clocks differ.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Condition, FleetState, ProxyId, Sighting,
    state::{How, Presence, ProxyState, Seen},
};

/// Everything that one control plane knows, with lengths of time instead of points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gossip {
    proxies: Vec<ProxyGossip>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ProxyGossip {
    proxy: ProxyId,
    incarnation: u64,
    complete: u64,
    sequence: u64,
    zone: Option<String>,
    votes: bool,
    remaining: Duration,
    sightings: Vec<SightingGossip>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SightingGossip {
    sequence: u64,
    remaining: Duration,
    #[serde(flatten)]
    sighting: Sighting,
}

impl FleetState {
    /// What to tell another control plane now. What has expired is not told.
    pub fn gossip(&self, now: Duration) -> Gossip {
        let present = self.proxies.iter().filter(|(_, proxy)| proxy.presence.expires > now);
        let proxies = present.map(|(id, proxy)| ProxyGossip {
            proxy: id.clone(),
            incarnation: proxy.incarnation,
            complete: proxy.complete,
            sequence: proxy.presence.sequence,
            zone: proxy.presence.zone.clone(),
            votes: proxy.presence.votes,
            remaining: proxy.presence.expires.saturating_sub(now),
            sightings: sightings(proxy, now),
        });
        Gossip { proxies: proxies.collect() }
    }

    /// Takes in what another control plane tells.
    pub fn hear(&mut self, gossip: &Gossip, now: Duration) {
        for told in &gossip.proxies {
            let seen = told.sightings.iter().map(|told| {
                let (how, ago) = How::of(&told.sighting.condition);
                let since = now.saturating_sub(ago);
                let expires = now.saturating_add(told.remaining);
                let seen = Seen { sequence: told.sequence, how, since, expires };
                (told.sighting.instance.clone(), seen)
            });
            let proxy = ProxyState {
                incarnation: told.incarnation,
                complete: told.complete,
                presence: Presence {
                    sequence: told.sequence,
                    zone: told.zone.clone(),
                    votes: told.votes,
                    expires: now.saturating_add(told.remaining),
                },
                seen: seen.collect(),
            };
            self.learn(&told.proxy, &proxy);
        }
    }
}

fn sightings(proxy: &ProxyState, now: Duration) -> Vec<SightingGossip> {
    let current = proxy.seen.iter().filter(|(_, seen)| seen.expires > now);
    let sightings = current.map(|(instance, seen)| SightingGossip {
        sequence: seen.sequence,
        remaining: seen.expires.saturating_sub(now),
        sighting: Sighting {
            instance: instance.clone(),
            condition: seen.how.condition(now.saturating_sub(seen.since)),
        },
    });
    sightings.collect()
}

impl How {
    /// What a condition says, and how long ago it began.
    pub(super) fn of(condition: &Condition) -> (Self, Duration) {
        match condition {
            Condition::Unwatched => (Self::Unwatched, Duration::ZERO),
            Condition::Healthy { seen_ago } => (Self::Healthy, *seen_ago),
            Condition::Failing { class, detail, lasting } => {
                (Self::Failing { class: *class, detail: detail.clone() }, *lasting)
            }
        }
    }

    fn condition(&self, ago: Duration) -> Condition {
        match self {
            Self::Unwatched => Condition::Unwatched,
            Self::Healthy => Condition::Healthy { seen_ago: ago },
            Self::Failing { class, detail } => {
                Condition::Failing { class: *class, detail: detail.clone(), lasting: ago }
            }
        }
    }
}
