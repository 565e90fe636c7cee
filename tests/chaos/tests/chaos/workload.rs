//! Clients that work all the while, and what they saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::raw::Login;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use control::Control;

mod books;
mod control;
mod copies;
mod journal;
mod logins;
mod pipelines;
mod reads;
mod session;
mod transfers;

pub use books::{ACCOUNTS, Books, Fate, schema};
pub use journal::{Failure, Journal, Kind, Operation};
pub use session::{Session, ask};

/// After so many operations each a client counts as working.
const WARM: usize = 3;
const WARM_UP: Duration = Duration::from_secs(30);

/// What one client does again and again. It ends with a failure or with what it has done.
pub trait Work: Send {
    /// One operation.
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Kind, (Kind, Failure)>;
}

/// What a client has at hand for one operation.
pub struct Turn<'a> {
    pub session: &'a mut Session,
    pub books: &'a Books,
    pub rng: &'a mut StdRng,
    /// Different for each operation of each client.
    pub id: u64,
}

impl Turn<'_> {
    /// What comes back in each row that is ours.
    pub fn token(&self) -> String {
        format!("t{}", self.id)
    }
}

/// The clients, running.
pub struct Workload {
    stop: Arc<AtomicBool>,
    journals: Vec<Arc<Journal>>,
    threads: Vec<JoinHandle<()>>,
    books: Arc<Books>,
    /// When every client had begun to work: what came before says more of the start than of a fault.
    warm: Instant,
    control: Option<Box<Control>>,
}

/// What a workload leaves.
pub struct Done {
    pub operations: Vec<Operation>,
    pub books: Arc<Books>,
    /// When every client had begun to work.
    pub warm: Instant,
    /// The longest that a client waited who has nothing to do with pgherd.
    pub noise: Duration,
}

/// How many clients of each sort.
#[derive(Clone, Copy, Debug)]
pub struct Clients {
    pub transfers: usize,
    pub reads: usize,
    pub prepared: usize,
    pub copies: usize,
    pub pipelines: usize,
    pub logins: usize,
}

impl Default for Clients {
    fn default() -> Self {
        Self { transfers: 3, reads: 3, prepared: 1, copies: 1, pipelines: 1, logins: 1 }
    }
}

impl Clients {
    fn works(self) -> Vec<Box<dyn Work>> {
        let mut works: Vec<Box<dyn Work>> = Vec::new();
        works.extend((0..self.transfers).map(|_| Box::new(transfers::Transfers) as Box<dyn Work>));
        works.extend((0..self.reads).map(|_| Box::new(reads::Reads) as Box<dyn Work>));
        works.extend((0..self.prepared).map(|_| Box::new(reads::Prepared::default()) as _));
        works.extend((0..self.copies).map(|_| Box::new(copies::Copies) as Box<dyn Work>));
        works.extend((0..self.pipelines).map(|_| Box::new(pipelines::Pipelines) as _));
        works.extend((0..self.logins).map(|_| Box::new(logins::Logins) as Box<dyn Work>));
        works
    }
}

impl Workload {
    /// Starts the clients and waits until each has done something. Beside them others work straight
    /// on a server that no fault hits.
    pub fn start(addr: SocketAddr, login: &Login, seed: u64, clients: Clients) -> Result<Self> {
        let control = Box::new(Control::start(seed)?);
        let mut this = Self::alone(addr, login, seed, clients)?;
        this.control = Some(control);
        Ok(this)
    }

    fn alone(addr: SocketAddr, login: &Login, seed: u64, clients: Clients) -> Result<Self> {
        let (stop, books) = (Arc::new(AtomicBool::new(false)), Arc::new(Books::default()));
        let (mut journals, mut threads) = (Vec::new(), Vec::new());
        for (number, work) in (1..).zip(clients.works()) {
            let journal = Arc::new(Journal::default());
            let client = Client {
                number,
                work,
                session: Session::new(addr, login.clone()),
                rng: StdRng::seed_from_u64(seed.wrapping_add(number)),
                journal: Arc::clone(&journal),
                books: Arc::clone(&books),
                stop: Arc::clone(&stop),
            };
            journals.push(journal);
            threads.push(std::thread::spawn(move || client.run()));
        }
        let now = Instant::now();
        let mut this = Self { stop, journals, threads, books, warm: now, control: None };
        let _ = this.wait_done_since(now, WARM, WARM_UP)?;
        this.warm = Instant::now();
        Ok(this)
    }

    /// The longest that a client has waited who has nothing to do with pgherd: what the machine
    /// does to everybody.
    pub fn noise(&self) -> Duration {
        self.control.as_ref().map_or(Duration::ZERO, |control| control.longest(self.warm))
    }

    /// Waits until every client has done so many operations that began after `since`; how long
    /// after it the slowest of them was through with its first.
    pub fn wait_done_since(
        &self,
        since: Instant,
        times: usize,
        within: Duration,
    ) -> Result<Duration> {
        poll::until(within, "every client to work again", || {
            let firsts = self.journals.iter().map(|journal| journal.first_done(since, times));
            let firsts: Option<Vec<Instant>> = firsts.collect();
            Ok(firsts.and_then(|firsts| firsts.into_iter().max()))
        })
        .map(|last| last.saturating_duration_since(since))
        .map_err(|error| {
            let logs: Vec<String> = self.journals.iter().map(|it| it.last(4)).collect();
            error.context(logs.join("\n"))
        })
    }

    /// Ends the clients after the operation that they are at. An error if one was given what is
    /// not its own.
    pub fn stop(mut self) -> Result<Done> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            ensure!(thread.join().is_ok(), "a client's thread panicked");
        }
        let operations = self.journals.iter().flat_map(|journal| journal.take()).collect();
        let (books, warm, noise) = (Arc::clone(&self.books), self.warm, self.noise());
        Ok(Done { operations, books, warm, noise })
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Client {
    number: u64,
    work: Box<dyn Work>,
    session: Session,
    rng: StdRng,
    journal: Arc<Journal>,
    books: Arc<Books>,
    stop: Arc<AtomicBool>,
}

impl Client {
    fn run(mut self) {
        for count in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let begun = Instant::now();
            let mut turn = Turn {
                session: &mut self.session,
                books: &self.books,
                rng: &mut self.rng,
                id: self.number << 32 | count,
            };
            let (kind, failure) = match self.work.turn(&mut turn) {
                Ok(kind) => (kind, None),
                Err((kind, failure)) => (kind, Some(failure)),
            };
            if failure.is_some() {
                self.session.drop_connection();
            }
            let ended = Instant::now();
            self.journal.add(Operation { client: self.number, kind, begun, ended, failure });
            // Clients think. This also keeps the machine's two cores from being the fault.
            std::thread::sleep(Duration::from_millis(self.rng.random_range(1..8)));
        }
    }
}
