//! What is known against one instance.

use std::time::Duration;

use pgherd_config::EvidenceClass;

use super::{Ban, BanRules, Lifted, Probed, Source, Verdict};
use crate::Evidence;
use crate::fleet::{Cause, FleetBan};

/// The bans of one instance and what their rules must remember.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    local: Option<LocalBan>,
    fleet: Option<FleetEntry>,
    /// An order given to this proxy.
    manual: Option<Order>,
    /// An order of the whole fleet.
    ordered: Option<Order>,
    /// The last local ban that has ended.
    past: Option<Past>,
    /// When the last probe began.
    probe_started: Option<Duration>,
    /// When the last probe began, if it has succeeded.
    well_at: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct LocalBan {
    evidence: Evidence,
    until: Duration,
    count: u32,
    successes: u32,
    /// When the last probe began that counts as a success.
    counted: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FleetEntry {
    class: EvidenceClass,
    reason: String,
    since: Duration,
    /// When this proxy first heard of it: probes from then on count.
    heard: Duration,
    until: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    reason: String,
    since: Duration,
    until: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Past {
    count: u32,
    ended: Duration,
}

impl Record {
    pub(super) fn on_evidence(
        &mut self,
        evidence: &Evidence,
        last_finished: Option<Duration>,
        rules: &BanRules,
    ) -> Verdict {
        if !rules.bans(evidence.class) {
            return Verdict::Spared;
        }
        let began = evidence.since.unwrap_or(evidence.at);
        if let Some(ban) = &mut self.local {
            if began >= ban.evidence.at {
                ban.successes = 0;
            }
            return Verdict::Already;
        }
        if self.past.is_some_and(|past| began < past.ended) {
            return Verdict::Stale;
        }
        if evidence.class == EvidenceClass::CheckoutTimeout
            && is_saturation(evidence, last_finished)
        {
            return Verdict::Saturated;
        }
        let count = self.past.map_or(1, |past| {
            rules.count_after(past.count, evidence.at.saturating_sub(past.ended))
        });
        let until = evidence.at.saturating_add(rules.span(count));
        let evidence = evidence.clone();
        self.local = Some(LocalBan { evidence, until, count, successes: 0, counted: None });
        Verdict::Banned(count)
    }

    pub(super) fn on_probe_succeeded(
        &mut self,
        started: Duration,
        now: Duration,
        rules: &BanRules,
    ) -> Probed {
        self.well_at = self.well_at.max(Some(started));
        self.fleet.take_if(|fleet| fleet.is_refuted(self.well_at, now));
        let Some(ban) = &mut self.local else { return Probed::Fine };
        // A success of before the ban is no answer to what has banned since.
        let apart = rules.probe_interval / 2;
        let next = ban.counted.map_or(ban.evidence.at, |counted| counted.saturating_add(apart));
        if started >= next {
            ban.counted = Some(started);
            ban.successes = ban.successes.saturating_add(1);
        }
        let missing = ban.needed(now, rules).saturating_sub(ban.successes);
        if missing > 0 {
            return Probed::Needs(missing);
        }
        self.past = Some(Past { count: ban.count, ended: now });
        self.local = None;
        Probed::Lifted
    }

    pub(super) fn on_probe_failed(&mut self, evidence: &Evidence, rules: &BanRules) -> Verdict {
        let started = evidence.since.unwrap_or(evidence.at);
        if self.well_at.is_some_and(|well_at| well_at <= started) {
            self.well_at = None;
        }
        if let Some(ban) = &mut self.local {
            ban.successes = 0;
            return Verdict::Already;
        }
        self.on_evidence(evidence, None, rules)
    }

    pub(super) fn probe_started(&mut self, now: Duration) {
        self.probe_started = self.probe_started.max(Some(now));
    }

    /// Whether it is banned for what was seen of it and has not been probed for an interval.
    pub(super) fn is_due(&self, now: Duration, rules: &BanRules) -> bool {
        let local = self.local.as_ref().map(|ban| ban.evidence.at);
        let fleet = self.fleet(now).map(|fleet| fleet.heard);
        let Some(since) = local.or(fleet) else { return false };
        let asked = self.probe_started.filter(|started| *started >= since);
        asked.is_none_or(|started| started.saturating_add(rules.probe_interval) <= now)
    }

    pub(super) fn ban_manually(&mut self, reason: &str, now: Duration, lasting: Option<Duration>) {
        let until = lasting.map(|lasting| now.saturating_add(lasting));
        self.manual = Some(Order { reason: reason.to_owned(), since: now, until });
    }

    pub(super) fn unban(&mut self, now: Duration) -> Lifted {
        let manual = self.manual.take().is_some_and(|order| order.is_in_force(now));
        let local = self.local.take().is_some();
        if local {
            // What is still in flight from before must not ban it again.
            self.past = Some(Past { count: 0, ended: now });
        }
        let fleet_remains = self.ordered(now).is_some() || self.fleet(now).is_some();
        Lifted { manual, local, fleet_remains }
    }

    /// Takes the bans of the fleet on this instance, in whatever order.
    pub(super) fn set_fleet_bans<'a>(
        &mut self,
        now: Duration,
        bans: impl Iterator<Item = &'a FleetBan>,
        rules: &BanRules,
    ) {
        let before = self.fleet.take().filter(|fleet| !fleet.is_refuted(self.well_at, now));
        let heard = before.map_or(now, |fleet| fleet.heard);
        self.ordered = None;
        for ban in bans {
            let since = now.saturating_sub(ban.elapsed);
            match &ban.cause {
                Cause::Evidence { class, detail, .. } => {
                    let remaining = ban.remaining.unwrap_or(rules.ban_time);
                    let until = now.saturating_add(remaining);
                    let reason = detail.clone();
                    let entry = FleetEntry { class: *class, reason, since, heard, until };
                    let better = |fleet: &FleetEntry| fleet.rank() >= entry.rank();
                    self.fleet = self.fleet.take().filter(better).or(Some(entry));
                }
                Cause::Manual { reason } => {
                    let until = ban.remaining.map(|remaining| now.saturating_add(remaining));
                    let order = Order { reason: reason.clone(), since, until };
                    let better = |other: &Order| other.rank() >= order.rank();
                    self.ordered = self.ordered.take().filter(better).or(Some(order));
                }
            }
        }
    }

    fn fleet(&self, now: Duration) -> Option<&FleetEntry> {
        self.fleet.as_ref().filter(|fleet| !fleet.is_refuted(self.well_at, now))
    }

    fn ordered(&self, now: Duration) -> Option<&Order> {
        self.ordered.as_ref().filter(|order| order.is_in_force(now))
    }

    /// A manual ban, of whoever.
    pub(super) fn by_order(&self, now: Duration) -> Option<Ban> {
        let manual = self.manual.as_ref().filter(|order| order.is_in_force(now));
        manual.or(self.ordered(now)).map(Order::ban)
    }

    /// A ban for what was seen, by whomever.
    pub(super) fn by_evidence(&self, now: Duration, rules: &BanRules) -> Option<Ban> {
        let local = self.local.as_ref().map(|ban| ban.ban(now, rules));
        local.or_else(|| self.fleet(now).map(FleetEntry::ban))
    }

    pub(super) fn bans(&self, now: Duration, rules: &BanRules) -> Vec<Ban> {
        let manual = self.manual.as_ref().filter(|order| order.is_in_force(now));
        let orders = [manual, self.ordered(now)].into_iter().flatten().map(Order::ban);
        let local = self.local.iter().map(|ban| ban.ban(now, rules));
        orders.chain(local).chain(self.fleet(now).map(FleetEntry::ban)).collect()
    }

    /// When one of its bans ends by itself.
    pub(super) fn next_change(&self, now: Duration) -> Option<Duration> {
        let orders = [&self.manual, &self.ordered].into_iter().flatten();
        let fleet = self.fleet.as_ref().filter(|fleet| Some(fleet.heard) <= self.well_at);
        let ends = orders.filter_map(|order| order.until).chain(fleet.map(|fleet| fleet.until));
        ends.filter(|end| *end > now).min()
    }

    /// In which way it fails as this proxy itself sees it, and since when.
    pub(super) fn failing(&self) -> Option<(&Evidence, Duration)> {
        self.local.as_ref().map(|ban| (&ban.evidence, ban.evidence.at))
    }

    /// When the last probe began, if it has succeeded.
    pub(super) fn well_at(&self) -> Option<Duration> {
        self.well_at
    }
}

/// Whether something ended well while the client waited. A wait whose beginning nobody knows
/// proves nothing.
fn is_saturation(evidence: &Evidence, last_finished: Option<Duration>) -> bool {
    evidence.since.is_none_or(|began| last_finished.is_some_and(|finished| finished >= began))
}

impl LocalBan {
    fn needed(&self, now: Duration, rules: &BanRules) -> u32 {
        if self.until <= now { 1 } else { rules.successes(self.count) }
    }

    fn ban(&self, now: Duration, rules: &BanRules) -> Ban {
        Ban {
            source: Source::Local,
            class: self.evidence.class,
            reason: self.evidence.detail.clone(),
            since: self.evidence.at,
            until: Some(self.until),
            count: self.count,
            successes: self.successes,
            needed: self.needed(now, rules),
        }
    }
}

impl FleetEntry {
    /// Whether its time is over and a probe of our own has succeeded since it was heard of.
    fn is_refuted(&self, well_at: Option<Duration>, now: Duration) -> bool {
        self.until <= now && well_at >= Some(self.heard)
    }

    /// Which of several bans of the same instance is shown: what holds longest.
    fn rank(&self) -> (Duration, EvidenceClass, &str) {
        (self.until, self.class, &self.reason)
    }

    fn ban(&self) -> Ban {
        Ban {
            source: Source::Fleet,
            class: self.class,
            reason: self.reason.clone(),
            since: self.since,
            until: Some(self.until),
            count: 0,
            successes: 0,
            needed: 1,
        }
    }
}

impl Order {
    fn is_in_force(&self, now: Duration) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Which of several orders is shown: what holds longest.
    fn rank(&self) -> (Duration, &str) {
        (self.until.unwrap_or(Duration::MAX), &self.reason)
    }

    fn ban(&self) -> Ban {
        Ban {
            source: Source::Manual,
            class: EvidenceClass::Manual,
            reason: self.reason.clone(),
            since: self.since,
            until: self.until,
            count: 0,
            successes: 0,
            needed: 0,
        }
    }
}
