//! `SHOW SERVERS`: the server connections, lent out or not.

use std::collections::HashMap;
use std::sync::Arc;

use pgherd_pool::{CancelTarget, Pool, ServerAddress, ServerEntry, ServerState};
use pgherd_session::Shared;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, int8, table, text, timestamp};
use crate::words::{client_name, server_name};

pub(super) const COMMAND: Command = Command {
    name: "SHOW SERVERS",
    help: "Each server connection: where it goes, what it does, for which client.",
    arguments: Arguments::None,
    run,
};

struct Row {
    database: String,
    pool: Arc<Pool>,
    server: Arc<ServerEntry>,
    /// The client that has it.
    client: Option<String>,
}

/// `user` is the role on the instance and `database` what clients call it, as in PgBouncer.
/// `ptr` names the connection and `link` the client that has it, by its `ptr` in `SHOW CLIENTS`;
/// one that is active without a client is being made clean after a client that left.
const FIELDS: &[Field<Row>] = &[
    text("type", |_| Some("S".to_owned())),
    text("user", |row| Some(row.pool.settings().endpoint.user.clone())),
    text("database", |row| Some(row.database.clone())),
    text("state", |row| Some(state(row.server.state()).to_owned())),
    text("addr", |row| Some(address(&row.server.target.address))),
    int8("port", |row| row.pool.settings().endpoint.port.into()),
    text("connect_time", |row| Some(timestamp(row.server.connected_at))),
    text("ptr", |row| Some(server_name(&row.server.target))),
    text("link", |row| row.client.clone()),
    int8("remote_pid", |row| row.server.target.pid.cast_unsigned().into()),
    text("instance", |row| Some(row.pool.settings().endpoint.address())),
    text("tls", |row| row.server.tls.map(|tls| tls.to_string())),
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
    let mut rows = Vec::new();
    for (database, pool) in shared.directory.named_pools() {
        for server in pool.servers() {
            let client = holders.get(&Arc::as_ptr(&server.target)).cloned();
            rows.push(Row { database: database.clone(), pool: Arc::clone(&pool), server, client });
        }
    }
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
            type:text | user:text | database:text | state:text | addr:text | port:int8 | connect_time:text | ptr:text | link:text | remote_pid:int8 | instance:text | tls:text
        "#]].assert_eq(&Stand::with_pools().run("SHOW SERVERS"));
    }
}
