//! `SHOW CLIENTS`: who is logged in.

use std::sync::Arc;

use pgherd_session::{ClientEntry, ClientState};

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, boolean, int8, table, text, timestamp};
use crate::words::{client_name, replication, server_name};

pub(super) const COMMAND: Command = Command {
    name: "SHOW CLIENTS",
    help: "Each client that is logged in: where it comes from and what it does.",
    arguments: Arguments::None,
    run,
};

struct Row {
    client: Arc<ClientEntry>,
    name: String,
}

/// `ptr` names the client and `link` the server connection that it has, by its `ptr` in
/// `SHOW SERVERS`, as in PgBouncer.
const FIELDS: &[Field<Row>] = &[
    text("type", |_| Some("C".to_owned())),
    text("user", |row| Some(row.client.user.to_string())),
    text("database", |row| Some(row.client.database.to_string())),
    text("state", |row| Some(state(row.client.state()).to_owned())),
    text("addr", |row| {
        Some(row.client.address.map_or_else(|| "unix".to_owned(), |it| it.ip().to_string()))
    }),
    int8("port", |row| row.client.address.map_or(0, |it| it.port().into())),
    text("connect_time", |row| Some(timestamp(row.client.connected_at))),
    text("ptr", |row| Some(row.name.clone())),
    text("link", |row| row.client.server().map(|server| server_name(&server))),
    text("application_name", |row| Some(row.client.application_name.to_string())),
    boolean("pinned", |row| row.client.is_pinned()),
    text("pinned_by", |row| Some(row.client.pins().names().collect::<Vec<_>>().join(", "))),
    text("replication", |row| Some(replication(row.client.replication).to_owned())),
    text("tls", |row| row.client.tls.map(|tls| tls.to_string())),
];

fn state(state: ClientState) -> &'static str {
    match state {
        ClientState::Idle => "idle",
        ClientState::Waiting => "waiting",
        ClientState::Active => "active",
    }
}

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    let rows = shared.clients.all().into_iter().map(|client| {
        let name = client_name(&client);
        Row { client, name }
    });
    Ok(table(FIELDS, rows))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::Stand;

    #[test]
    fn nobody_is_there() {
        expect![[r#"
            type:text | user:text | database:text | state:text | addr:text | port:int8 | connect_time:text | ptr:text | link:text | application_name:text | pinned:bool | pinned_by:text | replication:text | tls:text
        "#]].assert_eq(&Stand::with_pools().run("SHOW CLIENTS"));
    }
}
