//! What is known of all proxies' sightings, as a state that merges.

use std::{cmp::Ordering, collections::BTreeMap, time::Duration};

use super::{ProxyId, Report};
use crate::{EvidenceClass, InstanceKey};

/// The newest sightings of every proxy. Merging is commutative, associative and idempotent.
///
/// Points in time are those of the clock of the control plane that holds it; between control planes
/// it travels as [`super::Gossip`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetState {
    pub(super) proxies: BTreeMap<ProxyId, ProxyState>,
}

/// What is known of one proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProxyState {
    pub(super) incarnation: u64,
    /// The newest complete report: what is older is not watched any more.
    pub(super) complete: u64,
    pub(super) presence: Presence,
    pub(super) seen: BTreeMap<InstanceKey, Seen>,
}

/// The proxy itself, as its newest report has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) sequence: u64,
    pub(super) zone: Option<String>,
    pub(super) votes: bool,
    pub(super) expires: Duration,
}

/// One instance, as the newest report that names it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) sequence: u64,
    pub(super) how: How,
    /// When that began: the failing, or the last sign of life.
    pub(super) since: Duration,
    pub(super) expires: Duration,
}

/// How an instance looks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    Unwatched,
    Healthy,
    Failing { class: EvidenceClass, detail: String },
}

/// A proxy that is away is remembered for so long, so that what an earlier incarnation of it said
/// does not count again.
const REMEMBERED: Duration = Duration::from_secs(3600);

impl FleetState {
    /// Takes in a report that arrives now and is believed for `ttl`. Old and doubled ones change
    /// nothing.
    pub fn absorb(&mut self, report: &Report, now: Duration, ttl: Duration) {
        let expires = now.saturating_add(ttl);
        let seen = report.sightings.iter().map(|sighting| {
            let (how, ago) = How::of(&sighting.condition);
            let since = now.saturating_sub(ago);
            (sighting.instance.clone(), Seen { sequence: report.sequence, how, since, expires })
        });
        let mut proxy = ProxyState {
            incarnation: report.incarnation,
            complete: if report.complete { report.sequence } else { 0 },
            presence: Presence {
                sequence: report.sequence,
                zone: report.zone.clone(),
                votes: report.votes,
                expires,
            },
            seen: BTreeMap::new(),
        };
        // One by one: an instance that stands twice in a report must not depend on the order.
        for (instance, seen) in seen {
            proxy.see(&instance, &seen);
        }
        self.learn(&report.proxy, &proxy);
    }

    /// Takes in everything that another state on the same clock knows.
    pub fn merge(&mut self, other: &Self) {
        for (id, proxy) in &other.proxies {
            self.learn(id, proxy);
        }
    }

    /// Forgets what has not been repeated for long. Deciding does not need it: what has expired
    /// does not count anyway.
    pub fn expire(&mut self, now: Duration) {
        self.proxies.retain(|_, proxy| {
            proxy.seen.retain(|_, seen| seen.expires > now);
            proxy.presence.expires.saturating_add(REMEMBERED) > now
        });
    }

    /// Forgets a proxy that has left the fleet.
    pub fn forget(&mut self, proxy: &str) {
        self.proxies.remove(proxy);
    }

    pub(super) fn learn(&mut self, id: &ProxyId, news: &ProxyState) {
        match self.proxies.get_mut(id) {
            Some(known) => known.join(news),
            None => {
                let mut news = news.clone();
                news.drop_what_is_unwatched();
                self.proxies.insert(id.clone(), news);
            }
        }
    }
}

impl ProxyState {
    fn join(&mut self, other: &Self) {
        match self.incarnation.cmp(&other.incarnation) {
            Ordering::Greater => return,
            Ordering::Less => *self = other.clone(),
            Ordering::Equal => {
                self.complete = self.complete.max(other.complete);
                self.presence.join(&other.presence);
                for (instance, seen) in &other.seen {
                    self.see(instance, seen);
                }
            }
        }
        self.drop_what_is_unwatched();
    }

    fn see(&mut self, instance: &InstanceKey, seen: &Seen) {
        match self.seen.get_mut(instance) {
            Some(known) => known.join(seen),
            None => {
                self.seen.insert(instance.clone(), seen.clone());
            }
        }
    }

    fn drop_what_is_unwatched(&mut self) {
        let complete = self.complete;
        self.seen.retain(|_, seen| seen.sequence >= complete);
    }
}

impl Presence {
    fn join(&mut self, other: &Self) {
        fn key(presence: &Presence) -> (u64, &Option<String>, bool) {
            (presence.sequence, &presence.zone, presence.votes)
        }
        match key(self).cmp(&key(other)) {
            Ordering::Greater => {}
            Ordering::Less => *self = other.clone(),
            Ordering::Equal => self.expires = self.expires.min(other.expires),
        }
    }
}

impl Seen {
    /// No honest proxy says two things under one number; if one does, all must still agree on what
    /// it has said.
    fn join(&mut self, other: &Self) {
        match (self.sequence, &self.how).cmp(&(other.sequence, &other.how)) {
            Ordering::Greater => {}
            Ordering::Less => *self = other.clone(),
            Ordering::Equal => {
                self.since = self.since.min(other.since);
                self.expires = self.expires.min(other.expires);
            }
        }
    }
}
