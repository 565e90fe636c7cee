//! `SHOW INSTANCES`: each instance of each cluster: what it is, how far it is, how it does.

use std::time::Duration;

use pgherd_pool::{InstanceStatus, Role};

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, boolean, count, int8, maybe_int8, micros, millis, table, text};
use crate::words::{instance_role, lsn, standing};

pub(super) const COMMAND: Command = Command {
    name: "SHOW INSTANCES",
    help: "Each instance: its role, whether it takes reads, its lag, its place in the log.",
    arguments: Arguments::None,
    run,
};

/// `role` is what the instance is now, `configured` what the settings say. `reason` says why it
/// takes no reads, or what is odd about its role. `latency_us` is a moving average of statements.
const FIELDS: &[Field<InstanceStatus>] = &[
    text("cluster", |row| Some(row.cluster.clone())),
    int8("shard", |row| count(row.shard)),
    text("host", |row| Some(row.instance.key.host.clone())),
    int8("port", |row| row.instance.key.port.into()),
    text("configured", |row| Some(instance_role(row.instance.configured()).to_owned())),
    text("role", |row| Some(row.sight.role.as_str().to_owned())),
    text("state", |row| Some(standing(&row.sight).to_owned())),
    boolean("reads", |row| row.instance.is_open()),
    text("reason", reason),
    maybe_int8("timeline", |row| row.sight.vitals?.timeline.map(u64::from)),
    text("lsn", |row| row.sight.vitals?.lsn.map(lsn)),
    maybe_int8("lag_ms", |row| row.sight.lag.map(millis)),
    maybe_int8("lag_bytes", |row| row.sight.lag_bytes),
    int8("weight", |row| row.instance.weight().into()),
    int8("busy", |row| row.instance.busy().into()),
    int8("latency_us", |row| micros(Duration::from_secs_f64(row.instance.latency() / 1e6))),
    maybe_int8("check_us", |row| row.instance.last_check().0.map(micros)),
    text("check_error", |row| row.instance.last_check().1),
];

fn reason(row: &InstanceStatus) -> Option<String> {
    let ban = row.sight.standing.ban().map(|ban| format!("{}: {}", ban.class, ban.reason));
    let doubt = row.sight.doubt.map(|doubt| doubt.to_string());
    let lagging = || row.sight.is_lagging.then(|| "too far behind the primary".to_owned());
    let unknown = || {
        let unknown = row.sight.role == Role::Unknown;
        unknown.then(|| "no health check has told its role so far".to_owned())
    };
    ban.or(doubt).or_else(lagging).or_else(unknown)
}

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    Ok(table(FIELDS, shared.directory.instances()))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::Stand;

    #[test]
    fn before_the_first_check_they_are_what_the_settings_say() {
        expect![[r#"
            cluster:text | shard:int8 | host:text | port:int8 | configured:text | role:text | state:text | reads:bool | reason:text | timeline:int8 | lsn:text | lag_ms:int8 | lag_bytes:int8 | weight:int8 | busy:int8 | latency_us:int8 | check_us:int8 | check_error:text
            * | 0 | ::1 | 5433 | primary | primary | open | t | NULL | NULL | NULL | NULL | NULL | 1 | 0 | 0 | NULL | NULL
            app | 0 | 10.0.0.1 | 5432 | primary | primary | open | t | NULL | NULL | NULL | NULL | NULL | 1 | 0 | 0 | NULL | NULL
            app | 0 | 10.0.0.2 | 5432 | replica | replica | open | t | NULL | NULL | NULL | NULL | NULL | 1 | 0 | 0 | NULL | NULL
            sharded | 0 | 10.0.1.0 | 5432 | primary | primary | open | t | NULL | NULL | NULL | NULL | NULL | 1 | 0 | 0 | NULL | NULL
            sharded | 1 | 10.0.1.0 | 5432 | primary | primary | open | t | NULL | NULL | NULL | NULL | NULL | 1 | 0 | 0 | NULL | NULL
        "#]].assert_eq(&Stand::with_pools().run("SHOW INSTANCES"));
    }
}
