//! How instances are watched, and how a connection to a dead one is found, as the data plane needs it.

use std::time::Duration;

use crate::{Cluster, User};

/// How the kernel finds that the other end of a server connection is gone. Not for Unix sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpSettings {
    /// Silence after which the kernel asks whether the other end lives; `None`: as the system has
    /// it.
    pub keepalive_idle: Option<Duration>,
    /// Time between two such questions.
    pub keepalive_interval: Duration,
    /// How many of them may stay without an answer.
    pub keepalive_count: u32,
    /// How long what was sent may stay without an acknowledgement; `None`: as the system has it.
    pub user_timeout: Option<Duration>,
}

impl Cluster {
    /// What is set on the sockets of server connections.
    pub fn tcp(&self) -> TcpSettings {
        TcpSettings {
            keepalive_idle: self.tcp_keepalive_idle.limit(),
            keepalive_interval: self.tcp_keepalive_interval.0,
            keepalive_count: self.tcp_keepalive_count,
            user_timeout: self.tcp_user_timeout.limit(),
        }
    }

    /// The user as whom the health of the instances is checked: the one that is named, or the
    /// first for whom there is a password.
    pub fn effective_health_check_user(&self) -> Option<&User> {
        match &self.health_check_user {
            Some(name) => self.user(name),
            None => self.users.iter().find(|user| user.effective_server_password().is_some()),
        }
    }
}
