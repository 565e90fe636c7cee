//! What all sessions of a process share, and what those of one worker share.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use arc_swap::{ArcSwap, ArcSwapOption};
use pgherd_pool::{Credentials, Directory};
use pgherd_tls::Acceptor;

use crate::admin::AdminConsole;
use crate::buffer::BufferPool;
use crate::clients::ClientRegistry;

/// How far the process is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Serving.
    Running = 0,
    /// Transactions finish, then clients are told goodbye.
    Draining = 1,
}

/// Limits for clients that have not logged in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From accepting a client to its login.
    pub login_timeout: Duration,
    /// Most clients; 0 for no limit.
    pub max_clients: usize,
}

/// Another proxy of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number, which stands in the cancel keys that it gives out.
    pub number: u16,
    /// Where it listens for clients.
    pub address: String,
}

/// What all sessions of the process share.
#[derive(Debug)]
pub struct Shared {
    /// From names to pools.
    pub directory: Directory,
    /// Who is logged in.
    pub clients: Arc<ClientRegistry>,
    /// Limits for logins.
    pub limits: Limits,
    /// Who may use the admin database.
    pub admins: AHashMap<String, Credentials>,
    /// Runs what admins ask.
    pub admin: Arc<dyn AdminConsole>,
    /// TLS towards clients, if it is offered. Replaced when certificates are read again.
    pub tls: ArcSwapOption<Acceptor>,
    /// The other proxies of the fleet.
    pub peers: ArcSwap<Vec<Peer>>,
    /// Connections that were accepted, logged in or not.
    pub accepted: AtomicU64,
    /// Logins that failed.
    pub failed_logins: AtomicU64,
    /// Cancel requests, by what became of them: forwarded to a server.
    pub cancels_sent: AtomicU64,
    /// Cancel requests that found nobody.
    pub cancels_ignored: AtomicU64,
    phase: AtomicU8,
    proxy_number: AtomicU16,
}

impl Shared {
    /// Puts the parts together; nobody is served before a topology is loaded.
    pub fn new(
        directory: Directory,
        limits: Limits,
        admins: AHashMap<String, Credentials>,
        admin: Arc<dyn AdminConsole>,
    ) -> Self {
        Self {
            directory,
            clients: Arc::default(),
            limits,
            admins,
            admin,
            tls: ArcSwapOption::default(),
            peers: ArcSwap::default(),
            accepted: AtomicU64::new(0),
            failed_logins: AtomicU64::new(0),
            cancels_sent: AtomicU64::new(0),
            cancels_ignored: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Running as u8),
            proxy_number: AtomicU16::new(0),
        }
    }

    /// How far the process is on its way down.
    pub fn phase(&self) -> Phase {
        if self.phase.load(Ordering::Relaxed) == 0 { Phase::Running } else { Phase::Draining }
    }

    /// Lets transactions finish and then tells clients goodbye.
    pub fn drain(&self) {
        self.phase.store(Phase::Draining as u8, Ordering::Relaxed);
        self.clients.wake_all();
    }

    /// The number of this proxy in its fleet.
    pub fn proxy_number(&self) -> u16 {
        self.proxy_number.load(Ordering::Relaxed)
    }

    /// Takes the number that the control plane has given. Clients that are logged in keep theirs.
    pub fn set_proxy_number(&self, number: u16) {
        self.proxy_number.store(number, Ordering::Relaxed);
    }
}

/// What the sessions of one worker share.
#[derive(Debug)]
pub struct Worker {
    /// Which worker this is.
    pub index: usize,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Buffers for whoever has bytes.
    pub buffers: BufferPool,
}

impl Worker {
    /// The context of one worker thread.
    pub fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Self { index, shared, buffers: BufferPool::default() })
    }
}
