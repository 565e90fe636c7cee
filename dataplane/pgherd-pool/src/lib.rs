//! Server connections: making them, lending them out one client at a time, and taking them back.
//!
//! A [`Pool`] holds the connections of one (cluster, user, instance). A [`Lease`] is the right to
//! use one of them; what is not given back clean is closed. [`Directory`] finds the pool for a
//! client and lives through changes of the topology.

mod cancel;
mod catalog;
mod clock;
mod connect;
mod directory;
mod encryption;
mod entry;
mod errand;
mod evidence;
mod farewell;
mod growth;
mod health;
mod instance;
mod lease;
mod limits;
mod pool;
mod replication;
mod server;
mod shard;
mod shards;
mod shelf;
mod socket;
mod statements;
mod stats;
mod targets;
mod tcp;
mod totals;

pub use cancel::{CancelTarget, ServerAddress, forward_cancel, send_cancel};
pub use catalog::Volatilities;
pub use connect::{ConnectError, Endpoint};
pub use directory::{
    ClientLimits, ClientRules, ClusterUser, Credentials, Directory, InstanceStatus, LoadError,
    LookupError, Primaries, ReplicationCluster, connectors,
};
pub use encryption::{Encryption, EncryptionError};
pub use entry::{ServerEntry, ServerState};
pub use errand::{Errand, ErrandError, ErrandRows};
pub use health::{Doubt, Sight, Vitals};
pub use instance::{InstanceState, Role};
pub use lease::Lease;
pub use pool::{CheckoutError, Pool, PoolCounts, PoolSettings};
pub use replication::{
    ReplicationConn, ReplicationEntry, ReplicationKey, ReplicationSource, ReplicationTotals,
};
pub use server::{ServerConn, ServerError, ServerInfo, in_any_transaction, note_parameter};
pub use shards::Shards;
pub use socket::Socket;
pub use statements::{
    Effect, Exchanged, Note, Reservation, ServerStatements, Shape, SqlUse, SqlVerb, Statement,
    StatementRegistry, Unnamed,
};
pub use stats::{PoolStats, WorkerStats};
pub use targets::{Access, Need, NoTarget, RoleWish, Targets};

pub use pgherd_balance::InstanceKey;
pub use pgherd_wire::startup::Replication;
pub use totals::{DatabaseStats, PoolName};
