//! `SHOW DATABASES`: what is served, and by which instances.

use std::collections::HashMap;

use pgherd_config::{InstanceRole, PoolMode};

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, count, int8, table, text};
use crate::words::{instance_role, pool_mode};

pub(super) const COMMAND: Command = Command {
    name: "SHOW DATABASES",
    help: "Each cluster, by the name that clients use, with its instances.",
    arguments: Arguments::None,
    run,
};

/// One instance of one cluster.
struct Row {
    name: String,
    host: String,
    port: u16,
    database: Option<String>,
    pool_size: usize,
    min_pool_size: usize,
    reserve_pool_size: usize,
    max_connections: usize,
    max_clients: usize,
    clients: usize,
    pool_mode: PoolMode,
    connections: usize,
    shard: usize,
    role: InstanceRole,
}

/// The limits and the clients are those of the whole cluster; 0 stands for no limit. `database` is null where the instance has a database of the name that the client uses.
const FIELDS: &[Field<Row>] = &[
    text("name", |row| Some(row.name.clone())),
    text("host", |row| Some(row.host.clone())),
    int8("port", |row| row.port.into()),
    text("database", |row| row.database.clone()),
    int8("pool_size", |row| count(row.pool_size)),
    int8("min_pool_size", |row| count(row.min_pool_size)),
    int8("reserve_pool_size", |row| count(row.reserve_pool_size)),
    text("pool_mode", |row| Some(pool_mode(row.pool_mode).to_owned())),
    int8("max_connections", |row| count(row.max_connections)),
    int8("current_connections", |row| count(row.connections)),
    int8("max_client_connections", |row| count(row.max_clients)),
    int8("current_client_connections", |row| count(row.clients)),
    int8("shard", |row| count(row.shard)),
    text("role", |row| Some(instance_role(row.role).to_owned())),
];

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    let directory = &shared.directory;
    let mut connections = HashMap::<(String, usize, String, u16), usize>::new();
    for (_, pool) in directory.named_pools() {
        let (settings, counts) = (pool.settings(), pool.counts());
        let endpoint = &settings.endpoint;
        let key = (settings.cluster.clone(), settings.shard, endpoint.host.clone(), endpoint.port);
        *connections.entry(key).or_default() += counts.active + counts.idle + counts.connecting;
    }
    for replication in directory.replications() {
        let (source, endpoint) = (&replication.source, &replication.source.endpoint);
        let key = (source.cluster.clone(), 0, endpoint.host.clone(), endpoint.port);
        *connections.entry(key).or_default() += 1;
    }
    let mut rows = Vec::new();
    directory.for_each_cluster(|cluster| {
        for (number, shard) in cluster.shards.iter().enumerate() {
            rows.extend(shard.instances.iter().map(|instance| {
                let key = (cluster.name.clone(), number, instance.host.clone(), instance.port);
                Row {
                    name: cluster.name.clone(),
                    host: instance.host.clone(),
                    port: instance.port,
                    database: instance.database.clone(),
                    pool_size: cluster.pool_size,
                    min_pool_size: cluster.min_pool_size,
                    reserve_pool_size: cluster.reserve_pool_size,
                    max_connections: cluster.max_server_connections,
                    max_clients: cluster.max_clients,
                    clients: shared.admissions.of_cluster(&cluster.name),
                    pool_mode: cluster.pool_mode,
                    connections: connections.get(&key).copied().unwrap_or(0),
                    shard: number,
                    role: instance.role,
                }
            }));
        }
    });
    Ok(table(FIELDS, rows))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::Stand;

    #[test]
    fn each_instance_is_a_row() {
        expect![[r#"
            name:text | host:text | port:int8 | database:text | pool_size:int8 | min_pool_size:int8 | reserve_pool_size:int8 | pool_mode:text | max_connections:int8 | current_connections:int8 | max_client_connections:int8 | current_client_connections:int8 | shard:int8 | role:text
            * | ::1 | 5433 | NULL | 20 | 0 | 0 | statement | 0 | 0 | 0 | 0 | 0 | primary
            app | 10.0.0.1 | 5432 | app_0 | 7 | 2 | 0 | transaction | 0 | 0 | 0 | 0 | 0 | primary
            app | 10.0.0.2 | 5432 | app_0 | 7 | 2 | 0 | transaction | 0 | 0 | 0 | 0 | 0 | replica
            sharded | 10.0.1.0 | 5432 | s_0 | 20 | 0 | 0 | transaction | 0 | 0 | 0 | 0 | 0 | primary
            sharded | 10.0.1.0 | 5432 | s_1 | 20 | 0 | 0 | transaction | 0 | 0 | 0 | 0 | 1 | primary
        "#]].assert_eq(&Stand::with_pools().run("SHOW DATABASES"));
    }
}
