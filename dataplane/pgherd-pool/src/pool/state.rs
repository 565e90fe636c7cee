//! What a pool holds now: its connections and its queue, under one lock.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::Pool;
use super::checkout::Waiter;
use crate::connect::ConnectError;
use crate::entry::{ServerEntry, ServerState};
use crate::lease::Lease;
use crate::server::ServerConn;

#[derive(Debug, Default)]
pub(crate) struct State {
    /// All connections: idle, lent out, and being made.
    pub(crate) total: usize,
    pub(crate) connecting: usize,
    /// The last one given back is lent first, so that the others can grow old and be closed.
    /// Boxed, because they wander between here and the leases with each transaction.
    #[expect(clippy::vec_box, reason = "moving the box is cheaper than moving the connection")]
    pub(super) idle: Vec<Box<ServerConn>>,
    /// Every connection that was made and is not closed, for people who look. Written when one is
    /// made; those that are gone are thrown out then.
    pub(super) entries: Vec<Weak<ServerEntry>>,
    pub(crate) waiters: VecDeque<Waiter>,
    pub(super) next_waiter: u64,
    pub(crate) last_error: Option<Arc<ConnectError>>,
}

impl State {
    /// The last idle connection of this worker, or else the last one of any.
    pub(super) fn take_idle(&mut self, worker: usize) -> Option<Box<ServerConn>> {
        let conn = match self.idle.iter().rposition(|conn| conn.home == worker) {
            Some(index) => self.idle.remove(index),
            None => self.idle.pop()?,
        };
        conn.entry.set_state(ServerState::Active);
        Some(conn)
    }

    pub(crate) fn register(&mut self, entry: &Arc<ServerEntry>) {
        self.entries.retain(|entry| entry.strong_count() > 0);
        self.entries.push(Arc::downgrade(entry));
    }

    /// Returns the connection when the pool has no use for it.
    pub(super) fn give(
        &mut self,
        pool: &Arc<Pool>,
        mut conn: Box<ServerConn>,
    ) -> Option<Box<ServerConn>> {
        let now = Instant::now();
        if pool.is_retired() || conn.expires_at.is_some_and(|at| now > at) {
            return Some(conn);
        }
        conn.entry.set_state(ServerState::Active);
        while let Some(waiter) = self.waiters.pop_front() {
            let lease = Lease::new(conn, Arc::clone(pool));
            match waiter.grant.send(Ok(lease)) {
                Ok(()) => return None,
                Err(Ok(lease)) => conn = lease.into_conn()?,
                Err(Err(_)) => return None,
            }
        }
        conn.idle_since = now;
        conn.entry.set_state(ServerState::Idle);
        self.idle.push(conn);
        None
    }
}
