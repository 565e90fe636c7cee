//! What this proxy tells the fleet of the instances that it watches.

use std::time::Duration;

use pgherd_agent::{BanSource, Failing, InstanceBan, InstanceRole, InstanceView};
use pgherd_balance::{Ban, Source, Standing, fleet::Condition};
use pgherd_pool::{Directory, InstanceStatus, Role};

/// Every instance in each of its places.
pub fn view(directory: &Directory) -> Vec<InstanceView> {
    let now = directory.now();
    directory.instances().iter().map(|status| instance(status, now)).collect()
}

fn instance(status: &InstanceStatus, now: Duration) -> InstanceView {
    let (state, sight) = (&status.instance, &status.sight);
    let (failing, seen_ago_ms) = match &status.condition {
        Condition::Unwatched => (None, None),
        Condition::Healthy { seen_ago } => (None, Some(milliseconds(*seen_ago))),
        Condition::Failing { class, detail, lasting } => {
            let failing = Failing {
                class: class.as_str().to_owned(),
                detail: detail.clone(),
                lasting_ms: milliseconds(*lasting),
            };
            (Some(failing), None)
        }
    };
    let held_back = match &sight.standing {
        Standing::HeldBack(_, why) => why.to_string(),
        Standing::Open | Standing::Banned(_) => String::new(),
    };
    let latency = state.latency();
    InstanceView {
        cluster: status.cluster.clone(),
        shard: u32::try_from(status.shard).unwrap_or(u32::MAX),
        host: state.key.host.clone(),
        port: state.key.port.into(),
        role: role(sight.role).into(),
        lsn: Some(state.lsn()).filter(|lsn| *lsn > 0),
        timeline: sight.vitals.as_ref().and_then(|vitals| vitals.timeline),
        lag_ms: sight.lag.map(milliseconds),
        busy: state.busy(),
        // Rounded to whole microseconds; one that has served nothing has none.
        latency_us: (latency > 0.0).then_some(latency as u64),
        failing,
        seen_ago_ms,
        bans: status.bans.iter().map(|it| ban(it, now)).collect(),
        held_back,
    }
}

fn ban(ban: &Ban, now: Duration) -> InstanceBan {
    let source = match ban.source {
        Source::Local => BanSource::Local,
        Source::Fleet => BanSource::Fleet,
        Source::Manual => BanSource::Manual,
    };
    InstanceBan {
        source: source.into(),
        class: ban.class.as_str().to_owned(),
        reason: ban.reason.clone(),
        elapsed_ms: milliseconds(now.saturating_sub(ban.since)),
        remaining_ms: ban.remaining(now).map(milliseconds),
        count: ban.count,
    }
}

fn role(role: Role) -> InstanceRole {
    match role {
        Role::Unknown => InstanceRole::Unknown,
        Role::Primary => InstanceRole::Primary,
        Role::Replica => InstanceRole::Replica,
        Role::Fenced => InstanceRole::Fenced,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
