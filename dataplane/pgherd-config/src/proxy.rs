//! The settings of one proxy process: listeners, workers, admin users, metrics, telemetry.

use serde::{Deserialize, Serialize};

use crate::{ClientTls, Cluster, Period, Secret};

/// The whole file given to `pgherd-proxy --config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyFile {
    /// Listeners, threads and limits of this process.
    pub proxy: Proxy,
    /// Who may use the admin database.
    pub admin: Admin,
    /// Where Prometheus finds the metrics.
    pub metrics: Metrics,
    /// Where traces and metrics are sent.
    pub telemetry: Telemetry,
    /// What clients can connect to. Left out when the topology comes from a control plane.
    pub clusters: Vec<Cluster>,
}

/// Listeners, threads and limits of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// Where clients are accepted: `host:port`, or an absolute directory for a Unix socket
    /// `.s.PGSQL.<port>`, with the port of the first TCP address (or 6432) unless it is given as
    /// `/directory:port`.
    pub listen: Vec<String>,
    /// Who may use the Unix sockets: permissions in octal, as for Postgres's setting of this name.
    pub unix_socket_permissions: String,
    /// TLS towards clients; read again with the certificates on a reload.
    pub tls: ClientTls,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// How long a drain waits for transactions to finish after SIGTERM.
    pub shutdown_timeout: Period,
    /// How long a client may take from connecting to being logged in.
    pub login_timeout: Period,
    /// Most client connections at one time; 0 means as many as file descriptors allow. PgBouncer's
    /// `max_client_conn`.
    pub max_clients: usize,
    /// Most client connections of one user name, over all clusters; 0 means any number.
    /// PgBouncer's `max_user_client_connections`.
    pub max_user_clients: usize,
    /// Most server connections for one user name, as clients say it, over all clusters; 0 means
    /// any number. PgBouncer's `max_user_connections`.
    pub max_user_server_connections: usize,
    /// Where other proxies reach this one, for forwarded cancels; by default the first `listen`.
    pub advertise_address: Option<String>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            listen: vec!["0.0.0.0:6432".to_owned()],
            unix_socket_permissions: "0777".to_owned(),
            tls: ClientTls::default(),
            workers: 0,
            shutdown_timeout: Period::secs(60),
            login_timeout: Period::secs(30),
            max_clients: 0,
            max_user_clients: 0,
            max_user_server_connections: 0,
            advertise_address: None,
        }
    }
}

/// Who may use the admin database `pgherd` (also reachable as `pgbouncer`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Names and passwords; with none the admin database is closed.
    pub users: Vec<AdminUser>,
}

/// One user of the admin database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminUser {
    /// The user name to log in with.
    pub name: String,
    /// A password or a SCRAM verifier.
    pub password: Secret,
}

/// Where Prometheus finds the metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Address of the HTTP listener for `/metrics`, `/healthz` and `/readyz`; empty switches it off.
    pub listen: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9930".to_owned() }
    }
}

/// Where traces and metrics are sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// OTLP gRPC endpoint; without one nothing is sent.
    pub otlp_endpoint: Option<String>,
    /// Share of transactions that are traced, 0 to 1.
    pub sample_ratio: f64,
}
