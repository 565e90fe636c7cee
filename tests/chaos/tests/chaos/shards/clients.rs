//! The clients of the bank: they move money between shards, read, and vanish.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::raw::frontend::query;
use pgherd_harness::raw::{Login, Message};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::bank::{ACCOUNTS, Bank};
use crate::workload::{Failure, Fate, Journal, Kind, Operation, Session, ask};

/// What is known of each transfer.
pub type Told = BTreeMap<u64, Fate>;

/// What clients may see of a fault.
#[derive(Clone, Copy, Debug)]
pub struct Faults<'a> {
    /// Failures of each client.
    pub each: usize,
    /// Their SQLSTATEs.
    pub codes: &'a [&'a str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Transfers,
    Reads,
    /// Transfers in the middle of which the client goes away.
    Vanishes,
}

const SORTS: [Sort; 7] = [
    Sort::Transfers,
    Sort::Transfers,
    Sort::Transfers,
    Sort::Transfers,
    Sort::Reads,
    Sort::Reads,
    Sort::Vanishes,
];

/// Clients at work.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    journals: Vec<Arc<Journal>>,
    threads: Vec<JoinHandle<()>>,
    told: Arc<Mutex<Told>>,
}

struct Worker {
    number: u64,
    sort: Sort,
    addresses: Vec<SocketAddr>,
    session: Session,
    rng: StdRng,
    accounts: Vec<Vec<i64>>,
    journal: Arc<Journal>,
    told: Arc<Mutex<Told>>,
}

impl Crowd {
    /// Starts them, and waits until each has done something.
    pub fn start(bank: &Bank, seed: u64) -> Result<Self> {
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let addresses: Vec<SocketAddr> = bank.proxies.iter().map(|it| it.addr()).collect();
        let (mut journals, mut threads) = (Vec::new(), Vec::new());
        for (number, sort) in (1..).zip(SORTS) {
            let journal = Arc::new(Journal::default());
            let mut addresses = addresses.clone();
            let at = usize::try_from(number)? % addresses.len();
            addresses.rotate_left(at);
            let mut worker = Worker {
                number,
                sort,
                session: Session::new(addresses[0], Login::default()),
                addresses,
                rng: StdRng::seed_from_u64(seed.wrapping_add(number)),
                accounts: bank.accounts.clone(),
                journal: Arc::clone(&journal),
                told: Arc::clone(&told),
            };
            let stop = Arc::clone(&stop);
            journals.push(journal);
            threads.push(std::thread::spawn(move || {
                for count in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    worker.turn(count);
                }
            }));
        }
        let crowd = Self { stop, journals, threads, told };
        crowd.wait_working(Duration::from_secs(40))?;
        Ok(crowd)
    }

    /// Waits until everyone has done a few things that began from now on.
    pub fn wait_working(&self, within: Duration) -> Result<()> {
        let since = Instant::now();
        poll::until(within, "every client to work", || {
            let done = self.journals.iter().all(|it| it.first_done(since, 3).is_some());
            Ok(done.then_some(()))
        })
        .map_err(|error| {
            let logs: Vec<String> = self.journals.iter().map(|it| it.last(3)).collect();
            error.context(logs.join("\n"))
        })
    }

    /// Ends them, and looks at what went wrong.
    pub fn stop(mut self, may: Faults<'_>) -> Result<Told> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            ensure!(thread.join().is_ok(), "a client's thread panicked");
        }
        let operations: Vec<Operation> =
            self.journals.iter().flat_map(|journal| journal.take()).collect();
        let mut failures: BTreeMap<u64, usize> = BTreeMap::new();
        let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wrong = BTreeSet::new();
        for operation in &operations {
            let Some(failure) = &operation.failure else { continue };
            *failures.entry(operation.client).or_default() += 1;
            *codes.entry(failure.code()).or_default() += 1;
            if !may.codes.contains(&failure.code()) {
                wrong.insert(format!("{:?}: {failure}", operation.kind));
            }
        }
        let longest = operations.iter().map(Operation::took).max().unwrap_or_default();
        println!("  {} operations, longest {longest:?}, failures {codes:?}", operations.len());
        ensure!(wrong.is_empty(), "clients were told {wrong:?}");
        let most = failures.values().max().copied().unwrap_or(0);
        ensure!(most <= may.each, "a client had {most} failures, not {}: {codes:?}", may.each);
        Ok(std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    fn turn(&mut self, count: u64) {
        let (begun, id) = (Instant::now(), self.number << 32 | count);
        let (kind, done) = match self.sort {
            Sort::Transfers => (Kind::Transfer, self.transfer(id)),
            Sort::Reads => (Kind::Read, self.read()),
            Sort::Vanishes => (Kind::BegunTransfer, self.vanish(id)),
        };
        let failure = done.err();
        if failure.is_some() {
            // The next one may be better.
            self.addresses.rotate_left(1);
            self.session = Session::new(self.addresses[0], Login::default());
        }
        let ended = Instant::now();
        self.journal.add(Operation { client: self.number, kind, begun, ended, failure });
        std::thread::sleep(Duration::from_millis(self.rng.random_range(2..12)));
    }

    fn note(&self, id: u64, fate: Fate) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, fate);
    }

    /// The statements of a transfer between two shards.
    fn statements(&mut self, id: u64) -> [String; 4] {
        let from = self.rng.random_range(0..self.accounts.len());
        let to = (from + self.rng.random_range(1..self.accounts.len())) % self.accounts.len();
        let amount = self.rng.random_range(1..20);
        // In the order of the shards, so that no two of them wait for each other.
        let mut parts = [(from, -amount), (to, amount)];
        parts.sort_unstable();
        let [one, other] = parts.map(|(shard, amount)| {
            let account =
                self.accounts[shard][self.rng.random_range(0..self.accounts[shard].len())];
            [
                format!("UPDATE accounts SET balance = balance + {amount} WHERE id = {account}"),
                format!("INSERT INTO ledger VALUES ({account}, {id}, {amount})"),
            ]
        });
        let [a, b] = one;
        let [c, d] = other;
        [a, b, c, d]
    }

    fn transfer(&mut self, id: u64) -> Result<(), Failure> {
        self.note(id, Fate::RolledBack);
        let statements = self.statements(id);
        let at_once = self.rng.random_range(0..3) == 0;
        if at_once {
            let all = format!("BEGIN; {}; COMMIT", statements.join("; "));
            return self.commit(id, &all);
        }
        let client = self.session.client()?;
        ask(client, &query("BEGIN"), 1)?;
        for statement in &statements {
            ask(client, &query(statement), 1)?;
        }
        self.commit(id, "COMMIT")
    }

    /// What commits: afterwards its fate is known, or nobody knows.
    fn commit(&mut self, id: u64, sql: &str) -> Result<(), Failure> {
        self.session.client()?;
        self.note(id, Fate::Unknown);
        match ask(self.session.client()?, &query(sql), 1) {
            Ok(answer) => {
                let last = answer.iter().rev().find(|it| it.tag == b'C');
                if last.is_some_and(|it| it.body.starts_with(b"COMMIT\0")) {
                    self.note(id, Fate::Committed);
                    return Ok(());
                }
                Err(Failure::Wrong(format!("a transfer was answered with {answer:?}")))
            }
            Err(failure) => {
                // All but this says that there is no commit.
                if matches!(&failure, Failure::Error { sqlstate, .. } if sqlstate != "08007") {
                    self.note(id, Fate::RolledBack);
                }
                Err(failure)
            }
        }
    }

    fn read(&mut self) -> Result<(), Failure> {
        let id = self.rng.random_range(1..=ACCOUNTS);
        let choice = self.rng.random_range(0..3);
        let client = self.session.client()?;
        let (sql, expected) = match choice {
            0 => ("SELECT count(*) FROM accounts".to_owned(), ACCOUNTS.to_string()),
            1 => (format!("SELECT id FROM accounts WHERE id = {id}"), id.to_string()),
            _ => ("SELECT id FROM accounts ORDER BY id".to_owned(), "1".to_owned()),
        };
        let answer = ask(client, &query(&sql), 1)?;
        let rows: Vec<_> = answer.iter().filter_map(Message::data_row).collect();
        let first = rows.first().and_then(|row| row.first().copied().flatten());
        let count = if choice == 2 { ACCOUNTS.unsigned_abs() } else { 1 };
        if first == Some(expected.as_bytes()) && rows.len() as u64 == count {
            return Ok(());
        }
        Err(Failure::Wrong(format!("{sql}: {} rows, the first one {first:?}", rows.len())))
    }

    /// Goes away at some point of a transfer.
    fn vanish(&mut self, id: u64) -> Result<(), Failure> {
        self.note(id, Fate::RolledBack);
        let statements = self.statements(id);
        let point = self.rng.random_range(0..=statements.len() + 1);
        let client = self.session.client()?;
        ask(client, &query("BEGIN"), 1)?;
        for (at, statement) in statements.iter().enumerate() {
            if at == point {
                // In the middle of what it asks, or of the message.
                let bytes = query(statement);
                let whole = self.rng.random_range(0..2) == 0;
                let sent = client.send(if whole { &bytes } else { &bytes[..bytes.len() / 2] });
                self.session.drop_connection();
                return sent.map_err(|_| Failure::Closed { begun: false });
            }
            ask(client, &query(statement), 1)?;
        }
        if point == statements.len() {
            self.note(id, Fate::Unknown);
            let client = self.session.client()?;
            let sent = client.send(&query("COMMIT"));
            self.session.drop_connection();
            return sent.map_err(|_| Failure::Closed { begun: false });
        }
        self.session.drop_connection();
        Ok(())
    }
}
