//! What is shown of a proxy.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use pgherd_store::NackRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// One proxy as the control plane sees it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ProxyStatus {
    /// The same after a restart.
    pub id: String,
    /// Stands in its cancel keys.
    pub number: u32,
    /// Differs after a restart.
    pub incarnation: String,
    /// Of the program.
    pub version: String,
    /// Such as the zone.
    pub labels: BTreeMap<String, String>,
    /// Where peers reach it.
    pub address: Option<String>,
    /// Whether it is connected.
    pub state: ProxyState,
    /// Since when, if it is.
    pub connected_since: Option<DateTime<Utc>>,
    /// When it was last heard of.
    pub last_seen: DateTime<Utc>,
    /// What it runs.
    pub held: Option<Held>,
    /// Whether that is the current content.
    pub up_to_date: bool,
    /// What it refused last, if it accepted nothing since.
    pub last_nack: Option<Nack>,
    /// Its last numbers; none while it is not connected.
    pub statistics: Option<Statistics>,
    /// What it last saw of each instance; nothing while it is not connected.
    pub health: Vec<InstanceHealth>,
}

/// Whether a proxy is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyState {
    /// Its stream is open.
    Connected,
    /// Its stream is open and it is shutting down.
    Draining,
    /// It has no stream.
    Disconnected,
}

/// The snapshot that a proxy runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Held {
    /// Which history of the database.
    pub lineage: String,
    /// Which generation in it.
    pub generation: u64,
}

/// A proxy's numbers; counters since its start.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Statistics {
    /// When they arrived.
    pub at: DateTime<Utc>,
    /// Connected clients.
    pub clients: u32,
    /// Connections to instances.
    pub server_connections: u32,
    /// Clients that wait for a server connection.
    pub waiting_clients: u32,
    /// Transactions finished.
    pub transactions: u64,
    /// Statements finished.
    pub queries: u64,
    /// Bytes from clients.
    pub bytes_received: u64,
    /// Bytes to clients.
    pub bytes_sent: u64,
    /// By pool.
    pub pools: Vec<PoolStatistics>,
}

/// The numbers of one pool.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PoolStatistics {
    /// The cluster.
    pub cluster: String,
    /// The user.
    pub user: String,
    /// The shard's number, from 0.
    pub shard: u32,
    /// The instance as host:port.
    pub instance: String,
    /// Server connections in use.
    pub active: u32,
    /// Server connections that wait for work.
    pub idle: u32,
    /// Clients that wait for a server connection.
    pub waiting: u32,
    /// Transactions finished.
    pub transactions: u64,
}

/// What a proxy last saw of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstanceHealth {
    /// The cluster.
    pub cluster: String,
    /// The shard's number, from 0.
    pub shard: u32,
    /// The instance as host:port.
    pub instance: String,
    /// Whether it answers.
    pub reachable: bool,
    /// Why not.
    pub detail: String,
    /// When this arrived.
    pub at: DateTime<Utc>,
}

/// The numbers of one proxy, with its name.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ProxyStatistics {
    /// The proxy.
    pub id: String,
    /// Its numbers.
    pub statistics: Statistics,
}

/// A refusal of a snapshot by a proxy, which keeps what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Nack {
    /// The generation that was refused.
    pub generation: u64,
    /// A short word for the kind of refusal.
    pub code: String,
    /// Where in the topology (RFC 6901).
    pub pointer: String,
    /// For people.
    pub message: String,
    /// Whether the same content may be accepted later.
    pub retriable: bool,
    /// When it arrived.
    pub at: DateTime<Utc>,
}

impl From<NackRecord> for Nack {
    fn from(record: NackRecord) -> Self {
        let NackRecord { generation, code, pointer, message, retriable, at } = record;
        Self { generation, code, pointer, message, retriable, at }
    }
}
