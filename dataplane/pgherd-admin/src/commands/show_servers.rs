//! `SHOW SERVERS`: the server connections, lent out or not.

use std::collections::HashMap;
use std::sync::Arc;

use pgherd_pool::{
    CancelTarget, Endpoint, Pool, ReplicationEntry, ServerAddress, ServerEntry, ServerState,
};
use pgherd_session::Shared;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, count, int8, table, text, timestamp};
use crate::words::{client_name, replication, server_name};

pub(super) const COMMAND: Command = Command {
    name: "SHOW SERVERS",
    help: "Each server connection: where it goes, what it does, for which client.",
    arguments: Arguments::None,
    run,
};

struct Row {
    database: String,
    server: Server,
    /// The client that has it.
    client: Option<String>,
}

/// A connection of a pool, or of one replication client.
enum Server {
    Pooled { pool: Arc<Pool>, entry: Arc<ServerEntry> },
    Replication(Arc<ReplicationEntry>),
}

impl Server {
    fn entry(&self) -> &ServerEntry {
        match self {
            Self::Pooled { entry, .. } => entry,
            Self::Replication(it) => &it.server,
        }
    }

    fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Pooled { pool, .. } => &pool.settings().endpoint,
            Self::Replication(it) => &it.source.endpoint,
        }
    }

    /// Replication is from clusters with one shard.
    fn shard(&self) -> usize {
        match self {
            Self::Pooled { pool, .. } => pool.settings().shard,
            Self::Replication(_) => 0,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Pooled { .. } => replication(None),
            Self::Replication(it) => replication(Some(it.kind)),
        }
    }
}

/// `user` is the role on the instance and `database` what clients call it, as in PgBouncer.
/// `ptr` names the connection and `link` the client that has it, by its `ptr` in `SHOW CLIENTS`;
/// one that is active without a client is being made clean after a client that left.
const FIELDS: &[Field<Row>] = &[
    text("type", |_| Some("S".to_owned())),
    text("user", |row| Some(row.server.endpoint().user.clone())),
    text("database", |row| Some(row.database.clone())),
    text("state", |row| Some(state(row.server.entry().state()).to_owned())),
    text("addr", |row| Some(address(&row.server.entry().target.address))),
    int8("port", |row| row.server.endpoint().port.into()),
    text("connect_time", |row| Some(timestamp(row.server.entry().connected_at))),
    text("ptr", |row| Some(server_name(&row.server.entry().target))),
    text("link", |row| row.client.clone()),
    int8("remote_pid", |row| row.server.entry().target.pid.cast_unsigned().into()),
    text("instance", |row| Some(row.server.endpoint().address())),
    text("replication", |row| Some(row.server.kind().to_owned())),
    text("tls", |row| row.server.entry().tls.map(|tls| tls.to_string())),
    int8("shard", |row| count(row.server.shard())),
];

fn state(state: ServerState) -> &'static str {
    match state {
        ServerState::Idle => "idle",
        ServerState::Active => "active",
    }
}

fn address(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Tcp(address) => address.ip().to_string(),
        ServerAddress::Unix(_) => "unix".to_owned(),
    }
}

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    let holders = holders(shared);
    let mut servers = Vec::new();
    for (database, pool) in shared.directory.named_pools() {
        for entry in pool.servers() {
            servers.push((database.clone(), Server::Pooled { pool: Arc::clone(&pool), entry }));
        }
    }
    let replications = shared.directory.replications().into_iter();
    servers.extend(replications.map(|it| (it.database.clone(), Server::Replication(it))));
    let rows = servers.into_iter().map(|(database, server)| {
        let client = holders.get(&Arc::as_ptr(&server.entry().target)).cloned();
        Row { database, server, client }
    });
    Ok(table(FIELDS, rows))
}

/// Which client has which server connection. The pointers only tell connections apart.
fn holders(shared: &Shared) -> HashMap<*const CancelTarget, String> {
    let clients = shared.clients.all();
    let held = clients.iter().filter_map(|client| {
        let server = client.server()?;
        Some((Arc::as_ptr(&server), client_name(client)))
    });
    held.collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::Stand;

    #[test]
    fn pools_without_connections_have_no_rows() {
        expect![[r#"
            type:text | user:text | database:text | state:text | addr:text | port:int8 | connect_time:text | ptr:text | link:text | remote_pid:int8 | instance:text | replication:text | tls:text | shard:int8
        "#]].assert_eq(&Stand::with_pools().run("SHOW SERVERS"));
    }
}
