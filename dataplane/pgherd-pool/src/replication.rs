//! Server connections of replication clients: each client has one of its own, in no pool.
//!
//! They do not count against a pool's size, which protects `max_connections`: Postgres counts
//! them apart, against `max_wal_senders`, and tells a client itself when there are too many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use pgherd_wire::startup::Replication;

use crate::connect::{ConnectError, Endpoint};
use crate::entry::ServerEntry;
use crate::socket::Socket;

/// The database that is named where none counts, as Postgres's own clients do.
const NO_DATABASE: &str = "replication";

/// The instance from which a client replicates, and as whom.
#[derive(Debug)]
pub struct ReplicationSource {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the user, as clients say it.
    pub user: String,
    /// The instance.
    pub endpoint: Endpoint,
    pub(crate) connect_timeout: Duration,
}

/// A server connection that belongs to one replication client. Dropped, it is closed.
#[derive(Debug)]
pub struct ReplicationConn {
    /// The socket, registered with the runtime that opened it.
    pub socket: Socket,
    /// What the server reported of itself, in its order.
    pub welcome: Vec<(Box<str>, Box<str>)>,
    /// What people who look are shown of it.
    pub entry: Arc<ReplicationEntry>,
}

/// What people who look are shown of one replication connection. Lives as long as it does.
#[derive(Debug)]
pub struct ReplicationEntry {
    /// What the client asked for.
    pub kind: Replication,
    /// The database that the client named.
    pub database: String,
    /// Where it goes.
    pub source: ReplicationSource,
    /// Backend, address, age.
    pub server: ServerEntry,
    /// The counters of all connections from this source.
    pub totals: Arc<ReplicationTotals>,
}

/// What all replication connections of one user to one instance did.
#[derive(Debug, Default)]
pub struct ReplicationTotals {
    /// Connections that were opened.
    pub opened: AtomicU64,
    /// Bytes that came from clients.
    pub received: AtomicU64,
    /// Bytes that went to clients.
    pub sent: AtomicU64,
}

/// Whose counters they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicationKey {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the user, as clients say it.
    pub user: String,
    /// `host:port`.
    pub instance: String,
}

/// All replication connections of a process.
#[derive(Debug, Default)]
pub(crate) struct ReplicationRegistry {
    entries: Mutex<Vec<Weak<ReplicationEntry>>>,
    totals: Mutex<BTreeMap<ReplicationKey, Arc<ReplicationTotals>>>,
}

impl ReplicationSource {
    /// Dials and logs in with the client's own startup parameters. Cancel safe: a connection that
    /// is not finished is closed.
    pub(crate) async fn open(
        self,
        registry: &ReplicationRegistry,
        kind: Replication,
        database: &str,
        params: &[(&str, &str)],
    ) -> Result<ReplicationConn, ConnectError> {
        let mut all = match kind {
            Replication::Physical => vec![("database", NO_DATABASE), ("replication", "true")],
            Replication::Logical => {
                vec![("database", self.endpoint.database.as_str()), ("replication", "database")]
            }
        };
        all.extend_from_slice(params);
        let connected = self.endpoint.connect_with(&all, self.connect_timeout).await?;
        let value = |name: &str| connected.params.get(name).unwrap_or_default().into();
        let welcome = connected.reported.iter().map(|name| (name.clone(), value(name))).collect();
        let totals = registry.totals(self.key());
        totals.opened.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(ReplicationEntry {
            kind,
            database: database.to_owned(),
            source: self,
            server: ServerEntry::new(connected.info.cancel, &connected.socket),
            totals,
        });
        registry.register(&entry);
        Ok(ReplicationConn { socket: connected.socket, welcome, entry })
    }

    fn key(&self) -> ReplicationKey {
        ReplicationKey {
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            instance: self.endpoint.address(),
        }
    }
}

impl ReplicationRegistry {
    fn totals(&self, key: ReplicationKey) -> Arc<ReplicationTotals> {
        Arc::clone(self.totals.lock().entry(key).or_default())
    }

    fn register(&self, entry: &Arc<ReplicationEntry>) {
        let mut entries = self.entries.lock();
        entries.retain(|entry| entry.strong_count() > 0);
        entries.push(Arc::downgrade(entry));
    }

    pub(crate) fn entries(&self) -> Vec<Arc<ReplicationEntry>> {
        self.entries.lock().iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn all_totals(&self) -> Vec<(ReplicationKey, Arc<ReplicationTotals>)> {
        self.totals.lock().iter().map(|(key, totals)| (key.clone(), Arc::clone(totals))).collect()
    }

    /// Drops the counters of sources that the topology has no more, unless they are in use.
    pub(crate) fn forget_unused(&self, is_served: impl Fn(&ReplicationKey) -> bool) {
        self.totals.lock().retain(|key, totals| Arc::strong_count(totals) > 1 || is_served(key));
    }
}
