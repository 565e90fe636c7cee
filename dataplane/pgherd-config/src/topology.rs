//! Clusters, shards, instances and users: what is served, and what the control plane hands out.

use serde::{Deserialize, Serialize};

use crate::{ByteSize, EvidenceClass, Period, Secret, ServerTls, ShardedSchema, ShardedTable};

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
    /// Further server connections per user and instance, made when a client has waited for
    /// `reserve_pool_timeout`.
    pub reserve_pool_size: usize,
    /// How long a client waits before the reserve is used; 0 means that it is not.
    pub reserve_pool_timeout: Period,
    /// Most clients of the cluster, over all users; 0 means any number. PgBouncer's
    /// `max_db_client_connections`; with the name `*` it counts over all its databases.
    pub max_clients: usize,
    /// Most server connections of the cluster, over all users and instances; 0 means any number.
    /// PgBouncer's `max_db_connections`; with the name `*` it counts over all its databases. A
    /// pool that wants to grow beyond it closes an idle connection of another one, or waits.
    pub max_server_connections: usize,
    /// How long a client waits for a server connection.
    pub checkout_timeout: Period,
    /// How long connecting and logging in to an instance may take.
    pub connect_timeout: Period,
    /// How long a server connection may stay unused before it is closed; 0 means for ever.
    pub idle_timeout: Period,
    /// How old a server connection may become; 0 means any age. Spread by up to a tenth.
    pub server_lifetime: Period,
    /// Most prepared statements that one client may have at a time in transaction mode; 0 means any
    /// number. Equal statements of many clients are kept once.
    pub max_prepared_statements: usize,
    /// Prepared statements that are kept on a server connection in transaction mode; those that
    /// were not used for longest are closed first. At least 1.
    pub server_prepared_statements: usize,
    /// How an instance is chosen for a read; by default `random` where the instances are equal,
    /// and `least_connections` where their weights differ or the primary takes reads as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancing: Option<LoadBalancing>,
    /// Where statements that only read are sent.
    pub reads: Reads,
    /// Whether reads for replicas go to the primary when no replica can take them.
    pub read_fallback: bool,
    /// How far a replica may be behind the primary and still get reads; 0 means any. Measured by
    /// the health checks, so that much less than two of their intervals makes no sense.
    pub max_replica_lag: Period,
    /// Run on each new server connection before clients use it, and again when its session state
    /// has been reset. If it fails the connection is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_query: Option<String>,
    /// Hard limit for one query, or one message or pipeline of several, which is then cancelled in
    /// Postgres; 0 means none.
    pub query_timeout: Period,
    /// Hard limit for one transaction, after which its client is disconnected; 0 means none.
    pub transaction_timeout: Period,
    /// How long a client may do nothing inside a transaction before it is disconnected; 0 means
    /// for ever. PgBouncer's `idle_transaction_timeout`.
    pub idle_in_transaction_timeout: Period,
    /// How long a client may do nothing outside of transactions before it is disconnected; 0
    /// means for ever.
    pub client_idle_timeout: Period,
    /// Silence after which the instance of a running query is probed; 0 means never.
    pub stall_timeout: Period,
    /// How often each instance is checked over a connection that is kept for it; 0 means never.
    /// Where clusters name the same instance, the shortest counts. That connection is one more than
    /// the limits say, one for each proxy and instance.
    pub health_check_interval: Period,
    /// How long a check may take. An instance that answers neither the connection that is kept nor
    /// a new one within that time has failed it.
    pub health_check_timeout: Period,
    /// The user of this cluster as whom the checks log in; by default the first one for whom there
    /// is a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check_user: Option<String>,
    /// Silence of a server connection after which the kernel asks whether the other end lives, in
    /// whole seconds; 0 means as the system has it. None of the `tcp_` settings is for Unix sockets.
    pub tcp_keepalive_idle: Period,
    /// Time between two such questions, in whole seconds.
    pub tcp_keepalive_interval: Period,
    /// How many of them may stay without an answer before the connection counts as dead.
    pub tcp_keepalive_count: u32,
    /// How long what was sent to an instance may stay unacknowledged before the connection counts
    /// as dead; 0 means as the system has it. Also ends the questions above.
    pub tcp_user_timeout: Period,
    /// How long an instance is banned the first time; twice as long each time that it is banned
    /// again soon. Probes that succeed end a ban early; without one none ends.
    pub ban_time: Period,
    /// How long a ban may become.
    pub max_ban_time: Period,
    /// Most replicas of a shard, in percent, that are banned for what was seen of them; 0 means none,
    /// anything else at least one. Where nothing would be left to read from, none is banned.
    #[schemars(range(max = 100))]
    pub max_banned_percent: u8,
    /// What gets an instance banned from reads.
    pub ban_on: Vec<EvidenceClass>,
    /// TLS towards the instances.
    pub server_tls: ServerTls,
    /// Most memory of the proxy that one statement over several shards may take for rows that it
    /// gathers, before it fails with an error that says the size. Rows that are only passed on are
    /// not counted, and a client may run one such statement at a time.
    pub gather_limit: ByteSize,
    /// Tables that are on every shard in full.
    pub reference_tables: Vec<String>,
    /// Who may log in.
    pub users: Vec<User>,
    /// How rows are placed on shards.
    pub sharded_tables: Vec<ShardedTable>,
    /// Schemas that are on one shard with all their tables, such as one for each tenant.
    pub sharded_schemas: Vec<ShardedSchema>,
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
            reserve_pool_size: 0,
            reserve_pool_timeout: Period::secs(5),
            max_clients: 0,
            max_server_connections: 0,
            checkout_timeout: Period::secs(5),
            connect_timeout: Period::secs(5),
            idle_timeout: Period::secs(600),
            server_lifetime: Period::secs(3600),
            max_prepared_statements: 10_000,
            server_prepared_statements: 500,
            load_balancing: None,
            reads: Reads::Primary,
            read_fallback: true,
            max_replica_lag: Period::secs(0),
            connect_query: None,
            query_timeout: Period::secs(0),
            transaction_timeout: Period::secs(0),
            idle_in_transaction_timeout: Period::secs(0),
            client_idle_timeout: Period::secs(0),
            stall_timeout: Period::secs(30),
            health_check_interval: Period::secs(1),
            health_check_timeout: Period::secs(1),
            health_check_user: None,
            tcp_keepalive_idle: Period::secs(5),
            tcp_keepalive_interval: Period::secs(1),
            tcp_keepalive_count: 3,
            tcp_user_timeout: Period::secs(10),
            ban_time: Period::secs(60),
            max_ban_time: Period::secs(600),
            max_banned_percent: 100,
            ban_on: EvidenceClass::that_ban(),
            server_tls: ServerTls::default(),
            gather_limit: ByteSize::mb(64),
            reference_tables: Vec::new(),
            users: Vec::new(),
            sharded_tables: Vec::new(),
            sharded_schemas: Vec::new(),
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
    /// After each message or pipeline of the client; transactions that go on beyond it are refused.
    Statement,
}

/// How a replica is chosen for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancing {
    /// Any, with equal chances.
    Random,
    /// The one with the fewest busy connections for its weight.
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
    /// Overrides the cluster's `reserve_pool_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve_pool_size: Option<usize>,
    /// Most clients of this user in this cluster; 0 means any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_clients: Option<usize>,
    /// Most server connections of this user in this cluster, over all instances; 0 means any
    /// number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_server_connections: Option<usize>,
    /// Overrides the cluster's `checkout_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout_timeout: Option<Period>,
    /// Overrides the cluster's `query_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_timeout: Option<Period>,
    /// Overrides the cluster's `transaction_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_timeout: Option<Period>,
    /// Overrides the cluster's `idle_in_transaction_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_in_transaction_timeout: Option<Period>,
    /// Overrides the cluster's `client_idle_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_idle_timeout: Option<Period>,
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
    /// Share of reads under `weighted` load balancing, and of busy connections under
    /// `least_connections`; 0 means none while others are there.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Most server connections to this instance, over all clusters and users; 0 means any number.
    /// Where clusters say different numbers for one address, the smallest counts.
    #[serde(default)]
    pub max_server_connections: usize,
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
