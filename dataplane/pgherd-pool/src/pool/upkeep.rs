//! Growing and shrinking: making connections, taking them back, closing those of no more use.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{CheckoutError, Pool};
use crate::growth::Growth;
use crate::server::ServerConn;

/// Connections that are being made at the same time, at most.
const MAX_CONNECTING: usize = 8;

impl Pool {
    /// Starts making connections: one for each waiter, within the limits.
    pub(super) fn grow(self: &Arc<Self>, worker: usize) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut wanted = 0;
        {
            let mut state = self.state.lock();
            while !self.is_retired()
                && state.total < self.settings.size
                && state.connecting < MAX_CONNECTING
                && (state.connecting < state.waiters.len() || state.total < self.settings.min_size)
            {
                state.total += 1;
                state.connecting += 1;
                wanted += 1;
            }
        }
        for _ in 0..wanted {
            runtime.spawn(Growth::new(Arc::clone(self), worker).run());
        }
    }

    /// Lends a connection that nobody uses to the first waiter, or keeps it.
    pub(crate) fn give(self: &Arc<Self>, conn: Box<ServerConn>) {
        let worker = conn.home;
        let surplus = {
            let mut state = self.state.lock();
            state.give(self, conn)
        };
        if let Some(conn) = surplus {
            conn.say_goodbye();
            self.forget_one(worker);
        }
    }

    /// A connection is gone. Its place may be wanted.
    pub(crate) fn forget_one(self: &Arc<Self>, worker: usize) {
        self.state.lock().total -= 1;
        self.grow(worker);
    }

    /// Closes what is dead, too old or idle for too long, and keeps the least number open. Each
    /// worker calls this for its own connections about once a second.
    pub fn maintain(self: &Arc<Self>, worker: usize) {
        let now = Instant::now();
        let mut gone = Vec::new();
        {
            let mut state = self.state.lock();
            let mut surplus = state.total.saturating_sub(self.settings.min_size);
            let mut index = 0;
            while index < state.idle.len() {
                let conn = &mut state.idle[index];
                if conn.home != worker {
                    index += 1;
                    continue;
                }
                let bored = surplus > 0
                    && self.settings.idle_timeout.is_some_and(|t| now - conn.idle_since > t);
                if bored {
                    surplus -= 1;
                }
                let old = conn.expires_at.is_some_and(|at| now > at);
                if bored || old || !conn.is_alive() {
                    gone.push(state.idle.remove(index));
                } else {
                    index += 1;
                }
            }
            state.total -= gone.len();
        }
        for conn in gone {
            conn.say_goodbye();
        }
        self.grow(worker);
        if worker == 0 {
            self.probe();
        }
    }

    /// Finds out whether an instance that could not be reached can be by now, although nobody
    /// asks for a connection.
    fn probe(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        {
            let mut state = self.state.lock();
            let lost = state.last_error.as_ref().is_some_and(|error| error.is_transient());
            let full = state.connecting > 0 || state.total >= self.settings.size;
            if !lost || full || self.is_retired() {
                return;
            }
            state.total += 1;
            state.connecting += 1;
        }
        runtime.spawn(Growth::new(Arc::clone(self), 0).run());
    }

    /// Closes the pool: idle connections now, the others when they come back; waiting clients are
    /// sent to look for the pool that takes its place.
    pub fn retire(&self) {
        let (idle, waiters) = {
            let mut state = self.state.lock();
            self.retired.store(true, Ordering::Relaxed);
            let idle = std::mem::take(&mut state.idle);
            state.total -= idle.len();
            (idle, std::mem::take(&mut state.waiters))
        };
        for waiter in waiters {
            // A waiter that has gone needs no answer.
            let _ = waiter.grant.send(Err(CheckoutError::Retired));
        }
        for conn in idle {
            conn.say_goodbye();
        }
    }
}
