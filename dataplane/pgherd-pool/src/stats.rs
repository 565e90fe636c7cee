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
    /// Microseconds that server connections were lent out.
    pub busy_micros: AtomicU64,
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
    /// Microseconds that server connections were lent out.
    pub busy_micros: u64,
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
        self.transactions += read(&worker.transactions);
        self.queries += read(&worker.queries);
        self.bytes_received += read(&worker.bytes_received);
        self.bytes_sent += read(&worker.bytes_sent);
        self.busy_micros += read(&worker.busy_micros);
        self.wait_micros += read(&worker.wait_micros);
        self.errors += read(&worker.errors);
        self.pins += read(&worker.pins);
    }

    /// Adds another pool's sums.
    pub fn merge(&mut self, other: &Self) {
        self.transactions += other.transactions;
        self.queries += other.queries;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.busy_micros += other.busy_micros;
        self.wait_micros += other.wait_micros;
        self.errors += other.errors;
        self.pins += other.pins;
    }
}
