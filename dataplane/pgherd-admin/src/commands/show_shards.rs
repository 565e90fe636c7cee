//! `SHOW SHARDS`: the shards of each cluster, with what was done on them.

use std::collections::BTreeMap;

use pgherd_pool::{Directory, PoolCounts, PoolStats, Role};

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, count, int8, table, text};

pub(super) const COMMAND: Command = Command {
    name: "SHOW SHARDS",
    help: "Each shard of each cluster: its instances, connections, and what was done on it.",
    arguments: Arguments::None,
    run,
};

/// One shard, over all users, databases and instances.
#[derive(Default)]
struct Sum {
    instances: usize,
    open: usize,
    primary: Option<String>,
    counts: PoolCounts,
    stats: PoolStats,
}

type Row = ((String, usize), Sum);

/// Counters are since the proxy started, as in `SHOW STATS`.
const FIELDS: &[Field<Row>] = &[
    text("cluster", |row| Some(row.0.0.clone())),
    int8("shard", |row| count(row.0.1)),
    text("primary", |row| row.1.primary.clone()),
    int8("instances", |row| count(row.1.instances)),
    int8("open", |row| count(row.1.open)),
    int8("sv_active", |row| count(row.1.counts.active)),
    int8("sv_idle", |row| count(row.1.counts.idle)),
    int8("cl_waiting", |row| count(row.1.counts.waiting)),
    int8("total_xact_count", |row| row.1.stats.transactions),
    int8("total_query_count", |row| row.1.stats.queries),
    int8("total_received", |row| row.1.stats.bytes_received),
    int8("total_sent", |row| row.1.stats.bytes_sent),
    int8("total_query_time", |row| row.1.stats.query_micros),
    int8("total_wait_time", |row| row.1.stats.wait_micros),
    int8("total_errors", |row| row.1.stats.errors),
];

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    Ok(table(FIELDS, sums(&shared.directory)))
}

fn sums(directory: &Directory) -> BTreeMap<(String, usize), Sum> {
    let mut sums = BTreeMap::<(String, usize), Sum>::new();
    for status in directory.instances() {
        let sum = sums.entry((status.cluster, status.shard)).or_default();
        sum.instances += 1;
        sum.open += usize::from(status.instance.is_open());
        if status.sight.role == Role::Primary {
            sum.primary = Some(status.instance.key.to_string());
        }
    }
    for pool in directory.pools() {
        let (settings, counts) = (pool.settings(), pool.counts());
        // A pool that was made by a topology before has no shard any more.
        if let Some(sum) = sums.get_mut(&(settings.cluster.clone(), settings.shard)) {
            sum.counts.active += counts.active;
            sum.counts.idle += counts.idle;
            sum.counts.waiting += counts.waiting;
        }
    }
    for (name, stats) in directory.pool_totals() {
        if let Some(sum) = sums.get_mut(&(name.cluster, name.shard)) {
            sum.stats.merge(&stats);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::Stand;

    #[test]
    fn each_shard_is_a_row() {
        expect![[r#"
            cluster:text | shard:int8 | primary:text | instances:int8 | open:int8 | sv_active:int8 | sv_idle:int8 | cl_waiting:int8 | total_xact_count:int8 | total_query_count:int8 | total_received:int8 | total_sent:int8 | total_query_time:int8 | total_wait_time:int8 | total_errors:int8
            * | 0 | [::1]:5433 | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
            app | 0 | 10.0.0.1:5432 | 2 | 2 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
            sharded | 0 | 10.0.1.0:5432 | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
            sharded | 1 | 10.0.1.0:5432 | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
        "#]]
        .assert_eq(&Stand::with_pools().run("SHOW SHARDS"));
    }
}
