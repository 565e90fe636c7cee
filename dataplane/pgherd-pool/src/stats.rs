//! Counters of a pool, one block for each worker so that no two cores write the same cache line.

use std::sync::atomic::{AtomicU64, Ordering};

/// What one worker did with one pool. Only that worker writes; everybody may read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Transactions that ended.
    pub transactions: AtomicU64,
    /// Statements that ended.
    pub queries: AtomicU64,
    /// Bytes that came from clients.
    pub bytes_received: AtomicU64,
    /// Bytes that went to clients.
    pub bytes_sent: AtomicU64,
    /// Times that a client got a server connection.
    pub assignments: AtomicU64,
    /// Microseconds that server connections were lent out.
    pub busy_micros: AtomicU64,
    /// Microseconds that transactions took.
    pub transaction_micros: AtomicU64,
    /// Microseconds that statements took.
    pub query_micros: AtomicU64,
    /// Microseconds that clients waited for a server connection.
    pub wait_micros: AtomicU64,
    /// Errors that servers sent.
    pub errors: AtomicU64,
    /// Pins: server connections that stayed with a client because of state that cannot be carried over.
    pub pins: AtomicU64,
}

impl WorkerStats {
    /// Adds to a counter that only the calling worker writes: cheaper than a locked add.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }
}

/// The sums over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Transactions that ended.
    pub transactions: u64,
    /// Statements that ended.
    pub queries: u64,
    /// Bytes that came from clients.
    pub bytes_received: u64,
    /// Bytes that went to clients.
    pub bytes_sent: u64,
    /// Times that a client got a server connection.
    pub assignments: u64,
    /// Microseconds that server connections were lent out.
    pub busy_micros: u64,
    /// Microseconds that transactions took.
    pub transaction_micros: u64,
    /// Microseconds that statements took.
    pub query_micros: u64,
    /// Microseconds that clients waited for a server connection.
    pub wait_micros: u64,
    /// Errors that servers sent.
    pub errors: u64,
    /// Server connections that stayed with their client because of its state.
    pub pins: u64,
}

impl PoolStats {
    /// Adds one worker's counters.
    pub fn add(&mut self, worker: &WorkerStats) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.merge(&Self {
            transactions: read(&worker.transactions),
            queries: read(&worker.queries),
            bytes_received: read(&worker.bytes_received),
            bytes_sent: read(&worker.bytes_sent),
            assignments: read(&worker.assignments),
            busy_micros: read(&worker.busy_micros),
            transaction_micros: read(&worker.transaction_micros),
            query_micros: read(&worker.query_micros),
            wait_micros: read(&worker.wait_micros),
            errors: read(&worker.errors),
            pins: read(&worker.pins),
        });
    }

    /// Adds another pool's sums.
    pub fn merge(&mut self, other: &Self) {
        self.combine(other, u64::wrapping_add);
    }

    /// What has been added since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        difference.combine(earlier, u64::saturating_sub);
        difference
    }

    fn combine(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        let Self {
            transactions,
            queries,
            bytes_received,
            bytes_sent,
            assignments,
            busy_micros,
            transaction_micros,
            query_micros,
            wait_micros,
            errors,
            pins,
        } = self;
        for (mine, theirs) in [
            (transactions, other.transactions),
            (queries, other.queries),
            (bytes_received, other.bytes_received),
            (bytes_sent, other.bytes_sent),
            (assignments, other.assignments),
            (busy_micros, other.busy_micros),
            (transaction_micros, other.transaction_micros),
            (query_micros, other.query_micros),
            (wait_micros, other.wait_micros),
            (errors, other.errors),
            (pins, other.pins),
        ] {
            *mine = with(*mine, theirs);
        }
    }
}
