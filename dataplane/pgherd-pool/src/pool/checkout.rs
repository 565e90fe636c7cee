//! The queue of a pool: waiting for a connection, first come first served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgherd_config::EvidenceClass;
use tokio::sync::oneshot;

use super::Pool;
use crate::connect::ConnectError;
use crate::lease::Lease;

#[derive(Debug)]
pub(crate) struct Waiter {
    id: u64,
    pub(super) since: Instant,
    pub(super) grant: oneshot::Sender<Result<Lease, CheckoutError>>,
}

/// Why a client got no server connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckoutError {
    /// None came free in time.
    #[error("no server connection came free within {waited:?}")]
    Timeout {
        /// How long the client waited.
        waited: Duration,
        /// Why connections could not be made meanwhile, if that was the reason.
        cause: Option<Arc<ConnectError>>,
    },
    /// The instance takes no connection of this pool, and waiting would not help.
    #[error("no server connection could be made")]
    Refused(#[source] Arc<ConnectError>),
    /// The instance was banned while the client waited; the caller chooses another one.
    #[error("the instance has been banned")]
    Banned,
    /// The topology changed; the caller looks its pool up again.
    #[error("the pool has been replaced")]
    Retired,
}

impl Pool {
    /// A connection that is free now, if nobody waits for one already.
    pub fn try_checkout(self: &Arc<Self>, worker: usize) -> Option<Lease> {
        loop {
            let conn = {
                let mut state = self.state.lock();
                if !state.waiters.is_empty() || self.is_retired() {
                    return None;
                }
                state.take_idle(worker)?
            };
            let lease = Lease::new(conn, Arc::clone(self));
            if let Some(lease) = lease.settle(worker) {
                return Some(lease);
            }
        }
    }

    /// A connection, as soon as the clients before in the queue have theirs. `since` is when the
    /// client began to wait, perhaps in a pool that this one has replaced.
    ///
    /// Cancel safe: the place in the queue is given up, and a connection that was handed over in
    /// the same moment goes to the next one.
    pub async fn checkout(
        self: &Arc<Self>,
        worker: usize,
        since: Instant,
        limit: Duration,
    ) -> Result<Lease, CheckoutError> {
        loop {
            if let Some(lease) = self.try_checkout(worker) {
                return Ok(lease);
            }
            let (id, granted) = self.enqueue(worker, since)?;
            let _place = Place { pool: self, id };
            if let Some(lease) = self.granted(granted, worker, since, limit).await?.settle(worker) {
                return Ok(lease);
            }
        }
    }

    /// Waits for what was asked for, and for the time when the reserve may be used.
    async fn granted(
        self: &Arc<Self>,
        mut granted: oneshot::Receiver<Result<Lease, CheckoutError>>,
        worker: usize,
        since: Instant,
        limit: Duration,
    ) -> Result<Lease, CheckoutError> {
        let mut reserve = self.settings.reserve_timeout.filter(|timeout| *timeout < limit);
        loop {
            let until = reserve.unwrap_or(limit);
            let left = until.saturating_sub(since.elapsed());
            match tokio::time::timeout(left, &mut granted).await {
                Ok(Ok(result)) => return result,
                // The sender is dropped only with the pool's queue.
                Ok(Err(_)) => return Err(CheckoutError::Retired),
                Err(_) if reserve.take().is_some() => self.grow(worker),
                Err(_) => {
                    let cause = self.last_error();
                    let detail = "no connection came free in time, and nothing ended";
                    self.instance.report(EvidenceClass::CheckoutTimeout, detail, Some(since));
                    return Err(CheckoutError::Timeout { waited: since.elapsed(), cause });
                }
            }
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        worker: usize,
        since: Instant,
    ) -> Result<(u64, oneshot::Receiver<Result<Lease, CheckoutError>>), CheckoutError> {
        let (grant, granted) = oneshot::channel();
        let id = {
            let mut state = self.state.lock();
            if self.is_retired() {
                return Err(CheckoutError::Retired);
            }
            if !state.has_connections()
                && let Some(refusal) = state.refused(Instant::now())
            {
                return Err(CheckoutError::Refused(Arc::clone(&refusal.error)));
            }
            let id = state.next_waiter;
            state.next_waiter += 1;
            state.waiters.push_back(Waiter { id, since, grant });
            self.instance.busier();
            id
        };
        // One may have come back between the look at the idle ones and the queueing.
        self.hand_out_idle();
        self.grow(worker);
        Ok((id, granted))
    }

    /// Gives idle connections to waiters; there are both only for a moment.
    fn hand_out_idle(self: &Arc<Self>) {
        let conn = {
            let mut state = self.state.lock();
            if state.waiters.is_empty() { None } else { state.idle.pop() }
        };
        if let Some(conn) = conn {
            self.give(conn);
        }
    }

    /// Tells the waiting clients that no connection can be made, unless one may come free.
    pub(crate) fn fail_waiters(&self, error: &Arc<ConnectError>) {
        let waiters = {
            let mut state = self.state.lock();
            if state.has_connections() {
                return;
            }
            std::mem::take(&mut state.waiters)
        };
        for waiter in waiters {
            let _ = waiter.grant.send(Err(CheckoutError::Refused(Arc::clone(error))));
        }
    }
}

/// A place in the queue, given up when its owner stops waiting.
struct Place<'p> {
    pool: &'p Arc<Pool>,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.instance.less_busy();
        let mut state = self.pool.state.lock();
        // Numbers ascend in the queue.
        if let Ok(index) = state.waiters.binary_search_by_key(&self.id, |waiter| waiter.id) {
            state.waiters.remove(index);
        }
    }
}
