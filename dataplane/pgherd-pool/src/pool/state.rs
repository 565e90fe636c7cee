//! What a pool holds now: its connections and its queue, under one lock.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::checkout::Waiter;
use super::{Pool, PoolSettings};
use crate::connect::ConnectError;
use crate::entry::{ServerEntry, ServerState};
use crate::lease::Lease;
use crate::server::ServerConn;

/// Connections that are being made at the same time, at most.
const MAX_CONNECTING: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct State {
    /// All connections: idle, lent out, and being made.
    pub(crate) total: usize,
    pub(crate) connecting: usize,
    /// Connections that have been closed, but perhaps not by the server yet.
    pub(crate) parting: usize,
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
    /// After a login that was refused for good: nobody tries again before its time.
    pub(crate) refusal: Option<Refusal>,
    /// Connections that other pools need more, to be closed when they come back.
    pub(super) yields: usize,
    /// When a connection was given back last; `None` for a pool that never had one.
    pub(super) used_at: Option<Instant>,
}

/// A login that the instance refused for good.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Arc<ConnectError>,
    /// When the next attempt is due.
    pub(crate) until: Instant,
    /// How long this one has kept others from trying.
    pub(crate) pause: Duration,
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
        self.used_at = Some(now);
        let expired = conn.expires_at.is_some_and(|at| now > at) || conn.entry.is_forsaken();
        if pool.is_retired() || expired {
            return Some(conn);
        }
        if self.yields > 0 {
            self.yields -= 1;
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

    /// Connections that clients have, or that are made clean after one.
    pub(super) fn active(&self) -> usize {
        self.total - self.connecting - self.parting - self.idle.len()
    }

    /// Whether a connection exists that will come free some day.
    pub(crate) fn has_connections(&self) -> bool {
        self.total > self.connecting + self.parting
    }

    /// The refusal that keeps everybody from trying to connect now.
    pub(super) fn refused(&self, now: Instant) -> Option<&Refusal> {
        self.refusal.as_ref().filter(|refusal| now < refusal.until)
    }

    /// Clients that have waited at least that long.
    fn overdue(&self, now: Instant, patience: Duration) -> usize {
        self.waiters.iter().take_while(|waiter| now - waiter.since >= patience).count()
    }

    /// Whether one more connection is to be made, and may be.
    pub(super) fn wants_another(&self, settings: &PoolSettings, now: Instant, shut: bool) -> bool {
        let most_connecting = match &self.refusal {
            Some(refusal) if now < refusal.until => return false,
            // One tries whether things have changed; the others wait for what comes of it.
            Some(_) => 1,
            None => MAX_CONNECTING,
        };
        if self.connecting >= most_connecting {
            return false;
        }
        let short = self.total < settings.min_size && !shut;
        let wanted = self.connecting < self.waiters.len() || short;
        if self.total < settings.size && wanted {
            return true;
        }
        let Some(patience) = settings.reserve_timeout else { return false };
        self.total < settings.size + settings.reserve_size
            && self.connecting < self.overdue(now, patience)
    }
}
