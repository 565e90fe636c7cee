//! Getting a server connection for a client, and giving it back.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use pgherd_pool::{CheckoutError, Lease, ServerError, WorkerStats};
use pgherd_wire::frame::Header;
use pgherd_wire::{ErrorResponse, TransactionStatus, backend, frontend, sqlstate};

use crate::clients::{ClientState, Detach};
use crate::end::End;
use crate::login;
use crate::patience::in_time;
use crate::session::Session;
use crate::timeouts::{Activity, Watch};

/// Server connections that may refuse a client's parameters before the client is told.
const MAX_REFUSED: usize = 2;

impl Session {
    /// Gets a server connection with the client's parameters. `false` when there is none and the
    /// client has been told.
    pub(crate) async fn check_out(&mut self) -> Result<bool, End> {
        let mut refused = 0;
        let mut since = None;
        loop {
            self.find_pool()?;
            let lease = match self.pool.try_checkout(self.worker.index) {
                Some(lease) => lease,
                None => match Box::pin(self.wait_for_lease(&mut since)).await? {
                    Ok(lease) => lease,
                    Err(CheckoutError::Retired | CheckoutError::Banned) => continue,
                    Err(error) => {
                        self.refuse(&login::checkout_error(&error, false));
                        return Ok(false);
                    }
                },
            };
            self.begin_lease();
            let synchronised = if Arc::ptr_eq(&lease.params, &self.params) {
                Ok(lease)
            } else {
                Box::pin(self.synchronise(lease)).await
            };
            match synchronised {
                Ok(lease) => {
                    self.entry().attach(Arc::clone(&lease.info.cancel));
                    self.entry().set_state(ClientState::Active);
                    self.lease = Some(lease);
                    return Ok(true);
                }
                // What its last client has set may be in the way, a statement_timeout of 1 ms for
                // one: the connection is closed, and another one tried.
                Err(ServerError::Reported(_)) if refused < MAX_REFUSED => refused += 1,
                Err(error) => {
                    tracing::warn!(
                        cluster = self.pool.settings().cluster,
                        "cannot give a server connection the client's parameters: {error}",
                    );
                    self.refuse(&match error {
                        ServerError::Reported(report) => {
                            ErrorResponse::error(sqlstate::CONNECTION_FAILURE, report.message)
                                .detail("The server refused the session parameters of the client.")
                        }
                        _ => ErrorResponse::error(
                            sqlstate::CONNECTION_FAILURE,
                            "the server connection broke before the statement was sent",
                        ),
                    });
                    return Ok(false);
                }
            }
        }
    }

    /// Looks the pool up again when the topology has changed.
    fn find_pool(&mut self) -> Result<(), End> {
        let directory = &self.worker.shared.directory;
        let generation = directory.generation();
        if generation != self.generation || self.pool.is_retired() {
            let entry = &self.registration.entry;
            self.pool = directory.pool(&entry.database, &entry.user).map_err(|_| End::NotServed)?;
            self.rules = directory.rules(&entry.database, &entry.user);
            self.generation = generation;
            let limits = self.watch.as_ref().map(|watch| watch.limits());
            if limits.unwrap_or_default() != self.rules.timeouts {
                self.watch = Watch::begin(&self.worker, self.rules.timeouts, entry);
            }
        }
        Ok(())
    }

    /// Waits in the queue of the pool, watching whether the client is still there. `since` is
    /// when it began to, which a change of the pool does not alter.
    async fn wait_for_lease(
        &mut self,
        since: &mut Option<Instant>,
    ) -> Result<Result<Lease, CheckoutError>, End> {
        self.entry().set_state(ClientState::Waiting);
        self.note_activity(Activity::Waiting);
        let begun = Instant::now();
        let since = *since.get_or_insert(begun);
        let pool = Arc::clone(&self.pool);
        let checkout = pool.checkout(self.worker.index, since, self.rules.checkout_timeout);
        tokio::pin!(checkout);
        let (client, from_client) = (&mut self.client, &mut self.from_client);
        let buffers = &self.worker.buffers;
        let result = poll_fn(|cx| {
            if let Poll::Ready(result) = checkout.as_mut().poll(cx) {
                return Poll::Ready(Ok(result));
            }
            while from_client.buffer.has_room() {
                match ready!(from_client.buffer.poll_fill(cx, client, buffers)) {
                    Ok(0) => return Poll::Ready(Err(End::ClientGone)),
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(End::ClientIo(error))),
                }
            }
            Poll::Pending
        })
        .await;
        let waited = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        WorkerStats::add(&self.stats().wait_micros, waited);
        self.entry().set_state(ClientState::Idle);
        result
    }

    /// Gives a server connection the session parameters of the client.
    async fn synchronise(&self, mut lease: Lease) -> Result<Lease, ServerError> {
        let sql = lease.params.sql_to(&self.params);
        if !sql.is_empty() {
            in_time(lease.execute(&sql)).await?;
        }
        lease.params = Arc::clone(&self.params);
        Ok(lease)
    }

    /// Tells the client that its request fails, as Postgres would with an error of its own.
    fn refuse(&mut self, error: &ErrorResponse<'_>) {
        let head = Header::peek(self.from_client.buffer.unscanned());
        let Ok(Some(header)) = head else { return };
        let outbox = &mut self.from_server.outbox;
        outbox.own(|out| error.put(out));
        match header.tag {
            frontend::tag::QUERY | frontend::tag::FUNCTION_CALL | frontend::tag::SYNC => {
                outbox.own(|out| backend::put_ready(out, TransactionStatus::Idle));
            }
            _ => self.discarding = true,
        }
        self.from_client.discard(header.total_len());
    }

    /// Gives the server connection back, before what it sent has reached a slow client. `false`
    /// when a cancel is on its way to it.
    pub(crate) fn release(&mut self) -> bool {
        let detached = self.entry().try_detach();
        if detached == Detach::InFlight {
            return false;
        }
        if let Some(mut lease) = self.lease.take() {
            self.account();
            self.entry().set_state(ClientState::Idle);
            self.has_worked = true;
            self.state.forget_names();
            lease.tainted |= detached == Detach::Lost;
            lease.release();
        }
        true
    }

    /// A cancel may still hit this server connection: nobody else gets it before it has.
    pub(crate) async fn release_after_cancels(&mut self) {
        while !self.release() {
            self.entry().cancels_done().await;
        }
    }
}
