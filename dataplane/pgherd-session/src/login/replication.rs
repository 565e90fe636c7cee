//! The login of a replication client: which cluster it means, and a server connection of its own.

use std::sync::Arc;

use pgherd_pool::{LookupError, ReplicationCluster, ReplicationConn};
use pgherd_wire::startup::{self, Replication, Startup};
use pgherd_wire::{TransactionStatus, backend};

use super::{Dialogue, LoggedIn, LoginError, admit, authenticate};
use crate::admission::Admission;
use crate::clients::{ClientIdentity, ClientState, Registration};
use crate::shared::Worker;

/// Names the cluster where the database cannot: `options=-c pgherd.cluster=NAME`.
const CLUSTER_OPTION: &str = "pgherd.cluster";

/// What a startup packet asks for that wants replication.
pub(super) struct Asked {
    pub(super) kind: Replication,
    /// The cluster, if it stands in the options.
    cluster: Option<String>,
}

/// A replication client, logged in on both sides.
pub(crate) struct ReplicationClient {
    pub(crate) registration: Registration,
    pub(crate) admission: Admission,
    pub(crate) server: ReplicationConn,
    /// The name by which its source was found, and in which topology.
    pub(crate) cluster: String,
    pub(crate) generation: u64,
    /// Bytes that came behind the last message of the login.
    pub(crate) unread: Vec<u8>,
}

impl Asked {
    /// `None` for an ordinary client.
    pub(super) fn of(startup: &Startup<'_>) -> Result<Option<Self>, LoginError> {
        let Some(kind) = startup.replication().map_err(LoginError::InvalidReplication)? else {
            return Ok(None);
        };
        // Options that cannot be read are for the server to refuse.
        let options = startup.param("options").and_then(startup::parse_options);
        let cluster = options
            .into_iter()
            .flatten()
            .rev()
            .find_map(|(name, value)| (name == CLUSTER_OPTION).then_some(value));
        Ok(Some(Self { kind, cluster }))
    }
}

/// Authenticates the client, opens its server connection, and says what the server said.
pub(super) async fn log_in(
    dialogue: &mut Dialogue<'_>,
    worker: &Worker,
    startup: &Startup<'_>,
    identity: ClientIdentity,
    asked: Asked,
) -> Result<LoggedIn, LoginError> {
    let shared = &worker.shared;
    let (user, database) = (Arc::clone(&identity.user), Arc::clone(&identity.database));
    let (user, database) = (&*user, &*database);
    let found = match (asked.cluster, asked.kind) {
        (Some(cluster), _) => ReplicationCluster::Named(cluster),
        (None, Replication::Logical) => ReplicationCluster::Named(database.to_owned()),
        (None, Replication::Physical) => shared.directory.replication_cluster(database, user),
    };
    let (ReplicationCluster::Named(cluster) | ReplicationCluster::Ambiguous(cluster)) = &found;
    let _proof = authenticate(dialogue, worker, user, cluster).await?;
    if let ReplicationCluster::Ambiguous(_) = found {
        return Err(LoginError::AmbiguousCluster(user.to_owned()));
    }
    let admission = admit(shared, &identity)?;
    // Before the look: a topology that comes meanwhile makes the session look again.
    let generation = shared.directory.generation();
    let source =
        shared.directory.replication_source(cluster, user).map_err(|error| match error {
            LookupError::NoInstance => LoginError::NoInstance(cluster.clone()),
            LookupError::SeveralShards => LoginError::SeveralShards("replication connections"),
            LookupError::UnknownDatabase | LookupError::UnknownUser => {
                LoginError::UnknownDatabase(database.to_owned())
            }
        })?;
    let params: Vec<(&str, &str)> = startup
        .params
        .iter()
        .filter(|(name, _)| !matches!(*name, "user" | "database" | "replication"))
        .filter(|(name, _)| !name.starts_with("_pq_."))
        .copied()
        .collect();
    let server = shared
        .directory
        .open_replication(source, asked.kind, database, &params)
        .await
        .map_err(|error| LoginError::ReplicationServer(Box::new(error)))?;
    let registration =
        shared.clients.add(identity, shared.proxy_number()).ok_or(LoginError::TooManyClients)?;
    registration.entry.attach(Arc::clone(&server.entry.server.target));
    registration.entry.set_state(ClientState::Active);

    let mut out = Vec::with_capacity(512);
    for (name, value) in &server.welcome {
        backend::put_parameter_status(&mut out, name, value);
    }
    let (pid, key) = registration.entry.cancel_key();
    backend::put_backend_key(&mut out, pid, key);
    backend::put_ready(&mut out, TransactionStatus::Idle);
    dialogue.write(&out).await?;
    let unread = std::mem::take(&mut dialogue.buf);
    let cluster = cluster.clone();
    let client = ReplicationClient { registration, admission, server, cluster, generation, unread };
    Ok(LoggedIn::Replication(Box::new(client)))
}
