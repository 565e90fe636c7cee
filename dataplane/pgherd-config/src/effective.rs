//! What holds for one user or instance once defaults and overrides are taken together.

use std::time::Duration;

use crate::{
    Cluster, Instance, InstanceRole, PoolMode, Proxy, ProxyFile, Secret, ServerTls, Shard,
    Topology, User,
};

/// How long clients of one user may take or do nothing; `None` stands for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For one query.
    pub query: Option<Duration>,
    /// For one transaction.
    pub transaction: Option<Duration>,
    /// Without a statement, inside a transaction.
    pub idle_in_transaction: Option<Duration>,
    /// Without a statement, outside of transactions.
    pub idle: Option<Duration>,
    /// Without a word of the server while it has something to answer: its instance is probed.
    pub stall: Option<Duration>,
}

/// How a SCRAM verifier begins, as Postgres stores it in `pg_authid.rolpassword`.
const VERIFIER_PREFIX: &str = "SCRAM-SHA-256$";

impl ClientTimeouts {
    /// The shortest of them, if there is any.
    pub fn shortest(&self) -> Option<Duration> {
        let all = [self.query, self.transaction, self.idle_in_transaction, self.idle, self.stall];
        all.into_iter().flatten().min()
    }
}

impl ProxyFile {
    /// The part of the file that a control plane would otherwise hand out.
    pub fn topology(&self) -> Topology {
        Topology { clusters: self.clusters.clone() }
    }
}

/// Where clients are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen<'l> {
    /// `host:port`.
    Tcp(&'l str),
    /// A Unix socket in a directory.
    Unix {
        /// The directory.
        directory: &'l str,
        /// The number in its name, if it is given.
        port: Option<u16>,
    },
}

impl<'l> Listen<'l> {
    /// Tells an address from a directory: the latter begins with `/`.
    pub fn parse(text: &'l str) -> Self {
        if !text.starts_with('/') {
            return Self::Tcp(text);
        }
        match text.rsplit_once(':').map(|(directory, port)| (directory, port.parse())) {
            Some((directory, Ok(port))) => Self::Unix { directory, port: Some(port) },
            _ => Self::Unix { directory: text, port: None },
        }
    }
}

impl Proxy {
    /// The permissions of Unix sockets; `None` when the setting is not octal.
    pub fn effective_unix_socket_permissions(&self) -> Option<u32> {
        u32::from_str_radix(&self.unix_socket_permissions, 8).ok().filter(|mode| *mode <= 0o777)
    }
}

impl Topology {
    /// The cluster that serves a database name: the one so called, else the one called `*`.
    pub fn cluster_for(&self, database: &str) -> Option<&Cluster> {
        let named = |name: &str| self.clusters.iter().find(|cluster| cluster.name == name);
        named(database).or_else(|| named("*"))
    }
}

impl Cluster {
    /// The user with this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Most server connections of this user to one instance.
    pub fn effective_pool_size(&self, user: &User) -> usize {
        user.pool_size.unwrap_or(self.pool_size)
    }

    /// TLS towards one of its instances.
    pub fn effective_server_tls<'s>(&'s self, instance: &'s Instance) -> &'s ServerTls {
        instance.server_tls.as_ref().unwrap_or(&self.server_tls)
    }

    /// When this user's server connections go back to their pool.
    pub fn effective_pool_mode(&self, user: &User) -> PoolMode {
        user.pool_mode.unwrap_or(self.pool_mode)
    }

    /// Further server connections of this user to one instance, for clients that have waited.
    pub fn effective_reserve_pool_size(&self, user: &User) -> usize {
        user.reserve_pool_size.unwrap_or(self.reserve_pool_size)
    }

    /// How long clients of this user wait for a server connection.
    pub fn effective_checkout_timeout(&self, user: &User) -> Duration {
        user.checkout_timeout.unwrap_or(self.checkout_timeout).0
    }

    /// How long clients of this user may take or do nothing.
    pub fn effective_timeouts(&self, user: &User) -> ClientTimeouts {
        let transaction = user.transaction_timeout.unwrap_or(self.transaction_timeout);
        let idle_in_transaction =
            user.idle_in_transaction_timeout.unwrap_or(self.idle_in_transaction_timeout);
        ClientTimeouts {
            query: user.query_timeout.unwrap_or(self.query_timeout).limit(),
            transaction: transaction.limit(),
            idle_in_transaction: idle_in_transaction.limit(),
            idle: user.client_idle_timeout.unwrap_or(self.client_idle_timeout).limit(),
            stall: self.stall_timeout.limit(),
        }
    }
}

impl User {
    /// The name to log in to the instances with.
    pub fn effective_server_user(&self) -> &str {
        self.server_user.as_deref().unwrap_or(&self.name)
    }

    /// The password to log in to the instances with; `None` only where validation was skipped.
    pub fn effective_server_password(&self) -> Option<&Secret> {
        self.server_password
            .as_ref()
            .or_else(|| (!self.password.is_verifier()).then_some(&self.password))
    }
}

impl Secret {
    /// Whether this is a SCRAM verifier, or meant to be one, and not a password.
    pub fn is_verifier(&self) -> bool {
        self.expose().starts_with(VERIFIER_PREFIX)
    }
}

impl Shard {
    /// The instance that takes writes: the one named primary, or the only one there is.
    pub fn primary(&self) -> Option<&Instance> {
        let named = |instance: &&Instance| instance.role == InstanceRole::Primary;
        self.instances.iter().find(named).or(match self.instances.as_slice() {
            [only] => Some(only),
            _ => None,
        })
    }
}

impl Instance {
    /// Whether the instance is reached through a Unix socket in the directory `host`.
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// The instance's name in messages and statistics: `host:port`, IPv6 in brackets.
    pub fn address(&self) -> String {
        if !self.is_unix_socket() && self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
