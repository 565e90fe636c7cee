//! From the bans of each instance to what they amount to, within the limits of the shard.

use std::{cmp::Reverse, time::Duration};

use super::{Ban, BanRules, HeldBack, ReadsFromPrimary, Role, Source, Standing, record::Record};
use crate::{InstanceKey, Severity};

/// One instance of the shard.
struct Member<'a> {
    role: Role,
    key: &'a InstanceKey,
    /// A manual ban, or one by evidence that may have to be held back.
    ban: Option<Ban>,
    held_back: Option<HeldBack>,
}

pub(super) fn view(
    rules: &BanRules,
    instances: &[(InstanceKey, Record)],
    now: Duration,
    roles: &[Role],
    reads: ReadsFromPrimary,
) -> Vec<Standing> {
    let mut members: Vec<_> = instances
        .iter()
        .enumerate()
        .map(|(index, (key, record))| Member {
            role: roles.get(index).copied().unwrap_or(Role::Other),
            key,
            ban: record.by_order(now).or_else(|| record.by_evidence(now, rules)),
            held_back: None,
        })
        .collect();
    keep_the_limit(rules, &mut members);
    leave_something(reads, &mut members);
    members.into_iter().map(Member::standing).collect()
}

/// Holds back those that are too many.
fn keep_the_limit(rules: &BanRules, members: &mut [Member<'_>]) {
    let replicas = members.iter().filter(|member| member.role == Role::Replica).count();
    let limit = rules.limit(replicas);
    let mut banned: Vec<_> = members
        .iter_mut()
        .filter(|member| member.role == Role::Replica)
        .filter_map(|member| {
            let ban = member.ban.as_ref().filter(|ban| ban.source != Source::Manual)?;
            let order = (Reverse(Severity::of(ban.class)), ban.since, member.key);
            Some((order, &mut member.held_back))
        })
        .collect();
    banned.sort_by_key(|(order, _)| *order);
    for (_, held_back) in banned.into_iter().skip(limit) {
        *held_back = Some(HeldBack::Limit);
    }
}

/// Holds back all if reads would have no place to go.
fn leave_something(reads: ReadsFromPrimary, members: &mut [Member<'_>]) {
    let takes_reads = |role| match role {
        Role::Replica => true,
        Role::Primary => reads != ReadsFromPrimary::No,
        Role::Other => false,
    };
    // What the limit holds back is as broken as the rest: only what is well counts.
    if members.iter().any(|member| takes_reads(member.role) && member.ban.is_none()) {
        return;
    }
    for member in members.iter_mut().filter(|member| takes_reads(member.role)) {
        if member.ban.as_ref().is_some_and(|ban| ban.source != Source::Manual) {
            member.held_back = Some(HeldBack::NothingLeft);
        }
    }
}

impl Member<'_> {
    fn standing(self) -> Standing {
        match (self.ban, self.held_back) {
            (None, _) => Standing::Open,
            (Some(ban), None) => Standing::Banned(ban),
            (Some(ban), Some(why)) => Standing::HeldBack(ban, why),
        }
    }
}
