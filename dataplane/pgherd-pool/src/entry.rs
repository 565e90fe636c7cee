//! What people who look are shown of one server connection, whoever has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use pgherd_tls::TlsInfo;

use crate::cancel::CancelTarget;

/// What a server connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ServerState {
    /// It waits in its pool.
    Idle = 0,
    /// It is lent to a client, or a client has left it and it is being made clean.
    Active = 1,
}

/// One open server connection. Lives as long as the connection.
///
/// The pool writes the state while it holds its lock for other reasons: one store for each
/// checkout, which nobody waits for.
#[derive(Debug)]
pub struct ServerEntry {
    /// Address and backend process id.
    pub target: Arc<CancelTarget>,
    /// How it is encrypted, if it is.
    pub tls: Option<TlsInfo>,
    /// When it had logged in.
    pub connected_at: SystemTime,
    state: AtomicU8,
}

impl ServerEntry {
    pub(crate) fn new(target: Arc<CancelTarget>, tls: Option<TlsInfo>) -> Self {
        let state = AtomicU8::new(ServerState::Active as u8);
        Self { target, tls, connected_at: SystemTime::now(), state }
    }

    /// What the connection is doing.
    pub fn state(&self) -> ServerState {
        match self.state.load(Ordering::Relaxed) {
            0 => ServerState::Idle,
            _ => ServerState::Active,
        }
    }

    pub(crate) fn set_state(&self, state: ServerState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}
