//! `SHOW BANS`: which instances get no reads, why, and until when.

use std::time::Duration;

use pgherd_balance::{Ban, EvidenceClass, Source, Standing};
use pgherd_pool::InstanceStatus;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, boolean, count, int8, maybe_int8, table, text};

pub(super) const COMMAND: Command = Command {
    name: "SHOW BANS",
    help: "Each ban: of which instance, by whom, why, since when, how long it may last yet.",
    arguments: Arguments::None,
    run,
};

struct Row {
    status: InstanceStatus,
    ban: Ban,
    now: Duration,
}

/// `in_force` is false for a ban behind another one, and for one that is held back; then
/// `held_back` says why. `remaining` is null for a ban without end. A ban of evidence ends as soon
/// as `probes_needed` probes in a row have succeeded, and never without one.
const FIELDS: &[Field<Row>] = &[
    text("cluster", |row| Some(row.status.cluster.clone())),
    int8("shard", |row| count(row.status.shard)),
    text("host", |row| Some(row.status.instance.key.host.clone())),
    int8("port", |row| row.status.instance.key.port.into()),
    text("role", |row| Some(row.status.sight.role.as_str().to_owned())),
    text("source", |row| Some(row.ban.source.to_string())),
    text("class", |row| Some(row.ban.class.to_string())),
    text("reason", |row| Some(row.ban.reason.clone())),
    int8("age", |row| row.now.saturating_sub(row.ban.since).as_secs()),
    maybe_int8("remaining", |row| row.ban.remaining(row.now).map(|left| left.as_secs())),
    int8("repeats", |row| row.ban.count.into()),
    int8("probes_ok", |row| row.ban.successes.into()),
    int8("probes_needed", |row| row.ban.needed.into()),
    boolean("in_force", is_in_force),
    text("held_back", held_back),
];

fn is_in_force(row: &Row) -> bool {
    match &row.status.sight.standing {
        Standing::Banned(ban) => (ban.source, ban.since) == (row.ban.source, row.ban.since),
        // Too far behind: no ban of the book, but it is one to the reads.
        Standing::Open => row.ban.class == EvidenceClass::ReplicationLag,
        Standing::HeldBack(..) => false,
    }
}

fn held_back(row: &Row) -> Option<String> {
    match &row.status.sight.standing {
        Standing::HeldBack(_, why) => Some(why.to_string()),
        Standing::Open | Standing::Banned(_) => None,
    }
}

/// A replica that is too far behind gets no reads either, and needs no probe to come back.
fn lagging(status: &InstanceStatus, now: Duration) -> Option<Ban> {
    let lag = status.sight.lag.filter(|_| status.sight.is_lagging)?;
    Some(Ban {
        source: Source::Local,
        class: EvidenceClass::ReplicationLag,
        reason: format!("{} ms behind the primary", lag.as_millis()),
        since: now.saturating_sub(lag),
        until: None,
        count: 0,
        successes: 0,
        needed: 0,
    })
}

fn run(request: &Request<'_>) -> Outcome {
    let directory = &request.authorise(Permission::Look)?.shared.directory;
    let now = directory.now();
    let rows = directory.instances().into_iter().flat_map(|status| {
        let bans = status.bans.clone().into_iter().chain(lagging(&status, now));
        let bans: Vec<Ban> = bans.collect();
        bans.into_iter().map(move |ban| Row { status: status.clone(), ban, now })
    });
    Ok(table(FIELDS, rows))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::check;

    #[test]
    fn a_ban_is_seen_until_it_is_lifted() {
        check(
            &[
                "BAN 10.0.0.2 maintenance",
                "SHOW BANS",
                "UNBAN 10.0.0.2:5432",
                "SHOW BANS",
                "UNBAN 10.0.0.2",
            ],
            expect![[r#"
                BAN
                cluster:text | shard:int8 | host:text | port:int8 | role:text | source:text | class:text | reason:text | age:int8 | remaining:int8 | repeats:int8 | probes_ok:int8 | probes_needed:int8 | in_force:bool | held_back:text
                app | 0 | 10.0.0.2 | 5432 | replica | manual | manual | maintenance | 0 | NULL | 0 | 0 | 0 | t | NULL
                UNBAN
                cluster:text | shard:int8 | host:text | port:int8 | role:text | source:text | class:text | reason:text | age:int8 | remaining:int8 | repeats:int8 | probes_ok:int8 | probes_needed:int8 | in_force:bool | held_back:text
                42704: 10.0.0.2 is not banned
                hint: SHOW BANS lists what is banned.
            "#]],
        );
    }
}
