//! Growing and shrinking: making connections, taking them back, closing those of no more use.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{CheckoutError, Pool};
use crate::cancel::ServerAddress;
use crate::growth::Growth;
use crate::instance::Role;
use crate::server::ServerConn;

impl Pool {
    /// Starts making connections: one for each waiter, within the limits.
    pub(crate) fn grow(self: &Arc<Self>, worker: usize) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut wanted = 0;
        {
            let now = Instant::now();
            let mut state = self.state.lock();
            let shut = self.is_shut();
            while !self.is_retired() && state.wants_another(&self.settings, now, shut) {
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
            self.part_with(conn, worker);
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
            let settings = &self.settings;
            let mut state = self.state.lock();
            let mut surplus = state.total.saturating_sub(settings.min_size);
            let mut reserve = state.total.saturating_sub(settings.size);
            let mut index = 0;
            while index < state.idle.len() {
                let conn = &mut state.idle[index];
                if conn.home != worker {
                    index += 1;
                    continue;
                }
                let idle = now - conn.idle_since;
                let bored = surplus > 0 && settings.idle_timeout.is_some_and(|limit| idle > limit);
                let spare =
                    reserve > 0 && settings.reserve_timeout.is_some_and(|limit| idle > limit);
                let old = conn.expires_at.is_some_and(|at| now > at);
                if bored || spare || old || !conn.is_alive() {
                    surplus = surplus.saturating_sub(1);
                    reserve = reserve.saturating_sub(1);
                    gone.push(state.idle.remove(index));
                } else {
                    index += 1;
                }
            }
        }
        for conn in gone {
            self.part_with(conn, worker);
        }
        self.grow(worker);
        if worker == 0 {
            self.probe();
        }
    }

    /// Since when the first of the idle connections is idle, and whether the pool would fall below
    /// its least size without it.
    pub(crate) fn longest_idle(&self) -> Option<(bool, Instant)> {
        let state = self.state.lock();
        let first = state.idle.iter().map(|conn| conn.idle_since).min()?;
        Some((state.total <= self.settings.min_size, first))
    }

    /// Closes the connection that has been idle the longest, for another pool. `false` when there
    /// is none.
    pub(crate) fn evict_idle(self: &Arc<Self>) -> bool {
        let conn = {
            let mut state = self.state.lock();
            let idle = state.idle.iter().enumerate();
            let Some((index, _)) = idle.min_by_key(|(_, conn)| conn.idle_since) else {
                return false;
            };
            state.idle.remove(index)
        };
        let worker = conn.home;
        self.part_with(conn, worker);
        true
    }

    /// Closes the next connection that comes back, for another pool.
    pub(crate) fn yield_one(&self) {
        let mut state = self.state.lock();
        state.yields = (state.yields + 1).min(1);
    }

    /// How long nobody has had a connection of the pool or waited for one.
    pub(crate) fn unused_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        let in_use = state.active() + state.waiters.len() + state.connecting > 0;
        (!in_use).then(|| now - state.used_at.unwrap_or(self.made_at))
    }

    /// Finds out whether an instance that could not be reached can be by now, although nobody
    /// asks for a connection.
    fn probe(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        {
            let mut state = self.state.lock();
            let lost = state.last_error.as_ref().is_some_and(|error| error.is_transient());
            let full = state.connecting > 0 || state.total >= self.settings.size;
            if !lost || full || self.is_retired() || self.is_shut() {
                return;
            }
            state.total += 1;
            state.connecting += 1;
        }
        runtime.spawn(Growth::new(Arc::clone(self), 0).run());
    }

    /// Closes the pool: idle connections now, the others when they come back; waiting clients are
    /// sent to look for the pool that takes its place.
    pub fn retire(self: &Arc<Self>) {
        let (idle, waiters) = {
            let mut state = self.state.lock();
            self.retired.store(true, Ordering::Relaxed);
            (std::mem::take(&mut state.idle), std::mem::take(&mut state.waiters))
        };
        for waiter in waiters {
            // A waiter that has gone needs no answer.
            let _ = waiter.grant.send(Err(CheckoutError::Retired));
        }
        for conn in idle {
            let worker = conn.home;
            self.part_with(conn, worker);
        }
    }
}

impl Pool {
    /// Whether clients are sent elsewhere, so that no connection is made for nobody.
    fn is_shut(&self) -> bool {
        match self.instance.role() {
            Role::Primary => false,
            Role::Replica => !self.instance.is_open(),
            Role::Unknown | Role::Fenced => true,
        }
    }

    /// The instance is not to be used any more: idle connections are closed, and waiting clients
    /// are sent to choose another one. With `cut`, what is in flight is ended as well.
    pub(crate) fn shut_out(self: &Arc<Self>, cut: bool) {
        let (idle, waiters, lent) = {
            let mut state = self.state.lock();
            let lent: Vec<_> = if cut {
                state.entries.iter().filter_map(Weak::upgrade).collect()
            } else {
                Vec::new()
            };
            (std::mem::take(&mut state.idle), std::mem::take(&mut state.waiters), lent)
        };
        for waiter in waiters {
            // A waiter that has gone needs no answer.
            let _ = waiter.grant.send(Err(CheckoutError::Banned));
        }
        for entry in lent {
            entry.cut();
        }
        for conn in idle {
            let worker = conn.home;
            self.part_with(conn, worker);
        }
    }

    /// The name of the instance leads to these addresses now: connections to others go as soon as
    /// nobody has them.
    pub(crate) fn forsake(self: &Arc<Self>, addresses: &[SocketAddr]) {
        let gone: Vec<_> = {
            let mut state = self.state.lock();
            for entry in state.entries.iter().filter_map(Weak::upgrade) {
                if let ServerAddress::Tcp(address) = &entry.target.address
                    && !addresses.contains(address)
                {
                    entry.forsake();
                }
            }
            state.idle.extract_if(.., |conn| conn.entry.is_forsaken()).collect()
        };
        for conn in gone {
            let worker = conn.home;
            self.part_with(conn, worker);
        }
    }
}
