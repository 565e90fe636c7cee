//! Who is the primary: from what the settings say and what the instances say of themselves.
//!
//! A promotion counts the timeline up, so that the primary is the instance out of recovery with
//! the highest one. Whoever is out of recovery on a lower one was the primary once and has missed
//! the promotion: it is fenced, as writes to it would be lost. Two on the same timeline are a
//! split brain that no proxy can mend; the one that is served already is kept. Two names of one
//! running server are both the primary.

mod names;

use std::fmt;

use pgherd_config::InstanceRole;

pub(super) use self::names::Names;
use super::Vitals;
use crate::instance::Role;

/// What is known of one instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) configured: InstanceRole,
    /// What it was found to be before.
    pub(super) was: Role,
    /// What it said last.
    pub(super) vitals: Option<Vitals>,
    /// Whether it answered the last check.
    pub(super) reachable: bool,
}

/// What is remembered of a shard's primary when it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Who it was.
    pub(super) primary: Option<usize>,
    /// On which timeline.
    pub(super) timeline: Option<u32>,
    /// The highest timeline that anybody was seen on.
    pub(super) highest: Option<u32>,
    /// The origin of the data.
    pub(super) system: Option<u64>,
    /// The other names of the primary.
    pub(super) names: Names,
}

/// Why an instance is not what one would think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is out of recovery, but somebody was promoted later.
    OlderTimeline {
        /// Its own.
        own: u32,
        /// The highest that was seen.
        highest: u32,
    },
    /// It is out of recovery on the same timeline as the primary.
    SplitBrain,
    /// It cannot be reached, and another one has taken over.
    Superseded,
    /// It does not descend from the same server as the others.
    OtherSystem,
    /// The settings call it the primary, but it is in recovery.
    PrimaryInRecovery,
    /// The settings call it a replica, but it is not in recovery.
    ReplicaNotInRecovery,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OlderTimeline { own, highest } => {
                write!(f, "not in recovery on timeline {own}, but timeline {highest} was seen")
            }
            Self::SplitBrain => {
                f.write_str("not in recovery on the same timeline as the primary: split brain")
            }
            Self::Superseded => f.write_str("another instance has taken over as the primary"),
            Self::OtherSystem => f.write_str("its data is not of the same origin as the others'"),
            Self::PrimaryInRecovery => {
                f.write_str("configured as the primary, but it is in recovery")
            }
            Self::ReplicaNotInRecovery => {
                f.write_str("configured as a replica, but it is not in recovery")
            }
        }
    }
}

/// What each instance is, and what is odd about it. `memory` goes from one decision to the next.
pub(super) fn decide(subjects: &[Subject], memory: &mut Memory) -> Vec<(Role, Option<Doubt>)> {
    let named = subjects.iter().position(|it| it.configured == InstanceRole::Primary);
    if let [only] = subjects {
        return vec![alone(only)];
    }
    note_origin(subjects, memory);
    let primary = match named {
        Some(named) => Some(named).filter(|_| !is_in_recovery(&subjects[named])),
        None => find(subjects, memory),
    };
    if let Some(index) = primary {
        if memory.primary != Some(index) && !memory.names.contains(index) {
            // Another server.
            memory.names = Names::default();
        }
        memory.primary = Some(index);
        if let Some(timeline) = subjects[index].vitals.and_then(|it| it.timeline) {
            memory.timeline = Some(timeline);
            memory.highest = memory.highest.max(Some(timeline));
        }
        memory.names.learn(subjects, index);
    }
    let others = subjects.iter().enumerate();
    others.map(|(index, it)| judge(index, it, primary, named.is_some(), memory)).collect()
}

/// Nothing can be chosen; an instance that is named the primary must be one all the same.
fn alone(only: &Subject) -> (Role, Option<Doubt>) {
    match only.configured {
        InstanceRole::Primary if is_in_recovery(only) => {
            (Role::Replica, Some(Doubt::PrimaryInRecovery))
        }
        InstanceRole::Auto if is_in_recovery(only) => (Role::Replica, None),
        _ => (Role::Primary, None),
    }
}

fn is_in_recovery(subject: &Subject) -> bool {
    subject.vitals.is_some_and(|vitals| vitals.in_recovery)
}

/// Out of recovery, by what it says now.
fn is_claimant(subject: &Subject) -> bool {
    subject.configured != InstanceRole::Replica
        && subject.reachable
        && subject.vitals.is_some_and(|vitals| !vitals.in_recovery)
}

/// Whose data it is, and how far it has come: kept as long as anybody has it.
fn note_origin(subjects: &[Subject], memory: &mut Memory) {
    let living = || subjects.iter().filter(|it| it.reachable).filter_map(|it| it.vitals);
    let known = memory.system;
    if known.is_none() || !living().any(|vitals| vitals.system == known) {
        let claimed = subjects.iter().filter(|it| is_claimant(it)).filter_map(|it| it.vitals);
        let best = claimed.filter(|it| it.system.is_some()).max_by_key(|it| (it.timeline, it.lsn));
        if let Some(system) = best.and_then(|it| it.system) {
            // Everything was made anew: what was known of timelines is of no use.
            let former = std::mem::take(memory);
            memory.system = Some(system);
            if known.is_none() {
                (memory.primary, memory.timeline) = (former.primary, former.timeline);
                memory.highest = former.highest;
            }
        }
    }
    let same = living().filter(|it| memory.system.is_none() || it.system == memory.system);
    memory.highest = memory.highest.max(same.filter_map(|it| it.timeline).max());
}

/// The primary among instances of which none is named so.
fn find(subjects: &[Subject], memory: &Memory) -> Option<usize> {
    let claimants = || {
        let fits = |subject: &Subject| {
            is_claimant(subject) && !is_foreign(subject, memory) && !is_outdated(subject, memory)
        };
        subjects.iter().enumerate().filter(move |(_, it)| fits(it))
    };
    let former = memory.primary;
    if let Some((index, _)) = claimants().find(|(index, _)| Some(*index) == former) {
        return Some(index);
    }
    let lost = former.and_then(|index| subjects.get(index)).filter(|it| !is_in_recovery(it));
    let best = claimants()
        // One that claims the timeline of a primary that is only lost was not promoted: that was a
        // split brain before, and is one still.
        .filter(|(index, it)| {
            let timeline = it.vitals.and_then(|vitals| vitals.timeline);
            let is_new = timeline.is_none() || timeline > memory.timeline;
            // Unless it is the very same server, by another name.
            lost.is_none() || is_new || memory.names.contains(*index)
        })
        .max_by_key(|(_, it)| it.vitals.map(|vitals| (vitals.timeline, vitals.lsn)));
    match best {
        Some((index, _)) => Some(index),
        // It is gone, but nobody has taken over: what was sent to it may still arrive.
        None => former.filter(|_| lost.is_some_and(|it| !it.reachable)),
    }
}

fn is_foreign(subject: &Subject, memory: &Memory) -> bool {
    let system = subject.vitals.and_then(|vitals| vitals.system);
    system.is_some() && memory.system.is_some() && system != memory.system
}

fn is_outdated(subject: &Subject, memory: &Memory) -> bool {
    let timeline = subject.vitals.and_then(|vitals| vitals.timeline);
    timeline.is_some() && timeline < memory.highest
}

fn judge(
    index: usize,
    subject: &Subject,
    primary: Option<usize>,
    named: bool,
    memory: &Memory,
) -> (Role, Option<Doubt>) {
    let is_primary = primary == Some(index)
        || (primary.is_some()
            && subject.configured == InstanceRole::Auto
            && memory.names.contains(index)
            && !is_outdated(subject, memory));
    if is_primary {
        return (Role::Primary, None);
    }
    let outdated = || {
        let own = subject.vitals.and_then(|vitals| vitals.timeline)?;
        let highest = memory.highest.filter(|highest| own < *highest)?;
        Some(Doubt::OlderTimeline { own, highest })
    };
    match (subject.configured, subject.vitals) {
        (InstanceRole::Primary, _) => (Role::Replica, Some(Doubt::PrimaryInRecovery)),
        (InstanceRole::Replica, Some(vitals)) if !vitals.in_recovery => {
            // One that replicates logically is not in recovery, and of another origin.
            let odd = !is_foreign(subject, memory);
            (Role::Replica, odd.then_some(Doubt::ReplicaNotInRecovery))
        }
        (InstanceRole::Replica, _) => (Role::Replica, None),
        (InstanceRole::Auto, None) => (subject.was, None),
        (InstanceRole::Auto, Some(vitals)) if vitals.in_recovery => (Role::Replica, None),
        (InstanceRole::Auto, Some(_)) if is_foreign(subject, memory) => {
            (Role::Fenced, Some(Doubt::OtherSystem))
        }
        (InstanceRole::Auto, Some(_)) if !subject.reachable => {
            (Role::Fenced, Some(Doubt::Superseded))
        }
        (InstanceRole::Auto, Some(_)) => {
            let doubt = outdated().filter(|_| !named).unwrap_or(Doubt::SplitBrain);
            (Role::Fenced, Some(doubt))
        }
    }
}

#[cfg(test)]
mod tests;
