//! How things are named in results.

use pgherd_balance::Standing;
use pgherd_config::{InstanceRole, PoolMode};
use pgherd_pool::{CancelTarget, Directory, InstanceKey, Role, ServerAddress, Sight};
use pgherd_session::ClientEntry;
use pgherd_wire::ErrorResponse;
use pgherd_wire::startup::Replication;

use crate::authorise::Refusal;

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

/// How an instance stands, in one word.
pub(crate) fn standing(sight: &Sight) -> &'static str {
    match (&sight.standing, sight.role) {
        (_, Role::Fenced) => "fenced",
        (_, Role::Unknown) => "unknown",
        (Standing::Banned(_), _) => "banned",
        _ if sight.is_lagging => "lagging",
        (Standing::HeldBack(..), _) => "held_back",
        (Standing::Open, _) => "open",
    }
}

/// A position in the log, as Postgres writes it.
pub(crate) fn lsn(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)
}

/// The instances that an admin names by `host:port`, or by the host alone: each of them, then.
pub(crate) fn named_instances(
    directory: &Directory,
    name: &str,
) -> Result<Vec<InstanceKey>, Refusal> {
    let mut known: Vec<InstanceKey> =
        directory.instances().into_iter().map(|status| status.instance.key.clone()).collect();
    known.sort();
    known.dedup();
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    let means = |key: &&InstanceKey| {
        key.host.eq_ignore_ascii_case(bare) || key.to_string().eq_ignore_ascii_case(name)
    };
    let named: Vec<InstanceKey> = known.iter().filter(means).cloned().collect();
    if named.is_empty() {
        // undefined_object
        let error = ErrorResponse::error("42704", format!("no cluster has the instance {name}"));
        return Err(Box::new(error.hint("SHOW INSTANCES lists them.")));
    }
    Ok(named)
}
