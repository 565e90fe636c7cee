//! What all sessions of a process share, and what those of one worker share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use arc_swap::{ArcSwap, ArcSwapOption};
use pgherd_pool::{Credentials, Directory};
use pgherd_tls::Acceptor;

use crate::admin::AdminConsole;
use crate::admission::Admissions;
use crate::buffer::BufferPool;
use crate::clients::ClientRegistry;
use crate::routing::kept::Refuted;
use crate::sharded::Commits;
use crate::timeouts::Watches;

/// Bytes that a worker spends on what it knows of statements' texts.
const MAX_ANALYSES: usize = 16 << 20;

/// How far the process is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Serving.
    Running = 0,
    /// Transactions finish, then clients are told goodbye.
    Draining = 1,
    /// Nobody is left but clients that are sent a stream without an end: they are told goodbye.
    OnlyStreams = 2,
}

/// Limits for clients that have not logged in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From accepting a client to its login.
    pub login_timeout: Duration,
    /// Most clients; 0 for no limit.
    pub max_clients: usize,
    /// Most clients of one user name; 0 for no limit.
    pub max_user_clients: usize,
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
    /// How many they are of each cluster and user.
    pub admissions: Arc<Admissions>,
    /// What is known of the tables of databases with several shards.
    pub(crate) catalogs: crate::sharded::Catalogs,
    /// Transactions over several shards that are being committed, or left to be finished.
    pub commits: Arc<Commits>,
    /// Transactions over several shards that may wait for each other.
    pub deadlocks: crate::sharded::Deadlocks,
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
    /// Times that a client moved from one worker to another.
    pub moved: AtomicU64,
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
            admissions: Arc::default(),
            catalogs: crate::sharded::Catalogs::default(),
            commits: Arc::default(),
            deadlocks: crate::sharded::Deadlocks::default(),
            limits,
            admins,
            admin,
            tls: ArcSwapOption::default(),
            peers: ArcSwap::default(),
            accepted: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            failed_logins: AtomicU64::new(0),
            cancels_sent: AtomicU64::new(0),
            cancels_ignored: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Running as u8),
            proxy_number: AtomicU16::new(0),
        }
    }

    /// How far the process is on its way down.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::OnlyStreams,
        }
    }

    /// Lets transactions finish and then tells clients goodbye.
    pub fn drain(&self) {
        self.phase.store(Phase::Draining as u8, Ordering::Relaxed);
        self.clients.wake_all();
    }

    /// Tells replication streams goodbye when nobody else is left.
    pub fn drain_streams(&self) {
        if self.phase() == Phase::Draining && self.clients.only_streams() {
            self.phase.store(Phase::OnlyStreams as u8, Ordering::Relaxed);
            self.clients.wake_all();
        }
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
    /// The worker to which clients are moving from here, and how many more of them.
    relief: Cell<(usize, usize)>,
    /// The sessions that have limits of time.
    pub watches: Watches,
    /// What statements do, by their texts.
    pub(crate) analyses: RefCell<pgherd_sql::Cache>,
    /// Statements of sessions over shards, by their texts.
    pub(crate) texts: RefCell<crate::sharded::Texts>,
    /// Texts that only look as if they would not write.
    pub(crate) refuted: Refuted,
}

impl Worker {
    /// The context of one worker thread.
    pub fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Self {
            index,
            shared,
            buffers: BufferPool::default(),
            relief: Cell::default(),
            watches: Watches::default(),
            analyses: RefCell::new(pgherd_sql::Cache::new(MAX_ANALYSES)),
            texts: RefCell::default(),
            refuted: Refuted::default(),
        })
    }

    /// Lets the next so many clients that have ended a transaction move to another worker.
    pub fn relieve(&self, to: usize, clients: usize) {
        self.relief.set((to, clients));
    }

    /// Where the client that asks is to move.
    pub(crate) fn take_relief(&self) -> Option<usize> {
        let (to, clients) = self.relief.get();
        let left = clients.checked_sub(1)?;
        self.relief.set((to, left));
        Some(to)
    }
}
