//! The kinds of trouble that can get an instance banned.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a proxy has seen of an instance that speaks against it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceClass {
    /// Connections are refused, or there is no way to the host.
    ConnectRefused,
    /// A connection broke while something was sent to the instance or received from it.
    ConnectionReset,
    /// Connecting and logging in took longer than `connect_timeout`.
    ConnectTimeout,
    /// The background health check failed.
    HealthCheckFailed,
    /// A query got no answer, and the instance does not answer a probe either: the black hole.
    QueryTimeout,
    /// Clients waited for a connection in vain, and nothing finished on the instance meanwhile.
    CheckoutTimeout,
    /// The instance says that it shuts down, starts, or recovers from a crash.
    ServerShutdown,
    /// A replica is too far behind its primary.
    ReplicationLag,
    /// An administrator's ban, which is always obeyed.
    Manual,
}

impl EvidenceClass {
    /// Every class, in the order in which they are declared.
    pub const ALL: [Self; 9] = [
        Self::ConnectRefused,
        Self::ConnectionReset,
        Self::ConnectTimeout,
        Self::HealthCheckFailed,
        Self::QueryTimeout,
        Self::CheckoutTimeout,
        Self::ServerShutdown,
        Self::ReplicationLag,
        Self::Manual,
    ];

    /// The word for it in settings, metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectionReset => "connection_reset",
            Self::ConnectTimeout => "connect_timeout",
            Self::HealthCheckFailed => "health_check_failed",
            Self::QueryTimeout => "query_timeout",
            Self::CheckoutTimeout => "checkout_timeout",
            Self::ServerShutdown => "server_shutdown",
            Self::ReplicationLag => "replication_lag",
            Self::Manual => "manual",
        }
    }

    /// The classes that ban unless the settings say otherwise. Lag is not among them: a replica
    /// that is too far behind gets no reads anyway, and needs no probe to come back.
    pub fn that_ban() -> Vec<Self> {
        let spared = [Self::ReplicationLag, Self::Manual];
        Self::ALL.into_iter().filter(|class| !spared.contains(class)).collect()
    }
}

impl fmt::Display for EvidenceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::EvidenceClass;

    #[test]
    fn a_class_is_called_the_same_everywhere() {
        for class in EvidenceClass::ALL {
            let json = serde_json::to_value(class).unwrap();
            assert_eq!(json, class.as_str());
            assert_eq!(class.to_string(), class.as_str());
        }
    }
}
