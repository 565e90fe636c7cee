//! `SHOW STATS`: what was done for each database since the proxy started.

use pgherd_pool::DatabaseStats;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, int8, table, text};

pub(super) const COMMAND: Command = Command {
    name: "SHOW STATS",
    help: "Each database: transactions, queries, bytes, microseconds since the start; averages.",
    arguments: Arguments::None,
    run,
};

type Row = (String, DatabaseStats);

/// Names and meanings are PgBouncer's. The averages are those of the last whole minute, before the
/// first one is over of what there is: counts, bytes and waiting per second, times per transaction
/// or query.
const FIELDS: &[Field<Row>] = &[
    text("database", |row| Some(row.0.clone())),
    int8("total_server_assignment_count", |row| row.1.total.assignments),
    int8("total_xact_count", |row| row.1.total.transactions),
    int8("total_query_count", |row| row.1.total.queries),
    int8("total_received", |row| row.1.total.bytes_received),
    int8("total_sent", |row| row.1.total.bytes_sent),
    int8("total_xact_time", |row| row.1.total.transaction_micros),
    int8("total_query_time", |row| row.1.total.query_micros),
    int8("total_wait_time", |row| row.1.total.wait_micros),
    int8("avg_server_assignment_count", |row| per_second(&row.1, row.1.recent.assignments)),
    int8("avg_xact_count", |row| per_second(&row.1, row.1.recent.transactions)),
    int8("avg_query_count", |row| per_second(&row.1, row.1.recent.queries)),
    int8("avg_recv", |row| per_second(&row.1, row.1.recent.bytes_received)),
    int8("avg_sent", |row| per_second(&row.1, row.1.recent.bytes_sent)),
    int8("avg_xact_time", |row| each(row.1.recent.transaction_micros, row.1.recent.transactions)),
    int8("avg_query_time", |row| each(row.1.recent.query_micros, row.1.recent.queries)),
    int8("avg_wait_time", |row| per_second(&row.1, row.1.recent.wait_micros)),
    int8("total_errors", |row| row.1.total.errors),
    int8("total_pins", |row| row.1.total.pins),
];

fn per_second(stats: &DatabaseStats, count: u64) -> u64 {
    count / stats.period.as_secs().max(1)
}

fn each(micros: u64, count: u64) -> u64 {
    micros / count.max(1)
}

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    Ok(table(FIELDS, shared.directory.database_stats()))
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
        add(&stats.transaction_micros, 1110);
        add(&stats.query_micros, 70);
        add(&stats.assignments, 9);
        add(&stats.errors, 7);
        add(&stats.pins, 8);
        expect![[r#"
            database:text | total_server_assignment_count:int8 | total_xact_count:int8 | total_query_count:int8 | total_received:int8 | total_sent:int8 | total_xact_time:int8 | total_query_time:int8 | total_wait_time:int8 | avg_server_assignment_count:int8 | avg_xact_count:int8 | avg_query_count:int8 | avg_recv:int8 | avg_sent:int8 | avg_xact_time:int8 | avg_query_time:int8 | avg_wait_time:int8 | total_errors:int8 | total_pins:int8
            app | 9 | 111 | 2 | 3 | 4 | 1110 | 70 | 6 | 9 | 111 | 2 | 3 | 4 | 10 | 35 | 6 | 7 | 8
            other | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
            sharded | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
        "#]].assert_eq(&stand.run("SHOW STATS"));
    }
}
