//! Getting a server connection for a client, and giving it back.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use pgherd_pool::{CheckoutError, Lease, Need, NoTarget, Role, RoleWish, ServerError, WorkerStats};
use pgherd_wire::frame::Header;
use pgherd_wire::{ErrorResponse, TransactionStatus, backend, frontend, sqlstate};

use crate::clients::{ClientState, Detach};
use crate::end::End;
use crate::login;
use crate::patience::in_time;
use crate::routing::survival::bit;
use crate::routing::{Attempt, Decision, Written};
use crate::session::Session;
use crate::timeouts::{Activity, Watch};

/// How long the rest of a batch is waited for before it goes to the primary as it is.
const BATCH_PATIENCE: Duration = Duration::from_millis(200);
/// How long to wait before instances are tried again that have failed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What is known while an instance is looked for.
#[derive(Default)]
struct Search {
    decision: Option<Decision>,
    /// Why there is none.
    failure: Option<NoTarget>,
    /// It must be known first how far the session has written.
    asks_for_lsn: bool,
    /// What the last one said that could not be reached.
    refusal: Option<CheckoutError>,
}

/// What the client is told when there is no instance for its statement.
fn no_target(failure: NoTarget) -> ErrorResponse<'static> {
    let text = match failure {
        NoTarget::NoPrimary => "the cluster has no primary at the moment",
        NoTarget::NoReplica => "the cluster has no replica that can serve",
        NoTarget::NoneLeft | NoTarget::Replaced => "no instance of the cluster can be reached",
    };
    ErrorResponse::error(sqlstate::CANNOT_CONNECT_NOW, text)
}

/// How far the log of a primary goes.
pub(crate) async fn lsn_of(mut lease: Lease) -> Option<u64> {
    let mut lsn = None;
    let sql = "SELECT pg_catalog.pg_current_wal_insert_lsn()";
    let read = |tag, body: &[u8]| {
        if tag == backend::tag::DATA_ROW
            && let Some(values) = backend::parse_data_row(body)
            && let [Some(text)] = values[..]
        {
            lsn = std::str::from_utf8(text).ok().and_then(parse_lsn).map(without_page_header);
        }
    };
    in_time(lease.ask(sql, read)).await.ok()?;
    lease.release();
    lsn
}

/// Behind a full page Postgres counts the header of the next one, which nobody writes before there
/// is something to follow.
fn without_page_header(lsn: u64) -> u64 {
    let on_page = lsn % 8192;
    if matches!(on_page, 24 | 40) { lsn - on_page } else { lsn }
}

/// A position in the log, as Postgres writes it: two hexadecimal numbers.
fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |text| u32::from_str_radix(text, 16).ok().map(u64::from);
    Some(part(high)? << 32 | part(low)?)
}

/// Server connections that may refuse a client's parameters before the client is told.
const MAX_REFUSED: usize = 2;

impl Session {
    /// Gets a server connection with the client's parameters. `false` when there is none and the
    /// client has been told.
    pub(crate) async fn check_out(&mut self) -> Result<bool, End> {
        let mut refused = 0;
        let mut since = self.routing.attempt.since;
        let mut search = Search::default();
        loop {
            self.find_pool()?;
            if (!self.targets.is_single() || self.pool.is_retired())
                && !self.choose(&mut search)
                && !Box::pin(self.wait_for_target(&mut search, &mut since)).await?
            {
                return Ok(false);
            }
            let lease = match self.pool.try_checkout(self.worker.index) {
                Some(lease) => lease,
                None => match Box::pin(self.wait_for_lease(&mut since)).await? {
                    Ok(lease) => lease,
                    Err(CheckoutError::Retired | CheckoutError::Banned) => continue,
                    Err(error @ CheckoutError::Refused(_)) if !self.targets.is_single() => {
                        self.routing.attempt.avoid |= bit(self.pool.instance().index());
                        search.refusal = Some(error);
                        continue;
                    }
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
                Ok(mut lease) => {
                    if self.routing.has_lost_transaction {
                        Box::pin(self.fail_transaction(&mut lease))
                            .await
                            .map_err(|_| End::ServerClosed)?;
                    }
                    self.entry().attach(Arc::clone(&lease.info.cancel));
                    self.entry().set_state(ClientState::Active);
                    self.lease = Some(lease);
                    if self.routing.has_choice() {
                        self.begin_routed(search.decision);
                    }
                    return Ok(true);
                }
                // What its last client has set may be in the way, a statement_timeout of 1 ms for
                // one: the connection is closed, and another one tried.
                Err(ServerError::Reported(_)) if refused < MAX_REFUSED => refused += 1,
                // Nothing of the client's was sent.
                Err(ServerError::Io(_) | ServerError::Closed)
                    if refused < MAX_REFUSED && !self.targets.is_single() =>
                {
                    refused += 1;
                    self.routing.attempt.avoid |= bit(self.pool.instance().index());
                }
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
            let targets = directory.targets(&entry.database, &entry.user);
            self.targets = targets.map_err(|_| End::NotServed)?;
            // Where there is a choice it is made next.
            // Replaced once more, or none is open: whoever needs one waits for it.
            if let Ok(pool) = self.targets.for_login() {
                self.pool = pool;
            }
            let entry = &self.registration.entry;
            let rules = directory.rules(&entry.database, &entry.user);
            self.checkout_timeout = rules.checkout_timeout;
            self.generation = generation;
            let limits = self.watch.as_ref().map(|watch| watch.limits());
            if limits.unwrap_or_default() != rules.timeouts {
                self.watch = Watch::begin(&self.worker, rules.timeouts, entry);
            }
            self.look_at_mode();
        }
        Ok(())
    }

    /// Chooses the instance for what stands at the head of the buffer. `false` when there is none,
    /// or it is not known yet what that is.
    fn choose(&mut self, search: &mut Search) -> bool {
        search.failure = None;
        let need = if self.routing.has_lost_transaction {
            Need { role: Some(RoleWish::Any), ..Need::READ }
        } else if self.routing.has_choice() {
            if search.decision.is_none() {
                search.decision = self.decide();
            }
            let Some(decision) = &search.decision else { return false };
            if self.must_ask_for_lsn(decision) {
                search.asks_for_lsn = true;
                return false;
            }
            self.need(decision)
        } else {
            self.routing.fixed_need()
        };
        match self.targets.choose(&need, rand::random()) {
            Ok(pool) => {
                if !Arc::ptr_eq(&self.pool, &pool) {
                    self.pool = pool;
                }
                true
            }
            Err(failure) => {
                search.failure = Some(failure);
                false
            }
        }
    }

    /// Waits until there is an instance for what stands at the head of the buffer. `false` when
    /// that took too long and the client has been told.
    async fn wait_for_target(
        &mut self,
        search: &mut Search,
        since: &mut Option<Instant>,
    ) -> Result<bool, End> {
        let limit = self.checkout_timeout;
        let begun = Instant::now();
        loop {
            self.find_pool()?;
            let changed = self.targets.changed();
            if self.choose(search) {
                return Ok(true);
            }
            if std::mem::take(&mut search.asks_for_lsn) {
                if !self.learn_lsn().await? {
                    search.decision = Some(Decision::unknown());
                }
                continue;
            }
            let Some(failure) = search.failure else {
                // More of the batch must come first. Nobody leaves one unfinished for long.
                let left = BATCH_PATIENCE.saturating_sub(begun.elapsed());
                let came = tokio::time::timeout(left, self.more_from_client()).await;
                match came {
                    Ok(came) => came?,
                    Err(_) => search.decision = Some(Decision::unknown()),
                }
                continue;
            };
            if failure == NoTarget::Replaced {
                // The next look at the topology finds others.
                tokio::task::yield_now().await;
                continue;
            }
            let begun = *since.get_or_insert_with(Instant::now);
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let error = match &search.refusal {
                    Some(error) => login::checkout_error(error, false),
                    None => no_target(failure),
                };
                self.refuse(&error);
                return Ok(false);
            }
            self.entry().set_state(ClientState::Waiting);
            self.note_activity(Activity::Waiting);
            // What has failed once may do next time.
            self.routing.attempt.avoid = 0;
            let pause = left.min(RETRY_PAUSE);
            let waited = self.watching(tokio::time::timeout(pause, changed)).await;
            self.entry().set_state(ClientState::Idle);
            let _changed_or_not = waited?;
        }
    }

    /// Asks the primary how far its log goes, which is where replicas must have come to show what
    /// the session has written. `false` when it does not say.
    async fn learn_lsn(&mut self) -> Result<bool, End> {
        let need = Need { role: Some(RoleWish::Primary), ..Need::WRITE };
        let Ok(pool) = self.targets.choose(&need, 0) else { return Ok(false) };
        let (worker, limit) = (self.worker.index, self.checkout_timeout);
        let asked = self
            .watching(async move {
                let lease = pool.checkout(worker, Instant::now(), limit).await.ok()?;
                lsn_of(lease).await
            })
            .await?;
        if let Some(lsn) = asked {
            self.routing.written = Written::UpTo(lsn);
        }
        Ok(asked.is_some())
    }

    /// Waits for more bytes of the client. Cancel safe.
    async fn more_from_client(&mut self) -> Result<(), End> {
        let buffers = &self.worker.buffers;
        let fill = poll_fn(|cx| self.from_client.buffer.poll_fill(cx, &mut self.client, buffers));
        match fill.await {
            Ok(0) => Err(End::ClientGone),
            Ok(n) => {
                self.routing.received += n as u64;
                Ok(())
            }
            Err(error) => Err(End::ClientIo(error)),
        }
    }

    /// Waits for something while watching whether the client is still there.
    async fn watching<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, End> {
        tokio::pin!(wait);
        let (client, from_client) = (&mut self.client, &mut self.from_client);
        let buffers = &self.worker.buffers;
        poll_fn(|cx| {
            if let Poll::Ready(result) = wait.as_mut().poll(cx) {
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
        .await
    }

    /// A server connection was taken for what was decided.
    fn begin_routed(&mut self, decision: Option<Decision>) {
        let received = std::mem::take(&mut self.routing.received);
        WorkerStats::add(&self.stats().bytes_received, received);
        self.routing.begin(self.pool.instance().role() == Role::Primary);
        self.routing.params_before = Some(Arc::clone(&self.params));
        self.routing.writes = decision.is_none_or(|decision| !decision.only_reads);
        if let Some(decision) = &decision {
            self.keep(decision);
        }
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
        let checkout = pool.checkout(self.worker.index, since, self.checkout_timeout);
        let result = self.watching(checkout).await;
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
        self.routing.attempt = Attempt::default();
        let head = Header::peek(self.from_client.buffer.unscanned());
        let Ok(Some(header)) = head else { return };
        let status = match self.routing.has_lost_transaction {
            true => TransactionStatus::Failed,
            false => TransactionStatus::Idle,
        };
        let outbox = &mut self.from_server.outbox;
        outbox.own(|out| error.put(out));
        match header.tag {
            frontend::tag::QUERY | frontend::tag::FUNCTION_CALL | frontend::tag::SYNC => {
                outbox.own(|out| backend::put_ready(out, status));
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
            self.end_routed();
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
