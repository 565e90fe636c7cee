//! `SHOW HELP`: the commands there are.

use super::{Arguments, COMMANDS, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, table, text};

pub(super) const COMMAND: Command =
    Command { name: "SHOW HELP", help: "This list.", arguments: Arguments::None, run };

const FIELDS: &[Field<&Command>] = &[
    text("command", |command| Some(command.name.to_owned())),
    text("help", |command| Some(command.help.to_owned())),
];

/// PgBouncer sends a notice here; rows can be read by programs, too.
fn run(request: &Request<'_>) -> Outcome {
    request.authorise(Permission::Look)?;
    Ok(table(FIELDS, COMMANDS))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::Stand;

    #[test]
    fn every_command_is_listed() {
        expect![[r#"
            command:text | help:text
            SHOW HELP | This list.
            SHOW POOLS | Each pool: clients, server connections, longest wait, last failure to connect.
            SHOW STATS | Each database: transactions, queries, bytes, microseconds since the start; averages.
            SHOW CLIENTS | Each client that is logged in: where it comes from and what it does.
            SHOW SERVERS | Each server connection: where it goes, what it does, for which client.
            SHOW DATABASES | Each cluster, by the name that clients use, with its instances.
            SHOW INSTANCES | Each instance: its role, whether it takes reads, its lag, its place in the log.
            SHOW SHARDS | Each shard of each cluster: its instances, connections, and what was done on it.
            SHOW BANS | Each ban: of which instance, by whom, why, since when, how long it may last yet.
            SHOW LISTS | How many databases, users, pools, clients and server connections there are.
            SHOW VERSION | The version of the proxy.
            BAN | BAN host[:port] [reason] [duration]: no reads for an instance, until UNBAN or the time is over.
            UNBAN | UNBAN host[:port]: lifts the bans of an instance, whoever made them on this proxy.
            RELOAD | Read the settings file again; what is wrong with it is said, and nothing changes.
            SHUTDOWN | Take no new clients, let transactions finish, then end the proxy.
            SET | Accepted without effect for session parameters, which drivers set unasked.
        "#]].assert_eq(&Stand::new().run("SHOW HELP"));
    }
}
