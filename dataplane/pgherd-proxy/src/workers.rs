//! The worker threads: one single-threaded runtime each, and the clients on them.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use pgherd_pool::Socket;
use pgherd_session::{Migrant, Shared, Worker, resume, serve, sweep};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::placement;

/// How often each worker looks after its idle server connections.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// How often each worker looks at its load and that of the others.
const TICK: Duration = Duration::from_millis(100);

/// The share of its clients that a worker sends away with one look, at most.
const MOVED_AT_ONCE: usize = 8;

/// A client that comes to a worker.
enum Arrival {
    Accepted(Accepted),
    /// From another worker.
    Moved(Box<Migrant>),
}

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
    seats: Arc<[Seat]>,
    stop: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the other threads know of a worker.
#[derive(Debug)]
struct Seat {
    /// Bounded by the number of file descriptors: each accepted client holds one.
    queue: UnboundedSender<Arrival>,
    clients: AtomicUsize,
    /// The share of a core that it used lately, in thousandths.
    load: AtomicU32,
}

impl Workers {
    /// Starts the threads.
    pub fn start(count: usize, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (seats, arrivals): (Vec<_>, Vec<_>) = (0..count)
            .map(|_| {
                let (queue, arrivals) = unbounded_channel();
                let seat = Seat { queue, clients: AtomicUsize::new(0), load: AtomicU32::new(0) };
                (seat, arrivals)
            })
            .unzip();
        let seats: Arc<[Seat]> = seats.into();
        let mut threads = Vec::new();
        for (index, arrivals) in arrivals.into_iter().enumerate() {
            let (shared, seats) = (Arc::clone(shared), Arc::clone(&seats));
            let stopped = stopped.clone();
            let (started, starts) = std::sync::mpsc::channel();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    // It belongs to its thread, and so is made there.
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build_local(LocalOptions::default());
                    let (runtime, outcome) = match runtime {
                        Ok(runtime) => (Some(runtime), Ok(())),
                        Err(error) => (None, Err(error)),
                    };
                    // Nobody listens any more when another worker could not start.
                    let _ = started.send(outcome);
                    if let Some(runtime) = runtime {
                        let thread = WorkerThread { worker: Worker::new(index, shared), seats };
                        runtime.block_on(thread.work(arrivals, stopped));
                    }
                })
                .context("cannot start a worker thread")?;
            starts
                .recv()
                .context("a worker thread has panicked")?
                .context("cannot start a runtime")?;
            threads.push(thread);
        }
        Ok(Self { seats, stop, threads: Mutex::new(threads) })
    }

    /// Gives a client to a worker that has time for it.
    pub fn hand_over(&self, client: Accepted) {
        let to = placement::for_new_client(&loads(&self.seats));
        send(&self.seats, to, Arrival::Accepted(client));
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

fn loads(seats: &[Seat]) -> Vec<u32> {
    seats.iter().map(|seat| seat.load.load(Ordering::Relaxed)).collect()
}

fn send(seats: &[Seat], to: usize, arrival: Arrival) {
    let Some(seat) = seats.get(to) else { return };
    seat.clients.fetch_add(1, Ordering::Relaxed);
    // A worker that has stopped takes its clients with it.
    if seat.queue.send(arrival).is_err() {
        seat.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a client for as long as its task lives.
struct Counted(Arc<[Seat]>, usize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0[self.1].clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one worker thread works with.
struct WorkerThread {
    worker: Rc<Worker>,
    seats: Arc<[Seat]>,
}

impl WorkerThread {
    async fn work(
        self,
        mut arrivals: UnboundedReceiver<Arrival>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut meter = LoadMeter::new();
        let sweep = sweep(Rc::clone(&self.worker));
        tokio::pin!(sweep);
        let mut maintained = Instant::now();
        loop {
            tokio::select! {
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => self.admit(arrival),
                    None => return,
                },
                _ = tick.tick() => {
                    self.balance(&mut meter);
                    if maintained.elapsed() >= MAINTENANCE {
                        maintained = Instant::now();
                        self.worker.shared.directory.maintain(self.worker.index);
                    }
                }
                () = &mut sweep => {}
                _ = stopped.changed() => return,
            }
        }
    }

    fn admit(&self, arrival: Arrival) {
        let (worker, seats) = (self.worker.clone(), Arc::clone(&self.seats));
        let counted = Counted(Arc::clone(&seats), worker.index);
        // The task ends with its session, or with the runtime of this worker.
        tokio::task::spawn_local(async move {
            let leaves = match arrival {
                Arrival::Accepted(client) => match client.register() {
                    Ok((socket, address)) => serve(worker, socket, address).await,
                    Err(error) => {
                        tracing::warn!("cannot register a client's socket: {error}");
                        None
                    }
                },
                Arrival::Moved(migrant) => resume(worker, *migrant).await,
            };
            drop(counted);
            if let Some(migrant) = leaves {
                send(&seats, migrant.to, Arrival::Moved(Box::new(migrant)));
            }
        });
    }

    /// Says how busy this worker is, and lets clients move where that serves them better.
    fn balance(&self, meter: &mut LoadMeter) {
        let own = self.worker.index;
        let seat = &self.seats[own];
        seat.load.store(meter.measure(), Ordering::Relaxed);
        let clients = seat.clients.load(Ordering::Relaxed);
        match placement::to_move(&loads(&self.seats), own) {
            Some(to) => self.worker.relieve(to, clients.div_ceil(MOVED_AT_ONCE)),
            None => self.worker.relieve(own, 0),
        }
    }
}

/// Measures the processor time of the thread that owns it.
struct LoadMeter {
    at: Instant,
    used: Duration,
    load: u32,
}

impl LoadMeter {
    fn new() -> Self {
        Self { at: Instant::now(), used: thread_time(), load: 0 }
    }

    /// The share of a core that the thread used since the last call, averaged with what was
    /// measured before; in thousandths.
    fn measure(&mut self) -> u32 {
        let (at, used) = (Instant::now(), thread_time());
        let share = (used - self.used).as_secs_f64() / (at - self.at).as_secs_f64().max(1e-6);
        (self.at, self.used) = (at, used);
        self.load = self.load.midpoint((share * 1000.0) as u32);
        self.load
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
