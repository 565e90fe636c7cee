//! The bans of one shard.

use std::time::Duration;

use super::{Ban, BanRules, ReadsFromPrimary, Role, Standing};
use crate::fleet::{FleetBan, Sighting};
use crate::{Evidence, InstanceKey};

/// The bans of the instances of one shard, which are named by their index in it.
#[derive(Clone, Debug)]
pub struct Book {
    rules: BanRules,
    instances: Vec<InstanceKey>,
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
        Self { rules, instances }
    }

    /// Takes new settings and instances; those that were there before keep their bans.
    pub fn reload(&mut self, rules: BanRules, instances: Vec<InstanceKey>) {
        self.rules = rules;
        self.instances = instances;
    }

    /// Takes in what speaks against an instance. `last_finished` is when a statement or a check
    /// last ended well on it.
    pub fn on_evidence(
        &mut self,
        _index: usize,
        _evidence: &Evidence,
        _last_finished: Option<Duration>,
    ) -> Verdict {
        Verdict::Spared
    }

    /// Takes in that a probe or background check which began at `started` has succeeded.
    pub fn on_probe_succeeded(
        &mut self,
        _index: usize,
        _started: Duration,
        _now: Duration,
    ) -> Probed {
        Probed::Fine
    }

    /// Takes in that a probe or background check has failed; this is evidence as well.
    pub fn on_probe_failed(&mut self, index: usize, evidence: &Evidence) -> Verdict {
        self.on_evidence(index, evidence, None)
    }

    /// Bans an instance on an administrator's order, for a time or without end.
    pub fn ban_manually(
        &mut self,
        _index: usize,
        _reason: &str,
        _now: Duration,
        _lasting: Option<Duration>,
    ) {
    }

    /// Lifts on an administrator's order what this proxy can lift.
    pub fn unban(&mut self, _index: usize, _now: Duration) -> Lifted {
        Lifted::default()
    }

    /// Replaces the fleet's bans, automatic and manual ones, by those that hold in this proxy's
    /// zone.
    pub fn set_fleet_bans(&mut self, _now: Duration, _bans: &[FleetBan], _zone: Option<&str>) {}

    /// What all bans amount to, for each instance.
    pub fn view(&self, _now: Duration, _roles: &[Role], _reads: ReadsFromPrimary) -> Vec<Standing> {
        vec![Standing::Open; self.instances.len()]
    }

    /// Every ban of an instance, those behind the one that [`Book::view`] shows as well.
    pub fn bans(&self, _index: usize, _now: Duration) -> Vec<Ban> {
        Vec::new()
    }

    /// Who is to be probed now: call it often, tell [`Book::probe_started`].
    pub fn due_probes(&self, _now: Duration) -> Vec<usize> {
        Vec::new()
    }

    /// Takes in that a probe or background check of an instance begins.
    pub fn probe_started(&mut self, _index: usize, _now: Duration) {}

    /// When the view changes by itself, if nothing else happens.
    pub fn next_change(&self, _now: Duration) -> Option<Duration> {
        None
    }

    /// What this proxy has to tell the fleet of its own sight.
    pub fn sightings(&self, _now: Duration) -> Vec<Sighting> {
        Vec::new()
    }
}
