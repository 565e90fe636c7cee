//! Who has a vote, and what the votes amount to for one instance.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Cause, FleetBan, FleetRules, FleetState, ProbeRequest, ProxyId, Scope,
    state::{How, ProxyState, Seen},
};
use crate::{EvidenceClass, InstanceKey, Severity};

/// The proxies that were heard of lately.
pub(super) struct Electorate<'a> {
    now: Duration,
    rules: &'a FleetRules,
    proxies: Vec<Elector<'a>>,
    fleet_of_one: bool,
}

struct Elector<'a> {
    id: &'a ProxyId,
    zone: &'a str,
    /// Neither draining nor in doubt of itself.
    votes: bool,
    doubts: bool,
    state: &'a ProxyState,
}

/// A proxy that has a vote and sees the instance failing.
#[derive(Clone, Copy)]
struct Witness<'a> {
    id: &'a ProxyId,
    zone: &'a str,
    class: EvidenceClass,
    detail: &'a str,
    lasting: Duration,
    expires: Duration,
}

/// What is thought of one instance.
#[derive(Default)]
pub(super) struct Opinion {
    /// The bans that the votes amount to, before limits.
    pub(super) bans: Vec<FleetBan>,
    /// Who is to look.
    pub(super) probe: Option<ProbeRequest>,
    /// When soft evidence will have lasted long enough.
    pub(super) ripe_in: Option<Duration>,
}

impl<'a> Electorate<'a> {
    pub(super) fn new(
        state: &'a FleetState,
        rules: &'a FleetRules,
        known_proxies: usize,
        now: Duration,
    ) -> Self {
        let present = state.proxies.iter().filter(|(_, proxy)| proxy.presence.expires > now);
        let proxies = present.map(|(id, state)| {
            let doubts = doubts_itself(state, rules, now);
            let votes = state.presence.votes && !doubts;
            let zone = state.presence.zone.as_deref().unwrap_or_default();
            Elector { id, zone, votes, doubts, state }
        });
        let proxies: Vec<_> = proxies.collect();
        let fleet_of_one = known_proxies.max(proxies.len()) == 1;
        Self { now, rules, proxies, fleet_of_one }
    }

    pub(super) fn present(&self) -> usize {
        self.proxies.len()
    }

    pub(super) fn doubted(&self) -> Vec<ProxyId> {
        self.proxies.iter().filter(|proxy| proxy.doubts).map(|proxy| proxy.id.clone()).collect()
    }

    /// When something that counts now will have expired.
    pub(super) fn lapses_in(&self) -> Option<Duration> {
        let expires = self.proxies.iter().flat_map(|proxy| {
            let seen = current(proxy.state, self.now).map(|(_, seen)| seen.expires);
            seen.chain([proxy.state.presence.expires])
        });
        expires.min().map(|expires| expires.saturating_sub(self.now))
    }

    /// What the votes amount to for one instance.
    pub(super) fn opinion(&self, instance: &InstanceKey) -> Opinion {
        let watchers: Vec<_> = self
            .proxies
            .iter()
            .filter_map(|proxy| Some((proxy, sight(proxy.state, instance, self.now)?)))
            .collect();
        let zones: BTreeSet<&str> = watchers.iter().map(|(proxy, _)| proxy.zone).collect();
        let voters: Vec<_> = watchers.into_iter().filter(|(proxy, _)| proxy.votes).collect();
        let failing: Vec<_> =
            voters.iter().filter_map(|(proxy, seen)| self.witness(proxy, seen)).collect();
        let probe = self.probe(instance, &voters);

        let patience = self.rules.patience(failing.len());
        let (ripe, unripe): (Vec<_>, Vec<_>) =
            failing.into_iter().partition(|witness| witness.is_ripe(patience));
        let ripe_in = unripe.iter().map(|witness| patience.saturating_sub(witness.lasting)).min();

        let mut of_zones: BTreeMap<&str, Vec<Witness<'_>>> = BTreeMap::new();
        for witness in &ripe {
            of_zones.entry(witness.zone).or_default().push(*witness);
        }
        let everywhere = of_zones.len() > 1 || zones.len() <= 1;
        let bans = if self.is_quorum(ripe.len(), voters.len()) && everywhere {
            vec![self.ban(instance, Scope::All, &ripe, voters.len())]
        } else {
            let in_zone = |(zone, witnesses): (&str, Vec<Witness<'_>>)| {
                let voters = voters.iter().filter(|(proxy, _)| proxy.zone == zone).count();
                let scope = Scope::Zone(zone.to_owned());
                self.is_quorum(witnesses.len(), voters)
                    .then(|| self.ban(instance, scope, &witnesses, voters))
            };
            of_zones.into_iter().filter_map(in_zone).collect()
        };
        Opinion { bans, probe, ripe_in }
    }

    fn witness<'s>(&self, proxy: &Elector<'s>, seen: &'s Seen) -> Option<Witness<'s>> {
        let How::Failing { class, detail } = &seen.how else { return None };
        let lasting = self.now.saturating_sub(seen.since);
        let (id, zone, expires) = (proxy.id, proxy.zone, seen.expires);
        Some(Witness { id, zone, class: *class, detail, lasting, expires })
    }

    fn is_quorum(&self, witnesses: usize, voters: usize) -> bool {
        witnesses > 0 && witnesses >= self.quorum(voters)
    }

    /// How many witnesses so many voters need.
    fn quorum(&self, voters: usize) -> usize {
        let least = if self.fleet_of_one { 1 } else { 2 };
        (voters / 2 + 1).max(least)
    }

    /// The ban that these witnesses make; there are enough of them.
    fn ban(
        &self,
        instance: &InstanceKey,
        scope: Scope,
        witnesses: &[Witness<'_>],
        voters: usize,
    ) -> FleetBan {
        // The surest and longest speaks for all.
        let spokesman =
            witnesses.iter().max_by_key(|w| (Severity::of(w.class), w.lasting, Reverse(w.id)));
        let (class, detail) = match spokesman {
            Some(witness) => (witness.class, witness.detail.to_owned()),
            None => (EvidenceClass::HealthCheckFailed, String::new()),
        };
        let mut expiries: Vec<_> = witnesses.iter().map(|witness| witness.expires).collect();
        expiries.sort_by_key(|expires| Reverse(*expires));
        // When so many have expired that the rest is no quorum any more.
        let last = self.quorum(voters).saturating_sub(1);
        let lapses = expiries.get(last).copied().unwrap_or(self.now);
        FleetBan {
            instance: instance.clone(),
            scope,
            cause: Cause::Evidence {
                class,
                detail,
                witnesses: witnesses.iter().map(|witness| witness.id.clone()).collect(),
                voters,
            },
            elapsed: witnesses.iter().map(|witness| witness.lasting).max().unwrap_or_default(),
            remaining: Some(lapses.saturating_sub(self.now)),
        }
    }

    /// Who has not seen the instance alive since the last witness saw it fail.
    fn probe(
        &self,
        instance: &InstanceKey,
        voters: &[(&Elector<'_>, &Seen)],
    ) -> Option<ProbeRequest> {
        let is_failing = |seen: &Seen| matches!(seen.how, How::Failing { .. });
        let failing = voters.iter().filter(|(_, seen)| is_failing(seen));
        let began = failing.map(|(_, seen)| seen.since).max()?;
        let unsure = voters.iter().filter(|(_, seen)| !is_failing(seen) && seen.since < began);
        let proxies: Vec<_> = unsure.map(|(proxy, _)| proxy.id.clone()).collect();
        (!proxies.is_empty()).then(|| ProbeRequest { instance: instance.clone(), proxies })
    }
}

impl Witness<'_> {
    fn is_ripe(&self, patience: Duration) -> bool {
        Severity::of(self.class) == Severity::Hard || self.lasting >= patience
    }
}

/// How a proxy sees an instance, if it watches it.
fn sight<'a>(proxy: &'a ProxyState, instance: &InstanceKey, now: Duration) -> Option<&'a Seen> {
    proxy.seen.get(instance).filter(|seen| seen.counts(now))
}

fn current(
    proxy: &ProxyState,
    now: Duration,
) -> impl Iterator<Item = (&InstanceKey, &Seen)> + use<'_> {
    proxy.seen.iter().filter(move |(_, seen)| seen.counts(now))
}

fn doubts_itself(proxy: &ProxyState, rules: &FleetRules, now: Duration) -> bool {
    let watched = current(proxy, now).count();
    let failing =
        current(proxy, now).filter(|(_, seen)| matches!(seen.how, How::Failing { .. })).count();
    let all = failing >= 2 && failing == watched;
    all || (failing >= rules.doubt_from && failing * 2 > watched)
}

impl Seen {
    fn counts(&self, now: Duration) -> bool {
        self.expires > now && self.how != How::Unwatched
    }
}
