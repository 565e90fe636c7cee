//! What the fuzz targets in `tests/fuzz` need of this crate; nothing else uses it.

use std::net::SocketAddr;
use std::sync::Arc;

use pgherd_config::TcpSettings;
use pgherd_pool::{CancelTarget, Encryption, ServerAddress};

use crate::clients::{ClientEntry, ClientIdentity, ClientRegistry, Registration};

pub use crate::exchange::{Exchange, with_names_of_client};

/// Words that tell of session state.
pub mod mentions {
    pub use crate::mentions::{OVERLAP, find, forgets_statements, sets_reported_parameter};
}

/// Names of parameters.
pub mod setting_names {
    pub use crate::setting_names::{
        SettingNames, begins_with_reset, begins_with_set, find, has_several, may_reset,
    };
}

/// Names of prepared statements.
pub mod sql_names {
    pub use crate::sql_names::{MAX_TEXT, find, may_be_any};
}

/// Logged-in clients, each with a server connection that a cancel can reach.
#[derive(Debug, Default)]
pub struct CancelKeys {
    registry: Arc<ClientRegistry>,
    clients: Vec<Option<Registration>>,
}

impl CancelKeys {
    /// Logs a client in that speaks this version of the protocol, at the proxy of this number.
    pub fn log_in(&mut self, version: u32, proxy_number: u16) {
        let who = ClientIdentity {
            user: "user".into(),
            database: "database".into(),
            address: None,
            application_name: "".into(),
            replication: None,
            version,
            tls: None,
        };
        let registration = self.registry.add(who, proxy_number);
        if let Some(registration) = &registration {
            registration.entry.attach(Arc::new(CancelTarget {
                address: ServerAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 1))),
                tcp: TcpSettings::default(),
                encryption: Encryption::None,
                pid: i32::try_from(self.clients.len()).unwrap_or(-1),
                key: Box::default(),
            }));
        }
        self.clients.push(registration);
    }

    /// Logs a client out.
    pub fn log_out(&mut self, client: usize) {
        if let Some(client) = self.clients.get_mut(client) {
            *client = None;
        }
    }

    /// The process id and key that a client was told at login, while it is logged in.
    pub fn told(&self, client: usize) -> Option<(i32, Vec<u8>)> {
        let entry: &ClientEntry = &self.clients.get(client)?.as_ref()?.entry;
        let (pid, key) = entry.cancel_key();
        Some((pid, key.to_vec()))
    }

    /// Whose server connection a cancel reaches.
    pub fn reached(&self, pid: i32, key: &[u8]) -> Option<usize> {
        let cancel = self.registry.begin_cancel(pid, key)?;
        usize::try_from(cancel.targets.first()?.pid).ok()
    }
}

#[cfg(test)]
mod tests {
    use pgherd_wire::startup::VERSION_3_0;

    use super::*;

    #[test]
    fn the_sign_of_a_process_id_counts() {
        let mut clients = CancelKeys::default();
        clients.log_in(VERSION_3_0, 2040);
        let (pid, key) = clients.told(0).unwrap();
        assert_eq!(clients.reached(pid, &key), Some(0));
        assert_eq!(clients.reached(pid | i32::MIN, &key), None);
    }
}
