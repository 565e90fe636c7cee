//! The name of an instance that all proxies and control planes agree on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an instance listens, as the topology says it: nothing is resolved, so that all mean the
/// same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// Host name, IP address, or the directory of a Unix socket.
    pub host: String,
    /// TCP port, or the number in the name of the Unix socket.
    pub port: u16,
}

impl InstanceKey {
    /// The instance at this host and port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Whether it is reached through a Unix socket: another one on each host.
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl From<&pgherd_config::Instance> for InstanceKey {
    fn from(instance: &pgherd_config::Instance) -> Self {
        Self::new(instance.host.as_str(), instance.port)
    }
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
