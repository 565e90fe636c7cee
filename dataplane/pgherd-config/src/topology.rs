//! Clusters, shards, instances and users: what is served, and what the control plane hands out.

use serde::{Deserialize, Serialize};

use crate::{Period, Secret, ServerTls};

/// Everything a proxy serves: the document that a snapshot carries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    /// One entry for each database name that clients use.
    pub clusters: Vec<Cluster>,
}

/// What a client names as its database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// The database name that clients use; `*` serves every name without a cluster of its own.
    pub name: String,
    /// When a server connection goes back to its pool.
    pub pool_mode: PoolMode,
    /// Most server connections per user and instance, over all workers.
    pub pool_size: usize,
    /// Server connections kept open per user and instance.
    pub min_pool_size: usize,
    /// How long a client waits for a server connection.
    pub checkout_timeout: Period,
    /// How long connecting and logging in to an instance may take.
    pub connect_timeout: Period,
    /// How long a server connection may stay unused before it is closed; 0 means for ever.
    pub idle_timeout: Period,
    /// How old a server connection may become; 0 means any age. Spread by up to a tenth.
    pub server_lifetime: Period,
    /// How a replica is chosen for a read.
    pub load_balancing: LoadBalancing,
    /// Where statements that only read are sent.
    pub reads: Reads,
    /// Hard limit for one query; 0 means none.
    pub query_timeout: Period,
    /// Silence after which the instance of a running query is probed; 0 means never.
    pub stall_timeout: Period,
    /// How long an instance is banned the first time.
    pub ban_time: Period,
    /// TLS towards the instances.
    pub server_tls: ServerTls,
    /// Tables that are on every shard in full.
    pub reference_tables: Vec<String>,
    /// Who may log in.
    pub users: Vec<User>,
    /// How rows are placed on shards.
    pub sharded_tables: Vec<ShardedTable>,
    /// The shards, in order; one shard for a cluster that is not sharded.
    pub shards: Vec<Shard>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            name: String::new(),
            pool_mode: PoolMode::Transaction,
            pool_size: 20,
            min_pool_size: 0,
            checkout_timeout: Period::secs(5),
            connect_timeout: Period::secs(5),
            idle_timeout: Period::secs(600),
            server_lifetime: Period::secs(3600),
            load_balancing: LoadBalancing::Random,
            reads: Reads::Primary,
            query_timeout: Period::secs(0),
            stall_timeout: Period::secs(30),
            ban_time: Period::secs(60),
            server_tls: ServerTls::default(),
            reference_tables: Vec::new(),
            users: Vec::new(),
            sharded_tables: Vec::new(),
            shards: Vec::new(),
        }
    }
}

/// When a server connection goes back to its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolMode {
    /// At the end of each transaction.
    Transaction,
    /// When the client disconnects.
    Session,
    /// After each statement; transactions of several statements are refused.
    Statement,
}

/// How a replica is chosen for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancing {
    /// Any, with equal chances.
    Random,
    /// The one with the fewest busy connections.
    LeastConnections,
    /// Each in turn.
    RoundRobin,
    /// By the weight of each instance.
    Weighted,
    /// By a moving average of latency that reacts to peaks.
    PeakEwma,
}

/// Where statements that only read are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// To the primary, like writes.
    Primary,
    /// To replicas.
    Replicas,
    /// To the primary and to replicas.
    Any,
}

/// One user of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name that clients log in with.
    pub name: String,
    /// A password, or a SCRAM verifier (`SCRAM-SHA-256$…`), against which clients are checked.
    pub password: Secret,
    /// The user on the instances; by default the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_user: Option<String>,
    /// The password on the instances; by default `password`, if that is not a verifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_password: Option<Secret>,
    /// Overrides the cluster's `pool_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_size: Option<usize>,
    /// Overrides the cluster's `pool_mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_mode: Option<PoolMode>,
}

/// A horizontal part of a cluster: one primary and its replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shard {
    /// The Postgres processes of this shard.
    pub instances: Vec<Instance>,
}

/// One Postgres process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Host name, IP address, or the directory of a Unix socket.
    pub host: String,
    /// TCP port, or the number in the name of the Unix socket.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Database on the instance; by default the name that the client used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// What the instance is in its shard.
    #[serde(default)]
    pub role: InstanceRole,
    /// Share of reads under `weighted` load balancing.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Replaces the cluster's `server_tls` for this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_tls: Option<ServerTls>,
}

fn default_port() -> u16 {
    5432
}

fn default_weight() -> u32 {
    1
}

/// What an instance is in its shard.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InstanceRole {
    /// Found out from the instance itself.
    #[default]
    Auto,
    /// Takes writes.
    Primary,
    /// Follows the primary and takes reads.
    Replica,
}

/// How the rows of tables with a given column are placed on shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardedTable {
    /// Narrows the rule to one table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The column that holds the sharding key.
    pub column: String,
    /// Type of the column.
    #[serde(rename = "type")]
    pub column_type: String,
    /// How a key becomes a shard.
    #[serde(default)]
    pub algorithm: ShardingAlgorithm,
}

/// How a sharding key becomes a shard.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ShardingAlgorithm {
    /// As Postgres's `PARTITION BY HASH`.
    #[default]
    Hash,
    /// By listed values.
    List,
    /// By ranges.
    Range,
}
