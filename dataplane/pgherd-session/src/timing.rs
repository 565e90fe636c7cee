//! What is counted and timed when a statement or a transaction ends.
//!
//! A statement that is its own transaction costs no look at the clock beside the two of its
//! checkout; others cost one when they begin and one when they end.

use std::time::Instant;

use pgherd_pool::WorkerStats;
use pgherd_wire::TransactionStatus;
use pgherd_wire::owed::Audience;

use crate::session::Session;

/// Since when the server is at work for a client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    statement: Option<Instant>,
    transaction: Option<Instant>,
}

impl Timing {
    /// The server gets work.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.statement.get_or_insert(now);
        self.transaction.get_or_insert(now);
    }

    /// Whether the server has nothing to do, as far as is known.
    pub(crate) fn is_stopped(&self) -> bool {
        self.statement.is_none()
    }
}

impl Session {
    /// The server connection was taken: the first statement goes to it at once.
    pub(crate) fn begin_lease(&mut self) {
        let now = Instant::now();
        self.leased_at = now;
        self.timing.begin(now);
        WorkerStats::add(&self.stats().assignments, 1);
    }

    /// The server connection is given back.
    pub(crate) fn account(&mut self) {
        let now = Instant::now();
        WorkerStats::add(&self.stats().busy_micros, micros(self.leased_at, now));
        self.end_statement(now);
        self.end_transaction(now);
    }

    /// The server has said that it is ready.
    pub(crate) fn note_ready(&mut self, status: TransactionStatus, audience: Audience) {
        if audience == Audience::Proxy {
            return;
        }
        let idle = status == TransactionStatus::Idle;
        if idle {
            WorkerStats::add(&self.stats().transactions, 1);
        }
        if let Some(watch) = &self.watch {
            watch.statement_ended();
            if idle {
                watch.transaction_ended();
            }
        }
        // What ends with the lease is timed with it.
        if idle && !self.state.is_bound() && !self.is_session_mode() {
            return;
        }
        let now = Instant::now();
        self.end_statement(now);
        if idle {
            self.end_transaction(now);
        }
        if self.lease.as_ref().is_some_and(|lease| !lease.owed.is_empty()) {
            self.timing.begin(now);
        }
    }

    /// A statement among several has ended.
    pub(crate) fn note_statement(&self) {
        WorkerStats::add(&self.stats().queries, 1);
        if let Some(watch) = &self.watch {
            watch.statement_ended();
        }
    }

    fn end_statement(&mut self, now: Instant) {
        if let Some(begun) = self.timing.statement.take() {
            WorkerStats::add(&self.stats().query_micros, micros(begun, now));
            if self.routing.has_choice() {
                self.pool.instance().finished(now - begun);
            }
        }
    }

    fn end_transaction(&mut self, now: Instant) {
        if let Some(begun) = self.timing.transaction.take() {
            WorkerStats::add(&self.stats().transaction_micros, micros(begun, now));
        }
    }
}

fn micros(begun: Instant, now: Instant) -> u64 {
    u64::try_from((now - begun).as_micros()).unwrap_or(u64::MAX)
}
