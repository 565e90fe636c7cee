//! What people who look are shown of one server connection, whoever has it.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use pgherd_tls::TlsInfo;

use crate::cancel::CancelTarget;
use crate::socket::Socket;

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
    /// Where it goes is not where its instance is any more.
    forsaken: AtomicBool,
    /// The same socket once more, to end a conversation that another thread waits in. Dropped with
    /// the connection, so that whoever looks does not keep it open.
    socket: Mutex<Option<OwnedFd>>,
}

impl ServerEntry {
    pub(crate) fn new(target: Arc<CancelTarget>, socket: &Socket) -> Self {
        Self {
            target,
            tls: socket.tls_info(),
            connected_at: SystemTime::now(),
            state: AtomicU8::new(ServerState::Active as u8),
            forsaken: AtomicBool::new(false),
            // Without one more file descriptor, the conversation ends by itself some time.
            socket: Mutex::new(socket.second_handle()),
        }
    }

    /// Ends the conversation at once, whoever waits in it: what is read is the end.
    pub(crate) fn cut(&self) {
        if let Some(socket) = &*self.socket.lock() {
            // One that is ended already cannot be ended again.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        }
    }

    /// The connection is closed now.
    pub(crate) fn close(&self) {
        *self.socket.lock() = None;
    }

    /// It is closed when it comes back.
    pub(crate) fn forsake(&self) {
        self.forsaken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_forsaken(&self) -> bool {
        self.forsaken.load(Ordering::Relaxed)
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

/// An entry in the hands of its connection.
#[derive(Debug)]
pub(crate) struct Registered(pub(crate) Arc<ServerEntry>);

impl Deref for Registered {
    type Target = Arc<ServerEntry>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.close();
    }
}
