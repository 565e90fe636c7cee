//! Transactions over several shards that wait for each other where no single Postgres sees it.
//!
//! A transaction with branches on several shards is a [`Party`]. While one has been running a
//! statement for a while, a detector asks the shards who waits for whom. The parties of other
//! proxies are known by marks: advisory locks that each detector holds for those of its own that
//! wait. Whoever owns the youngest party of a cycle ends its statement.

mod detector;
mod graph;

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use pgherd_wire::ErrorResponse;

pub(super) use detector::Detector;

use super::coordinator::Coordinator;
use super::failure::Failure;
use super::transaction::State;
use crate::clients::ClientEntry;
use graph::MARK_BITS;

/// `deadlock_detected`
pub(crate) const DEADLOCK: &str = "40P01";

/// The transactions over several shards of this process.
#[derive(Debug, Default)]
pub struct Deadlocks(Mutex<Vec<Weak<Party>>>);

/// A transaction over several shards.
#[derive(Debug)]
pub(crate) struct Party {
    /// Greater for those that are younger, and different in the whole fleet.
    id: u64,
    cluster: String,
    entry: Arc<ClientEntry>,
    /// Shards and process ids.
    branches: Mutex<Vec<(usize, i32)>>,
    running: Mutex<Running>,
    /// Raised with each statement.
    requests: AtomicU64,
}

/// What a party does.
#[derive(Debug, Default)]
struct Running {
    /// The number of its statement, and since when.
    request: Option<(u64, Instant)>,
    sentence: Option<Sentence>,
}

/// A statement that is to end, since it waits in a circle.
#[derive(Debug)]
pub(crate) struct Sentence {
    request: u64,
    pub(crate) shard: usize,
    pub(crate) pid: i32,
    detail: String,
}

// === impl Deadlocks ===

impl Deadlocks {
    fn add(&self, party: &Arc<Party>) {
        let mut all = self.0.lock();
        all.retain(|it| it.strong_count() > 0);
        all.push(Arc::downgrade(party));
    }

    /// The parties of a cluster.
    fn of(&self, cluster: &str) -> Vec<Arc<Party>> {
        let all = self.0.lock();
        all.iter().filter_map(Weak::upgrade).filter(|it| it.cluster == cluster).collect()
    }
}

// === impl Party ===

impl Party {
    fn new(cluster: &str, entry: &Arc<ClientEntry>, began: SystemTime) -> Arc<Self> {
        let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
        // In steps of four milliseconds it begins anew every day and a half: the victim is another
        // one then.
        let age = u64::try_from(began.as_millis() >> 2).unwrap_or(u64::MAX);
        let id = (age << 16 | u64::from(rand::random::<u16>())) & ((1 << MARK_BITS) - 1);
        let party = Self {
            id,
            cluster: cluster.to_owned(),
            entry: Arc::clone(entry),
            branches: Mutex::default(),
            running: Mutex::default(),
            requests: AtomicU64::new(0),
        };
        party.begin();
        Arc::new(party)
    }

    /// A statement begins.
    pub(crate) fn begin(&self) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        *self.running.lock() = Running { request: Some((number, Instant::now())), sentence: None };
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        *self.running.lock() = Running::default();
    }

    /// The number of the statement that has been running for so long.
    fn running(&self, for_at_least: Duration) -> Option<u64> {
        let (number, since) = self.running.lock().request?;
        (since.elapsed() >= for_at_least).then_some(number)
    }

    /// Lets its session end a statement, if it is still that one.
    fn condemn(&self, sentence: Sentence) {
        let mut running = self.running.lock();
        if running.request.is_some_and(|(number, _)| number == sentence.request) {
            running.sentence = Some(sentence);
            drop(running);
            self.entry.wake();
        }
    }

    pub(crate) fn take_sentence(&self) -> Option<Sentence> {
        self.running.lock().sentence.take()
    }
}

// === impl Sentence ===

impl Sentence {
    /// As Postgres says it.
    pub(crate) fn error(self) -> Box<ErrorResponse<'static>> {
        let error = ErrorResponse::error(DEADLOCK, "deadlock detected");
        Box::new(error.detail(self.detail).hint("See server log for query details."))
    }
}

impl Coordinator {
    /// A branch has been added: a transaction over several shards is known to the detector.
    pub(crate) fn note_branch(&mut self) {
        if !self.transaction.is_open() {
            return;
        }
        let began = *self.transaction.began.get_or_insert_with(SystemTime::now);
        if self.branches.len() < 2 {
            return;
        }
        let mut party = self.front.party.borrow_mut();
        let party = party.get_or_insert_with(|| {
            let party = Party::new(&self.sites.cluster().name, &self.front.entry, began);
            self.front.worker.shared.deadlocks.add(&party);
            party
        });
        *party.branches.lock() = self.branches.iter().map(|it| (it.shard, it.pid())).collect();
    }

    /// As in Postgres the victim of a deadlock lets go of what it has locked at once: all, or what
    /// it has since its last savepoint.
    pub(crate) async fn let_go(&mut self, failure: &Failure) {
        let is_victim = matches!(failure, Failure::Refused(error) if error.code == DEADLOCK);
        if !is_victim || self.transaction.state != State::Failed {
            return;
        }
        let sql = match self.transaction.last_savepoint() {
            Some(name) => format!("ROLLBACK TO SAVEPOINT {}", super::transaction::quoted(name)),
            None => "ROLLBACK".to_owned(),
        };
        if let Err(failure) = self.tell_branches(&sql).await {
            tracing::debug!(?failure, "the victim of a deadlock keeps its locks until it ends");
        }
    }
}
