//! How things are named in results.

use pgherd_config::{InstanceRole, PoolMode};
use pgherd_pool::{CancelTarget, ServerAddress};
use pgherd_session::ClientEntry;
use pgherd_wire::startup::Replication;

/// As in the settings.
pub(crate) fn pool_mode(mode: PoolMode) -> &'static str {
    match mode {
        PoolMode::Transaction => "transaction",
        PoolMode::Session => "session",
        PoolMode::Statement => "statement",
    }
}

/// What a connection replicates, in PgBouncer's words.
pub(crate) fn replication(kind: Option<Replication>) -> &'static str {
    match kind {
        None => "none",
        Some(Replication::Logical) => "logical",
        Some(Replication::Physical) => "physical",
    }
}

/// As in the settings.
pub(crate) fn instance_role(role: InstanceRole) -> &'static str {
    match role {
        InstanceRole::Auto => "auto",
        InstanceRole::Primary => "primary",
        InstanceRole::Replica => "replica",
    }
}

/// Names a client: the process id that it was told, as in its own error messages and logs.
pub(crate) fn client_name(client: &ClientEntry) -> String {
    client.cancel_key().0.to_string()
}

/// Names a server connection: where it goes, and the process id of the backend there.
pub(crate) fn server_name(server: &CancelTarget) -> String {
    match &server.address {
        ServerAddress::Tcp(address) => format!("{address}/{}", server.pid),
        ServerAddress::Unix(path) => format!("{}/{}", path.display(), server.pid),
    }
}
