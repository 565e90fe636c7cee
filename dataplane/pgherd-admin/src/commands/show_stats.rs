//! `SHOW STATS`: what was done for each database since the proxy started.

use std::collections::BTreeMap;

use pgherd_pool::PoolStats;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, int8, table, text};

pub(super) const COMMAND: Command = Command {
    name: "SHOW STATS",
    help: "Each database: transactions, queries, bytes, microseconds, since its pools exist.",
    arguments: Arguments::None,
    run,
};

struct Row {
    database: String,
    stats: PoolStats,
}

/// PgBouncer's `total_query_time` is not measured, for it would take two looks at the clock for
/// each statement; its `avg_` columns are left to whoever takes the differences. `total_xact_time`
/// is the time that server connections were lent out, which in session mode is the whole session.
const FIELDS: &[Field<Row>] = &[
    text("database", |row| Some(row.database.clone())),
    int8("total_xact_count", |row| row.stats.transactions),
    int8("total_query_count", |row| row.stats.queries),
    int8("total_received", |row| row.stats.bytes_received),
    int8("total_sent", |row| row.stats.bytes_sent),
    int8("total_xact_time", |row| row.stats.busy_micros),
    int8("total_wait_time", |row| row.stats.wait_micros),
    int8("total_errors", |row| row.stats.errors),
    int8("total_pins", |row| row.stats.pins),
];

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    let mut sums = BTreeMap::<String, PoolStats>::new();
    for (database, pool) in shared.directory.named_pools() {
        sums.entry(database).or_default().merge(&pool.stats());
    }
    Ok(table(FIELDS, sums.into_iter().map(|(database, stats)| Row { database, stats })))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use expect_test::expect;
    use pgherd_pool::WorkerStats;

    use crate::testing::Stand;

    #[test]
    fn the_pools_and_workers_of_a_database_are_one_row() {
        let stand = Stand::with_pools();
        let pool = |user| stand.shared.directory.pool("app", user).unwrap();
        let add = |counter: &AtomicU64, n| WorkerStats::add(counter, n);
        add(&pool("alice").worker_stats(0).transactions, 1);
        add(&pool("alice").worker_stats(1).transactions, 10);
        add(&pool("bob").worker_stats(1).transactions, 100);
        let stats = pool("bob");
        let stats = stats.worker_stats(0);
        add(&stats.queries, 2);
        add(&stats.bytes_received, 3);
        add(&stats.bytes_sent, 4);
        add(&stats.busy_micros, 5);
        add(&stats.wait_micros, 6);
        add(&stats.errors, 7);
        add(&stats.pins, 8);
        expect![[r#"
            database:text | total_xact_count:int8 | total_query_count:int8 | total_received:int8 | total_sent:int8 | total_xact_time:int8 | total_wait_time:int8 | total_errors:int8 | total_pins:int8
            app | 111 | 2 | 3 | 4 | 5 | 6 | 7 | 8
            other | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
        "#]].assert_eq(&stand.run("SHOW STATS"));
    }
}
