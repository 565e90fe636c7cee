//! The bans of one shard, by the index of the instance.

use std::{mem, time::Duration};

use super::{Ban, BanRules, ReadsFromPrimary, Role, Standing, record::Record, view};
use crate::fleet::{Condition, FleetBan, Sighting};
use crate::{Evidence, InstanceKey};

/// The bans of the instances of one shard, which are named by their index in it.
#[derive(Clone, Debug)]
pub struct Book {
    rules: BanRules,
    instances: Vec<(InstanceKey, Record)>,
}

/// What came of a piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The instance is banned from now on; the number counts bans in a row.
    Banned(u32),
    /// It was banned already.
    Already,
    /// The settings do not ban for this class.
    Spared,
    /// It tells of a time before the instance was last found well.
    Stale,
    /// Something finished on the instance while the client waited: it is busy, not broken.
    Saturated,
}

/// What came of a probe that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The instance was not banned for what was seen of it.
    Fine,
    /// The ban has ended.
    Lifted,
    /// So many more must succeed in a row.
    Needs(u32),
}

/// What lifting a ban by hand has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifted {
    /// A manual ban of this proxy.
    pub manual: bool,
    /// A ban for what this proxy has seen.
    pub local: bool,
    /// There is a ban of the fleet, which only the control plane lifts.
    pub fleet_remains: bool,
}

impl Book {
    /// No bans yet.
    pub fn new(rules: BanRules, instances: Vec<InstanceKey>) -> Self {
        let instances = instances.into_iter().map(|key| (key, Record::default())).collect();
        Self { rules, instances }
    }

    /// Takes new settings and instances; those that were there before keep their bans.
    pub fn reload(&mut self, rules: BanRules, instances: Vec<InstanceKey>) {
        let mut before = mem::take(&mut self.instances);
        self.rules = rules;
        self.instances = instances
            .into_iter()
            .map(|key| {
                let known = before.iter_mut().find(|(known, _)| *known == key);
                (key, known.map(|(_, record)| mem::take(record)).unwrap_or_default())
            })
            .collect();
    }

    /// The instances, in the order of their indices.
    pub fn instances(&self) -> impl ExactSizeIterator<Item = &InstanceKey> {
        self.instances.iter().map(|(key, _)| key)
    }

    /// Takes in what speaks against an instance. `last_finished` is when a statement or a check
    /// last ended well on it.
    pub fn on_evidence(
        &mut self,
        index: usize,
        evidence: &Evidence,
        last_finished: Option<Duration>,
    ) -> Verdict {
        match self.instances.get_mut(index) {
            Some((_, record)) => record.on_evidence(evidence, last_finished, &self.rules),
            None => Verdict::Spared,
        }
    }

    /// Takes in that a probe or background check which began at `started` has succeeded.
    pub fn on_probe_succeeded(&mut self, index: usize, started: Duration, now: Duration) -> Probed {
        match self.instances.get_mut(index) {
            Some((_, record)) => record.on_probe_succeeded(started, now, &self.rules),
            None => Probed::Fine,
        }
    }

    /// Takes in that a probe or background check has failed, which is evidence as well. Its `since`
    /// is when the probe began.
    pub fn on_probe_failed(&mut self, index: usize, evidence: &Evidence) -> Verdict {
        match self.instances.get_mut(index) {
            Some((_, record)) => record.on_probe_failed(evidence, &self.rules),
            None => Verdict::Spared,
        }
    }

    /// Bans an instance on an administrator's order, for a time or without end; it replaces an
    /// earlier order to this proxy.
    pub fn ban_manually(
        &mut self,
        index: usize,
        reason: &str,
        now: Duration,
        lasting: Option<Duration>,
    ) {
        if let Some((_, record)) = self.instances.get_mut(index) {
            record.ban_manually(reason, now, lasting);
        }
    }

    /// Lifts on an administrator's order what this proxy can lift.
    pub fn unban(&mut self, index: usize, now: Duration) -> Lifted {
        match self.instances.get_mut(index) {
            Some((_, record)) => record.unban(now),
            None => Lifted::default(),
        }
    }

    /// Replaces the fleet's bans, automatic and manual ones, by those of `bans` that concern this
    /// shard and hold in this proxy's zone. The order of `bans` means nothing.
    pub fn set_fleet_bans(&mut self, now: Duration, bans: &[FleetBan], zone: Option<&str>) {
        for (key, record) in &mut self.instances {
            let concern = |ban: &&FleetBan| ban.instance == *key && ban.scope.holds_in(zone);
            record.set_fleet_bans(now, bans.iter().filter(concern), &self.rules);
        }
    }

    /// What all bans amount to, for each instance. `roles` has one for each instance.
    ///
    /// With `reads = "primary"`, and where there are no replicas, `reads` is
    /// [`ReadsFromPrimary::Yes`].
    pub fn view(&self, now: Duration, roles: &[Role], reads: ReadsFromPrimary) -> Vec<Standing> {
        view::view(&self.rules, &self.instances, now, roles, reads)
    }

    /// Every ban of an instance, those behind the one that [`Book::view`] shows as well.
    pub fn bans(&self, index: usize, now: Duration) -> Vec<Ban> {
        let record = self.instances.get(index);
        record.map(|(_, record)| record.bans(now, &self.rules)).unwrap_or_default()
    }

    /// Who is to be probed now, apart from the background checks that each instance gets. Tell
    /// [`Book::probe_started`] when it is done.
    pub fn due_probes(&self, now: Duration) -> Vec<usize> {
        let is_due = |index: &usize| {
            self.instances.get(*index).is_some_and(|(_, record)| record.is_due(now, &self.rules))
        };
        (0..self.instances.len()).filter(is_due).collect()
    }

    /// Takes in that a probe or background check of an instance begins.
    pub fn probe_started(&mut self, index: usize, now: Duration) {
        if let Some((_, record)) = self.instances.get_mut(index) {
            record.probe_started(now);
        }
    }

    /// When the view changes by itself, if nothing else happens.
    pub fn next_change(&self, now: Duration) -> Option<Duration> {
        self.instances.iter().filter_map(|(_, record)| record.next_change(now)).min()
    }

    /// What this proxy has to tell the fleet: its own sight of each instance, and nothing that it
    /// has from the fleet or from administrators.
    pub fn sightings(&self, now: Duration) -> Vec<Sighting> {
        let condition = |record: &Record| match record.failing() {
            Some((evidence, since)) => Condition::Failing {
                class: evidence.class,
                detail: evidence.detail.clone(),
                lasting: now.saturating_sub(since),
            },
            None => Condition::Healthy {
                seen_ago: now.saturating_sub(record.well_at().unwrap_or_default()),
            },
        };
        let sighting = |(key, record): &(InstanceKey, Record)| Sighting {
            instance: key.clone(),
            condition: condition(record),
        };
        self.instances.iter().map(sighting).collect()
    }
}
