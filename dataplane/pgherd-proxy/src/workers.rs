//! The worker threads: one single-threaded runtime each, on which its clients stay.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use pgherd_pool::Socket;
use pgherd_session::{Shared, Worker, serve};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// How often each worker looks after its idle server connections.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// A client that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP, from an address.
    Tcp(TcpStream, SocketAddr),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Accepted {
    /// Registers it with the runtime of the calling worker.
    fn register(self) -> io::Result<(Socket, Option<SocketAddr>)> {
        Ok(match self {
            Self::Tcp(stream, address) => {
                (Socket::Tcp(tokio::net::TcpStream::from_std(stream)?), Some(address))
            }
            Self::Unix(stream) => (Socket::Unix(tokio::net::UnixStream::from_std(stream)?), None),
        })
    }
}

/// All worker threads.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Handle>,
    stop: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Handle {
    /// Bounded by the number of file descriptors: each accepted client holds one.
    queue: UnboundedSender<Accepted>,
    clients: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the threads.
    pub fn start(count: usize, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count {
            let (queue, accepted) = unbounded_channel();
            let clients = Arc::new(AtomicUsize::new(0));
            let (shared, counter) = (Arc::clone(shared), Arc::clone(&clients));
            let stopped = stopped.clone();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start a runtime")?;
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    let local = LocalSet::new();
                    local.block_on(&runtime, work(index, shared, accepted, counter, stopped));
                })
                .context("cannot start a worker thread")?;
            workers.push(Handle { queue, clients });
            threads.push(thread);
        }
        Ok(Self { workers, stop, threads: Mutex::new(threads) })
    }

    /// Gives a client to the worker that has the fewest.
    pub fn hand_over(&self, client: Accepted) {
        let least = self.workers.iter().min_by_key(|worker| worker.clients.load(Ordering::Relaxed));
        if let Some(worker) = least {
            worker.clients.fetch_add(1, Ordering::Relaxed);
            if worker.queue.send(client).is_err() {
                worker.clients.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Ends the threads, and with them whatever they still do.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread has panicked");
            }
        }
    }
}

/// Counts a client for as long as its task lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn work(
    index: usize,
    shared: Arc<Shared>,
    mut accepted: UnboundedReceiver<Accepted>,
    clients: Arc<AtomicUsize>,
    mut stopped: watch::Receiver<bool>,
) {
    let worker = Worker::new(index, Arc::clone(&shared));
    let mut maintenance = tokio::time::interval(MAINTENANCE);
    maintenance.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            client = accepted.recv() => {
                let Some(client) = client else { return };
                let counted = Counted(Arc::clone(&clients));
                let (socket, address) = match client.register() {
                    Ok(registered) => registered,
                    Err(error) => {
                        tracing::warn!("cannot register a client's socket: {error}");
                        continue;
                    }
                };
                let session = serve(worker.clone(), socket, address);
                // The task ends with its session, or with the LocalSet of this worker.
                tokio::task::spawn_local(async move {
                    session.await;
                    drop(counted);
                });
            }
            _ = maintenance.tick() => {
                for pool in shared.directory.pools() {
                    pool.maintain(index);
                }
            }
            _ = stopped.changed() => return,
        }
    }
}
