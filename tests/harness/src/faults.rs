//! A TCP proxy that injects faults, driven by the test that started it.
//!
//! It runs in a thread of the test's own process, so that a test can strike at a given byte or
//! message of a given connection ([`Strike`]) and knows when the blow has fallen. What is not hit
//! passes unchanged and in order; a fault holds bytes back or ends the connection, as networks do,
//! and never loses some and delivers what follows.
//!
//! ```no_run
//! use pgherd_harness::faults::{FaultProxy, Set, Toxic};
//! # let upstream = ([127, 0, 0, 1], 5432).into();
//! let faults = FaultProxy::for_postgres(upstream, 42)?;
//! faults.apply(&Set::both(Toxic::BlackHole));        // everyone, now and from now on
//! faults.heal();
//! # anyhow::Ok(())
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc as commands, watch};

mod connection;
mod frames;
mod pump;
mod strike;

pub use connection::Connection;
pub use strike::{Armed, At, Position, Scope, Strike};

const BACKLOG: u32 = 1024;
/// How long the thread may take to do what it is told.
const SOON: Duration = Duration::from_secs(10);

/// Which half of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the client says.
    ToServer,
    /// What the server says.
    ToClient,
}

/// One thing that is wrong with a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Toxic {
    /// Everything arrives `delay` later, give or take up to `jitter`, in order.
    Latency {
        /// How much later.
        delay: Duration,
        /// Give or take.
        jitter: Duration,
    },
    /// No more than so many bytes pass.
    Bandwidth {
        /// The limit.
        bytes_per_second: u64,
    },
    /// The end of the stream arrives later.
    SlowClose {
        /// How much later.
        delay: Duration,
    },
    /// Connections are accepted and what is said on them is read, but nothing ever comes out on the
    /// other side. When it ends, the connections that have known it are reset.
    Timeout,
    /// A TCP reset to both sides, for new connections too.
    Reset,
    /// Arrives in pieces.
    Slicer {
        /// Bytes in one piece, on average.
        size: usize,
        /// Between two pieces.
        delay: Duration,
    },
    /// The connection is closed to both sides when so many bytes have passed since this was set.
    LimitData {
        /// How many.
        bytes: u64,
    },
    /// Nothing passes, not even the end of the connection, until it is healed; then all of it does,
    /// as when packets are dropped for a while.
    BlackHole,
}

/// All that is wrong with a connection, by direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    to_server: Vec<Toxic>,
    to_client: Vec<Toxic>,
}

/// A running proxy; dropping it closes its connections.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    commands: commands::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Command {
    /// Whether connections are accepted or refused; answered when it is so.
    Listen(bool, mpsc::Sender<std::io::Result<()>>),
    End,
}

/// What the thread and the test both look at.
#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    /// Whether it is Postgres's protocol that is spoken.
    framed: bool,
    seed: u64,
    control: Mutex<Control>,
}

#[derive(Debug, Default)]
struct Control {
    /// What new connections begin with.
    set: Set,
    strikes: Vec<strike::Waiting>,
    connections: Vec<Arc<Connection>>,
    opened: u64,
}

// === impl Set ===

impl Set {
    /// Nothing is wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// One toxic in both directions.
    pub fn both(toxic: Toxic) -> Self {
        Self { to_server: vec![toxic.clone()], to_client: vec![toxic] }
    }

    /// One toxic in one direction.
    pub fn only(direction: Direction, toxic: Toxic) -> Self {
        Self::none().and(direction, toxic)
    }

    /// Adds a toxic.
    pub fn and(mut self, direction: Direction, toxic: Toxic) -> Self {
        match direction {
            Direction::ToServer => self.to_server.push(toxic),
            Direction::ToClient => self.to_client.push(toxic),
        }
        self
    }

    fn toward(&self, direction: Direction) -> &[Toxic] {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    fn has(&self, toxic: &Toxic) -> bool {
        self.to_server.contains(toxic) || self.to_client.contains(toxic)
    }
}

// === impl FaultProxy ===

impl FaultProxy {
    /// Starts one for any protocol; strikes can be at bytes only. The seed decides jitter and the
    /// sizes of slices.
    pub fn start(upstream: SocketAddr, seed: u64) -> Result<Self> {
        Self::start_with(upstream, seed, false)
    }

    /// Starts one that knows Postgres's messages while they are not encrypted. It passes short
    /// messages on whole, so that strikes can be before, within or after them.
    pub fn for_postgres(upstream: SocketAddr, seed: u64) -> Result<Self> {
        Self::start_with(upstream, seed, true)
    }

    fn start_with(upstream: SocketAddr, seed: u64, framed: bool) -> Result<Self> {
        let shared = Arc::new(Shared { upstream, framed, seed, control: Mutex::default() });
        let (commands, orders) = commands::unbounded_channel();
        let (started, listening) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("faults".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(serve(of_thread, orders, &started)),
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        let addr = listening.recv_timeout(SOON).context("the proxy's thread does not start")??;
        Ok(Self { addr, shared, commands, thread: Some(thread) })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Makes this what is wrong with all connections, those to come included.
    pub fn apply(&self, set: &Set) {
        let mut control = self.shared.control();
        control.set = set.clone();
        control.connections.iter().for_each(|connection| connection.apply(set));
    }

    /// Makes this what is wrong with the connections that there are.
    pub fn apply_to_live(&self, set: &Set) {
        self.connections().iter().for_each(|connection| connection.apply(set));
    }

    /// Nothing is wrong with any connection any more.
    pub fn heal(&self) {
        self.apply(&Set::none());
    }

    /// The connections that there are, the oldest first.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        self.shared.control().connections.clone()
    }

    /// How many connections there ever were.
    pub fn opened(&self) -> u64 {
        self.shared.control().opened
    }

    /// Waits for a moment, and strikes then.
    pub fn arm(&self, strike: Strike) -> Armed {
        let (waiting, armed) = strike::arm(strike);
        self.shared.control().strikes.push(waiting);
        armed
    }

    /// Closes the listener: the kernel refuses new connections.
    pub fn refuse(&self) -> Result<()> {
        self.listen(false)
    }

    /// Opens it again at the same address.
    pub fn accept(&self) -> Result<()> {
        self.listen(true)
    }

    fn listen(&self, listen: bool) -> Result<()> {
        let (done, wait) = mpsc::channel();
        self.commands.send(Command::Listen(listen, done))?;
        Ok(wait.recv_timeout(SOON).context("the proxy's thread does not answer")??)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Nothing panics while it holds this lock; a test that fails elsewhere still wants to look.
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listener(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn serve(
    shared: Arc<Shared>,
    mut orders: commands::UnboundedReceiver<Command>,
    started: &mpsc::Sender<std::io::Result<SocketAddr>>,
) {
    let bound = listener(SocketAddr::from(([127, 0, 0, 1], 0)))
        .and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (addr, mut accepting) = match bound {
        Ok((addr, listener)) => (addr, Some(listener)),
        Err(error) => return drop(started.send(Err(error))),
    };
    let _ = started.send(Ok(addr));
    loop {
        let accept = async {
            match &accepting {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = orders.recv() => match command {
                Some(Command::Listen(true, done)) => {
                    let reopened = match accepting {
                        Some(_) => Ok(()),
                        None => listener(addr).map(|listener| accepting = Some(listener)),
                    };
                    let _ = done.send(reopened);
                }
                Some(Command::Listen(false, done)) => {
                    accepting = None;
                    let _ = done.send(Ok(()));
                }
                // What was spawned ends with the runtime.
                Some(Command::End) | None => return,
            },
            client = accept => if let Ok((client, _)) = client {
                tokio::spawn(connection::serve(Arc::clone(&shared), client));
            },
        }
    }
}

/// The sender of a connection's faults, and what its pumps listen to.
fn faults_of(set: Set) -> watch::Sender<Set> {
    watch::channel(set).0
}
