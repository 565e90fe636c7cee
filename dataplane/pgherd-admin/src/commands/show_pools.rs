//! `SHOW POOLS`: each pool with its connections and the clients that use it.

use std::collections::HashMap;
use std::sync::Arc;

use pgherd_pool::{Pool, PoolCounts};
use pgherd_session::{ClientRegistry, ClientState};

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, count, int8, table, text};
use crate::words::pool_mode;

pub(super) const COMMAND: Command = Command {
    name: "SHOW POOLS",
    help: "Each pool: clients, server connections, longest wait, last failure to connect.",
    arguments: Arguments::None,
    run,
};

struct Row {
    database: String,
    pool: Arc<Pool>,
    counts: PoolCounts,
    clients: Clients,
}

/// The clients of one pool, except those that wait: these stand in its queue.
#[derive(Clone, Copy, Default)]
struct Clients {
    not_waiting: usize,
    pinned: usize,
    /// Cancel requests that are on their way for them.
    cancelling: usize,
    /// Clients whose query they are to end.
    being_cancelled: usize,
}

/// A cancel request waits for no connection of a pool, so `cl_waiting_cancel_req` is zero, too.
/// A dashboard that adds the `sv_` columns up gets no sum when one is missing, so those of
/// PgBouncer's states that do not exist here are there and zero: `sv_used` and `sv_tested` (a
/// connection is looked at when it is lent, within no time).
const FIELDS: &[Field<Row>] = &[
    text("database", |row| Some(row.database.clone())),
    text("user", |row| Some(row.pool.settings().user.clone())),
    int8("cl_active", |row| count(row.clients.not_waiting)),
    int8("cl_waiting", |row| count(row.counts.waiting)),
    int8("cl_active_cancel_req", |row| count(row.clients.cancelling)),
    int8("cl_waiting_cancel_req", |_| 0),
    int8("sv_active", |row| count(row.counts.active)),
    int8("sv_active_cancel", |row| count(row.clients.cancelling)),
    int8("sv_being_canceled", |row| count(row.clients.being_cancelled)),
    int8("sv_idle", |row| count(row.counts.idle)),
    int8("sv_used", |_| 0),
    int8("sv_tested", |_| 0),
    int8("sv_login", |row| count(row.counts.connecting)),
    int8("maxwait", |row| row.counts.longest_wait.as_secs()),
    int8("maxwait_us", |row| row.counts.longest_wait.subsec_micros().into()),
    text("pool_mode", |row| Some(pool_mode(row.pool.settings().mode).to_owned())),
    text("instance", |row| Some(row.pool.settings().endpoint.address())),
    int8("pool_size", |row| count(row.pool.settings().size)),
    int8("min_pool_size", |row| count(row.pool.settings().min_size)),
    int8("reserve_pool_size", |row| count(row.pool.settings().reserve_size)),
    int8("pinned", |row| count(row.clients.pinned)),
    int8("shard", |row| count(row.pool.settings().shard)),
    text("last_error", |row| row.pool.last_error().map(|error| error.chain())),
];

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    let pools = shared.directory.named_pools();
    let clients = count_clients(&shared.clients, &pools);
    let rows = pools.into_iter().zip(clients).map(|((database, pool), clients)| {
        let counts = pool.counts();
        Row { database, pool, counts, clients }
    });
    Ok(table(FIELDS, rows))
}

/// For each pool its clients: those that have a connection of it, and in the first pool of a
/// database and user those that have none.
fn count_clients(registry: &ClientRegistry, pools: &[(String, Arc<Pool>)]) -> Vec<Clients> {
    let (mut first, mut holders) = (HashMap::new(), HashMap::new());
    for (index, (database, pool)) in pools.iter().enumerate() {
        first.entry((database.as_str(), pool.settings().user.as_str())).or_insert(index);
        for entry in pool.servers() {
            holders.insert(Arc::as_ptr(&entry.target), index);
        }
    }
    let mut sums = vec![Clients::default(); pools.len()];
    for client in registry.all() {
        let held = client.server().and_then(|server| holders.get(&Arc::as_ptr(&server)));
        let home = || first.get(&(&*client.database, &*client.user));
        let Some(sum) = held.or_else(home).and_then(|index| sums.get_mut(*index)) else {
            continue;
        };
        sum.not_waiting += usize::from(client.state() != ClientState::Waiting);
        sum.pinned += usize::from(client.is_pinned());
        let cancels = client.cancels();
        sum.cancelling += cancels;
        sum.being_cancelled += usize::from(cancels > 0);
    }
    sums
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::Stand;

    #[test]
    fn each_database_and_user_has_its_pool() {
        expect![[r#"
            database:text | user:text | cl_active:int8 | cl_waiting:int8 | cl_active_cancel_req:int8 | cl_waiting_cancel_req:int8 | sv_active:int8 | sv_active_cancel:int8 | sv_being_canceled:int8 | sv_idle:int8 | sv_used:int8 | sv_tested:int8 | sv_login:int8 | maxwait:int8 | maxwait_us:int8 | pool_mode:text | instance:text | pool_size:int8 | min_pool_size:int8 | reserve_pool_size:int8 | pinned:int8 | shard:int8 | last_error:text
            app | alice | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | transaction | 10.0.0.1:5432 | 7 | 2 | 0 | 0 | 0 | NULL
            app | bob | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | session | 10.0.0.1:5432 | 7 | 2 | 0 | 0 | 0 | NULL
            other | alice | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | statement | [::1]:5433 | 20 | 0 | 0 | 0 | 0 | NULL
            sharded | alice | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | transaction | 10.0.1.0:5432 | 20 | 0 | 0 | 0 | 0 | NULL
            sharded | alice | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | transaction | 10.0.1.0:5432 | 20 | 0 | 0 | 0 | 1 | NULL
        "#]].assert_eq(&Stand::with_pools().run("SHOW POOLS"));
    }
}
